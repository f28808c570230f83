//! An attached terminal: streams, signals, size, and the end of the process.

use std::time::Duration;

use client::{Client, ClientError, Hijacked, Reply, WaitCondition};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::pump::{End, Pump};
use super::terminal::{Raw, is_terminal, size};
use crate::console;
use crate::failure::Failure;

/// How long a lost daemon is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whose terminal it is.
#[derive(Clone)]
pub(crate) enum Target {
    /// A container's.
    Container(String),
    /// An exec's.
    Exec(String),
}

/// How the session ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The streams ended.
    Streams,
    /// The user detached.
    Detached,
}

/// An attached session under way.
pub(crate) struct Session<'a> {
    client: &'a Client,
    target: Target,
    pump: super::pump::Running,
    raw: Option<Raw>,
    resized: Option<Signal>,
    signals: Option<mpsc::Receiver<&'static str>>,
}

/// Signals that are passed on, by the names that the API takes.
fn forwarded() -> [(&'static str, SignalKind); 7] {
    [
        ("INT", SignalKind::interrupt()),
        ("TERM", SignalKind::terminate()),
        ("HUP", SignalKind::hangup()),
        ("QUIT", SignalKind::quit()),
        ("USR1", SignalKind::user_defined1()),
        ("USR2", SignalKind::user_defined2()),
        ("ALRM", SignalKind::alarm()),
    ]
}

impl<'a> Session<'a> {
    /// Begins: raw mode if both sides have a terminal, threads for the streams, watchers for signals.
    pub(crate) fn begin(
        client: &'a Client,
        target: Target,
        hijacked: Hijacked,
        pump: Pump,
        proxy: bool,
    ) -> Self {
        let tty = pump.tty;
        let raw = if tty && pump.stdin { Raw::enter() } else { None };
        let resized = if tty && is_terminal(1) {
            signal(SignalKind::window_change()).ok()
        } else {
            None
        };
        let signals = proxy.then(|| {
            let (sender, receiver) = mpsc::channel(16);
            for (name, kind) in forwarded() {
                if let Ok(mut stream) = signal(kind) {
                    let sender = sender.clone();
                    tokio::spawn(async move {
                        while stream.recv().await.is_some() && sender.send(name).await.is_ok() {}
                    });
                }
            }
            receiver
        });
        Self {
            client,
            target,
            pump: pump.start(hijacked),
            raw,
            resized,
            signals,
        }
    }

    /// Tells the size of our terminal; a process that is only just starting is asked again.
    pub(crate) async fn resize(&self) {
        if self.resized.is_none() {
            return;
        }
        let (height, width) = size();
        if (height, width) == (0, 0) {
            return;
        }
        for pause in [0, 10, 20, 40, 80] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let told = match &self.target {
                Target::Container(id) => self.client.container_resize(id, height, width).await,
                Target::Exec(id) => self.client.exec_resize(id, height, width).await,
            };
            if told.is_ok() {
                return;
            }
        }
    }

    /// Until the streams end or the user detaches.
    pub(crate) async fn streams(&mut self) -> Result<Ending, Failure> {
        loop {
            tokio::select! {
                end = self.pump.end() => {
                    self.raw = None;
                    return ending(end);
                }
                () = next(&mut self.resized) => self.resize().await,
                Some(name) = next_signal(&mut self.signals) => self.forward(name).await,
            }
        }
    }

    async fn forward(&self, name: &str) {
        if let Target::Container(id) = &self.target
            && let Err(error) = self.client.container_kill(id, name).await
            && !error.is_lost_connection()
            && error.status() != Some(409)
            && !error.is_not_found()
        {
            console::error(format!("Error sending signal {name}: {error}"));
        }
    }

    /// Until the streams have ended and the exit code of the container is known, from a wait begun before its start;
    /// `None` if the user detached. A daemon that goes away is waited for: the container goes on without it, and so do
    /// its streams.
    pub(crate) async fn finish(mut self, wait: Reply, name: &str) -> Result<Option<i32>, Failure> {
        let client = self.client;
        let Target::Container(id) = self.target.clone() else {
            return Ok(None);
        };
        let mut waiting = std::pin::pin!(wait_on(client, wait, &id, name, self.raw.is_some()));
        let (mut code, mut streaming) = (None, true);
        while streaming || code.is_none() {
            tokio::select! {
                end = self.pump.end(), if streaming => {
                    self.raw = None;
                    streaming = false;
                    if ending(end)? == Ending::Detached {
                        return Ok(None);
                    }
                }
                known = &mut waiting, if code.is_none() => code = Some(known?),
                () = next(&mut self.resized) => self.resize().await,
                Some(name) = next_signal(&mut self.signals) => self.forward(name).await,
            }
        }
        Ok(code)
    }
}

/// What the end of the streams means for the session.
fn ending(end: End) -> Result<Ending, Failure> {
    match end {
        End::Detached => Ok(Ending::Detached),
        End::Output(Ok(())) => Ok(Ending::Streams),
        // Our own reader went away, or the daemon did: the exit status is asked for all the same.
        End::Output(Err(e)) if is_broken(&e) => Ok(Ending::Streams),
        End::Output(Err(e)) => Err(Failure::new(e.to_string())),
    }
}

fn is_broken(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

async fn next(resized: &mut Option<Signal>) {
    match resized {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

async fn next_signal(signals: &mut Option<mpsc::Receiver<&'static str>>) -> Option<&'static str> {
    match signals {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}

async fn wait_on(client: &Client, wait: Reply, id: &str, name: &str, raw: bool) -> Result<i32, Failure> {
    let mut result = client.wait_result(wait).await;
    if let Err(error) = &result
        && error.is_lost_connection()
    {
        // A raw terminal does not go back to the first column by itself.
        let end = if raw { "\r\n" } else { "\n" };
        console::error(format!(
            "dhow: the connection to the daemon was lost; the container goes on without it.{end}\
             Waiting for the daemon to come back; to join the container again, run: dhow attach {name}"
        ));
        result = wait_again(client, id).await;
    }
    match result {
        Ok(reply) => match reply.error {
            Some(error) if !error.message.is_empty() => {
                console::error(format!("Error waiting for container: {}", error.message));
                Ok(125)
            }
            _ => Ok(reply.status_code as i32),
        },
        Err(error) => Err(Failure::new(format!(
            "dhow: the exit status is not known: {error}\nTo join the container again, run: dhow attach {name}"
        ))
        .code(125)),
    }
}

/// Asks a daemon that comes back how the container ended.
async fn wait_again(client: &Client, id: &str) -> Result<api_types::container::WaitResponse, ClientError> {
    let begun = tokio::time::Instant::now();
    loop {
        let waited = async {
            let reply = client.container_wait(id, WaitCondition::NotRunning).await?;
            client.wait_result(reply).await
        };
        match waited.await {
            Err(error) if error.is_lost_connection() && begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            other => return other,
        }
    }
}
