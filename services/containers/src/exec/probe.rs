//! Execs of the engine itself: health probes.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use monitor::protocol::Request;

use super::{Exec, ExecStart, State, has_ended};
use crate::attach::Client;
use crate::house::House;
use crate::{Error, launch};

/// A probe that runs, or has run. Whoever drops it kills it, and nobody can ask for it any more.
#[derive(Debug)]
pub(crate) struct Probe {
    house: Arc<House>,
    exec: Arc<Exec>,
}

impl ExecStart {
    /// Starts it; both its streams go to `output` as they are. A file called `mark` in its directory tells a later
    /// daemon what it is.
    ///
    /// # Errors
    /// The runtime's sentence.
    pub(crate) async fn probe(self, output: OwnedFd, mark: &str) -> Result<Probe, Error> {
        let dir = self.state_dir();
        launch::make_dir(&dir)?;
        let path = dir.join(mark);
        std::fs::write(&path, "").map_err(|source| Error::File {
            action: "write",
            path,
            source,
        })?;
        let probe = Probe {
            house: self.house.clone(),
            exec: self.exec.clone(),
        };
        let client = Client {
            socket: output,
            stdin: false,
            stdout: true,
            stderr: true,
            // Raw, that is: the engine does not ask which stream it was.
            raw: true,
            keys: Vec::new(),
            relayed: false,
            replay: None,
        };
        self.start(Some(client)).await.map_err(|failure| failure.error)?;
        Ok(probe)
    }
}

impl Probe {
    /// Waits for its end; the answer is its exit code.
    pub(crate) async fn ended(&self) -> i32 {
        let mut state = self.exec.state.subscribe();
        let ended = state
            .wait_for(|state| matches!(state, State::Ended { .. }))
            .await
            .map(|state| state.clone());
        match ended {
            Ok(State::Ended { code, .. }) => code,
            // The sender lives as long as `self`.
            _ => -1,
        }
    }

    /// Sends SIGKILL, if it runs, also to what it has started in its session: else every probe that takes too long
    /// would leave something behind.
    pub(crate) fn kill(&self) {
        let link = match &*self.exec.state.borrow() {
            State::Running { pid, process, link } => {
                kill_group(*pid, process.as_deref());
                link.clone()
            }
            _ => return,
        };
        let request = Request::Signal { signal: 9 };
        if let Err(error) = link.send_now(&request) {
            tracing::warn!(exec = self.exec.id, %error, "a health probe could not be killed");
        }
    }
}

/// Kills the process group that `pid` leads. While the process has not been waited for, its number is nobody else's.
fn kill_group(pid: i32, process: Option<&OwnedFd>) {
    use rustix::process::{Pid, Signal, getpgid, kill_process_group};
    let (Some(pid), Some(process)) = (Pid::from_raw(pid), process) else {
        return;
    };
    if !has_ended(process) && getpgid(Some(pid)) == Ok(pid) {
        // It may have ended this moment.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.kill();
        self.house.execs.forget(&self.exec.id);
    }
}
