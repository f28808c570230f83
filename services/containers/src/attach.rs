//! Clients of a container's streams: handed over to the monitor, which serves them itself.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use log_drivers::{Position, ReadOptions};
use monitor::channel::ChannelError;
use monitor::detach_keys;
use monitor::protocol::{Attach, Framing, Request};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use crate::actor::Message;
use crate::cell::Cell;
use crate::house::House;
use crate::link::Link;
use crate::logs;
use crate::machine::Phase;
use crate::requests::{AttachRequest, ClientSocket};
use crate::{Error, launch};

/// A client that may be connected to a container.
#[derive(Debug)]
pub struct Attachment {
    house: Arc<House>,
    cell: Arc<Cell>,
    request: AttachRequest,
    keys: Vec<u8>,
    terminal: bool,
}

/// A client with its socket, ready for a monitor.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: OwnedFd,
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) raw: bool,
    pub(crate) keys: Vec<u8>,
    pub(crate) relayed: bool,
    pub(crate) replay: Option<Replay>,
}

/// The log that a client gets before the live stream.
#[derive(Debug)]
pub(crate) struct Replay {
    config: log_drivers::Config,
}

/// Checks a request to attach, before the connection is upgraded.
///
/// # Errors
/// A container that is paused or restarting; malformed detach keys.
pub(crate) fn prepare(
    house: &Arc<House>,
    cell: &Arc<Cell>,
    request: AttachRequest,
) -> Result<Attachment, Error> {
    let view = cell.view();
    let id = &view.record.id;
    match view.phase {
        Phase::Paused => {
            return Err(Error::Conflict(format!(
                "container {id} is paused, unpause the container before attach"
            )));
        }
        _ if view.restarting => {
            return Err(Error::Conflict(format!(
                "container {id} is restarting, wait until the container is running"
            )));
        }
        _ => {}
    }
    let keys = keys(&request.detach_keys)?;
    let terminal = view.record.config.tty;
    Ok(Attachment {
        house: house.clone(),
        cell: cell.clone(),
        request,
        keys,
        terminal,
    })
}

/// The detach sequence; Docker's default when none is given.
pub(crate) fn keys(text: &str) -> Result<Vec<u8>, Error> {
    if text.is_empty() {
        return Ok(detach_keys::DEFAULT.to_vec());
    }
    detach_keys::parse(text).map_err(Error::part)
}

impl Attachment {
    /// Whether the stream is raw because the container has a terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Connects the client; returns as soon as the socket is handed over.
    ///
    /// # Errors
    /// The log cannot be read, or the socket is gone.
    pub async fn serve(self, socket: ClientSocket) -> Result<(), Error> {
        let view = self.cell.view();
        self.house.event(&view.record, "attach", &[]);
        let config = launch::log_config(&self.house, &view.record)?;
        if !self.request.stream {
            return replay_only(&config, &self.request, self.terminal, socket).await;
        }
        let replay =
            (self.request.logs && config.driver != log_drivers::Driver::None).then_some(Replay { config });
        let client = Client {
            // A container without open input has nowhere to put it.
            stdin: self.request.stdin && view.record.config.open_stdin,
            stdout: self.request.stdout,
            stderr: self.request.stderr,
            raw: self.terminal,
            keys: self.keys,
            relayed: socket.relayed || !socket.read_ahead.is_empty(),
            replay,
            socket: relay_read_ahead(socket)?,
        };
        self.cell.tell(Message::Attach(client));
        Ok(())
    }
}

/// Puts bytes that were read too early back in front of the stream.
pub(crate) fn relay_read_ahead(socket: ClientSocket) -> Result<OwnedFd, Error> {
    if socket.read_ahead.is_empty() {
        return Ok(socket.fd);
    }
    let failed = |source| Error::System {
        action: "relay an attached client",
        source,
    };
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let client = std::os::unix::net::UnixStream::from(socket.fd);
    client.set_nonblocking(true).map_err(failed)?;
    let mut ours = tokio::net::UnixStream::from_std(ours).map_err(failed)?;
    let mut client = tokio::net::UnixStream::from_std(client).map_err(failed)?;
    tokio::spawn(async move {
        if ours.write_all(&socket.read_ahead).await.is_ok() {
            // Either side's end is the end of the relay, and nobody is left to be told.
            let _ = tokio::io::copy_bidirectional(&mut ours, &mut client).await;
        }
    });
    Ok(theirs.into())
}

async fn replay_only(
    config: &log_drivers::Config,
    request: &AttachRequest,
    terminal: bool,
    socket: ClientSocket,
) -> Result<(), Error> {
    if !request.logs {
        return Ok(());
    }
    let options = ReadOptions {
        no_stdout: !request.stdout,
        no_stderr: !request.stderr,
        ..ReadOptions::default()
    };
    write_log(config, options, terminal, socket.fd).await
}

impl Client {
    /// Hands the client to the monitor. A replay is written by a task of its own while the monitor holds live output
    /// back: where the replay ends comes as a report, and whoever starts the container may be the one who reads those.
    pub(crate) async fn connect(self, link: &Arc<Link>) -> Result<(), ChannelError> {
        let number = link.next_client();
        let attach = Attach {
            client: number,
            stdin: self.stdin,
            stdout: self.stdout,
            stderr: self.stderr,
            framing: if self.raw {
                Framing::Raw
            } else {
                Framing::Multiplexed
            },
            detach_keys: self.keys.clone(),
            replay: self.replay.is_some(),
            relayed: self.relayed,
        };
        let attached = self.replay.as_ref().map(|_| link.expect_attached(number));
        link.send(&Request::Attach(attach), &[self.socket.as_fd()])
            .await?;
        if let Some(attached) = attached {
            tokio::spawn(self.replay(link.clone(), number, attached));
        }
        Ok(())
    }

    /// Writes the log up to where the monitor holds the live stream back, and has it go on from there.
    async fn replay(self, link: Arc<Link>, number: u64, attached: oneshot::Receiver<Position>) {
        let (Some(replay), Ok(position)) = (self.replay, attached.await) else {
            return;
        };
        let options = ReadOptions {
            no_stdout: !self.stdout,
            no_stderr: !self.stderr,
            up_to: Some(position),
            ..ReadOptions::default()
        };
        if let Err(error) = write_log(&replay.config, options, self.raw, self.socket).await {
            tracing::debug!(%error, "log not replayed to an attached client");
        }
        // A monitor that has ended meanwhile has nothing to release.
        let _ = link.send(&Request::Release { client: number }, &[]).await;
    }

    /// The same, without making anybody wait.
    pub(crate) fn connect_later(self, link: Arc<Link>) {
        tokio::spawn(async move {
            if let Err(error) = self.connect(&link).await {
                tracing::debug!(%error, "a client was not attached");
            }
        });
    }
}

/// Writes a log to a client in the form in which it gets the live stream.
async fn write_log(
    config: &log_drivers::Config,
    options: ReadOptions,
    terminal: bool,
    socket: OwnedFd,
) -> Result<(), Error> {
    let failed = |source| Error::System {
        action: "write the log to an attached client",
        source,
    };
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true).map_err(failed)?;
    let mut socket = tokio::net::UnixStream::from_std(socket).map_err(failed)?;
    let mut lines = logs::open(config, options, terminal).await?;
    while let Some(batch) = lines.next().await {
        for entry in batch? {
            let mut bytes = Vec::with_capacity(entry.line.len() + 8);
            if !terminal {
                bytes.extend(logs::header(entry.stream, entry.line.len()));
            }
            bytes.extend(&entry.line);
            socket.write_all(&bytes).await.map_err(failed)?;
        }
    }
    Ok(())
}
