//! Passing descriptors over Unix sockets (`SCM_RIGHTS`).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use crate::{Errno, Result};

/// Most descriptors in one message; the kernel takes up to 253.
pub const MAX_FDS: usize = 32;

/// A message that has come in.
#[derive(Debug)]
pub struct Received {
    /// How many bytes of the buffer are filled; 0 is the other side's end.
    pub length: usize,
    /// The descriptors that came along, closed on exec.
    pub fds: Vec<OwnedFd>,
    /// The message did not fit the buffer (packet sockets).
    pub truncated: bool,
}

/// Sends bytes and descriptors in one message; returns how many bytes went (all of them on packet sockets).
/// *Async-signal-safe.*
///
/// # Errors
/// `EPIPE` when the other side is gone (no signal is raised), `EAGAIN` on a non-blocking socket, `E2BIG` for more than
/// [`MAX_FDS`] descriptors.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize> {
    if fds.len() > MAX_FDS {
        return Err(Errno::TOOBIG);
    }
    let mut space = [MaybeUninit::<u8>::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::TOOBIG);
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Receives one message into `buffer`, with the descriptors that came along.
///
/// # Errors
/// As `recvmsg(2)`; `EAGAIN` on a non-blocking socket without a message.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Received> {
    let mut space = [MaybeUninit::<u8>::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        match recvmsg(
            &socket,
            &mut [IoSliceMut::new(buffer)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            fds.extend(rights);
        }
    }
    let truncated = message.flags.contains(rustix::net::ReturnFlags::TRUNC);
    Ok(Received {
        length: message.bytes,
        fds,
        truncated,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::io::Read as _;

    #[test]
    fn a_descriptor_crosses_a_socket() {
        let (here, there) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .expect("pair");
        let memory = crate::fd::sealed_memfd(c"x", b"inside", false).expect("memfd");
        assert_eq!(send(&here, b"hello", &[memory.as_fd()]), Ok(5));
        let mut buffer = [0; 16];
        let got = receive(&there, &mut buffer).expect("received");
        assert_eq!(
            (&buffer[..got.length], got.fds.len(), got.truncated),
            (&b"hello"[..], 1, false)
        );
        let mut text = String::new();
        std::fs::File::from(got.fds.into_iter().next().expect("fd"))
            .read_to_string(&mut text)
            .expect("read");
        assert_eq!(text, "inside");
    }
}
