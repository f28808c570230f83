//! What a buffer keeps, and that its log is the one that is written without it.

use super::*;
use crate::{Config, Driver, ReadOptions, Reader, Step, Writer};

const NOON: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

fn waiting(buffer: &Buffer) -> String {
    buffer
        .waiting()
        .map(|(_, line)| String::from_utf8_lossy(line).into_owned())
        .collect()
}

#[test]
fn what_does_not_fit_is_dropped_until_something_is_written() {
    // Two lines of two bytes with their heads, and not a third.
    let mut buffer = Buffer::new(2 * (HEAD as u64 + 2));
    buffer.push(Stream::Stdout, NOON, b"1\n2\n3\n");
    assert_eq!(waiting(&buffer), "1\n2\n");
    buffer.take_batch();
    // What is being written still counts: it is not in the log.
    buffer.push(Stream::Stdout, NOON, b"4\n");
    assert_eq!(waiting(&buffer), "1\n2\n");
    buffer.written();
    assert!(buffer.is_empty());
    buffer.push(Stream::Stdout, NOON, b"5\n");
    assert_eq!(waiting(&buffer), "5\n");
}

#[test]
fn an_empty_buffer_takes_a_line_of_any_length() {
    let mut buffer = Buffer::new(1);
    buffer.push(Stream::Stdout, NOON, b"long\n");
    buffer.push(Stream::Stdout, NOON, b"\n");
    assert_eq!(waiting(&buffer), "long\n");
}

#[test]
fn an_unfinished_line_waits_for_its_end_and_is_kept_at_the_end_of_the_stream() {
    let mut buffer = Buffer::new(1000);
    buffer.push(Stream::Stderr, NOON, b"one");
    assert!(buffer.is_empty());
    assert_eq!(buffer.pending(Stream::Stderr), b"one");
    buffer.push(Stream::Stderr, NOON, b" line\nrest");
    assert_eq!(waiting(&buffer), "one line\n");
    buffer.finish(Stream::Stderr, NOON);
    assert_eq!(waiting(&buffer), "one line\nrest");
}

/// The same bytes through a writer alone and through a buffer make the same files.
#[test]
fn a_buffered_log_is_the_one_that_would_have_been_written() {
    for driver in [Driver::JsonFile, Driver::Local] {
        let directory = tempfile::tempdir().expect("tempdir");
        let config = |name: &str| Config {
            driver,
            max_size: Some(40_000),
            max_file: 3,
            ..Config::json_file(directory.path().join(name))
        };
        let mut output = "x".repeat(40_000);
        for line in 0..3000 {
            output.push_str(&format!("\nline {line} €"));
        }
        let mut plain = Writer::open(&config("plain")).expect("open");
        let mut writer = Writer::open(&config("buffered")).expect("open");
        let mut buffer = Buffer::new(10 << 20);
        for (at, chunk) in output.as_bytes().chunks(1000).enumerate() {
            let stream = if at < 50 { Stream::Stdout } else { Stream::Stderr };
            plain.write(stream, NOON, chunk).expect("write");
            buffer.push(stream, NOON, chunk);
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            plain.finish(stream, NOON).expect("finish");
            buffer.finish(stream, NOON);
        }
        plain.flush().expect("flush");
        while let Some(batch) = buffer.next_batch() {
            writer.write_batch(batch).expect("write");
            writer.flush().expect("flush");
            buffer.take_batch();
            buffer.written();
        }
        for suffix in ["", ".1", ".2"] {
            let read =
                |name: &str| std::fs::read(directory.path().join(format!("{name}{suffix}"))).expect("read");
            assert!(read("plain") == read("buffered"), "{driver:?} {suffix}");
        }
        let mut reader = Reader::open(&config("buffered"), ReadOptions::default()).expect("open");
        let mut last = Vec::new();
        while let Step::Entry(entry) = reader.next().expect("read") {
            last = entry.line;
        }
        assert_eq!(last, "line 2999 €".as_bytes());
    }
}
