//! What is special about single drivers, and the choice between them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{archive_of, each, key, layer, mount, on_btrfs};
use crate::{Btrfs, Driver, Overlay, StorageError, Vfs, open};

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

const LARGE: usize = 16 << 20;

/// Bytes that no file system makes smaller.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..LARGE / 8).flat_map(|_| next()).collect()
}

fn large_layer(driver: &dyn Driver) -> crate::Key {
    let mut writer = archive::Writer::new(Vec::new());
    let entry = archive::Entry::file("large", 0o644, LARGE as u64);
    writer.append_bytes(&entry, &noise()).unwrap();
    layer(driver, "a1", &[], &writer.finish().unwrap()).0
}

/// What is in use on the file system of `path`, when all is written.
fn in_use(path: &Path) -> u64 {
    let directory = fs::File::open(path).unwrap();
    rustix::fs::syncfs(&directory).unwrap();
    let status = rustix::fs::fstatvfs(&directory).unwrap();
    (status.f_blocks - status.f_bfree) * status.f_frsize
}

#[test]
fn a_layer_above_another_takes_no_room_of_its_own() {
    if !is_root() {
        return;
    }
    let check = |driver: &dyn Driver, root: &Path| {
        let image = large_layer(driver);
        let before = in_use(root);
        driver
            .prepare(&key("container"), std::slice::from_ref(&image))
            .unwrap();
        assert_eq!(mount(driver, &key("container")).read("none"), None);
        let grown = in_use(root).saturating_sub(before);
        assert!(grown < LARGE as u64 / 2, "{}: {grown} bytes", driver.name());
        assert_eq!(
            fs::metadata(mount(driver, &key("container")).path("large"))
                .unwrap()
                .len(),
            LARGE as u64
        );
    };
    // vfs with the reflinks of btrfs, too.
    on_btrfs(|root| check(&Btrfs::open(root).unwrap(), root));
    on_btrfs(|root| check(&Vfs::open(root).unwrap(), root));
}

#[test]
fn a_limited_container_cannot_grow_beyond_and_others_can() {
    each(|driver, _| {
        let image = layer(driver, "a1", &[], &archive_of(&[("a", "a")])).0;
        let (limited, free) = (key("limited"), key("free"));
        driver.prepare(&limited, std::slice::from_ref(&image)).unwrap();
        driver.prepare(&free, &[image]).unwrap();
        let done = driver.limit(&limited, 8 << 20);
        if driver.name() != "btrfs" {
            let refused = done.unwrap_err();
            assert!(matches!(refused, StorageError::NoLimit { .. }), "{refused}");
            return;
        }
        done.unwrap();
        assert!(matches!(
            driver.limit(&key("none"), 1),
            Err(StorageError::NotFound { .. })
        ));
        let fill = |name| {
            let mut file = fs::File::create(mount(driver, &key(name)).path("fill")).unwrap();
            file.write_all(&noise()).and_then(|()| file.sync_all())
        };
        let refused = fill("limited").unwrap_err();
        assert_eq!(Errno::from_io_error(&refused), Some(Errno::DQUOT));
        fill("free").unwrap();
        // Whatever it holds, it goes.
        driver.remove(&limited).unwrap();
    });
}

#[test]
fn a_container_with_subvolumes_of_its_own_is_removed() {
    if !is_root() {
        return;
    }
    on_btrfs(|root| {
        let driver = Btrfs::open(root).unwrap();
        driver.prepare(&key("container"), &[]).unwrap();
        let seen = mount(&driver, &key("container"));
        let inner = std::os::fd::AsFd::as_fd(&seen.0);
        linux::btrfs::create_subvolume(inner, c"inner").unwrap();
        fs::write(seen.path("inner/file"), "x").unwrap();
        drop(seen);
        driver.remove(&key("container")).unwrap();
        assert!(driver.list().unwrap().is_empty());
    });
}

#[test]
fn two_containers_of_one_image_share_its_pages_in_memory() {
    if !is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let driver = Overlay::open(root.path()).unwrap();
    let image = large_layer(&driver);
    for name in ["one", "two"] {
        driver.prepare(&key(name), std::slice::from_ref(&image)).unwrap();
    }
    let (one, two) = (mount(&driver, &key("one")), mount(&driver, &key("two")));
    let file = fs::File::open(two.path("large")).unwrap();
    let path = two.path("large").display().to_string();
    let path = path.replacen("self", &std::process::id().to_string(), 1);
    let resident = || {
        let said = Command::new("fincore")
            .args(["--bytes", "--noheadings", "--output", "RES", &path])
            .output();
        let said = String::from_utf8(said.unwrap().stdout).unwrap();
        said.trim().parse::<usize>().unwrap()
    };
    // The kernel forgets only what is on the disk; a file of a lower layer is not written out by an fsync through overlay,
    // and pages that a processor has in hand stay for a while.
    let disk = fs::File::open(root.path()).unwrap();
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        rustix::fs::syncfs(&disk).unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let before = resident();
        if before < LARGE / 2 {
            break;
        }
        assert!(
            Instant::now() < end,
            "the kernel was asked to forget it: {before}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(fs::read(one.path("large")).unwrap().len(), LARGE);
    let after = resident();
    assert!(
        after > LARGE / 2,
        "read in one container, in memory for the other: {after}"
    );
}

#[test]
fn without_a_name_the_driver_with_layers_is_taken_or_the_first_that_works() {
    if !is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    assert_eq!(open("", root.path()).unwrap().name(), "overlay");
    layer(
        &Vfs::open(root.path()).unwrap(),
        "a1",
        &[],
        &archive_of(&[("a", "a")]),
    );
    assert_eq!(open("", root.path()).unwrap().name(), "vfs");
    assert_eq!(open("vfs", root.path()).unwrap().name(), "vfs");
    let refused = open("overlay2", root.path()).unwrap_err().to_string();
    assert!(
        refused.contains("holds layers of the storage driver vfs"),
        "{refused}"
    );
    let unknown = open("zfs", root.path()).unwrap_err().to_string();
    assert!(unknown.contains("zfs needs the zfs module"), "{unknown}");
    let elsewhere = tempfile::tempdir().unwrap();
    if crate::usage::filesystem(elsewhere.path()) != "btrfs" {
        let refused = open("btrfs", elsewhere.path()).unwrap_err().to_string();
        assert!(refused.contains("it is not on a btrfs file system"), "{refused}");
    }
}
