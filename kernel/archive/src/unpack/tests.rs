use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::*;
use crate::{EntryKind, PackOptions, PackWhiteouts, ReadError, Timestamp, Writer, pack, rebuild};

/// An archive of entries with their data.
fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        writer.append_bytes(entry, data).unwrap();
    }
    writer.finish().unwrap()
}

fn file(path: &str) -> Entry {
    Entry::file(path, 0o644, 0)
}

fn link(kind: EntryKind, path: &str, target: &str) -> Entry {
    Entry {
        link: target.into(),
        ..Entry::new(kind, path, 0o777)
    }
}

fn plain<'a>() -> UnpackOptions<'a> {
    UnpackOptions {
        owner: Owner::Process,
        ..UnpackOptions::default()
    }
}

fn run(bytes: &[u8], root: &Path, options: UnpackOptions<'_>) -> Result<UnpackStats, UnpackError> {
    unpack(bytes, File::open(root).unwrap().as_fd(), options)
}

/// A root in a directory with a canary beside it.
struct Cage {
    temp: tempfile::TempDir,
}

impl Cage {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("root")).unwrap();
        fs::create_dir(temp.path().join("outside")).unwrap();
        fs::write(temp.path().join("outside/canary"), "alive").unwrap();
        Self { temp }
    }

    fn root(&self) -> std::path::PathBuf {
        self.temp.path().join("root")
    }

    fn unpack(&self, entries: &[(Entry, &[u8])]) -> Result<UnpackStats, UnpackError> {
        run(&archive(entries), &self.root(), plain())
    }

    #[track_caller]
    fn assert_unharmed(&self) {
        let names = |path: &Path| {
            let mut names: Vec<_> = fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(self.temp.path()), ["outside", "root"]);
        assert_eq!(names(&self.temp.path().join("outside")), ["canary"]);
        let canary = self.temp.path().join("outside/canary");
        assert_eq!(fs::read_to_string(&canary).unwrap(), "alive");
        assert_eq!(fs::metadata(&canary).unwrap().nlink(), 1);
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

#[test]
fn names_with_dot_dot_that_lead_out_are_refused() {
    for name in [
        "../outside/evil",
        "a/../../outside/evil",
        "/../outside/evil",
        "..",
        "a/b/../../../x",
    ] {
        let cage = Cage::new();
        let error = cage.unpack(&[(file(name), b"x")]).unwrap_err();
        assert!(matches!(error, UnpackError::Escape { .. }), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
        cage.assert_unharmed();
    }
}

#[test]
fn absolute_names_are_taken_below_the_root() {
    let cage = Cage::new();
    cage.unpack(&[(file("/etc/passwd"), b"mine"), (file("//x/./y/../z"), b"")])
        .unwrap();
    assert_eq!(fs::read(cage.root().join("etc/passwd")).unwrap(), b"mine");
    assert!(cage.root().join("x/z").exists());
}

#[test]
fn symbolic_links_cannot_be_used_to_write_outside() {
    let out = "../outside";
    let absolute = Cage::new();
    let target = absolute.temp.path().join("outside");
    absolute
        .unpack(&[(link(EntryKind::Symlink, "door", target.to_str().unwrap()), b"")])
        .unwrap();
    assert!(absolute.unpack(&[(file("door/evil"), b"x")]).is_err());
    absolute.assert_unharmed();

    for name in ["door/evil", "door/canary", "door/sub/evil"] {
        let cage = Cage::new();
        let _ = cage.unpack(&[(link(EntryKind::Symlink, "door", out), b""), (file(name), b"x")]);
        cage.assert_unharmed();
    }
    // A chain of links, and one hidden below a directory.
    let cage = Cage::new();
    let _ = cage.unpack(&[
        (Entry::directory("a", 0o755), b""),
        (link(EntryKind::Symlink, "a/up", ".."), b""),
        (link(EntryKind::Symlink, "a/up2", "up/.."), b""),
        (file("a/up2/outside/canary"), b"dead"),
    ]);
    cage.assert_unharmed();
}

#[test]
fn the_last_part_of_a_name_is_never_followed() {
    let cage = Cage::new();
    cage.unpack(&[
        (link(EntryKind::Symlink, "canary", "../outside/canary"), b""),
        (file("canary"), b"new"),
    ])
    .unwrap();
    assert!(
        fs::symlink_metadata(cage.root().join("canary"))
            .unwrap()
            .is_file()
    );
    cage.assert_unharmed();
}

#[test]
fn a_directory_swapped_for_a_link_between_entries_leads_nowhere_else() {
    let cage = Cage::new();
    let _ = cage.unpack(&[
        (Entry::directory("d", 0o755), b""),
        (file("d/first"), b"1"),
        (link(EntryKind::Symlink, "d", "../outside"), b""),
        (file("d/canary"), b"dead"),
        (file("d/evil"), b"x"),
    ]);
    cage.assert_unharmed();
    // And the times of `d`, set at the end, do not hit what the link leads to.
    let cage = Cage::new();
    let before = fs::metadata(cage.temp.path().join("outside"))
        .unwrap()
        .modified()
        .unwrap();
    cage.unpack(&[
        (Entry::directory("d", 0o700), b""),
        (link(EntryKind::Symlink, "d", "../outside"), b""),
    ])
    .unwrap();
    assert_eq!(
        fs::metadata(cage.temp.path().join("outside"))
            .unwrap()
            .modified()
            .unwrap(),
        before
    );
    cage.assert_unharmed();
}

#[test]
fn a_link_inside_the_tree_is_followed_inside_the_tree() {
    let cage = Cage::new();
    cage.unpack(&[
        (Entry::directory("usr/lib", 0o755), b""),
        (link(EntryKind::Symlink, "lib", "usr/lib"), b""),
        (link(EntryKind::Symlink, "lib64", "/usr/lib"), b""),
        (file("lib/a"), b"a"),
        (file("lib64/b"), b"b"),
    ])
    .unwrap();
    assert_eq!(fs::read(cage.root().join("usr/lib/a")).unwrap(), b"a");
    assert_eq!(fs::read(cage.root().join("usr/lib/b")).unwrap(), b"b");
}

#[test]
fn hard_links_reach_only_what_is_in_the_tree() {
    let cage = Cage::new();
    let error = cage
        .unpack(&[(link(EntryKind::HardLink, "x", "../outside/canary"), b"")])
        .unwrap_err();
    assert!(matches!(error, UnpackError::Escape { .. }), "{error}");
    cage.assert_unharmed();

    let cage = Cage::new();
    let outside = cage.temp.path().join("outside/canary");
    assert!(
        cage.unpack(&[(link(EntryKind::HardLink, "x", outside.to_str().unwrap()), b"")])
            .is_err()
    );
    cage.assert_unharmed();

    let cage = Cage::new();
    let _ = cage.unpack(&[
        (link(EntryKind::Symlink, "door", "../outside"), b""),
        (link(EntryKind::HardLink, "x", "door/canary"), b""),
        (link(EntryKind::Symlink, "s", "../outside/canary"), b""),
        (link(EntryKind::HardLink, "y", "s"), b""),
        (file("y"), b"dead"),
    ]);
    cage.assert_unharmed();

    let cage = Cage::new();
    cage.unpack(&[(file("a"), b"same"), (link(EntryKind::HardLink, "b", "/a"), b"")])
        .unwrap();
    let inode = |name: &str| fs::metadata(cage.root().join(name)).unwrap().ino();
    assert_eq!(inode("a"), inode("b"));
    assert!(
        cage.unpack(&[(link(EntryKind::HardLink, "c", "."), b"")])
            .is_err()
    );
}

#[test]
fn writing_over_one_name_of_a_hard_link_leaves_the_other() {
    let cage = Cage::new();
    cage.unpack(&[
        (file("a"), b"old"),
        (link(EntryKind::HardLink, "b", "a"), b""),
        (file("b"), b"new"),
    ])
    .unwrap();
    assert_eq!(fs::read(cage.root().join("a")).unwrap(), b"old");
    assert_eq!(fs::read(cage.root().join("b")).unwrap(), b"new");
}

#[test]
fn the_last_of_several_entries_of_a_name_wins_whatever_they_are() {
    let kinds = [
        (file("x"), &b"data"[..]),
        (Entry::directory("x", 0o755), b""),
        (link(EntryKind::Symlink, "x", "nowhere"), b""),
        (Entry::new(EntryKind::Fifo, "x", 0o600), b""),
    ];
    for (first, data) in &kinds {
        for (second, other) in &kinds {
            let cage = Cage::new();
            let mut entries = vec![(first.clone(), *data)];
            if first.kind == EntryKind::Directory {
                entries.push((file("x/below"), b"deep"));
            }
            entries.push((second.clone(), other));
            cage.unpack(&entries).unwrap();
            let found = fs::symlink_metadata(cage.root().join("x")).unwrap().file_type();
            let expect = (
                second.kind == EntryKind::File,
                second.kind == EntryKind::Directory,
                second.kind == EntryKind::Symlink,
            );
            assert_eq!(
                (found.is_file(), found.is_dir(), found.is_symlink()),
                expect,
                "{:?}->{:?}",
                first.kind,
                second.kind
            );
        }
    }
}

#[test]
fn a_directory_is_not_replaced_where_that_is_forbidden() {
    let cage = Cage::new();
    let options = || UnpackOptions {
        replace_directories: false,
        ..plain()
    };
    fs::create_dir(cage.root().join("d")).unwrap();
    fs::write(cage.root().join("f"), "").unwrap();
    let error = run(&archive(&[(file("d"), b"")]), &cage.root(), options()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cannot overwrite directory with non-directory"),
        "{error}"
    );
    let error = run(
        &archive(&[(Entry::directory("f", 0o755), b"")]),
        &cage.root(),
        options(),
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cannot overwrite non-directory with directory"),
        "{error}"
    );
}

#[test]
fn devices_are_made_left_out_or_refused() {
    if !is_root() {
        return;
    }
    let null = Entry {
        device: (1, 3),
        ..Entry::new(EntryKind::CharDevice, "null", 0o666)
    };
    let cage = Cage::new();
    let bytes = archive(&[(null, b"")]);
    let with = |devices| UnpackOptions { devices, ..plain() };
    assert!(matches!(
        run(&bytes, &cage.root(), with(Devices::Refuse)),
        Err(UnpackError::Refused { .. })
    ));
    assert_eq!(run(&bytes, &cage.root(), with(Devices::Skip)).unwrap().skipped, 1);
    assert!(!cage.root().join("null").exists());
    run(&bytes, &cage.root(), with(Devices::Create)).unwrap();
    let made = fs::metadata(cage.root().join("null")).unwrap();
    assert_eq!(
        (made.rdev(), made.mode() & 0o7777),
        (rustix::fs::makedev(1, 3), 0o666)
    );
    // A hard link must not be a way round.
    let bytes = archive(&[(link(EntryKind::HardLink, "again", "null"), b"")]);
    assert!(matches!(
        run(&bytes, &cage.root(), with(Devices::Skip)),
        Err(UnpackError::Refused { .. })
    ));
}

#[test]
fn absurd_sizes_are_refused_by_limit_or_found_truncated() {
    let cage = Cage::new();
    let huge = |size: u64| {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        let _ = writer.append(&Entry::file("huge", 0o644, size), &mut std::io::empty());
        drop(writer);
        bytes
    };
    for size in [u64::MAX >> 1, 1 << 50] {
        let error = run(&huge(size), &cage.root(), plain()).unwrap_err();
        assert!(
            matches!(error, UnpackError::Read(ReadError::Limit { .. })),
            "{error}"
        );
        assert!(error.to_string().contains("huge"), "{error}");
    }
    let error = run(&huge(1 << 40), &cage.root(), plain()).unwrap_err();
    assert!(
        matches!(error, UnpackError::Read(ReadError::Truncated { .. })),
        "{error}"
    );

    let limits = Limits {
        entries: 2,
        total_size: 10,
        ..Limits::default()
    };
    let options = || UnpackOptions { limits, ..plain() };
    let three = archive(&[(file("a"), b""), (file("b"), b""), (file("c"), b"")]);
    assert!(
        run(&three, &cage.root(), options())
            .unwrap_err()
            .to_string()
            .contains("number of entries")
    );
    let twelve = archive(&[(file("a"), b"123456"), (file("b"), b"123456")]);
    assert!(
        run(&twelve, &cage.root(), options())
            .unwrap_err()
            .to_string()
            .contains("sum of all sizes")
    );
}

#[test]
fn modes_times_and_setuid_survive() {
    let cage = Cage::new();
    let mtime = Timestamp {
        seconds: 1_600_000_000,
        nanos: 123_456_789,
    };
    let early = Timestamp {
        seconds: -2,
        nanos: 750_000_000,
    };
    cage.unpack(&[
        (
            Entry {
                mtime,
                ..Entry::directory("d", 0o1777)
            },
            b"",
        ),
        (
            Entry {
                mtime: early,
                ..Entry::file("d/suid", 0o4755, 0)
            },
            b"x",
        ),
        (
            Entry {
                mtime,
                ..link(EntryKind::Symlink, "d/link", "suid")
            },
            b"",
        ),
    ])
    .unwrap();
    let stat = |name: &str| {
        let meta = fs::symlink_metadata(cage.root().join(name)).unwrap();
        (
            meta.permissions().mode() & 0o7777,
            meta.mtime(),
            meta.mtime_nsec(),
        )
    };
    assert_eq!(stat("d"), (0o1777, 1_600_000_000, 123_456_789));
    assert_eq!(stat("d/suid"), (0o4755, -2, 750_000_000));
    assert_eq!(stat("d/link"), (0o777, 1_600_000_000, 123_456_789));
}

#[test]
fn whiteouts_become_overlay_marks_and_come_back() {
    if !is_root() {
        return;
    }
    let cage = Cage::new();
    let entries = [
        (Entry::directory("etc", 0o755), &b""[..]),
        (file("etc/.wh..wh..opq"), b""),
        (file("etc/.wh.gone"), b"whiteouts with data are odd but allowed"),
        (file("replaced/.wh.dir"), b""),
        (Entry::directory("replaced/dir", 0o755), b""),
        (file(".wh..wh.plnk/1.2"), b""),
        (file("kept"), b""),
        (file(".wh.kept"), b""),
    ];
    let options = UnpackOptions {
        whiteouts: Whiteouts::Overlay,
        ..plain()
    };
    let mut record = Vec::new();
    let bytes = archive(&entries);
    let options = UnpackOptions {
        record: Some(Recorder::new(&mut record)),
        ..options
    };
    run(&bytes, &cage.root(), options).unwrap();
    let status = fs::symlink_metadata(cage.root().join("etc/gone")).unwrap();
    assert_eq!((status.mode() & 0o170_000, status.rdev()), (0o020_000, 0));
    let opaque = |name: &str| crate::tree::is_opaque(File::open(cage.root().join(name)).unwrap()).unwrap();
    assert!(opaque("etc") && opaque("replaced/dir") && !opaque("replaced"));
    assert!(cage.root().join("kept").is_file());

    let root = File::open(cage.root()).unwrap();
    let mut again = Vec::new();
    rebuild(&record[..], root.as_fd(), None, &mut again).unwrap();
    assert!(again == bytes, "the rebuilt archive differs");

    let mut packed = Vec::new();
    let options = PackOptions {
        whiteouts: PackWhiteouts::FromOverlay,
        ..PackOptions::default()
    };
    pack(root.as_fd(), &mut packed, options).unwrap();
    let mut reader = crate::Reader::new(&packed[..]);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        names.push(entry.display_path());
    }
    for expected in [
        "etc/.wh..wh..opq",
        "etc/.wh.gone",
        "replaced/dir/.wh..wh..opq",
        "kept",
    ] {
        assert!(
            names.iter().any(|name| name == expected),
            "{expected} in {names:?}"
        );
    }
}

#[test]
fn nameless_whiteouts_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh..."] {
        let cage = Cage::new();
        for whiteouts in [Whiteouts::Overlay, Whiteouts::Apply] {
            let result = run(
                &archive(&[(file(name), b"")]),
                &cage.root(),
                UnpackOptions { whiteouts, ..plain() },
            );
            assert!(matches!(result, Err(UnpackError::Refused { .. })), "{name}");
        }
        cage.assert_unharmed();
    }
}

