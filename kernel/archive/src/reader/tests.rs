use std::io::Read as _;

use super::*;
use crate::{Timestamp, Writer};

/// A header block by hand: name, type, size, and further fields set by `more`.
fn block(name: &[u8], flag: u8, size: u64, more: impl FnOnce(&mut [u8; BLOCK])) -> Vec<u8> {
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    more(&mut block);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.to_vec()
}

fn padded(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    bytes.resize(data.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn pax(flag: u8, records: &[(&str, &str)]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (1..7)
            .map(|digits| rest + digits)
            .find(|length| length - rest == length.to_string().len())
            .unwrap();
        data.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
    }
    [block(b"pax", flag, data.len() as u64, |_| {}), padded(&data)].concat()
}

fn file(name: &[u8], data: &[u8]) -> Vec<u8> {
    [block(name, b'0', data.len() as u64, |_| {}), padded(data)].concat()
}

fn end() -> Vec<u8> {
    vec![0; 2 * BLOCK]
}

fn read(parts: &[Vec<u8>]) -> Result<Vec<(Entry, Vec<u8>)>, ReadError> {
    let bytes = parts.concat();
    let mut reader = Reader::new(&bytes[..]);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut data = Vec::new();
        reader.read_to_end(&mut data).map_err(ReadError::Source)?;
        entries.push((entry, data));
    }
    Ok(entries)
}

#[track_caller]
fn refused(parts: &[Vec<u8>], by: &str) {
    let error = read(parts).unwrap_err();
    assert!(error.to_string().contains(by), "{error}");
}

#[test]
fn pax_records_override_the_header() {
    let records = [
        ("path", "other"),
        ("size", "3"),
        ("uid", "4000000000"),
        ("mtime", "5.25"),
        ("SCHILY.xattr.user.a", "b=c"),
    ];
    // The size of the header is a lie; readers that believe it see entries inside the data (CVE-2026-33055).
    let header = block(b"name", b'0', 1024, |_| {});
    let entries = read(&[
        pax(b'x', &records),
        header,
        padded(b"abc"),
        file(b"next", b"n"),
        end(),
    ])
    .unwrap();
    let (entry, data) = &entries[0];
    assert_eq!(
        (&*entry.path, &**data, entry.uid),
        (&b"other"[..], &b"abc"[..], 4_000_000_000)
    );
    assert_eq!(
        entry.mtime,
        Timestamp {
            seconds: 5,
            nanos: 250_000_000
        }
    );
    assert_eq!(entry.xattrs, [(b"user.a".to_vec(), b"b=c".to_vec())]);
    assert_eq!((&*entries[1].0.path, entries[1].0.uid), (&b"next"[..], 0));
}

#[test]
fn a_pax_name_wins_over_a_gnu_name_in_either_order() {
    let gnu = || [block(b"././@LongLink", b'L', 4, |_| {}), padded(b"gnu\0")].concat();
    for parts in [
        [pax(b'x', &[("path", "pax")]), gnu()],
        [gnu(), pax(b'x', &[("path", "pax")])],
    ] {
        let entries = read(&[parts.concat(), file(b"ustar", b""), end()]).unwrap();
        assert_eq!(entries[0].0.path, b"pax");
    }
    let entries = read(&[gnu(), file(b"ustar", b""), end()]).unwrap();
    assert_eq!(entries[0].0.path, b"gnu");
}

#[test]
fn global_records_hold_until_they_are_taken_back_and_name_nothing() {
    let entries = read(&[
        pax(
            b'g',
            &[("uid", "7"), ("path", "evil"), ("size", "9"), ("mtime", "1")],
        ),
        file(b"a", b"a"),
        pax(b'x', &[("uid", "")]),
        file(b"b", b"b"),
        end(),
    ])
    .unwrap();
    assert_eq!(
        (&*entries[0].0.path, entries[0].0.uid, entries[0].0.mtime.seconds),
        (&b"a"[..], 7, 1)
    );
    assert_eq!((&*entries[1].0.path, entries[1].0.uid), (&b"b"[..], 0));
}

#[test]
fn hostile_extensions_are_refused_with_the_reason() {
    let then = || [file(b"f", b"data"), end()].concat();
    refused(&[pax(b'x', &[("path", "a\0b")]), then()], "NUL");
    refused(
        &[pax(b'x', &[("size", "9223372036854775808")]), then()],
        "out of range",
    );
    refused(&[pax(b'x', &[("size", "-1")]), then()], "number");
    refused(
        &[pax(b'x', &[("uid", "4294967296")]), then()],
        "uid is out of range",
    );
    refused(&[pax(b'x', &[("uid", "-1")]), then()], "uid is out of range");
    refused(&[block(b"x", b'x', 1 << 30, |_| {}), then()], "limit");
    refused(&[block(b"x", b'L', (1 << 33) - 1, |_| {}), then()], "limit");
    refused(&[pax(b'x', &[("path", "announced")]), end()], "truncated");
    let long = "a/".repeat(3000);
    refused(
        &[pax(b'x', &[("path", &long)]), then()],
        "its name is beyond the limit",
    );
    // Many headers, each below the limit, are too much together.
    let big = pax(b'x', &[("comment", &"c".repeat(90_000))]);
    refused(&[big.repeat(20), then()], "extension headers is beyond the limit");
}

