//! A btrfs of a test's own, in a file: mounted where only the test's thread sees it, and gone with it.

use std::path::Path;
use std::process::{Command, Stdio};

use linux::namespace::{Flags, on_unshared_thread};

/// Sparse; mkfs.btrfs wants at least 109 MiB.
const SIZE: u64 = 1 << 30;

/// Runs `test` in the root of a new btrfs; says why where there can be none.
pub(super) fn on_btrfs(test: impl Fn(&Path) + Sync) {
    let kernel = std::fs::read_to_string("/proc/filesystems").unwrap();
    if !kernel.lines().any(|line| line.trim() == "btrfs") {
        eprintln!("skipped: btrfs is not in this kernel");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (image, place) = (directory.path().join("image"), directory.path().join("mount"));
    std::fs::File::create(&image).unwrap().set_len(SIZE).unwrap();
    std::fs::create_dir(&place).unwrap();
    let made = Command::new("mkfs.btrfs")
        .arg("-q")
        .arg(&image)
        .stdout(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no mkfs.btrfs (of Debian's btrfs-progs)");
        return;
    }
    let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
        let status = Command::new(program).args(arguments).status().unwrap();
        assert!(status.success(), "{program} {arguments:?}");
    };
    on_unshared_thread(Flags::MOUNT, || {
        run("mount", &["--make-rprivate".as_ref(), "/".as_ref()]);
        // The loop device goes with the mount.
        run(
            "mount",
            &["-o".as_ref(), "loop".as_ref(), image.as_ref(), place.as_ref()],
        );
        test(&place);
        run("umount", &["--lazy".as_ref(), place.as_ref()]);
    })
    .unwrap();
}
