//! One byte stream to a daemon, whatever carries it.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::{ClientError, Endpoint};

/// A connection. Half-closing it (`poll_shutdown`) tells the daemon that there is no more input.
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Process {
        input: Option<ChildStdin>,
        output: ChildStdout,
        // Kept so that it is reaped, and not left running when the connection is dropped.
        child: Box<Child>,
    },
}

impl Stream {
    /// Connects.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, ClientError> {
        let made = match endpoint {
            Endpoint::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            Endpoint::Tcp(host, port) => TcpStream::connect((host.as_str(), *port)).await.and_then(|s| {
                s.set_nodelay(true)?;
                Ok(Self::Tcp(s))
            }),
            Endpoint::Ssh { user, host, port } => ssh(user.as_deref(), host, *port),
        };
        made.map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Permission(endpoint.clone(), source),
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                if !matches!(endpoint, Endpoint::Ssh { .. }) =>
            {
                ClientError::NoDaemon(endpoint.clone())
            }
            _ => ClientError::Connect {
                endpoint: endpoint.clone(),
                source,
            },
        })
    }

    /// The blocking descriptors to read from and to write to; they may be two of one socket.
    pub(crate) fn into_descriptors(self) -> io::Result<(OwnedFd, OwnedFd, Option<Child>)> {
        match self {
            Self::Unix(s) => {
                let s = s.into_std()?;
                s.set_nonblocking(false)?;
                Ok((s.try_clone()?.into(), s.into(), None))
            }
            Self::Tcp(s) => {
                let s = s.into_std()?;
                s.set_nonblocking(false)?;
                Ok((s.try_clone()?.into(), s.into(), None))
            }
            Self::Process { input, output, child } => {
                let input = input.ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
                Ok((output.into_owned_fd()?, input.into_owned_fd()?, Some(*child)))
            }
        }
    }
}

fn ssh(user: Option<&str>, host: &str, port: Option<u16>) -> io::Result<Stream> {
    let mut command = Command::new("ssh");
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    if let Some(port) = port {
        command.args(["-p", &port.to_string()]);
    }
    command.args([
        "-o",
        "ConnectTimeout=30",
        "-T",
        "--",
        host,
        "dhow",
        "system",
        "dial-stdio",
    ]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    match (child.stdin.take(), child.stdout.take()) {
        (input @ Some(_), Some(output)) => Ok(Stream::Process {
            input,
            output,
            child: Box::new(child),
        }),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Process { output, .. } => Pin::new(output).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(s) => Pin::new(s).poll_write(cx, data),
            Self::Tcp(s) => Pin::new(s).poll_write(cx, data),
            Self::Process { input: Some(s), .. } => Pin::new(s).poll_write(cx, data),
            Self::Process { input: None, .. } => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(s) => Pin::new(s).poll_flush(cx),
            Self::Tcp(s) => Pin::new(s).poll_flush(cx),
            Self::Process { input: Some(s), .. } => Pin::new(s).poll_flush(cx),
            Self::Process { input: None, .. } => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Self::Process { input, .. } => {
                // A pipe has no half to close but its end.
                *input = None;
                Poll::Ready(Ok(()))
            }
        }
    }
}
