//! Who a process is beyond its number: its start time, and the boot it belongs to.

use rustix::fs::{Mode, OFlags};
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

    /// Whether that very process exists still and has not ended.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let mut text = [0; STAT];
        let fields = stat(self.pid, &mut text);
        fields.is_ok_and(|fields| {
            nth_number(fields, START_TIME) == Ok(self.start_time)
                && !matches!(fields.first(), None | Some(b'Z' | b'X'))
        })
    }
}

/// Room for `/proc/<pid>/stat`: 52 numbers and a short name.
const STAT: usize = 2048;
/// The place of the start time, counted from the state on: field 22 (proc(5)).
const START_TIME: usize = 19;

/// Start time of a process in clock ticks since boot.
///
/// # Errors
/// `ESRCH` when there is no such process.
pub fn start_time(pid: Pid) -> Result<u64> {
    let mut text = [0; STAT];
    nth_number(stat(pid, &mut text)?, START_TIME)
}

/// The fields of `/proc/<pid>/stat` from the state on.
fn stat(pid: Pid, text: &mut [u8; STAT]) -> Result<&[u8]> {
    let path = format!("/proc/{}/stat", pid.as_raw_pid());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|_| Errno::SRCH)?;
    // One read: the kernel prints it whole.
    let length = rustix::io::read(&file, &mut text[..]).map_err(|_| Errno::SRCH)?;
    let text = &text[..length];
    // The command name may hold anything, also spaces and parentheses: count from the last ')'.
    let after = text.iter().rposition(|&b| b == b')').ok_or(Errno::INVAL)? + 2;
    text.get(after..).ok_or(Errno::INVAL)
}

fn nth_number(fields: &[u8], place: usize) -> Result<u64> {
    let field = fields.split(|&b| b == b' ').nth(place).ok_or(Errno::INVAL)?;
    let number = std::str::from_utf8(field).ok().and_then(|f| f.parse().ok());
    number.ok_or(Errno::INVAL)
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
        assert!(me.exists() && me.is_alive());
        assert!(
            !ProcessId {
                start_time: me.start_time + 1,
                ..me
            }
            .exists()
        );
    }
}
