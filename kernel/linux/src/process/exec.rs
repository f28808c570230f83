//! `execve(2)` with arguments prepared beforehand, so that nothing is allocated after a clone.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Errno, last_errno};

/// A list of C strings together with the null-terminated pointer array that `execve` wants.
#[derive(Debug, Default)]
pub struct CStringArray {
    strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

// SAFETY: the pointers point into the heap blocks of `strings`, which are owned and never changed.
unsafe impl Send for CStringArray {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for CStringArray {}

impl CStringArray {
    /// Prepares the list.
    #[must_use]
    pub fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Self { strings, pointers }
    }

    /// The strings.
    #[must_use]
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }

    fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    /// Executes `path` with this list as arguments; returns only when that failed. *Async-signal-safe.*
    #[must_use]
    pub fn execve(&self, path: &CStr, env: &CStringArray) -> Errno {
        // SAFETY: both arrays are null-terminated arrays of C strings that outlive the call.
        unsafe { libc::execve(path.as_ptr(), self.pointer_or_empty(), env.pointer_or_empty()) };
        last_errno()
    }

    /// Executes the open file `file` with this list as arguments; returns only when that failed. *Async-signal-safe.*
    #[must_use]
    pub fn execveat(&self, file: BorrowedFd<'_>, env: &CStringArray) -> Errno {
        // SAFETY: as in `execve`; the empty path with AT_EMPTY_PATH names the descriptor itself.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                file.as_raw_fd(),
                c"".as_ptr(),
                self.pointer_or_empty(),
                env.pointer_or_empty(),
                libc::AT_EMPTY_PATH,
            )
        };
        last_errno()
    }

    fn pointer_or_empty(&self) -> *const *const c_char {
        // A `Default` value has no terminator of its own.
        struct Terminator([*const c_char; 1]);
        // SAFETY: a null pointer that is never written to.
        unsafe impl Sync for Terminator {}
        static EMPTY: Terminator = Terminator([std::ptr::null()]);
        if self.pointers.is_empty() {
            EMPTY.0.as_ptr()
        } else {
            self.as_ptr()
        }
    }
}

impl Clone for CStringArray {
    fn clone(&self) -> Self {
        Self::new(self.strings.clone())
    }
}

/// Ends the process at once, without running destructors or exit handlers. *Async-signal-safe.*
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}
