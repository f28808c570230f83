//! Signals as messages on a descriptor (`signalfd(2)`), for event loops.

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::{Errno, Result, check};

/// One signal that has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalInfo {
    /// Its number.
    pub signal: i32,
    /// Who sent it, in the reader's pid namespace; 0 when unknown or outside.
    pub sender: i32,
}

/// A descriptor that becomes readable when one of its signals is pending. The signals are blocked in the calling thread.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Blocks the signals and opens the descriptor, non-blocking and closed on exec.
    ///
    /// # Errors
    /// `EINVAL` for a bad number.
    pub fn new(signals: &[i32]) -> Result<Self> {
        // SAFETY: the set is initialised before its use, and lives through the calls.
        let fd = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for &signal in signals {
                if libc::sigaddset(&raw mut set, signal) != 0 {
                    return Err(Errno::INVAL);
                }
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            check(libc::c_long::from(libc::signalfd(
                -1,
                &raw const set,
                libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
            )))?
        };
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// Takes one pending signal, if there is one.
    ///
    /// # Errors
    /// As `read(2)`, except that nothing pending is `None`.
    pub fn read(&self) -> Result<Option<SignalInfo>> {
        // The record is 128 bytes: the number first, the sender's pid at offset 12 (signalfd(2)).
        let mut record = [0_u8; 128];
        match rustix::io::read(&self.0, &mut record) {
            Ok(128) => {
                let word = |at: usize| {
                    i32::from_ne_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
                };
                Ok(Some(SignalInfo {
                    signal: word(0),
                    sender: word(12),
                }))
            }
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
