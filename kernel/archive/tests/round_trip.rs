//! Any tree survives pack, unpack and pack again, to the byte; any bytes at all leave the reader alive.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use archive::{Owner, PackOptions, Reader, Recorder, UnpackOptions, pack, rebuild, unpack};
use proptest::prelude::*;

/// One thing to put into a tree.
#[derive(Clone, Debug)]
enum Thing {
    File {
        data: Vec<u8>,
        mode: u32,
    },
    Directory {
        mode: u32,
    },
    Symlink {
        target: Vec<u8>,
    },
    /// A further name of some file made before.
    HardLink {
        which: usize,
    },
}

#[derive(Clone, Debug)]
struct Item {
    name: Vec<Vec<u8>>,
    thing: Thing,
    mtime: (u32, u32),
}

/// A file name: any bytes but NUL and slash; no whiteout, and not `.` or `..`.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let short = proptest::collection::vec(1u8..=255, 1..12);
    let long = proptest::collection::vec(b'a'..=b'z', 90..180);
    prop_oneof![4 => short, 1 => long].prop_map(|mut name| {
        for byte in &mut name {
            if *byte == b'/' {
                *byte = b'_';
            }
        }
        if name.starts_with(b".") {
            name[0] = b'-';
        }
        name
    })
}

fn item() -> impl Strategy<Value = Item> {
    let mode = 0o400u32..0o1000;
    let thing = prop_oneof![
        4 => (proptest::collection::vec(any::<u8>(), 0..3000), mode.clone())
            .prop_map(|(data, mode)| Thing::File { data, mode }),
        2 => mode.prop_map(|mode| Thing::Directory { mode: mode | 0o700 }),
        1 => proptest::collection::vec(1u8..=255, 1..200).prop_map(|target| Thing::Symlink { target }),
        1 => any::<usize>().prop_map(|which| Thing::HardLink { which }),
    ];
    (
        proptest::collection::vec(name(), 1..4),
        thing,
        (any::<u32>(), 0..1_000_000_000u32),
    )
        .prop_map(|(name, thing, mtime)| Item { name, thing, mtime })
}

/// Makes what of the items can be made; names that clash are passed over.
fn make(root: &Path, items: &[Item]) {
    let mut files: Vec<PathBuf> = Vec::new();
    for item in items {
        let path = item.name.iter().fold(root.to_owned(), |path, part| {
            path.join(std::ffi::OsStr::from_bytes(part))
        });
        if fs::create_dir_all(path.parent().unwrap()).is_err() || fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        let permit = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        match &item.thing {
            Thing::File { data, mode } => {
                fs::write(&path, data).unwrap();
                let time = UNIX_EPOCH + Duration::new(item.mtime.0.into(), item.mtime.1);
                File::options()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .set_modified(time)
                    .unwrap();
                permit(*mode);
                files.push(path);
            }
            Thing::Directory { mode } => {
                fs::create_dir(&path).unwrap();
                permit(*mode);
            }
            Thing::Symlink { target } => {
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), &path).unwrap();
            }
            Thing::HardLink { .. } if files.is_empty() => {}
            Thing::HardLink { which } => fs::hard_link(&files[which % files.len()], &path).unwrap(),
        }
    }
}

fn packed(root: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    pack(root.as_fd(), &mut bytes, PackOptions::default()).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn pack_unpack_pack_gives_the_same_bytes_and_so_does_rebuild(items in proptest::collection::vec(item(), 0..20)) {
        let temp = tempfile::tempdir().unwrap();
        let (first, second) = (temp.path().join("first"), temp.path().join("second"));
        fs::create_dir(&first).unwrap();
        fs::create_dir(&second).unwrap();
        make(&first, &items);
        let (first, second) = (File::open(first).unwrap(), File::open(second).unwrap());
        let bytes = packed(&first);
        let mut record = Vec::new();
        let options = UnpackOptions {
            owner: Owner::Process,
            record: Some(Recorder::new(&mut record)),
            ..UnpackOptions::default()
        };
        unpack(&bytes[..], second.as_fd(), options).unwrap();
        prop_assert!(packed(&second) == bytes, "packed again it differs");
        let mut again = Vec::new();
        rebuild(&record[..], second.as_fd(), None, &mut again).unwrap();
        prop_assert!(again == bytes, "rebuilt it differs");
        prop_assert!(archive::changes_between(first.as_fd(), second.as_fd()).unwrap().is_empty());
    }

    #[test]
    fn the_reader_survives_any_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..4096), flag in any::<u8>()) {
        // Give random bytes a header that passes the first check, so that more than that check is reached.
        if bytes.len() >= 512 {
            bytes[156] = flag;
            bytes[257..263].copy_from_slice(b"ustar\0");
            bytes[124..136].copy_from_slice(b"00000001000\0");
            bytes[148..156].fill(b' ');
            let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let mut reader = Reader::new(&bytes[..]);
        while let Ok(Some(_)) = reader.next_entry() {}
    }

    #[test]
    fn rebuild_survives_any_record(lines in proptest::collection::vec("[ -~]{0,80}", 0..6), raw in any::<Vec<u8>>()) {
        let temp = tempfile::tempdir().unwrap();
        let root = File::open(temp.path()).unwrap();
        let mut record = lines.join("\n").into_bytes();
        record.extend_from_slice(b"\n{\"type\":1,\"name\":\"../../etc/passwd\",\"size\":10,\"payload\":\"AAAAAAAAAAA=\",\"position\":0}\n");
        record.extend_from_slice(&raw);
        prop_assert!(rebuild(&record[..], root.as_fd(), None, std::io::sink()).is_err());
    }
}
