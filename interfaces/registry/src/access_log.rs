//! The access log: one line for each request, in the «combined» format that log readers know, and the time it took.
//!
//! Lines are written by a thread of their own, in batches; when it cannot follow, lines are dropped and counted in the log
//! itself, and no request waits. A file that was moved away (logrotate) is made anew.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use crate::config::AccessLog;

/// As many lines may wait.
const QUEUE: usize = 4096;
/// How often it is looked whether the file was moved.
const LOOK: Duration = Duration::from_secs(1);

/// Where lines go; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    lines: SyncSender<String>,
    dropped: Arc<AtomicU64>,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) peer: SocketAddr,
    pub(crate) user: Option<&'a str>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) agent: &'a str,
    pub(crate) took: Duration,
}

impl Journal {
    /// Opens the log; `None` when none is wanted.
    pub(crate) fn open(log: &AccessLog) -> io::Result<Option<Self>> {
        let mut target = match log {
            AccessLog::Off => return Ok(None),
            AccessLog::Stdout => Target::Stdout,
            AccessLog::File(path) => Target::File(path.clone(), open(path)?, Instant::now()),
        };
        let (lines, queue) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .stack_size(256 << 10)
            .spawn(move || write_all(&queue, &lost, &mut target))?;
        Ok(Some(Self { lines, dropped }))
    }

    pub(crate) fn write(&self, entry: &Entry<'_>) {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line(entry)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

enum Target {
    Stdout,
    File(PathBuf, File, Instant),
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn write_all(queue: &Receiver<String>, lost: &AtomicU64, target: &mut Target) {
    while let Ok(first) = queue.recv() {
        let dropped = lost.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "lines of the access log were dropped");
        }
        if let Err(error) = write_batch(first, queue, target) {
            tracing::warn!(%error, "write the access log");
        }
    }
}

fn write_batch(first: String, queue: &Receiver<String>, target: &mut Target) -> io::Result<()> {
    let mut out: Box<dyn Write> = match target {
        Target::Stdout => Box::new(io::stdout().lock()),
        Target::File(path, file, looked) => {
            if looked.elapsed() >= LOOK {
                *looked = Instant::now();
                let moved = std::fs::metadata(&*path)
                    .is_ok_and(|there| file.metadata().is_ok_and(|own| own.ino() != there.ino()));
                if moved || !path.exists() {
                    *file = open(path)?;
                }
            }
            Box::new(BufWriter::new(&*file))
        }
    };
    out.write_all(first.as_bytes())?;
    for line in queue.try_iter().take(QUEUE) {
        out.write_all(line.as_bytes())?;
    }
    out.flush()
}

fn line(entry: &Entry<'_>) -> String {
    let time = jiff::Zoned::now().strftime("%d/%b/%Y:%H:%M:%S %z").to_string();
    format!(
        "{} - {} [{time}] \"{} {} HTTP/1.1\" {} {} \"-\" \"{}\" {:.6}\n",
        entry.peer.ip(),
        entry.user.map_or("-".to_owned(), quoted),
        entry.method,
        quoted(entry.path),
        entry.status,
        entry.bytes,
        quoted(entry.agent),
        entry.took.as_secs_f64()
    )
}

/// Nobody writes lines of their own into the log.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(1024) {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            other => out.extend(other.escape_unicode()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        let entry = Entry {
            peer: "[::1]:5".parse().unwrap(),
            user: Some("a\nb"),
            method: "GET",
            path: "/v2/\" 200",
            status: 404,
            bytes: 12,
            agent: "x\u{1b}[1m\r\n",
            took: Duration::from_millis(3),
        };
        let text = line(&entry);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(
            text.starts_with("::1 - a\\u{a}b [") && text.contains("\"GET /v2/\\\" 200 HTTP/1.1\" 404 12"),
            "{text}"
        );
        assert!(text.ends_with("\"x\\u{1b}[1m\\u{d}\\u{a}\" 0.003000\n"), "{text}");
    }

    #[test]
    fn a_log_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let long_ago = Instant::now().checked_sub(LOOK).unwrap();
        let mut target = Target::File(path.clone(), open(&path).unwrap(), long_ago);
        let (_sender, queue) = sync_channel(1);
        write_batch("one\n".into(), &queue, &mut target).unwrap();
        std::fs::rename(&path, folder.path().join("log.1")).unwrap();
        if let Target::File(_, _, looked) = &mut target {
            *looked = long_ago;
        }
        write_batch("two\n".into(), &queue, &mut target).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }
}