#[test]
fn applied_whiteouts_hide_what_was_before_and_nothing_of_the_same_archive() {
    let cage = Cage::new();
    for name in ["gone", "dir/old", "dir/sub/old", "opaque/old"] {
        let path = cage.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let options = UnpackOptions {
        whiteouts: Whiteouts::Apply,
        ..plain()
    };
    let entries = [
        (file(".wh.gone"), &b""[..]),
        (file("new"), b""),
        (file(".wh.new"), b""),
        (Entry::directory("opaque", 0o755), b""),
        (file("opaque/new"), b""),
        (file("opaque/.wh..wh..opq"), b""),
        (file("dir/.wh.sub"), b""),
        (file(".wh.never-there"), b""),
    ];
    run(&archive(&entries), &cage.root(), options).unwrap();
    let exists = |name: &str| cage.root().join(name).exists();
    assert!(!exists("gone") && !exists("opaque/old") && !exists("dir/sub"));
    assert!(exists("new") && exists("opaque/new") && exists("dir/old"));
}

#[test]
fn an_archive_cannot_steer_the_overlay_mount() {
    if !is_root() {
        return;
    }
    let cage = Cage::new();
    let mut entry = Entry::directory("d", 0o755);
    entry
        .xattrs
        .push((b"trusted.overlay.redirect".to_vec(), b"/etc".to_vec()));
    entry.xattrs.push((b"user.fine".to_vec(), b"yes".to_vec()));
    assert_eq!(cage.unpack(&[(entry, b"")]).unwrap().skipped, 1);
    let found = crate::tree::xattrs_of(File::open(cage.root().join("d")).unwrap()).unwrap();
    assert_eq!(found, [(b"user.fine".to_vec(), b"yes".to_vec())]);
}

#[test]
fn duplicates_are_rebuilt_to_the_byte_with_the_help_of_the_attic() {
    let cage = Cage::new();
    let attic = cage.temp.path().join("attic");
    let bytes = archive(&[
        (file("a"), b"first"),
        (link(EntryKind::HardLink, "b", "a"), b""),
        (file("a"), b"second"),
        (Entry::directory("d", 0o755), b""),
        (file("d/deep"), b"deep"),
        (file("d"), b"not a directory"),
        (file("b"), b"third"),
    ]);
    let mut record = Vec::new();
    let options = UnpackOptions {
        record: Some(Recorder::new(&mut record)),
        attic: Some(&attic),
        ..plain()
    };
    run(&bytes, &cage.root(), options).unwrap();
    let root = File::open(cage.root()).unwrap();
    let mut again = Vec::new();
    rebuild(&record[..], root.as_fd(), Some(&attic), &mut again).unwrap();
    assert!(again == bytes, "the rebuilt archive differs");
    // A file that was tampered with is noticed.
    fs::write(cage.root().join("d"), "NOT a directory").unwrap();
    assert!(rebuild(&record[..], root.as_fd(), Some(&attic), std::io::sink()).is_err());
}

#[test]
fn owners_go_through_the_map_and_unmapped_ones_are_refused() {
    if !is_root() {
        return;
    }
    let cage = Cage::new();
    let map = IdMap(vec![crate::IdRange {
        inside: 0,
        outside: 100_000,
        count: 1000,
    }]);
    let options = || UnpackOptions {
        owner: Owner::Archive {
            uids: map.clone(),
            gids: map.clone(),
        },
        ..UnpackOptions::default()
    };
    let owned = |uid| Entry { uid, ..file("x") };
    run(&archive(&[(owned(7), b"")]), &cage.root(), options()).unwrap();
    assert_eq!(fs::metadata(cage.root().join("x")).unwrap().uid(), 100_007);
    let error = run(&archive(&[(owned(1000), b"")]), &cage.root(), options()).unwrap_err();
    assert!(matches!(error, UnpackError::Unmapped { id: 1000, .. }), "{error}");
}

#[test]
fn the_archive_is_read_to_its_last_byte() {
    let cage = Cage::new();
    let mut bytes = archive(&[(file("a"), b"")]);
    bytes.write_all(&[0; 8192]).unwrap();
    let mut source = &bytes[..];
    unpack(&mut source, File::open(cage.root()).unwrap().as_fd(), plain()).unwrap();
    assert!(source.is_empty());
}
