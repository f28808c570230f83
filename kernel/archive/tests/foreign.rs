//! Archives that others made: GNU tar and Python's tarfile in every format they have, and the `tar` crate. Each must
//! unpack to the tree it was made of, be rebuilt to the byte from its record, and never make the reader panic when bytes
//! of it are changed.

#![expect(clippy::print_stderr, reason = "says which tests are skipped")]

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use archive::{Limits, Owner, PackOptions, Reader, Recorder, UnpackOptions, pack, rebuild, unpack};

/// A tree with what formats differ in: long names, deep paths, links, holes, odd bytes, times with nanoseconds.
fn make_tree(root: &Path) {
    let deep = format!("deep/{}/{}", "d".repeat(120), "e".repeat(130));
    fs::create_dir_all(root.join(&deep)).unwrap();
    fs::write(root.join(&deep).join("f".repeat(140)), "at the bottom").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("exact"), [7; 512]).unwrap();
    fs::write(root.join("large"), vec![b'x'; 700_001]).unwrap();
    fs::write(root.join("ünï"), "not ascii").unwrap();
    fs::hard_link(root.join("large"), root.join("larger")).unwrap();
    symlink("l".repeat(150), root.join("link")).unwrap();
    symlink("exact", root.join("short-link")).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(b"start", 0).unwrap();
    for place in 1..30 {
        sparse.write_all_at(b"island", place << 20).unwrap();
    }
    sparse.set_len(40 << 20).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_234_567_890, 123_456_789);
    File::open(root.join("exact"))
        .unwrap()
        .set_modified(time)
        .unwrap();
}

fn process<'a>() -> UnpackOptions<'a> {
    UnpackOptions {
        owner: Owner::Process,
        ..UnpackOptions::default()
    }
}

/// What a tree consists of, by name.
fn listing(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_file() {
                blob_of(&fs::read(&path).unwrap())
            } else if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else {
                todo.push(path.clone());
                String::new()
            };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.push(format!("{name} {:o} {} {content}", meta.mode(), meta.mtime()));
        }
    }
    found.sort();
    found
}

