//! A SEQPACKET socket that carries [`crate::protocol`] messages; for both ends, blocking or not.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::{MAX_FDS, MAX_MESSAGE};

/// A message cannot be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The socket failed; `WouldBlock` when it is non-blocking and not ready.
    #[error("{step} on the monitor's control socket: {source}")]
    Socket {
        /// The system call.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The peer is gone.
    #[error("the peer closed the control socket")]
    Closed,
    /// The datagram is no message.
    #[error("malformed control message: {source}")]
    Malformed {
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The message is longer than a datagram may be.
    #[error("control message of {length} bytes is too long")]
    TooLong {
        /// Its length.
        length: usize,
    },
}

impl ChannelError {
    /// Whether the operation would have to wait (non-blocking sockets).
    pub fn is_would_block(&self) -> bool {
        matches!(self, ChannelError::Socket { source, .. } if source.kind() == io::ErrorKind::WouldBlock)
    }
}

impl fault::Fault for ChannelError {
    fn kind(&self) -> fault::Kind {
        match self {
            ChannelError::Closed => fault::Kind::Unavailable,
            _ => fault::Kind::System,
        }
    }
}

/// One end of a control connection. For tokio: `set_nonblocking`, wrap in `AsyncFd`, and treat
/// [`ChannelError::is_would_block`] as «not ready».
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

/// A received message with its files.
#[derive(Debug)]
pub struct Received<T> {
    /// The message.
    pub message: T,
    /// Files that came with it.
    pub fds: Vec<OwnedFd>,
}

fn failed(step: &'static str) -> impl Fn(rustix::io::Errno) -> ChannelError {
    move |errno| ChannelError::Socket {
        step,
        source: errno.into(),
    }
}

impl Channel {
    /// Two connected ends, close-on-exec, blocking.
    ///
    /// # Errors
    /// [`ChannelError::Socket`].
    pub fn pair() -> Result<(Channel, Channel), ChannelError> {
        let (a, b) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::SEQPACKET,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .map_err(failed("socketpair"))?;
        Ok((Channel { socket: a }, Channel { socket: b }))
    }

    /// Connects to a listening monitor (`monitor.sock`).
    ///
    /// # Errors
    /// [`ChannelError::Socket`]; `NotFound` or `ConnectionRefused` when no monitor listens there.
    pub fn connect(path: &Path) -> Result<Channel, ChannelError> {
        let socket = seqpacket()?;
        let address = short_address(path)?;
        rustix::net::connect(&socket, &address.address).map_err(failed("connect"))?;
        Ok(Channel { socket })
    }

    /// Takes a connected SEQPACKET socket.
    pub fn from_socket(socket: OwnedFd) -> Channel {
        Channel { socket }
    }

    /// Gives the socket back.
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Makes it (non-)blocking.
    ///
    /// # Errors
    /// [`ChannelError::Socket`].
    pub fn set_nonblocking(&self, on: bool) -> Result<(), ChannelError> {
        rustix::io::ioctl_fionbio(&self.socket, on).map_err(failed("ioctl(FIONBIO)"))
    }

    /// Sends one message with files (which stay open here).
    ///
    /// # Errors
    /// [`ChannelError::Closed`] if the peer is gone.
    pub fn send<T: Serialize>(&self, message: &T, fds: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let text = serde_json::to_vec(message).map_err(|source| ChannelError::Malformed { source })?;
        if text.len() > MAX_MESSAGE || fds.len() > MAX_FDS {
            return Err(ChannelError::TooLong { length: text.len() });
        }
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(fds));
        }
        loop {
            match sendmsg(
                &self.socket,
                &[io::IoSlice::new(&text)],
                &mut ancillary,
                SendFlags::NOSIGNAL,
            ) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => {
                    return Err(ChannelError::Closed);
                }
                Err(errno) => return Err(failed("sendmsg")(errno)),
            }
        }
    }

    /// Receives one message.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] at the end of the connection.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Received<T>, ChannelError> {
        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
        // The kernel tells the datagram's length, so that a quiet monitor never touches a big buffer.
        let mut probe = [0u8; 0];
        let length = loop {
            let flags = RecvFlags::PEEK | RecvFlags::TRUNC;
            match rustix::net::recv(&self.socket, &mut probe[..], flags) {
                Ok((_, length)) => break length,
                // A peer that closed with something unread gives this error once, in front of what it had sent.
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
                Err(errno) => return Err(failed("recv")(errno)),
            }
        };
        let mut text = vec![0u8; length.min(MAX_MESSAGE)];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            let mut slices = [io::IoSliceMut::new(&mut text)];
            match recvmsg(&self.socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Ok(got) => break got.bytes,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
                Err(errno) => return Err(failed("recvmsg")(errno)),
            }
        };
        let mut fds = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                fds.extend(files);
            }
        }
        if got == 0 {
            return Err(ChannelError::Closed);
        }
        let message =
            serde_json::from_slice(&text[..got]).map_err(|source| ChannelError::Malformed { source })?;
        Ok(Received { message, fds })
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Where monitors listen for a daemon that comes back.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
}

