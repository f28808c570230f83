//! Memory files that nobody can change any more.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};

use crate::{Errno, Result};

const ALL_SEALS: SealFlags = SealFlags::SEAL
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE);

/// A memory file that may still be written; [`seal`] it afterwards. `executable` asks the kernel for an executable file
/// where the system's default is not (`vm.memfd_noexec`).
///
/// # Errors
/// `EACCES` when the system forbids executable memory files.
pub fn memfd_unsealed(name: &CStr, executable: bool) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let wish = if executable {
        MemfdFlags::EXEC
    } else {
        MemfdFlags::NOEXEC_SEAL
    };
    match rustix::fs::memfd_create(name, flags | wish) {
        // Before Linux 6.3 the kernel does not know these flags.
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags),
        other => other,
    }
}

/// Forbids every later change of a memory file.
///
/// # Errors
/// `EBUSY` while it is mapped writable, `EPERM` when sealed already.
pub fn seal(fd: impl AsFd) -> Result<()> {
    rustix::fs::fcntl_add_seals(fd, ALL_SEALS)
}

/// Whether nobody can change this file any more.
#[must_use]
pub fn is_sealed(fd: impl AsFd) -> bool {
    rustix::fs::fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(ALL_SEALS))
}

/// A sealed memory file with this content, its offset at the start.
///
/// # Errors
/// `ENOMEM`, and those of [`memfd_unsealed`].
pub fn sealed_memfd(name: &CStr, content: &[u8], executable: bool) -> Result<OwnedFd> {
    let fd = memfd_unsealed(name, executable)?;
    let mut rest = content;
    while !rest.is_empty() {
        let written = rustix::io::write(&fd, rest)?;
        rest = &rest[written..];
    }
    rustix::fs::seek(&fd, rustix::fs::SeekFrom::Start(0))?;
    seal(&fd)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_memory_file_cannot_be_written() {
        let fd = sealed_memfd(c"test", b"hello", false).expect("memfd");
        assert!(is_sealed(&fd));
        assert_eq!(rustix::io::write(&fd, b"x"), Err(Errno::PERM));
        let mut text = [0; 8];
        assert_eq!(rustix::io::read(&fd, &mut text), Ok(5));
    }
}