fn blob_of(bytes: &[u8]) -> String {
    let sum = bytes
        .iter()
        .fold(1u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    format!("{} bytes, {sum:x}", bytes.len())
}

/// Unpacks with a record, compares the tree, rebuilds.
#[track_caller]
fn check(bytes: &[u8], origin: &Path, from: &str) {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("root");
    fs::create_dir(&root).unwrap();
    let (attic, mut record) = (temp.path().join("attic"), Vec::new());
    let opened = File::open(&root).unwrap();
    let options = UnpackOptions {
        record: Some(Recorder::new(&mut record)),
        attic: Some(&attic),
        ..process()
    };
    unpack(bytes, opened.as_fd(), options).unwrap_or_else(|error| panic!("{from}: {error}"));
    assert_eq!(listing(origin), listing(&root), "{from}");
    let mut again = Vec::new();
    rebuild(&record[..], opened.as_fd(), Some(&attic), &mut again).unwrap();
    assert!(again == bytes, "{from}: the rebuilt archive differs");
}

/// The output of a command, `None` when it is not installed.
fn output(command: &mut Command) -> Option<Vec<u8>> {
    let output = match command.stdin(Stdio::null()).stderr(Stdio::inherit()).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: {command:?}: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{command:?}");
    Some(output.stdout)
}

/// Archives of `tree` by GNU tar, in every format that can hold it.
fn gnu_archives(tree: &Path) -> Vec<(String, Vec<u8>)> {
    let ways: [&[&str]; 7] = [
        &["--format=gnu"],
        &["--format=oldgnu"],
        &["--format=pax"],
        &["--format=gnu", "--sparse"],
        &["--format=pax", "--sparse", "--sparse-version=0.0"],
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
        &["--format=pax", "--sparse", "--sparse-version=1.0"],
    ];
    let make = |way: &&[&str]| {
        let mut command = Command::new("tar");
        command
            .args(*way)
            .args(["--numeric-owner", "-cf", "-", "-C"])
            .arg(tree)
            .arg(".");
        Some((format!("GNU tar {}", way.join(" ")), output(&mut command)?))
    };
    ways.iter().filter_map(make).collect()
}

fn python_archives(tree: &Path) -> Vec<(String, Vec<u8>)> {
    let make = |format: &&str| {
        let script = "import sys, tarfile\n\
             t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=getattr(tarfile, sys.argv[2]))\n\
             t.add(sys.argv[1], arcname='.')\n\
             t.close()";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(tree).arg(format);
        Some((format!("python {format}"), output(&mut command)?))
    };
    ["GNU_FORMAT", "PAX_FORMAT"].iter().filter_map(make).collect()
}

#[test]
fn archives_of_gnu_tar_unpack_and_are_rebuilt_to_the_byte() {
    let tree = tempfile::tempdir().unwrap();
    make_tree(tree.path());
    for (way, bytes) in gnu_archives(tree.path()) {
        check(&bytes, tree.path(), &way);
    }
}

#[test]
fn archives_of_python_unpack_and_are_rebuilt_to_the_byte() {
    let tree = tempfile::tempdir().unwrap();
    make_tree(tree.path());
    for (way, bytes) in python_archives(tree.path()) {
        check(&bytes, tree.path(), &way);
    }
}

#[test]
fn archives_of_the_tar_crate_unpack_and_are_rebuilt_to_the_byte() {
    let tree = tempfile::tempdir().unwrap();
    make_tree(tree.path());
    fs::remove_file(tree.path().join("larger")).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    builder.append_dir_all(".", tree.path()).unwrap();
    check(&builder.into_inner().unwrap(), tree.path(), "tar crate");
}

#[test]
fn our_archives_are_read_by_gnu_tar_and_by_ourselves() {
    let tree = tempfile::tempdir().unwrap();
    make_tree(tree.path());
    let mut bytes = Vec::new();
    pack(
        File::open(tree.path()).unwrap().as_fd(),
        &mut bytes,
        PackOptions::default(),
    )
    .unwrap();
    check(&bytes, tree.path(), "our own");
    let out = tempfile::tempdir().unwrap();
    let archive = out.path().join("archive.tar");
    fs::write(&archive, &bytes).unwrap();
    let root = out.path().join("root");
    fs::create_dir(&root).unwrap();
    let mut command = Command::new("tar");
    command.arg("-xpf").arg(&archive).arg("-C").arg(&root);
    if output(&mut command).is_some() {
        assert_eq!(listing(tree.path()), listing(&root));
        let exact = fs::metadata(root.join("exact")).unwrap();
        assert_eq!(exact.mtime_nsec(), 123_456_789);
        let inode = |name: &str| fs::metadata(root.join(name)).unwrap().ino();
        assert_eq!(inode("large"), inode("larger"));
    }
}

/// A small generator of reproducible numbers (xorshift), so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn changed_archives_never_make_the_reader_panic_or_unpack_outside() {
    let tree = tempfile::tempdir().unwrap();
    make_tree(tree.path());
    fs::write(tree.path().join("large"), "small").unwrap();
    let mut archives = gnu_archives(tree.path());
    archives.extend(python_archives(tree.path()));
    let limits = Limits {
        file_size: 64 << 20,
        total_size: 256 << 20,
        ..Limits::default()
    };
    let mut numbers = Numbers(0x5eed);
    for (way, bytes) in &archives {
        // Headers are what matters: leave out the long runs of data.
        let bytes = &bytes[..bytes.len().min(24 << 10)];
        for round in 0..160 {
            let mut changed = bytes.to_vec();
            for _ in 0..=numbers.below(6) {
                let place = numbers.below(changed.len());
                let byte =
                    [0, b'0', b'7', 0x80, 0xff, b'/', b'.', numbers.below(256) as u8][numbers.below(8)];
                changed[place] = byte;
                if numbers.below(4) > 0 {
                    mend_checksum(&mut changed, place);
                }
            }
            if numbers.below(5) == 0 {
                changed.truncate(numbers.below(changed.len()));
            }
            let mut reader = Reader::with_limits(&changed[..], limits);
            while let Ok(Some(_)) = reader.next_entry() {}
            if round % 8 > 0 {
                continue;
            }
            let temp = tempfile::tempdir().unwrap();
            let root = temp.path().join("root");
            fs::create_dir(&root).unwrap();
            let opened = File::open(&root).unwrap();
            let mut record = Vec::new();
            let options = UnpackOptions {
                limits,
                devices: archive::Devices::Skip,
                record: Some(Recorder::new(&mut record)),
                ..process()
            };
            let unpacked = unpack(&changed[..], opened.as_fd(), options);
            let beside: Vec<_> = fs::read_dir(temp.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            assert_eq!(beside, ["root"], "{way}, round {round}");
            if unpacked.is_ok() {
                let mut again = Vec::new();
                if rebuild(&record[..], opened.as_fd(), None, &mut again).is_ok() {
                    assert!(
                        again == changed,
                        "{way}, round {round}: the rebuilt archive differs"
                    );
                }
            }
        }
    }
}

/// Makes the checksum of the block at `place` right again, so that the change is seen by what comes after that check.
fn mend_checksum(bytes: &mut [u8], place: usize) {
    let start = place / 512 * 512;
    let Some(block) = bytes.get_mut(start..start + 512) else {
        return;
    };
    if &block[257..262] != b"ustar" {
        return;
    }
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