impl Listener {
    /// Listens on a path (mode 0600); a stale socket file is replaced.
    ///
    /// # Errors
    /// [`ChannelError::Socket`].
    pub fn bind(path: &Path) -> Result<Listener, ChannelError> {
        let socket = seqpacket()?;
        let address = short_address(path)?;
        match rustix::fs::unlink(path) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(failed("unlink")(errno)),
        }
        rustix::net::bind(&socket, &address.address).map_err(failed("bind"))?;
        rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(0o600)).map_err(failed("chmod"))?;
        rustix::net::listen(&socket, 4).map_err(failed("listen"))?;
        rustix::io::ioctl_fionbio(&socket, true).map_err(failed("ioctl(FIONBIO)"))?;
        Ok(Listener { socket })
    }

    /// The next connection; `WouldBlock` when there is none.
    ///
    /// # Errors
    /// [`ChannelError::Socket`].
    pub fn accept(&self) -> Result<Channel, ChannelError> {
        let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
        let socket = rustix::net::accept_with(&self.socket, flags).map_err(failed("accept4"))?;
        Ok(Channel { socket })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn seqpacket() -> Result<OwnedFd, ChannelError> {
    let flags = rustix::net::SocketFlags::CLOEXEC;
    rustix::net::socket_with(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        flags,
        None,
    )
    .map_err(failed("socket"))
}

struct ShortAddress {
    address: rustix::net::SocketAddrUnix,
    _directory: Option<OwnedFd>,
}

/// A unix address holds 107 bytes; a longer path goes through its directory's descriptor.
fn short_address(path: &Path) -> Result<ShortAddress, ChannelError> {
    use std::os::unix::ffi::OsStrExt;
    if path.as_os_str().as_bytes().len() < 108 {
        let address = rustix::net::SocketAddrUnix::new(path).map_err(failed("address"))?;
        return Ok(ShortAddress {
            address,
            _directory: None,
        });
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed("address")(rustix::io::Errno::INVAL));
    };
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let directory = rustix::fs::open(parent, flags, rustix::fs::Mode::empty()).map_err(failed("open"))?;
    let short = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let address =
        rustix::net::SocketAddrUnix::new(Path::new(&short).join(name)).map_err(failed("address"))?;
    Ok(ShortAddress {
        address,
        _directory: Some(directory),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Attach, Framing, Report, Request};

    #[test]
    fn a_message_arrives_with_its_files() {
        let (a, b) = Channel::pair().expect("pair");
        let (one, two) = rustix::pipe::pipe().expect("pipe");
        let attach = Request::Attach(Attach {
            client: 7,
            stdin: true,
            stdout: true,
            stderr: false,
            framing: Framing::Multiplexed,
            detach_keys: vec![16, 17],
            replay: false,
            relayed: false,
        });
        a.send(&attach, &[two.as_fd()]).expect("send");
        drop(two);
        let got: Received<Request> = b.receive().expect("receive");
        assert_eq!(got.message, attach);
        assert_eq!(rustix::io::write(&got.fds[0], b"x"), Ok(1));
        let mut buffer = [0u8; 4];
        assert_eq!(rustix::io::read(&one, &mut buffer), Ok(1));
    }

    #[test]
    fn the_end_and_not_ready_are_told_apart() {
        let (a, b) = Channel::pair().expect("pair");
        b.set_nonblocking(true).expect("nonblocking");
        assert!(b.receive::<Report>().expect_err("nothing there").is_would_block());
        drop(a);
        assert!(matches!(b.receive::<Report>(), Err(ChannelError::Closed)));
        assert!(matches!(b.send(&Request::Start, &[]), Err(ChannelError::Closed)));
    }

    #[test]
    fn what_a_peer_said_before_it_closed_with_something_unread_arrives() {
        let (a, b) = Channel::pair().expect("pair");
        b.send(&Request::Start, &[]).expect("send");
        a.send(&Request::State, &[]).expect("send");
        drop(a);
        assert_eq!(b.receive::<Request>().expect("receive").message, Request::State);
        assert!(matches!(b.receive::<Request>(), Err(ChannelError::Closed)));
    }

    #[test]
    fn a_datagram_that_is_no_message_is_refused() {
        let (a, b) = Channel::pair().expect("pair");
        rustix::net::send(&a, b"{\"type\":\"noSuch\"}", rustix::net::SendFlags::empty()).expect("send");
        assert!(matches!(
            b.receive::<Request>(),
            Err(ChannelError::Malformed { .. })
        ));
    }

    #[test]
    fn a_listener_on_a_very_long_path_is_reached() {
        let directory = tempfile::tempdir().expect("tempdir");
        let deep = directory.path().join("d".repeat(120));
        std::fs::create_dir(&deep).expect("mkdir");
        let path = deep.join("monitor.sock");
        let listener = Listener::bind(&path).expect("bind");
        let client = Channel::connect(&path).expect("connect");
        let server = listener.accept().expect("accept");
        client.send(&Request::State, &[]).expect("send");
        assert_eq!(
            server.receive::<Request>().expect("receive").message,
            Request::State
        );
    }
}
