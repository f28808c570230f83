//! The files face.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;

use archive::{Entry, Reader};
use linux::mount::recipe::Recipe;
use monitor::plan::{Fd, FilesOperation, FilesPlan, Tree};
use monitor::protocol::{FilesFailure, FilesReport};
use monitor::spawn_files;

use crate::Test;
use crate::support::{Container, runtime, shell};

pub(crate) const TESTS: &[Test] = &[
    ("a_stat_of_a_link_tells_its_target", stat),
    ("a_directory_is_got_under_its_own_name", get),
    ("an_archive_is_put_into_a_running_container", put),
    ("an_export_leaves_mounts_out", export),
    ("a_stopped_containers_volumes_are_seen", stopped),
];

/// Runs an operation with `input` as its archive; the reports and the archive it wrote.
fn operate(
    tree: Tree,
    operation: FilesOperation,
    input: &[u8],
    init: Option<i32>,
) -> (Vec<FilesReport>, Vec<u8>) {
    let file = tempfile::tempfile().expect("file");
    std::io::Write::write_all(&mut &file, input).expect("write");
    std::io::Seek::rewind(&mut &file).expect("rewind");
    let plan = FilesPlan {
        tree,
        operation,
        stream: Some(Fd(0)),
    };
    let pidfd = init.map(|pid| {
        linux::process::pidfd_open(rustix::process::Pid::from_raw(pid).expect("pid")).expect("pidfd")
    });
    let mut fds = vec![file.as_fd()];
    fds.extend(pidfd.as_ref().map(AsFd::as_fd));
    let spawned = spawn_files(runtime().as_fd(), &plan, &fds).expect("spawn");
    let mut reports = Vec::new();
    while let Ok(received) = spawned.control.receive::<FilesReport>() {
        reports.push(received.message);
    }
    assert_eq!(
        linux::process::wait(&spawned.pidfd),
        Ok(linux::process::Exit::Code(0))
    );
    let mut output = Vec::new();
    std::io::Seek::rewind(&mut &file).expect("rewind");
    (&file).read_to_end(&mut output).expect("read");
    (reports, output)
}

fn names(archive: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(archive);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().expect("entry") {
        names.push(
            String::from_utf8_lossy(&entry.path)
                .trim_end_matches('/')
                .to_owned(),
        );
    }
    names
}

fn running() -> (Container, i32, Tree) {
    let mut container = Container::new(shell("while :; do sleep 0.05; done"));
    std::os::unix::fs::symlink("/data", container.path("rootfs/link")).expect("symlink");
    container.spawn(&[]);
    let pid = container.pid();
    container.daemon().started();
    (container, pid, Tree::Running { init: Fd(1) })
}

fn stat() {
    let (_container, pid, tree) = running();
    let (reports, _) = operate(
        tree.clone(),
        FilesOperation::Stat { path: "/link".into() },
        b"",
        Some(pid),
    );
    let [FilesReport::Stat(stat), FilesReport::Done] = &reports[..] else {
        panic!("{reports:?}")
    };
    assert_eq!((stat.name.as_str(), stat.link_target.as_str()), ("link", "/data"));
    let (reports, _) = operate(
        tree,
        FilesOperation::Stat { path: "/none".into() },
        b"",
        Some(pid),
    );
    assert!(
        matches!(&reports[..], [FilesReport::Failed { kind: FilesFailure::NotFound, message }]
            if message == "Could not find the file /none in container"),
        "{reports:?}"
    );
}

fn get() {
    let (_container, pid, tree) = running();
    for (path, wanted) in [
        ("/data", &["data", "data/file", "data/sub", "data/sub/deep"][..]),
        ("/link", &["link"]),
        ("/link/", &["link", "link/file", "link/sub", "link/sub/deep"]),
        ("/data/sub/.", &[".", "./deep"]),
        ("/data/file", &["file"]),
    ] {
        let (reports, archive) = operate(
            tree.clone(),
            FilesOperation::Get { path: path.into() },
            b"",
            Some(pid),
        );
        assert!(
            matches!(&reports[..], [FilesReport::Stat(_), FilesReport::Done]),
            "{path}: {reports:?}"
        );
        assert_eq!(names(&archive), wanted, "{path}");
    }
    let (reports, archive) = operate(tree, FilesOperation::Get { path: "/".into() }, b"", Some(pid));
    assert!(
        matches!(&reports[..], [FilesReport::Stat(stat), FilesReport::Done] if stat.name == "/"),
        "{reports:?}"
    );
    let all = names(&archive);
    // The client removes exactly one "/" from the front of each name.
    assert!(all.iter().any(|name| name == "/etc/passwd"), "{:?}", &all[..5]);
}

