//! The execs of a running container that an earlier daemon has started: whoever waits for one still learns its exit code.

use std::path::Path;
use std::sync::Arc;

use api_types::exec::CreateRequest;
use durable::volatile;
use monitor::plan::{ExitRecord, StateFile};
use monitor::protocol::{Phase, Request};
use tokio::sync::watch;

use super::{Exec, ExecStart, State, open_process};
use crate::cell::Cell;
use crate::house::House;
use crate::link::Link;

/// Beside the state of an exec: what was asked for.
const REQUEST: &str = "request.json";

/// Notes what was asked for, for the next daemon.
pub(super) fn note(state_dir: &Path, request: &CreateRequest) -> Result<(), volatile::VolatileError> {
    volatile::write(&state_dir.join(REQUEST), request)
}

/// Takes up what there is below `execs`, the directory of the container's execs.
pub(crate) async fn adopt(house: &Arc<House>, cell: &Arc<Cell>, execs: &Path) {
    let Ok(entries) = std::fs::read_dir(execs) else {
        return;
    };
    for entry in entries.flatten() {
        let dir = entry.path();
        let Ok(Some(request)) = volatile::read::<CreateRequest>(&dir.join(REQUEST)) else {
            continue;
        };
        let id = entry.file_name().to_string_lossy().into_owned();
        adopt_one(house, cell, &dir, id, request).await;
    }
}

async fn adopt_one(house: &Arc<House>, cell: &Arc<Cell>, dir: &Path, id: String, request: CreateRequest) {
    let found = Link::reconnect(&dir.join("monitor.sock")).await;
    if let Ok((link, Some(Phase::Creating | Phase::Created { .. }))) = &found {
        // The daemon died before it let the process go; nobody was told of it.
        drop(link.send(&Request::Shutdown, &[]).await);
        return;
    }
    house.execs.insert(Exec {
        id: id.clone(),
        container: cell.id.clone(),
        request,
        keys: Vec::new(),
        state: watch::Sender::new(State::Starting),
    });
    let Ok(exec) = house.execs.find(&id) else { return };
    let start = ExecStart {
        house: house.clone(),
        cell: cell.clone(),
        exec,
        console: None,
        terminal: false,
        raw: false,
    };
    let ended = match found {
        Ok((_, Some(Phase::Exited(exit)))) => Some(exit),
        Ok((link, _)) => {
            let state = volatile::read::<StateFile>(&dir.join("state.json"));
            let pid = state.ok().flatten().map_or(0, |state| state.pid);
            let link = Arc::new(link);
            start.exec.state.send_replace(State::Running {
                pid,
                process: open_process(pid).map(Arc::new),
                link: link.clone(),
            });
            tokio::spawn(start.listen(link));
            return;
        }
        Err(_) => volatile::read::<ExitRecord>(&dir.join("exit.json"))
            .ok()
            .flatten(),
    };
    // Without a record its monitor was killed, and the process with it.
    start.end(ended.map_or(137, |exit| exit.exit_code));
    let _ = std::fs::remove_dir_all(dir);
}
