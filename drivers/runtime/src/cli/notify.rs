//! `$NOTIFY_SOCKET` (sd_notify(3)): a container of a service says that it is ready, and the service manager hears it.
//!
//! The manager's own socket stays outside, because whoever can write to it speaks for the whole service. The container
//! gets a socket of ours at `/run/notify`; of what comes there, only «ready» goes on, with the number of the
//! container's init as the service's main process where nobody attends it.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use oci::runtime::{Mount, Spec};
use rustix::event::{PollFd, PollFlags, poll};

use super::{CliError, Session};

/// Where the container sees it.
const INSIDE: &str = "/run/notify";
const NAME: &str = "notify.sock";

/// A way for one message.
#[derive(Debug)]
pub(super) struct Notify {
    manager: String,
    directory: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Notify {
    /// The way of this container, if a service manager wants to hear.
    pub(super) fn of_environment(id: &str, session: &Session<'_>) -> Option<Self> {
        let manager = std::env::var("NOTIFY_SOCKET")
            .ok()
            .filter(|name| !name.is_empty())?;
        Some(Self {
            manager,
            directory: session.store.directory(id).join("notify"),
            socket: None,
        })
    }

    /// Puts the directory of the socket into the container, and its path into the environment.
    pub(super) fn set_up(&self, spec: &mut Spec) -> Result<(), CliError> {
        let made = std::fs::DirBuilder::new().mode(0o755).create(&self.directory);
        made.map_err(CliError::file(format!("mkdir {}", self.directory.display())))?;
        spec.mounts.push(Mount {
            destination: INSIDE.to_owned(),
            source: self.directory.display().to_string(),
            options: ["bind", "nosuid", "noexec", "nodev", "ro"]
                .map(str::to_owned)
                .to_vec(),
            ..Mount::default()
        });
        if let Some(process) = &mut spec.process {
            process.env.push(format!("NOTIFY_SOCKET={INSIDE}/{NAME}"));
        }
        Ok(())
    }

    /// Listens, from before the container executes. One that was created without a manager has no directory for it.
    pub(super) fn listen(&mut self) -> Result<bool, CliError> {
        let path = self.directory.join(NAME);
        if !self.directory.is_dir() {
            return Ok(false);
        }
        let bound = UnixDatagram::bind(&path).and_then(|socket| {
            // Whoever the container's process is.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        self.socket = Some(bound.map_err(CliError::file(format!("listen at {}", path.display())))?);
        Ok(true)
    }

    /// The socket, to be waited for.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Takes what has come; true when «ready» was among it and has gone on.
    pub(super) fn pass(&mut self, main: Option<i32>) -> Result<bool, CliError> {
        let mut buffer = [0_u8; 4096];
        while let Some(socket) = &self.socket {
            let length = match socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(CliError::file("read from the container's NOTIFY_SOCKET")(error)),
            };
            let mut lines = buffer[..length].split(|byte| *byte == b'\n');
            if let Some(ready) = lines.find(|line| line.starts_with(b"READY=")) {
                let mut message = ready.to_vec();
                if let Some(pid) = main {
                    message.extend(format!("\nMAINPID={pid}").bytes());
                }
                message.push(b'\n');
                tell(&self.manager, &message)?;
                self.socket = None;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits until the container says that it is ready, or has ended.
    pub(super) fn wait(mut self, pid: i32, pidfd: &OwnedFd) -> Result<(), CliError> {
        while let Some(socket) = self.fd() {
            let mut fds = [
                PollFd::from_borrowed_fd(socket, PollFlags::IN),
                PollFd::new(pidfd, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Err(linux::Errno::INTR) => continue,
                other => other.map_err(CliError::signal("poll"))?,
            };
            let ended = !fds[1].revents().is_empty();
            if self.pass(Some(pid))? || ended {
                break;
            }
        }
        Ok(())
    }
}

/// Sends a message to the service manager, whose socket may be an abstract one.
fn tell(manager: &str, message: &[u8]) -> Result<(), CliError> {
    let sent = UnixDatagram::unbound().and_then(|socket| match manager.strip_prefix('@') {
        Some(name) => socket.send_to_addr(message, &SocketAddr::from_abstract_name(name)?),
        None => socket.send_to(message, Path::new(manager)),
    });
    sent.map(drop)
        .map_err(CliError::file(format!("send to NOTIFY_SOCKET {manager}")))
}
