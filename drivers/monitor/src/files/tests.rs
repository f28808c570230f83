use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use super::path::{go_mode, stat};
use super::*;

#[test]
fn modes_are_gos() {
    assert_eq!(go_mode(0o100644), 0o644);
    assert_eq!(go_mode(0o040755), 1 << 31 | 0o755);
    assert_eq!(go_mode(0o120777), 1 << 27 | 0o777);
    assert_eq!(go_mode(0o104755), 1 << 23 | 0o755);
    assert_eq!(go_mode(0o041777), 1 << 31 | 1 << 20 | 0o777);
    assert_eq!(go_mode(0o020600), 1 << 26 | 1 << 21 | 0o600);
}

#[test]
fn links_are_followed_inside_the_root_and_the_last_only_when_asked() {
    let directory = tempfile::tempdir().expect("tempdir");
    let base = directory.path();
    std::fs::create_dir_all(base.join("run/lock")).expect("mkdir");
    std::fs::create_dir(base.join("var")).expect("mkdir");
    std::fs::write(base.join("run/file"), b"12345").expect("write");
    for (target, link) in [
        ("/run", "var/run"),
        ("../../../../run/file", "up"),
        ("loop", "loop"),
        ("/run/lock", "dir"),
    ] {
        std::os::unix::fs::symlink(target, base.join(link)).expect("symlink");
    }
    let root = File::open(base).expect("open");
    let check = |path: &str| stat(root.as_fd(), Path::new(path));
    let (file, start) = check("/var/run/file").expect("file");
    assert_eq!(
        (file.name.as_str(), file.size, start.as_slice()),
        ("file", 5, &b"run/file"[..])
    );
    let (link, start) = check("/up").expect("link");
    assert_eq!(
        (link.link_target.as_str(), start.as_slice()),
        ("/run/file", &b"up"[..])
    );
    let (dir, start) = check("/dir/").expect("directory");
    assert_eq!(
        (dir.name.as_str(), dir.mode >> 31, start.as_slice()),
        ("dir", 1, &b"run/lock"[..])
    );
    let (dot, start) = check("/var/run/.").expect("directory");
    assert_eq!((dot.name.as_str(), start.as_slice()), (".", &b"run"[..]));
    let (slash, start) = check("/../..").expect("root");
    assert_eq!((slash.name.as_str(), start.as_slice()), ("/", &b""[..]));
    assert!(matches!(check("/none"), Err(FilesError::NotFound(_))));
    assert!(matches!(
        check("/run/file/"),
        Err(FilesError::NotDirectoryPath(_))
    ));
    assert!(check("/loop/").is_err());
}

#[test]
fn a_path_that_no_file_can_have_is_the_fault_of_who_asks() {
    for (errno, kind) in [
        (Errno::INVAL, FilesFailure::Invalid),
        (Errno::NAMETOOLONG, FilesFailure::Invalid),
        (Errno::LOOP, FilesFailure::Invalid),
        (Errno::IO, FilesFailure::System),
    ] {
        assert_eq!(failed("open", "/\0")(errno).kind(), kind, "{errno}");
    }
}
