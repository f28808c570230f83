//! Runs the probes of one container, one after the other, beside its actor.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api_types::exec;
use log_drivers::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;

use super::{Health, Outcome, Rules};
use crate::actor::Message;
use crate::cell::Cell;
use crate::exec::Probe;
use crate::house::House;
use crate::{Error, duration};

/// At most so many bytes of a probe's output are kept.
const KEPT: usize = 4096;
/// How long the last of the output may take to come after the probe has ended.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(1);
/// How long a killed probe may take to be gone; one that hangs in the kernel is left to itself.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// Marks the directory of an exec that is a probe, for a later daemon.
const MARK: &str = "probe";

/// A container whose health is being checked; dropping it ends that.
#[derive(Debug)]
pub(crate) struct Prober {
    /// Tells its messages from those of an earlier one.
    pub(crate) number: u64,
    _alive: oneshot::Sender<()>,
}

/// What the task needs.
struct Task {
    house: Arc<House>,
    cell: Arc<Cell>,
    rules: Rules,
    started: Timestamp,
    health: Health,
    number: u64,
}

impl Prober {
    /// Begins to probe a run that began at `started`, with what is known of its health so far.
    pub(crate) fn start(
        house: &Arc<House>,
        cell: &Arc<Cell>,
        rules: Rules,
        started: Timestamp,
        health: Health,
        number: u64,
    ) -> Self {
        let (alive, stopped) = oneshot::channel();
        let task = Task {
            house: house.clone(),
            cell: cell.clone(),
            rules,
            started,
            health,
            number,
        };
        tokio::spawn(task.run(stopped));
        Self {
            number,
            _alive: alive,
        }
    }
}

impl Task {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let now = Timestamp::now();
        let pause = self.rules.pause(self.health.status, self.started, now);
        let mut rest = self.rules.rest(self.health.due, pause, now);
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => return,
                () = tokio::time::sleep(rest) => {}
            }
            let Some(outcome) = self.probe(&mut stopped).await else {
                return;
            };
            let event = self.health.take(outcome, &self.rules, self.started);
            let now = Timestamp::now();
            rest = self.rules.pause(self.health.status, self.started, now);
            self.health.due = Some(super::later(now, rest));
            self.cell.tell(Message::Health {
                number: self.number,
                health: Box::new(self.health.clone()),
                event,
            });
        }
    }

    /// One probe; `None` when the container is not to be probed any more. Nobody waits for a start that hangs: what
    /// comes of it later is killed.
    async fn probe(&self, stopped: &mut oneshot::Receiver<()>) -> Option<Outcome> {
        let start = Timestamp::now();
        let timeout = tokio::time::sleep(self.rules.timeout);
        tokio::pin!(timeout);
        let outcome = |exit_code, output| {
            Some(Outcome {
                start,
                end: Timestamp::now(),
                exit_code,
                output,
            })
        };
        let mut starting = tokio::spawn(begin(
            self.house.clone(),
            self.cell.clone(),
            self.rules.words.clone(),
        ));
        let begun = tokio::select! {
            biased;
            _ = &mut *stopped => None,
            begun = &mut starting => Some(begun),
            () = &mut timeout => {
                tokio::spawn(starting);
                return outcome(-1, self.timed_out(""));
            }
        };
        let (probe, mut output) = match begun {
            Some(Ok(Ok(begun))) => begun,
            Some(Ok(Err(error))) => return outcome(-1, error.to_string()),
            Some(Err(error)) => return outcome(-1, error.to_string()),
            None => {
                tokio::spawn(starting);
                return None;
            }
        };
        tokio::select! {
            biased;
            _ = &mut *stopped => None,
            code = probe.ended() => {
                // What the probe has printed comes before the end of the stream.
                output.finish().await;
                outcome(code, output.text())
            }
            () = output.collect() => {
                // It has closed its output; its end is another matter.
                tokio::select! {
                    biased;
                    _ = &mut *stopped => None,
                    code = probe.ended() => outcome(code, output.text()),
                    () = &mut timeout => self.give_up(&probe, &output, start).await,
                }
            }
            () = &mut timeout => self.give_up(&probe, &output, start).await,
        }
    }

    async fn give_up(&self, probe: &Probe, output: &Output, start: Timestamp) -> Option<Outcome> {
        let end = Timestamp::now();
        probe.kill();
        // Probes must not pile up.
        drop(tokio::time::timeout(KILL_PATIENCE, probe.ended()).await);
        Some(Outcome {
            start,
            end,
            exit_code: -1,
            output: self.timed_out(&output.text()),
        })
    }

    fn timed_out(&self, output: &str) -> String {
        let limit = duration::go(self.rules.timeout);
        if output.is_empty() {
            format!("Health check exceeded timeout ({limit})")
        } else {
            format!("Health check exceeded timeout ({limit}): {output}")
        }
    }
}

/// Starts a probe: an exec whose output comes to the engine.
async fn begin(house: Arc<House>, cell: Arc<Cell>, words: Vec<String>) -> Result<(Probe, Output), Error> {
    let request = exec::CreateRequest {
        cmd: Some(words),
        attach_stdout: true,
        attach_stderr: true,
        ..exec::CreateRequest::default()
    };
    let id = crate::exec::create(&house, &cell, request)?;
    let output = match Output::new() {
        Ok(output) => output,
        Err(error) => {
            house.execs.forget(&id);
            return Err(error);
        }
    };
    let (output, theirs) = output;
    let started = async {
        crate::exec::prepare(&house, &id, exec::StartRequest::default())?
            .probe(theirs, MARK)
            .await
    };
    match started.await {
        Ok(probe) => Ok((probe, output)),
        Err(error) => {
            house.execs.forget(&id);
            Err(error)
        }
    }
}

/// What a probe prints, as far as it is kept.
struct Output {
    socket: tokio::net::UnixStream,
    kept: Vec<u8>,
    is_cut: bool,
}

impl Output {
    /// The engine's end, and the one for the probe.
    fn new() -> Result<(Self, OwnedFd), Error> {
        let failed = |source| Error::System {
            action: "make a socket for the output of a health check",
            source,
        };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let output = Self {
            socket: tokio::net::UnixStream::from_std(ours).map_err(failed)?,
            kept: Vec::new(),
            is_cut: false,
        };
        Ok((output, theirs.into()))
    }

    /// Reads to the end of the stream; what is too much is thrown away.
    async fn collect(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.socket.read(&mut buffer).await {
            let fits = count.min(KEPT - self.kept.len());
            self.kept.extend_from_slice(&buffer[..fits]);
            self.is_cut |= fits < count;
        }
    }

    /// The same, of a probe that has ended.
    async fn finish(&mut self) {
        drop(tokio::time::timeout(OUTPUT_PATIENCE, self.collect()).await);
    }

    fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.kept).into_owned();
        if self.is_cut {
            text.push_str("...");
        }
        text
    }
}

/// Kills the probes that an earlier daemon left behind in a running container: nobody watches their time any more.
/// `execs` is the directory of the container's execs; blocks.
pub(crate) fn kill_orphans(execs: &Path, kill: impl Fn(&Path)) {
    let Ok(entries) = std::fs::read_dir(execs) else {
        return;
    };
    for entry in entries.flatten() {
        let dir = entry.path();
        if dir.join(MARK).exists() {
            kill(&dir);
            let _ = std::fs::remove_dir_all(&dir);
        }
    }
}
