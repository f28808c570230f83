//! Log files: what stands in them, and what programs print.

use std::fs;

use log_drivers::{Config, Entry, ReadOptions, Reader, Step, Stream, Timestamp, Writer};

/// The first byte chooses the driver and the options, the rest is the file.
pub(crate) fn read(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let folder = crate::folder();
    let path = folder.path().join("log");
    fs::write(&path, data).expect("the log");
    let driver = if choice & 1 == 0 { "json-file" } else { "local" };
    let attributes = log_drivers::Attributes::default();
    let config = Config::from_options(driver, &std::collections::BTreeMap::default(), path, &attributes)
        .expect("a driver");
    let all = entries(&config, ReadOptions::default());
    let bytes: usize = all.iter().map(|entry| entry.line.len()).sum();
    assert!(bytes <= data.len(), "{bytes} bytes out of {}", data.len());
    for entry in &all {
        let mut text = Vec::new();
        entry.time.append_to(&mut text);
        let text = String::from_utf8(text).expect("a time is a text");
        assert_eq!(Timestamp::parse(&text), Some(entry.time), "{text}");
    }
    let tail = u64::from(choice >> 4);
    let options = ReadOptions {
        tail: Some(tail),
        ..ReadOptions::default()
    };
    let last = entries(&config, options);
    // Behind damage nothing is found from the front, but from the end.
    if driver == "json-file" || is_whole(data) {
        assert!(all.ends_with(&last), "the tail is the end: {last:?} of {all:?}");
    }
    let options = ReadOptions {
        no_stdout: choice & 2 != 0,
        no_stderr: choice & 4 != 0,
        ..ReadOptions::default()
    };
    let mut expect = all.clone();
    expect.retain(|entry| match entry.stream {
        Stream::Stdout => !options.no_stdout,
        Stream::Stderr => !options.no_stderr,
    });
    assert_eq!(entries(&config, options), expect, "only the wanted streams");
}

/// Whether each record of the driver `local` stands between two equal sizes.
fn is_whole(mut records: &[u8]) -> bool {
    while let Some((size, rest)) = records.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*size)).expect("a size fits");
        let Some((_, behind)) = rest.split_at_checked(length) else {
            return false;
        };
        match behind.split_first_chunk() {
            Some((again, next)) if again == size => records = next,
            _ => return false,
        }
    }
    records.is_empty()
}

fn entries(config: &Config, options: ReadOptions) -> Vec<Entry> {
    let mut reader = Reader::open(config, options).expect("a log that can be read");
    let mut found = Vec::new();
    loop {
        match reader.next().expect("the disk does not fail") {
            Step::Entry(entry) => found.push(entry),
            Step::End => return found,
            Step::Wait => panic!("nobody follows"),
        }
    }
}

/// The first byte chooses driver and size of the pieces, the rest is what a program prints.
pub(crate) fn write(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let folder = crate::folder();
    let driver = if choice & 1 == 0 { "json-file" } else { "local" };
    let attributes = log_drivers::Attributes::default();
    let options = std::collections::BTreeMap::default();
    let config =
        Config::from_options(driver, &options, folder.path().join("log"), &attributes).expect("a driver");
    let mut writer = Writer::open(&config).expect("a log");
    let mut expect = [Vec::new(), Vec::new()];
    let pieces = data.chunks(usize::from(choice >> 2).max(1) * 37);
    for (number, piece) in pieces.enumerate() {
        let second = choice & 2 != 0 && number % 2 == 1;
        let stream = if second { Stream::Stderr } else { Stream::Stdout };
        expect[usize::from(second)].extend_from_slice(piece);
        writer.write(stream, Timestamp::now(), piece).expect("written");
    }
    for stream in [Stream::Stdout, Stream::Stderr] {
        writer.finish(stream, Timestamp::now()).expect("finished");
    }
    writer.flush().expect("flushed");
    let mut found = [Vec::new(), Vec::new()];
    for entry in entries(&config, ReadOptions::default()) {
        found[usize::from(entry.stream == Stream::Stderr)].extend(entry.line);
    }
    for (found, expect) in found.iter().zip(&expect) {
        // JSON holds text: what is none is replaced, as Docker does; the binary format keeps it.
        if driver == "local" || str::from_utf8(expect).is_ok() {
            assert!(found == expect, "{found:?} instead of {expect:?}");
        } else {
            let count = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(count(found), count(expect), "every line");
        }
    }
}
