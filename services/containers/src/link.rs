//! The daemon's end of the conversation with a monitor, for tokio.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use log_drivers::Position;
use monitor::channel::{Channel, ChannelError, Received};
use monitor::protocol::{Phase, Report, Request, VERSION};
use serde::de::DeserializeOwned;
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};

/// How long a monitor may take to say how things stand. No other container waits longer for its daemon than this.
const HELLO_PATIENCE: Duration = Duration::from_secs(3);
/// Clients of a monitor that has not told its own ones have numbers that no earlier daemon has given.
const FAR_CLIENT: u64 = 1 << 32;

/// A control connection. One task reads; anybody may send.
#[derive(Debug)]
pub(crate) struct Link {
    channel: AsyncFd<Channel>,
    clients: AtomicU64,
    /// Who waits to hear that a client is attached.
    attaching: Mutex<HashMap<u64, oneshot::Sender<Position>>>,
    /// Whether the monitor has let the root file system go.
    released: watch::Sender<bool>,
}

fn socket(step: &'static str) -> impl Fn(std::io::Error) -> ChannelError {
    move |source| ChannelError::Socket { step, source }
}

impl Link {
    /// Takes the connection over.
    pub(crate) fn new(channel: Channel) -> Result<Self, ChannelError> {
        channel.set_nonblocking(true)?;
        let channel = crate::ready::register(channel).map_err(socket("epoll_ctl"))?;
        Ok(Self {
            channel,
            clients: AtomicU64::new(1),
            attaching: Mutex::default(),
            released: watch::Sender::new(false),
        })
    }

    /// Connects to the monitor that listens at `path`, and asks how things stand; `None` if it does not say so within
    /// [`HELLO_PATIENCE`]: somebody has stopped it. It goes on from here when it is let go.
    pub(crate) async fn reconnect(path: &Path) -> Result<(Self, Option<Phase>), ChannelError> {
        let link = Self::new(Channel::connect(path)?)?;
        let state = match tokio::time::timeout(HELLO_PATIENCE, link.hello()).await {
            Ok(state) => Some(state?),
            Err(_) => {
                link.clients.store(FAR_CLIENT, Ordering::Relaxed);
                None
            }
        };
        Ok((link, state))
    }

    async fn hello(&self) -> Result<Phase, ChannelError> {
        self.send(&Request::Hello { version: VERSION }, &[]).await?;
        loop {
            if let Report::Hello { state, clients, .. } = self.receive().await?.message {
                let next = clients.into_iter().max().unwrap_or(0) + 1;
                self.clients.store(next, Ordering::Relaxed);
                return Ok(state);
            }
        }
    }

    /// A number for a new client of this monitor.
    pub(crate) fn next_client(&self) -> u64 {
        self.clients.fetch_add(1, Ordering::Relaxed)
    }

    /// The next message; [`ChannelError::Closed`] when the monitor has ended. Only one task may wait here.
    pub(crate) async fn receive<T: DeserializeOwned>(&self) -> Result<Received<T>, ChannelError> {
        loop {
            let mut ready = self.channel.readable().await.map_err(socket("epoll_wait"))?;
            match self.channel.get_ref().receive() {
                Err(error) if error.is_would_block() => ready.clear_ready(),
                other => return other,
            }
        }
    }

    /// Sends one message with files; the caller closes its own copies.
    pub(crate) async fn send(&self, message: &Request, fds: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        loop {
            let mut ready = self.channel.writable().await.map_err(socket("epoll_wait"))?;
            match self.channel.get_ref().send(message, fds) {
                Err(error) if error.is_would_block() => ready.clear_ready(),
                other => return other,
            }
        }
    }

    /// Sends one message if the socket takes it at once.
    pub(crate) fn send_now(&self, message: &Request) -> Result<(), ChannelError> {
        self.channel.get_ref().send(message, &[])
    }

    /// Resolves when the monitor says that `client` is attached; fails when it ends first.
    pub(crate) fn expect_attached(&self, client: u64) -> oneshot::Receiver<Position> {
        let (sender, receiver) = oneshot::channel();
        self.attaching().insert(client, sender);
        receiver
    }

    /// Tells whoever waits for `report`.
    pub(crate) fn heard(&self, report: &Report) {
        if let Report::Attached { client, position } = report
            && let Some(waiting) = self.attaching().remove(client)
        {
            // Whoever waited may have gone.
            let _ = waiting.send(*position);
        }
        if matches!(report, Report::Released) {
            self.released.send_replace(true);
        }
    }

    /// Waits until the monitor has let the root file system go, or has ended.
    pub(crate) async fn released(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        drop(self.released.subscribe().wait_for(|released| *released).await);
    }

    /// The monitor has ended: nobody will be answered any more.
    pub(crate) fn close(&self) {
        self.attaching().clear();
        self.released.send_replace(true);
    }

    fn attaching(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Position>>> {
        self.attaching.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
