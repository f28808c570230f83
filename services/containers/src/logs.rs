//! The log of a container, read for whoever asks.

use log_drivers::{Config, Entry, ReadOptions, Reader, Step, Stream};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::Error;
use crate::cell::{Cell, View};
use crate::house::House;
use crate::launch;
use crate::machine::Phase;
use crate::requests::LogRequest;

/// How many lines are read before the reader looks whether anybody still listens.
const BATCH: usize = 256;
/// How many batches may wait for a slow client.
const DEPTH: usize = 4;

/// The lines of a log as they come.
#[derive(Debug)]
pub struct LogStream {
    terminal: bool,
    batches: mpsc::Receiver<Result<Vec<Entry>, Error>>,
}

impl LogStream {
    /// Whether the stream is raw because the container has a terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The next lines (several at once when there are several); `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Vec<Entry>, Error>> {
        self.batches.recv().await
    }
}

/// Docker's eight bytes before every piece of a multiplexed stream.
pub(crate) fn header(stream: Stream, length: usize) -> [u8; 8] {
    let kind = match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [kind, 0, 0, 0, a, b, c, d]
}

/// Opens a log for reading without following.
///
/// # Errors
/// A driver that cannot be read.
pub(crate) async fn open(config: &Config, options: ReadOptions, terminal: bool) -> Result<LogStream, Error> {
    start(config.clone(), options, terminal, None).await
}

/// Opens the log of a container.
///
/// # Errors
/// A driver that cannot be read, no stream chosen.
pub(crate) async fn of_container(
    house: &House,
    cell: &Arc<Cell>,
    request: LogRequest,
) -> Result<LogStream, Error> {
    if !(request.stdout || request.stderr) {
        return Err(Error::Invalid(
            "Bad parameters: you must choose at least one stream".into(),
        ));
    }
    let view = cell.view();
    let config = launch::log_config(house, &view.record)?;
    let lives = !matches!(
        view.phase,
        Phase::Created | Phase::Exited | Phase::Dead | Phase::Removing
    );
    let follow = request.follow && lives;
    let options = ReadOptions {
        since: request.since,
        until: request.until,
        tail: request.tail,
        follow,
        no_stdout: !request.stdout,
        no_stderr: !request.stderr,
        up_to: None,
    };
    start(
        config,
        options,
        view.record.config.tty,
        follow.then(|| cell.watch()),
    )
    .await
}

async fn start(
    config: Config,
    options: ReadOptions,
    terminal: bool,
    life: Option<watch::Receiver<Arc<View>>>,
) -> Result<LogStream, Error> {
    let opened = tokio::task::spawn_blocking(move || Reader::open(&config, options)).await;
    let reader = match opened {
        Ok(reader) => reader.map_err(Error::part)?,
        Err(error) => {
            return Err(Error::System {
                action: "read a log",
                source: std::io::Error::other(error),
            });
        }
    };
    let (sender, batches) = mpsc::channel(DEPTH);
    tokio::spawn(pump(reader, sender, life));
    Ok(LogStream { terminal, batches })
}

/// Reads until the end, or until nobody listens. A followed log ends with the container, unless that is about to
/// be restarted.
async fn pump(
    mut reader: Reader,
    sender: mpsc::Sender<Result<Vec<Entry>, Error>>,
    mut life: Option<watch::Receiver<Arc<View>>>,
) {
    let watch = match reader
        .watch()
        .map(|fd| fd.try_clone_to_owned().and_then(crate::ready::register))
        .transpose()
    {
        Ok(watch) => watch,
        Err(source) => {
            let _ = sender
                .send(Err(Error::System {
                    action: "watch a log",
                    source,
                }))
                .await;
            return;
        }
    };
    loop {
        let read = tokio::task::spawn_blocking(move || read_batch(reader)).await;
        let Ok((entries, state)) = read else { return };
        if !entries.is_empty() && sender.send(Ok(entries)).await.is_err() {
            return;
        }
        match state {
            State::More(next) => reader = next,
            State::Wait(next) => {
                reader = next;
                if let Some(still) = wait(&watch, &sender, life.take()).await {
                    life = still;
                } else {
                    return;
                }
                if life.is_none() {
                    reader.stop_following();
                }
            }
            State::End => return,
            State::Failed(error) => {
                let _ = sender.send(Err(error)).await;
                return;
            }
        }
    }
}

/// Waits for more in the log, the end of the container, or the end of the client (`None`).
async fn wait(
    watch: &Option<AsyncFd<OwnedFd>>,
    sender: &mpsc::Sender<Result<Vec<Entry>, Error>>,
    life: Option<watch::Receiver<Arc<View>>>,
) -> Option<Option<watch::Receiver<Arc<View>>>> {
    let Some(mut life) = life else { return Some(None) };
    let more = async {
        if let Some(watch) = watch
            && let Ok(mut ready) = watch.readable().await
        {
            ready.clear_ready();
        } else {
            std::future::pending::<()>().await;
        }
    };
    let over = |view: &Arc<View>| {
        matches!(
            view.phase,
            Phase::Exited | Phase::Removing | Phase::Removed | Phase::Dead
        )
    };
    tokio::select! {
        () = more => {}
        ended = life.wait_for(over) => {
            drop(ended);
            return Some(None);
        }
        () = sender.closed() => return None,
    }
    Some(Some(life))
}

enum State {
    More(Reader),
    Wait(Reader),
    End,
    Failed(Error),
}

fn read_batch(mut reader: Reader) -> (Vec<Entry>, State) {
    let mut entries = Vec::new();
    while entries.len() < BATCH {
        match reader.next() {
            Ok(Step::Entry(entry)) => entries.push(entry),
            Ok(Step::Wait) => return (entries, State::Wait(reader)),
            Ok(Step::End) => return (entries, State::End),
            Err(error) => return (entries, State::Failed(Error::part(error))),
        }
    }
    (entries, State::More(reader))
}
