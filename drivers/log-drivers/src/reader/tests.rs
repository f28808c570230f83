use super::*;
use crate::{Writer, compress_rotated};

struct Log {
    directory: tempfile::TempDir,
    config: Config,
    clock: i64,
}

impl Log {
    fn new(driver: Driver, max_size: Option<u64>, max_file: u32) -> Log {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("x.log");
        let config = Config {
            driver,
            max_size,
            max_file,
            ..Config::json_file(path)
        };
        Log {
            directory,
            config,
            clock: 0,
        }
    }

    fn write(&mut self, writer: &mut Writer, text: &str) {
        self.clock += 1_000_000_000;
        writer
            .write(Stream::Stdout, Timestamp::from_nanos(self.clock), text.as_bytes())
            .expect("write");
        writer.flush().expect("flush");
    }

    fn write_lines(&mut self, lines: std::ops::Range<u32>) {
        let mut writer = Writer::open(&self.config).expect("open");
        for line in lines {
            self.write(&mut writer, &format!("{line}\n"));
        }
    }

    fn reader(&self, options: ReadOptions) -> Reader {
        Reader::open(&self.config, options).expect("open")
    }

    fn read(&self, options: ReadOptions) -> Vec<String> {
        lines(&mut self.reader(options))
    }
}

/// Everything up to the next `Wait` or `End`.
fn lines(reader: &mut Reader) -> Vec<String> {
    let mut out = Vec::new();
    while let Step::Entry(entry) = reader.next().expect("read") {
        out.push(
            String::from_utf8(entry.line)
                .expect("UTF-8")
                .trim_end()
                .to_owned(),
        );
    }
    out
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

const DRIVERS: [Driver; 2] = [Driver::JsonFile, Driver::Local];

#[test]
fn everything_written_is_read_in_order_across_rotation() {
    for driver in DRIVERS {
        let mut log = Log::new(driver, Some(300), 100);
        log.write_lines(0..50);
        assert!(log.directory.path().join("x.log.2").exists(), "it was rotated");
        assert_eq!(log.read(ReadOptions::default()), numbers(0..50), "{driver:?}");
    }
}

#[test]
fn the_tail_is_found_from_the_end_across_files() {
    for driver in DRIVERS {
        let mut log = Log::new(driver, Some(300), 100);
        log.write_lines(0..50);
        for tail in [0, 1, 3, 7, 20, 49, 50, 51, 1000] {
            let wanted = numbers(50u32.saturating_sub(tail)..50);
            let options = ReadOptions {
                tail: Some(u64::from(tail)),
                ..ReadOptions::default()
            };
            assert_eq!(log.read(options), wanted, "{driver:?} tail {tail}");
        }
    }
}

#[test]
fn compressed_files_are_read_and_tailed() {
    for driver in DRIVERS {
        let mut log = Log::new(driver, Some(300), 100);
        log.write_lines(0..50);
        compress_rotated(&log.config.path, log.config.max_file).expect("compress");
        assert!(!log.directory.path().join("x.log.1").exists());
        assert!(log.directory.path().join("x.log.1.gz").exists());
        assert_eq!(log.read(ReadOptions::default()), numbers(0..50), "{driver:?}");
        log.write_lines(50..70);
        let options = ReadOptions {
            tail: Some(40),
            ..ReadOptions::default()
        };
        assert_eq!(log.read(options), numbers(30..70), "{driver:?}");
    }
}

#[test]
fn only_max_file_files_are_kept() {
    let mut log = Log::new(Driver::JsonFile, Some(300), 2);
    log.write_lines(0..50);
    let kept = log.read(ReadOptions::default());
    assert_eq!(kept, numbers(50 - kept.len() as u32..50));
    assert!(kept.len() < 20, "{kept:?}");
    let names = std::fs::read_dir(log.directory.path()).expect("dir").count();
    assert_eq!(names, 2);
}

#[test]
fn a_follower_loses_nothing_when_the_log_rotates_often() {
    for max_file in [1, 3] {
        let mut log = Log::new(Driver::JsonFile, Some(200), max_file);
        let mut reader = log.reader(ReadOptions {
            follow: true,
            ..ReadOptions::default()
        });
        let mut writer = Writer::open(&log.config).expect("open");
        assert_eq!(lines(&mut reader), numbers(0..0));
        for line in 0..40 {
            log.write(&mut writer, &format!("{line}\n"));
            assert_eq!(lines(&mut reader), numbers(line..line + 1), "max_file {max_file}");
        }
        assert_eq!(reader.next().expect("read"), Step::Wait);
        log.write(&mut writer, "last\n");
        reader.stop_following();
        assert_eq!(lines(&mut reader), ["last"]);
        assert_eq!(reader.next().expect("read"), Step::End);
    }
}

#[test]
fn a_follower_is_woken_by_a_write() {
    let mut log = Log::new(Driver::JsonFile, None, 1);
    let mut reader = log.reader(ReadOptions {
        follow: true,
        ..ReadOptions::default()
    });
    assert_eq!(reader.next().expect("read"), Step::Wait);
    let is_ready = |reader: &Reader| {
        let watch = reader.watch().expect("watch");
        let mut poll = [rustix::event::PollFd::from_borrowed_fd(
            watch,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut poll, Some(&rustix::event::Timespec::default())).expect("poll") == 1
    };
    assert!(!is_ready(&reader));
    log.write_lines(0..1);
    assert!(is_ready(&reader));
    assert_eq!(lines(&mut reader), ["0"]);
    assert!(!is_ready(&reader));
}

#[test]
fn a_torn_last_line_waits_for_its_rest_and_is_mended_by_the_next_writer() {
    for driver in DRIVERS {
        let mut log = Log::new(driver, None, 1);
        log.write_lines(0..3);
        let whole = std::fs::read(&log.config.path).expect("read");
        std::fs::write(&log.config.path, &whole[..whole.len() - 3]).expect("tear");
        assert_eq!(log.read(ReadOptions::default()), numbers(0..2), "{driver:?}");
        let tail = ReadOptions {
            tail: Some(1),
            ..ReadOptions::default()
        };
        assert_eq!(log.read(tail), ["1"], "{driver:?}");
        log.write_lines(2..4);
        assert_eq!(log.read(ReadOptions::default()), numbers(0..4), "{driver:?}");
    }
}

#[test]
fn a_line_that_is_no_record_is_skipped() {
    let mut log = Log::new(Driver::JsonFile, None, 1);
    log.write_lines(0..1);
    let mut bytes = std::fs::read(&log.config.path).expect("read");
    bytes.extend_from_slice(b"\0\0\0garbage\xff\n");
    std::fs::write(&log.config.path, &bytes).expect("write");
    log.write_lines(1..2);
    assert_eq!(log.read(ReadOptions::default()), numbers(0..2));
}

#[test]
fn since_until_and_streams_choose_lines() {
    let mut log = Log::new(Driver::JsonFile, Some(300), 100);
    log.write_lines(0..30);
    let at = |line: i64| Some(Timestamp::from_nanos((line + 1) * 1_000_000_000));
    let options = ReadOptions {
        since: at(10),
        until: at(12),
        ..ReadOptions::default()
    };
    assert_eq!(log.read(options), numbers(10..13));
    let mut writer = Writer::open(&log.config).expect("open");
    writer
        .write(Stream::Stderr, Timestamp::now(), b"err\n")
        .expect("write");
    writer.flush().expect("flush");
    assert_eq!(
        log.read(ReadOptions {
            no_stdout: true,
            ..ReadOptions::default()
        }),
        ["err"]
    );
    assert_eq!(
        log.read(ReadOptions {
            no_stderr: true,
            tail: Some(2),
            ..ReadOptions::default()
        }),
        ["29"]
    );
}

#[test]
fn a_replay_ends_at_the_position_even_if_more_is_written() {
    let mut log = Log::new(Driver::JsonFile, Some(300), 100);
    let mut writer = Writer::open(&log.config).expect("open");
    for line in 0..20 {
        log.write(&mut writer, &format!("{line}\n"));
    }
    let position = writer.position();
    for line in 20..40 {
        log.write(&mut writer, &format!("{line}\n"));
    }
    assert_eq!(
        log.read(ReadOptions {
            up_to: Some(position),
            ..ReadOptions::default()
        }),
        numbers(0..20)
    );
}

#[test]
fn a_missing_log_is_empty_and_the_none_driver_is_refused() {
    let log = Log::new(Driver::JsonFile, None, 1);
    assert_eq!(log.read(ReadOptions::default()), numbers(0..0));
    let refused = Reader::open(&Config::none(), ReadOptions::default()).expect_err("refused");
    assert_eq!(
        refused.to_string(),
        "configured logging driver does not support reading"
    );
}

#[test]
fn an_unended_line_is_partial() {
    let log = Log::new(Driver::JsonFile, None, 1);
    let mut writer = Writer::open(&log.config).expect("open");
    writer
        .write(Stream::Stdout, Timestamp::from_nanos(1), b"prompt$ ")
        .expect("write");
    assert_eq!(writer.pending(Stream::Stdout), b"prompt$ ");
    writer
        .finish(Stream::Stdout, Timestamp::from_nanos(2))
        .expect("finish");
    writer.flush().expect("flush");
    let Step::Entry(entry) = log.reader(ReadOptions::default()).next().expect("read") else {
        panic!("no entry")
    };
    assert_eq!((entry.line.as_slice(), entry.partial), (&b"prompt$ "[..], true));
}
