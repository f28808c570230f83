//! What a client has not read yet: first in memory, then in an unlinked file, up to a limit.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

/// Kept in memory before the spool file is made.
const IN_MEMORY: usize = 256 * 1024;
/// A client that is this far behind is dropped.
const LIMIT: u64 = 1 << 30;
/// What was sent from the spool is given back to the file system in pieces of this size.
const PUNCH: u64 = 16 << 20;

/// A client that is too far behind, or a disk that takes no more.
#[derive(Debug)]
pub(crate) struct Full;

/// Bytes in order, taken at one end and put at the other.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    memory: Vec<u8>,
    sent: usize,
    spool: Option<Spool>,
}

/// An unlinked file: `[read, written)` is still to be sent, after everything in memory.
#[derive(Debug)]
struct Spool {
    file: OwnedFd,
    read: u64,
    written: u64,
    punched: u64,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.spool.is_none()
    }

    /// Appends the slices; `directory` is where a spool file would be made.
    pub(crate) fn push(&mut self, directory: &Path, slices: &[&[u8]]) -> Result<(), Full> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.spool.is_none() && self.memory.len() - self.sent + length <= IN_MEMORY {
            if self.sent > 0 {
                self.memory.drain(..self.sent);
                self.sent = 0;
            }
            slices
                .iter()
                .for_each(|slice| self.memory.extend_from_slice(slice));
            return Ok(());
        }
        let spool = match &mut self.spool {
            Some(spool) => spool,
            None => self.spool.insert(Spool::new(directory).map_err(|_| Full)?),
        };
        if spool.written - spool.read + length as u64 > LIMIT {
            return Err(Full);
        }
        slices
            .iter()
            .try_for_each(|slice| spool.append(slice))
            .map_err(|_| Full)
    }

    /// Sends as much as the socket takes. `true` when nothing is left.
    pub(crate) fn send(&mut self, socket: impl AsFd) -> Result<bool, Errno> {
        while self.sent < self.memory.len() {
            match super::send(&socket, &self.memory[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => return Ok(false),
                Err(errno) => return Err(errno),
            }
        }
        self.memory = Vec::new();
        self.sent = 0;
        if let Some(spool) = &mut self.spool {
            if !spool.send(socket)? {
                return Ok(false);
            }
            self.spool = None;
        }
        Ok(true)
    }
}

impl Spool {
    fn new(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = match rustix::fs::open(directory, flags, Mode::from_raw_mode(0o600)) {
            Ok(file) => file,
            // File systems without O_TMPFILE: memory is better than losing the client.
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
                rustix::fs::memfd_create("spool", rustix::fs::MemfdFlags::CLOEXEC)?
            }
            Err(errno) => return Err(errno.into()),
        };
        Ok(Spool {
            file,
            read: 0,
            written: 0,
            punched: 0,
        })
    }

    fn append(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            let count = rustix::io::retry_on_intr(|| rustix::io::pwrite(&self.file, bytes, self.written))?;
            self.written += count as u64;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    fn send(&mut self, socket: impl AsFd) -> Result<bool, Errno> {
        while self.read < self.written {
            let length = (self.written - self.read).min(1 << 20) as usize;
            match rustix::fs::sendfile(&socket, &self.file, Some(&mut self.read), length) {
                // Somebody truncated the file behind our back: there is nothing to be sent any more.
                Ok(0) => return Err(Errno::IO),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(errno) => return Err(errno),
            }
            if self.read - self.punched >= PUNCH {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                // Only saves space; a file system that cannot do it is fine.
                let _ = rustix::fs::fallocate(&self.file, flags, self.punched, self.read - self.punched);
                self.punched = self.read;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_comes_out_in_order_through_memory_and_spool() {
        let directory = tempfile::tempdir().expect("tempdir");
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("pair");
        near.set_nonblocking(true).expect("nonblocking");
        far.set_nonblocking(true).expect("nonblocking");
        let mut queue = Queue::default();
        let mut wanted = Vec::new();
        let mut got = Vec::new();
        let mut piece = 0u32;
        let take = |got: &mut Vec<u8>| {
            let mut buffer = vec![0u8; 100_000];
            while let Ok(count) = rustix::io::read(&far, &mut buffer[..]) {
                got.extend_from_slice(&buffer[..count]);
                if count == 0 {
                    break;
                }
            }
        };
        for round in 0..6 {
            while wanted.len() < (round + 1) * 700_000 {
                let text = format!("{piece:08}").repeat(100);
                queue
                    .push(directory.path(), &[b"<", text.as_bytes()])
                    .expect("push");
                wanted.extend_from_slice(b"<");
                wanted.extend_from_slice(text.as_bytes());
                piece += 1;
            }
            assert!(queue.spool.is_some(), "round {round} went beyond memory");
            queue.send(&near).expect("send");
            take(&mut got);
        }
        while !queue.send(&near).expect("send") {
            take(&mut got);
        }
        take(&mut got);
        assert!(queue.is_empty());
        assert!(got == wanted);
        assert_eq!(std::fs::read_dir(directory.path()).expect("dir").count(), 0);
    }

    #[test]
    fn a_peer_that_is_gone_is_an_error() {
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("pair");
        drop(far);
        let mut queue = Queue::default();
        queue.push(Path::new("/"), &[b"x"]).expect("push");
        assert_eq!(queue.send(&near), Err(Errno::PIPE));
    }
}
