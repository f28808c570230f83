//! Logs of the mode `non-blocking`, on a disk that takes nothing until it is told to: a FIFO.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use log_drivers::Driver;
use monitor::plan::Stdio;
use monitor::protocol::{Attach, Framing, Report};
use rustix::fs::{CWD, FileType, Mode};

use crate::Test;
use crate::support::{Container, everything, shell};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_log_that_is_not_written_holds_no_container_up_and_gets_what_waited_at_its_end",
        everything_fits,
    ),
    (
        "lines_beyond_the_buffer_are_dropped_and_the_others_keep_their_order",
        too_much,
    ),
    (
        "a_buffered_log_is_whole_and_in_order_when_the_end_is_told",
        ordinary_file,
    ),
    (
        "a_container_outlives_the_writer_of_its_log_and_the_daemon_is_told_once",
        writer_is_killed,
    ),
];

/// More than a FIFO and a socket hold.
const LINES: usize = 20_000;

fn everything_fits() {
    let mut wanted: Vec<String> = (1..=LINES).map(|number| format!("{number}\n")).collect();
    wanted.push("end\n".to_owned());
    // Without a line feed at the end: the unfinished line is written, too.
    wanted.push("rest".to_owned());
    assert!(logged_through_a_fifo(16 << 20) == wanted);
}

fn too_much() {
    let lines = logged_through_a_fifo(20_000);
    assert!(lines.len() < LINES, "{} lines were logged", lines.len());
    let numbers: Vec<usize> = lines.iter().filter_map(|line| line.trim().parse().ok()).collect();
    // The oldest are kept, the newest dropped.
    assert_eq!(numbers[..100], (1..=100).collect::<Vec<_>>());
    assert!(numbers.is_sorted_by(|a, b| a < b));
}

/// What is logged of a container that has written everything before anybody reads the log.
fn logged_through_a_fifo(buffer: u64) -> Vec<String> {
    let script = format!("seq 1 {LINES}; echo end; echo -n rest");
    let mut container = Container::new(shell(&script));
    container.plan.log.buffer = Some(buffer);
    let path = container.plan.log.path.clone();
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("mkfifo");
    container.spawn(&[]);
    let client = container.daemon().attach(Attach {
        framing: Framing::Raw,
        ..everything(1)
    });
    container.daemon().started();
    read_until(&client, b"\nend\nrest");
    let mut text = String::new();
    // It ends when the log's writer has ended, and the monitor waits for that.
    File::open(&path)
        .and_then(|mut log| log.read_to_string(&mut text))
        .expect("read");
    assert_eq!(container.daemon().exited().exit_code, 0);
    drop(client);
    container.ended();
    let line = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        value["log"].as_str().expect("log").to_owned()
    };
    text.lines().map(line).collect()
}

fn read_until(mut client: &UnixStream, end: &[u8]) {
    let mut seen = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while !seen.ends_with(end) {
        let count = client.read(&mut buffer).expect("read");
        assert_ne!(count, 0, "the stream ended early");
        seen.extend_from_slice(&buffer[..count]);
    }
}

fn ordinary_file() {
    for driver in [Driver::JsonFile, Driver::Local] {
        let mut container = Container::new(shell(&format!("seq 1 {LINES}; echo end")));
        let log = &mut container.plan.log;
        (log.driver, log.buffer) = (driver, Some(16 << 20));
        // Rotated and compressed as any other.
        (log.max_size, log.max_file, log.compress) = (Some(200_000), 50, true);
        container.spawn(&[]).started();
        assert_eq!(container.daemon().exited().exit_code, 0);
        let text = container.log();
        let mut wanted: String = (1..=LINES).map(|number| format!("stdout: {number}\n")).collect();
        wanted.push_str("stdout: end\n");
        assert!(text == wanted, "{driver:?}");
        assert!(
            std::fs::exists(container.path("x-json.log.1")).is_ok_and(|plain| plain)
                || std::fs::exists(container.path("x-json.log.1.gz")).is_ok_and(|packed| packed)
        );
        container.ended();
    }
}

fn writer_is_killed() {
    let mut container = Container::new(shell("read go; seq 1 20000; echo end"));
    container.plan.log.buffer = Some(20_000);
    container.plan.stdio = Stdio {
        open_stdin: true,
        ..Stdio::default()
    };
    container.spawn(&[]);
    let mut client = container.daemon().attach(Attach {
        framing: Framing::Raw,
        ..everything(1)
    });
    container.daemon().started();
    let monitor = container.spawned.as_ref().expect("spawned").pid;
    let writer = linux::process::pidfd_open(writer_of(monitor)).expect("pidfd");
    linux::process::send_signal(&writer, 9).expect("kill");
    let failed = |report: &Report| matches!(report, Report::LogFailed { .. }).then_some(());
    container.daemon().wait(failed);
    client.write_all(b"go\n").expect("write");
    read_until(&client, b"\nend\n");
    // Whatever was told before the end is seen until then; a second failure would be among it.
    let mut failures = 0;
    container.daemon().wait(|report| {
        failures += usize::from(failed(report).is_some());
        matches!(report, Report::Exited(record) if record.exit_code == 0).then_some(())
    });
    assert_eq!(failures, 0);
    drop(client);
    container.ended();
}

/// The child of a monitor that writes its log.
fn writer_of(monitor: i32) -> rustix::process::Pid {
    let is_writer = |pid: &i32| {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        read("cmdline").contains("write-log") && read("status").contains(&format!("\nPPid:\t{monitor}\n"))
    };
    std::fs::read_dir("/proc")
        .expect("proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .find(is_writer)
        .and_then(rustix::process::Pid::from_raw)
        .expect("a writer")
}
