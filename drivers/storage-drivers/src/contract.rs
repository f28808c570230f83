//! What every driver keeps, run by each of them as root. Mounts are detached: nothing shows in any namespace.

mod loop_file;
mod more;

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use archive::{ChangeKind, Entry, EntryKind, Recorder, UnpackOptions, Writer};
use rustix::fs::{Mode, OFlags};

use crate::init_layer::DOCKER;
use crate::{Btrfs, Driver, Key, Overlay, State, StorageError, Vfs, make_init_layer};

use loop_file::on_btrfs;

/// Runs `test` for each driver in a fresh directory.
fn each(test: impl Fn(&dyn Driver, &Path) + Sync) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let run = |open: &(dyn Fn(&Path) -> Box<dyn Driver> + Sync)| {
        let root = tempfile::tempdir().unwrap();
        let driver = open(root.path());
        test(&*driver, root.path());
        drop(driver);
    };
    run(&|root| Box::new(Overlay::open(root).unwrap()));
    run(&|root| Box::new(Vfs::open(root).unwrap()));
    on_btrfs(|root| test(&Btrfs::open(root).unwrap(), root));
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn archive_of(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, data) in entries {
        let entry = match path.strip_suffix('/') {
            Some(path) => Entry::directory(path, 0o755),
            None => Entry::file(*path, 0o644, 0),
        };
        writer.append_bytes(&entry, data.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

/// Unpacks an archive as the layer `name` above `chain` and commits it; its record.
fn layer(driver: &dyn Driver, name: &str, chain: &[Key], bytes: &[u8]) -> (Key, Vec<u8>) {
    let key = key(name);
    driver.prepare(&key, chain).unwrap();
    let target = driver.target(&key).unwrap();
    let root = fs::File::open(&target.directory).unwrap();
    let mut record = Vec::new();
    let options = UnpackOptions {
        whiteouts: target.whiteouts,
        record: Some(Recorder::new(&mut record)),
        attic: Some(&target.attic),
        ..UnpackOptions::default()
    };
    archive::unpack(bytes, root.as_fd(), options).unwrap();
    driver.commit(&key).unwrap();
    (key, record)
}

/// A mount that can be used through /proc while it is open, attached nowhere.
struct Mounted(OwnedFd);

impl Mounted {
    fn path(&self, name: &str) -> std::path::PathBuf {
        use std::os::fd::AsRawFd;
        Path::new("/proc/self/fd")
            .join(self.0.as_raw_fd().to_string())
            .join(name)
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }
}

fn mount(driver: &dyn Driver, key: &Key) -> Mounted {
    Mounted(driver.mounts(key).unwrap().mount_detached().unwrap())
}

fn view(driver: &dyn Driver, chain: &[Key]) -> Mounted {
    Mounted(driver.view(chain).unwrap().mount_detached().unwrap())
}

fn shown(driver: &dyn Driver, key: &Key) -> Vec<String> {
    let letter = |kind| match kind {
        ChangeKind::Modified => 'C',
        ChangeKind::Added => 'A',
        ChangeKind::Deleted => 'D',
    };
    let changes = driver.changes(key).unwrap();
    changes
        .iter()
        .map(|change| {
            format!(
                "{} {}",
                letter(change.kind),
                String::from_utf8_lossy(&change.path)
            )
        })
        .collect()
}

/// Three layers: the second changes and deletes, the third makes a directory opaque.
fn three(driver: &dyn Driver) -> Vec<Key> {
    let bottom = [
        ("etc/", ""),
        ("etc/passwd", "root"),
        ("etc/gone", "x"),
        ("opt/", ""),
        ("opt/old", "x"),
        ("usr/", ""),
    ];
    let (first, _) = layer(driver, "a1", &[], &archive_of(&bottom));
    let middle = [
        ("etc/", ""),
        ("etc/passwd", "root, more"),
        ("etc/.wh.gone", ""),
        ("srv/", ""),
        ("srv/x", "x"),
    ];
    let (second, _) = layer(driver, "b2", std::slice::from_ref(&first), &archive_of(&middle));
    let top = [("opt/", ""), ("opt/.wh..wh..opq", ""), ("opt/new", "new")];
    let (third, _) = layer(driver, "c3", &[first.clone(), second.clone()], &archive_of(&top));
    vec![first, second, third]
}

#[test]
fn layers_are_put_together_with_their_whiteouts() {
    each(|driver, _| {
        let chain = three(driver);
        let seen = view(driver, &chain);
        assert_eq!(seen.read("etc/passwd").unwrap(), "root, more");
        assert_eq!(seen.read("opt/new").unwrap(), "new");
        for gone in ["etc/gone", "etc/.wh.gone", "opt/old", "opt/.wh..wh..opq"] {
            assert!(!seen.path(gone).exists(), "{gone}");
        }
        assert!(fs::write(seen.path("x"), "").is_err(), "a view refuses writes");
        assert_eq!(view(driver, &chain[..1]).read("etc/gone").unwrap(), "x");
        assert_eq!(fs::read_dir(view(driver, &[]).path("")).unwrap().count(), 0);
    });
}

#[test]
fn writes_stay_in_the_writable_layer_and_are_its_changes() {
    each(|driver, _| {
        let chain = three(driver);
        let (one, two) = (key("container-1"), key("container-2"));
        driver.prepare(&one, &chain).unwrap();
        driver.prepare(&two, &chain).unwrap();
        assert!(shown(driver, &one).is_empty());
        let (first, second) = (mount(driver, &one), mount(driver, &two));
        fs::write(first.path("etc/passwd"), "changed").unwrap();
        fs::write(first.path("etc/new"), "12345").unwrap();
        fs::remove_file(first.path("srv/x")).unwrap();
        fs::remove_dir(first.path("srv")).unwrap();
        fs::create_dir(first.path("data")).unwrap();
        assert_eq!(second.read("etc/passwd").unwrap(), "root, more");
        assert_eq!(
            shown(driver, &one),
            ["A /data", "C /etc", "A /etc/new", "C /etc/passwd", "D /srv"]
        );
        assert!(shown(driver, &two).is_empty());
        assert_eq!(driver.usage(&one).unwrap().size, 12, "{}", driver.name());
        assert!(driver.usage(&one).unwrap().inodes > 3);
    });
}

#[test]
fn a_committed_difference_above_the_same_chain_shows_the_same_tree() {
    each(|driver, _| {
        let mut chain = three(driver);
        let container = key("container");
        driver.prepare(&container, &chain).unwrap();
        let mounted = mount(driver, &container);
        fs::write(mounted.path("etc/passwd"), "changed").unwrap();
        fs::remove_dir_all(mounted.path("opt")).unwrap();
        fs::create_dir(mounted.path("opt")).unwrap();
        fs::write(mounted.path("opt/newest"), "newest").unwrap();
        fs::hard_link(mounted.path("opt/newest"), mounted.path("opt/same")).unwrap();
        drop(mounted);
        let mut bytes = Vec::new();
        driver.diff(&container, &mut bytes).unwrap();
        let (committed, _) = layer(driver, "d4", &chain, &bytes);
        chain.push(committed);
        let seen = view(driver, &chain);
        assert_eq!(seen.read("etc/passwd").unwrap(), "changed");
        assert_eq!(seen.read("opt/newest").unwrap(), "newest");
        assert_eq!(fs::metadata(seen.path("opt/same")).unwrap().nlink(), 2);
        assert!(!seen.path("opt/new").exists());
        assert!(seen.path("srv/x").exists());
    });
}

#[test]
fn the_archive_of_a_layer_is_rebuilt_to_the_byte() {
    each(|driver, _| {
        let bytes = archive_of(&[
            ("etc/", ""),
            ("etc/a", "a"),
            ("etc/.wh.b", ""),
            ("etc/a", "again"),
            ("z", "z"),
        ]);
        let (key, record) = layer(driver, "a1", &[], &bytes);
        let target = driver.target(&key).unwrap();
        let root = fs::File::open(&target.directory).unwrap();
        let mut again = Vec::new();
        archive::rebuild(&record[..], root.as_fd(), Some(&target.attic), &mut again).unwrap();
        assert!(again == bytes, "{}", driver.name());
    });
}

#[test]
fn everything_that_linux_keeps_of_a_file_survives_the_way_into_a_container() {
    each(|driver, _| {
        let mtime = archive::Timestamp {
            seconds: 1_500_000_000,
            nanos: 123_456_789,
        };
        let mut suid = Entry {
            uid: 12,
            gid: 34,
            mtime,
            ..Entry::file("bin/suid", 0o4755, 0)
        };
        suid.xattrs
            .push((b"user.note".to_vec(), b"\0binary\xff".to_vec()));
        // cap_net_raw+ep, version 2 of capabilities(7)
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut able = Entry::file("bin/ping", 0o755, 0);
        able.xattrs
            .push((b"security.capability".to_vec(), capability.to_vec()));
        let null = Entry {
            device: (1, 3),
            mtime,
            ..Entry::new(EntryKind::CharDevice, "null", 0o666)
        };
        let other = Entry {
            link: b"bin/suid".to_vec(),
            ..Entry::new(EntryKind::HardLink, "other", 0)
        };
        let pointer = Entry {
            link: b"bin".to_vec(),
            mtime,
            ..Entry::new(EntryKind::Symlink, "pointer", 0o777)
        };
        let directory = Entry {
            mtime,
            ..Entry::directory("bin", 0o1750)
        };
        let mut writer = Writer::new(Vec::new());
        for entry in [
            directory,
            suid,
            able,
            null,
            other,
            pointer,
            Entry::new(EntryKind::Fifo, "pipe", 0o600),
        ] {
            writer
                .append_bytes(&entry, if entry.path == b"bin/suid" { b"#!" } else { b"" })
                .unwrap();
        }
        let (image, _) = layer(driver, "a1", &[], &writer.finish().unwrap());
        let container = key("container");
        driver.prepare(&container, &[image]).unwrap();
        let seen = mount(driver, &container);
        let stat = |name: &str| {
            let meta = fs::symlink_metadata(seen.path(name)).unwrap();
            (
                meta.permissions().mode() & 0o7777,
                (meta.uid(), meta.gid()),
                (meta.mtime(), meta.mtime_nsec()),
            )
        };
        let time = (1_500_000_000, 123_456_789);
        assert_eq!(stat("bin/suid"), (0o4755, (12, 34), time));
        assert_eq!(stat("bin"), (0o1750, (0, 0), time));
        assert_eq!(stat("null"), (0o666, (0, 0), time));
        assert_eq!(stat("pointer").2, time);
        assert_eq!(
            fs::metadata(seen.path("null")).unwrap().rdev(),
            rustix::fs::makedev(1, 3)
        );
        let inode = |name: &str| fs::metadata(seen.path(name)).unwrap().ino();
        assert_eq!(inode("other"), inode("bin/suid"));
        let mut value = [0; 64];
        let length = rustix::fs::getxattr(seen.path("bin/suid"), "user.note", &mut value).unwrap();
        assert_eq!(&value[..length], b"\0binary\xff");
        let length = rustix::fs::getxattr(seen.path("bin/ping"), "security.capability", &mut value).unwrap();
        assert_eq!(&value[..length], capability);
    });
}

#[test]
fn an_init_layer_gives_mount_points_that_no_difference_shows() {
    each(|driver, _| {
        let resolv = Entry {
            link: b"../run/stub-resolv.conf".to_vec(),
            ..Entry::new(EntryKind::Symlink, "etc/resolv.conf", 0o777)
        };
        let mut writer = Writer::new(Vec::new());
        writer
            .append_bytes(
                &Entry {
                    uid: 7,
                    ..Entry::directory("etc", 0o750)
                },
                b"",
            )
            .unwrap();
        writer
            .append_bytes(&Entry::file("etc/hosts", 0o640, 0), b"mine")
            .unwrap();
        writer.append_bytes(&resolv, b"").unwrap();
        let (image, _) = layer(driver, "a1", &[], &writer.finish().unwrap());
        let init = key("init-a1");
        make_init_layer(driver, &init, std::slice::from_ref(&image), DOCKER).unwrap();
        make_init_layer(driver, &init, std::slice::from_ref(&image), DOCKER).unwrap();
        let container = key("container");
        driver.prepare(&container, &[image, init]).unwrap();
        assert!(
            shown(driver, &container).is_empty(),
            "{:?}",
            shown(driver, &container)
        );
        let seen = mount(driver, &container);
        for point in DOCKER {
            assert!(
                fs::symlink_metadata(seen.path(&point.path()[1..])).is_ok(),
                "{point:?}"
            );
        }
        assert_eq!(seen.read("etc/hosts").unwrap(), "mine");
        assert!(
            fs::symlink_metadata(seen.path("etc/resolv.conf"))
                .unwrap()
                .is_file()
        );
        let etc = fs::metadata(seen.path("etc")).unwrap();
        assert_eq!((etc.mode() & 0o7777, etc.uid()), (0o750, 7));
        drop(seen);
        assert!(
            shown(driver, &container).is_empty(),
            "{:?}",
            shown(driver, &container)
        );
    });
}

#[test]
fn an_init_layer_replaces_links_that_lead_nowhere_and_stays_inside() {
    each(|driver, root| {
        let outside = root.join("outside");
        fs::create_dir(&outside).unwrap();
        let link = |path: &str, target: &str| Entry {
            link: target.as_bytes().to_vec(),
            ..Entry::new(EntryKind::Symlink, path.as_bytes(), 0o777)
        };
        let mut writer = Writer::new(Vec::new());
        let entries = [
            // Exists on the host, and not in the image.
            link("dev", &outside.to_string_lossy()),
            link("etc", "etc"),
            link("proc", "/real"),
            Entry::directory("real", 0o755),
            Entry::file("sys", 0o644, 0),
        ];
        for entry in &entries {
            writer.append_bytes(entry, b"").unwrap();
        }
        let (image, _) = layer(driver, "b1", &[], &writer.finish().unwrap());
        let init = key("init-b1");
        make_init_layer(driver, &init, std::slice::from_ref(&image), DOCKER).unwrap();
        let container = key("container");
        driver.prepare(&container, &[image, init]).unwrap();
        let seen = mount(driver, &container);
        for directory in ["dev/pts", "dev/shm", "proc", "real"] {
            let found = fs::symlink_metadata(seen.path(directory)).unwrap();
            assert!(found.is_dir(), "{directory}");
        }
        assert!(fs::symlink_metadata(seen.path("etc/hosts")).unwrap().is_file());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    });
}

#[test]
fn an_init_layer_follows_a_link_that_leads_to_a_directory_of_the_image() {
    each(|driver, _| {
        let etc = Entry {
            link: b"../../usr/etc".to_vec(),
            ..Entry::new(EntryKind::Symlink, "etc", 0o777)
        };
        let mut writer = Writer::new(Vec::new());
        for entry in [
            &Entry::directory("usr", 0o755),
            &Entry::directory("usr/etc", 0o755),
            &etc,
        ] {
            writer.append_bytes(entry, b"").unwrap();
        }
        let (image, _) = layer(driver, "c1", &[], &writer.finish().unwrap());
        let init = key("init-c1");
        make_init_layer(driver, &init, std::slice::from_ref(&image), DOCKER).unwrap();
        driver.prepare(&key("container"), &[image, init]).unwrap();
        let seen = mount(driver, &key("container"));
        assert!(fs::symlink_metadata(seen.path("etc")).unwrap().is_symlink());
        assert!(
            fs::symlink_metadata(seen.path("usr/etc/hosts"))
                .unwrap()
                .is_file()
        );
    });
}

#[test]
fn layers_are_listed_synced_and_removed_idempotently() {
    each(|driver, root| {
        let chain = three(driver);
        driver.prepare(&key("active"), &chain).unwrap();
        let state = |name: &str| {
            let items = driver.list().unwrap();
            items
                .into_iter()
                .find(|item| item.key.as_str() == name)
                .map(|item| item.state)
        };
        assert_eq!(
            (state("a1"), state("active"), state("none")),
            (Some(State::Committed), Some(State::Active), None)
        );
        let mut synced = driver.sync().unwrap();
        synced.sort();
        assert_eq!(synced, chain);
        assert_eq!(
            (state("a1"), state("active")),
            (Some(State::Synced), Some(State::Active))
        );
        assert!(driver.sync().unwrap().is_empty());

        assert!(matches!(
            driver.prepare(&key("active"), &chain),
            Err(StorageError::Exists { .. })
        ));
        assert!(matches!(
            driver.prepare(&chain[0], &[]),
            Err(StorageError::Exists { .. })
        ));
        assert!(matches!(
            driver.mounts(&chain[0]),
            Err(StorageError::NotFound { .. })
        ));
        driver.commit(&chain[0]).unwrap();
        assert!(matches!(
            driver.commit(&key("none")),
            Err(StorageError::NotFound { .. })
        ));

        // What a crash leaves in the trash is listed, and removed with its key.
        let trash = root.join(driver.name()).join("trash/active.1.1/d/deep");
        fs::create_dir_all(&trash).unwrap();
        assert!(
            driver
                .list()
                .unwrap()
                .iter()
                .any(|item| item.state == State::Leftover)
        );
        for name in ["active", "active", "none", "c3"] {
            driver.remove(&key(name)).unwrap();
            assert_eq!(state(name), None);
        }
        assert!(!trash.exists());
        assert!(matches!(driver.view(&chain), Err(StorageError::NotFound { .. })));
    });
}

#[test]
fn layers_unpack_before_their_parents_where_the_driver_says_so() {
    each(|driver, _| {
        if driver.needs_parent() {
            let missing = driver.prepare(&key("b2"), &[key("a1")]);
            assert!(matches!(missing, Err(StorageError::NotFound { .. })));
            assert!(driver.list().unwrap().is_empty());
            return;
        }
        let chain = [key("a1")];
        let (second, _) = layer(driver, "b2", &chain, &archive_of(&[(".wh.gone", ""), ("b", "b")]));
        let (first, _) = layer(driver, "a1", &[], &archive_of(&[("gone", ""), ("a", "a")]));
        let seen = view(driver, &[first, second]);
        assert!(seen.read("a").is_some() && seen.read("b").is_some() && seen.read("gone").is_none());
    });
}

#[test]
fn a_stack_of_four_hundred_layers_mounts() {
    each(|driver, _| {
        if driver.needs_parent() {
            return;
        }
        let mut chain = Vec::new();
        for number in 0..400 {
            // Keys as long as they come, so that names of directories are long too.
            let name = format!("{number:064x}");
            let bytes = archive_of(&[(&format!("file{number}"), "x"), ("last", &number.to_string())]);
            chain.push(layer(driver, &name, &chain, &bytes).0);
        }
        let container = key("container");
        driver.prepare(&container, &chain).unwrap();
        let seen = mount(driver, &container);
        assert_eq!(seen.read("last").unwrap(), "399");
        assert!(seen.read("file0").is_some());
    });
}

#[test]
fn a_tree_deeper_than_any_path_is_removed() {
    each(|driver, _| {
        let container = key("container");
        driver.prepare(&container, &[]).unwrap();
        let seen = mount(driver, &container);
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut deepest = rustix::fs::openat(&seen.0, ".", directory, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&deepest, "deeper", Mode::RWXU).unwrap();
            deepest = rustix::fs::openat(&deepest, "deeper", directory, Mode::empty()).unwrap();
        }
        drop((deepest, seen));
        driver.remove(&container).unwrap();
        assert!(driver.list().unwrap().is_empty());
    });
}
