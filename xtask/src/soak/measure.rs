//! What a process holds, as /proc tells it.

use std::fmt;
use std::fs;

use super::house::House;

/// What the daemon holds at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub(super) memory_mb: f64,
    pub(super) files: usize,
    pub(super) threads: usize,
}

impl Held {
    /// Nothing while the daemon is dead.
    pub(super) fn by(house: &House) -> Option<Held> {
        if !house.is_alive() {
            return None;
        }
        // It may die now: then its folder is gone.
        let pid = fs::read_to_string(house.daemon.folder().join("dhowd.pid")).ok()?;
        let pid: u32 = pid.trim().parse().ok()?;
        Some(Held {
            memory_mb: memory_mb(pid),
            files: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count(),
            threads: fs::read_dir(format!("/proc/{pid}/task")).ok()?.count(),
        })
    }

    /// The larger of each.
    pub(super) fn max(self, other: Held) -> Held {
        Held {
            memory_mb: self.memory_mb.max(other.memory_mb),
            files: self.files.max(other.files),
            threads: self.threads.max(other.threads),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Held {
            memory_mb,
            files,
            threads,
        } = self;
        write!(f, "{memory_mb:.1} MB, {files} files, {threads} threads")
    }
}

/// Resident memory of a process in MB, 0 when it has ended.
pub(super) fn memory_mb(pid: u32) -> f64 {
    field(pid, "VmRSS:").map_or(0.0, |kilobytes| kilobytes as f64 / 1024.0)
}

/// A number of `/proc/PID/status`.
pub(super) fn field(pid: u32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