fn archive_of(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = archive::Writer::new(Vec::new());
    for (name, content) in entries {
        let mut entry = Entry::file(*name, 0o640, content.len() as u64);
        (entry.uid, entry.gid) = (12, 34);
        writer.append_bytes(&entry, content.as_bytes()).expect("append");
    }
    writer.finish().expect("finish")
}

fn put() {
    let (container, pid, tree) = running();
    let operation = |path: &str| FilesOperation::Put {
        path: path.into(),
        no_overwrite_dir_non_dir: true,
        owner: None,
    };
    let archive = archive_of(&[("new", "hello"), ("link2/../../escape", "no")]);
    let (reports, _) = operate(tree.clone(), operation("/link"), &archive, Some(pid));
    assert_eq!(reports, [FilesReport::Done]);
    let file = container.path("rootfs/data/new");
    assert_eq!(std::fs::read_to_string(&file).expect("unpacked"), "hello");
    let meta = std::fs::metadata(&file).expect("stat");
    assert_eq!(
        (
            std::os::unix::fs::MetadataExt::uid(&meta),
            std::os::unix::fs::MetadataExt::gid(&meta)
        ),
        (12, 34)
    );
    assert!(
        container.path("rootfs/data/escape").exists(),
        "it cannot leave the directory it is put into"
    );

    let (reports, _) = operate(tree.clone(), operation("/data/file"), &archive, Some(pid));
    assert!(
        matches!(&reports[..], [FilesReport::Failed { kind: FilesFailure::Invalid, message }]
            if message == "extraction point is not a directory"),
        "{reports:?}"
    );
    let (reports, _) = operate(
        tree,
        operation("/data"),
        &archive_of(&[("sub", "file")]),
        Some(pid),
    );
    assert!(
        matches!(&reports[..], [FilesReport::Failed { .. }]),
        "{reports:?}"
    );
    assert!(container.path("rootfs/data/sub").is_dir());
}

fn export() {
    let (_container, pid, tree) = running();
    let (reports, archive) = operate(tree, FilesOperation::Export, b"", Some(pid));
    assert_eq!(reports, [FilesReport::Done]);
    let all = names(&archive);
    let has = |name: &str| all.iter().any(|known| known == name);
    assert!(has("data/sub/deep") && has("proc") && has("dev"));
    assert!(
        !all.iter()
            .any(|name| name.starts_with("proc/") || name.starts_with("dev/"))
    );
}

fn stopped() {
    let container = Container::new(shell("true"));
    let volume = container.path("volume");
    std::fs::create_dir(&volume).expect("mkdir");
    std::fs::write(volume.join("inside"), "volume").expect("write");
    let mount = |options: &[&str]| oci::runtime::Mount {
        destination: "/made/here".to_owned(),
        kind: "bind".to_owned(),
        source: volume.to_string_lossy().into_owned(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..oci::runtime::Mount::default()
    };
    let tree = |options: &[&str]| Tree::Stopped {
        rootfs: Recipe::Bind {
            path: container.path("rootfs"),
            read_only: false,
        },
        mounts: vec![mount(options)],
        read_only: false,
        working_dir: None,
    };
    let path = PathBuf::from("/made/here");
    let (reports, archive) = operate(
        tree(&["bind"]),
        FilesOperation::Get { path: path.clone() },
        b"",
        None,
    );
    assert!(
        matches!(&reports[..], [FilesReport::Stat(_), FilesReport::Done]),
        "{reports:?}"
    );
    assert_eq!(names(&archive), ["here", "here/inside"]);
    let put = FilesOperation::Put {
        path,
        no_overwrite_dir_non_dir: false,
        owner: None,
    };
    let (reports, _) = operate(
        tree(&["bind", "ro"]),
        put.clone(),
        &archive_of(&[("x", "y")]),
        None,
    );
    assert!(
        matches!(
            &reports[..],
            [FilesReport::Failed {
                kind: FilesFailure::ReadOnly,
                ..
            }]
        ),
        "{reports:?}"
    );
    let (reports, _) = operate(tree(&["bind"]), put, &archive_of(&[("x", "y")]), None);
    assert_eq!(reports, [FilesReport::Done]);
    assert_eq!(std::fs::read_to_string(volume.join("x")).expect("read"), "y");
}