#[test]
fn numbers_out_of_range_and_wrong_sums_are_refused() {
    let negative = block(b"f", b'0', 0, |block| block[124..136].fill(0xff));
    refused(&[negative, end()], "size is negative");
    let huge = block(b"f", b'0', 0, |block| {
        block[124..136].fill(0xff);
        block[124] = 0x80;
    });
    refused(&[huge, end()], "size is not a number");
    let mut wrong = block(b"f", b'0', 0, |_| {});
    wrong[0] = b'g';
    refused(&[wrong, end()], "checksum");
    refused(&[block(b"", b'0', 0, |_| {}), end()], "no name");
    refused(
        &[file(b"f", b""), vec![0; BLOCK], file(b"g", b"")],
        "single block of zeroes",
    );
}

#[test]
fn an_archive_cut_anywhere_is_truncated_except_between_entries() {
    let bytes = [
        file(b"a", b"data"),
        pax(b'x', &[("path", "p")]),
        file(b"b", b"more"),
    ]
    .concat();
    for length in 0..bytes.len() {
        let result = read(&[bytes[..length].to_vec()]);
        let clean = length == 0 || length == 1024;
        assert_eq!(result.is_ok(), clean, "cut at {length}");
    }
    assert_eq!(read(&[bytes]).unwrap().len(), 2);
}

#[test]
fn links_and_directories_have_no_data_whatever_their_size_says() {
    for flag in b'1'..=b'6' {
        let header = block(b"thing", flag, 512, |block| block[157] = b't');
        let entries = read(&[header, file(b"next", b"n"), end()]).unwrap();
        assert_eq!(
            (entries[0].0.size, entries[1].0.path.as_slice()),
            (0, &b"next"[..]),
            "type {}",
            flag as char
        );
    }
    // An old-style directory is a file with a slash, and does have them.
    let entries = read(&[
        block(b"dir/", 0, 3, |_| {}),
        padded(b"abc"),
        file(b"next", b""),
        end(),
    ])
    .unwrap();
    assert_eq!((entries[0].0.kind, entries[0].0.size), (EntryKind::Directory, 0));
    assert_eq!(entries[1].0.path, b"next");
}

#[test]
fn sparse_maps_that_do_not_fit_are_refused() {
    let with = |map: &str, real: &str| {
        let records = [
            ("GNU.sparse.map", map),
            ("GNU.sparse.size", real),
            ("GNU.sparse.name", "s"),
        ];
        [pax(b'x', &records), file(b"f", b"abcdef"), end()]
    };
    let entries = read(&with("0,2,100,4", "1000")).unwrap();
    assert_eq!(
        (entries[0].0.size, entries[0].0.sparse.as_ref().unwrap().len()),
        (1000, 2)
    );
    refused(&with("0,4,2,2", "1000"), "overlap");
    refused(&with("100,2,0,4", "1000"), "overlap");
    refused(&with("0,2,998,4", "1000"), "beyond the end");
    refused(&with("0,2,100,5", "1000"), "does not fit the data");
    refused(
        &with(
            "0,2,9223372036854775807,9223372036854775807",
            "9223372036854775807",
        ),
        "sparse map",
    );
    refused(&with("0,2,100", "1000"), "odd count");
    refused(
        &with("0,6", "9223372036854775807"),
        "its size is beyond the limit",
    );
    let lonely = [("GNU.sparse.offset", "0"), ("GNU.sparse.offset", "1")];
    refused(&[pax(b'x', &lonely), file(b"f", b""), end()], "no length");
    // Version 1.0: the map stands in the data.
    let one = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.realsize", "5"),
    ];
    for (map, by) in [
        ("99999999\n", "too many"),
        ("x\n", "not of numbers"),
        ("", "longer than the data"),
    ] {
        refused(&[pax(b'x', &one), file(b"f", &padded(map.as_bytes())), end()], by);
    }
    let old = block(b"f", b'S', 0, |block| {
        block[257..265].copy_from_slice(b"ustar  \0");
        block[386..397].copy_from_slice(b"00000000000");
        block[398..409].copy_from_slice(b"77777777777");
        block[483..494].copy_from_slice(b"00000000001");
    });
    refused(&[old, end()], "sparse map");
}

#[test]
fn what_the_writer_writes_the_reader_reads() {
    let mut entry = Entry::file([b"d/".repeat(80), b"name".to_vec()].concat(), 0o6755, 0);
    entry.uid = u32::MAX - 1;
    entry.gid = 3_000_000;
    entry.uname = b"somebody-with-a-name-longer-than-the-field".to_vec();
    entry.mtime = Timestamp {
        seconds: -5,
        nanos: 1,
    };
    entry.xattrs = vec![
        (b"user.x".to_vec(), vec![0, b'\n', b'=', 255]),
        (b"user.y".to_vec(), vec![b'v'; 5000]),
    ];
    let link = Entry {
        link: vec![b'l'; 300],
        ..Entry::new(EntryKind::Symlink, *b"link", 0o777)
    };
    let device = Entry {
        device: (8, 65_536),
        ..Entry::new(EntryKind::BlockDevice, *b"dev", 0o600)
    };
    let mut writer = Writer::new(Vec::new());
    for entry in [&entry, &link, &device] {
        writer.append_bytes(entry, b"").unwrap();
    }
    let found: Vec<Entry> = read(&[writer.finish().unwrap()])
        .unwrap()
        .into_iter()
        .map(|(entry, _)| entry)
        .collect();
    assert_eq!(found, [entry, link, device]);
}
