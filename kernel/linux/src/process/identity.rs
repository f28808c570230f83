//! Who a process is beyond its number: its start time, and the boot it belongs to.

use std::io::Read as _;

use rustix::process::Pid;

use crate::{Errno, Result};

/// A process id that cannot be mistaken for a later process with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessId {
    /// The number.
    pub pid: Pid,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
}

impl ProcessId {
    /// The identity of the process that has the number `pid` now.
    ///
    /// # Errors
    /// `ESRCH` when there is none.
    pub fn of(pid: Pid) -> Result<Self> {
        Ok(Self {
            pid,
            start_time: start_time(pid)?,
        })
    }

    /// Whether that very process exists still (a zombie counts as existing).
    #[must_use]
    pub fn exists(&self) -> bool {
        start_time(self.pid) == Ok(self.start_time)
    }
}

/// Start time of a process in clock ticks since boot: field 22 of `/proc/<pid>/stat` (proc(5)).
///
/// # Errors
/// `ESRCH` when there is no such process.
pub fn start_time(pid: Pid) -> Result<u64> {
    let mut text = Vec::with_capacity(512);
    std::fs::File::open(format!("/proc/{}/stat", pid.as_raw_pid()))
        .and_then(|mut file| file.read_to_end(&mut text))
        .map_err(|_| Errno::SRCH)?;
    // The command name may hold anything, also spaces and parentheses: count from the last ')'.
    let after = text.iter().rposition(|&b| b == b')').ok_or(Errno::INVAL)? + 2;
    let fields = text.get(after..).ok_or(Errno::INVAL)?;
    let field = fields.split(|&b| b == b' ').nth(19).ok_or(Errno::INVAL)?;
    std::str::from_utf8(field)
        .ok()
        .and_then(|f| f.parse().ok())
        .ok_or(Errno::INVAL)
}

/// The kernel's random id of this boot, without the newline.
///
/// # Errors
/// `std::io::Error` of reading `/proc/sys/kernel/random/boot_id`.
pub fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim_end()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_one_identity() {
        let me = ProcessId::of(rustix::process::getpid()).expect("me");
        assert!(me.exists());
        assert!(
            !ProcessId {
                start_time: me.start_time + 1,
                ..me
            }
            .exists()
        );
    }
}
