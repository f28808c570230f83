//! `state`, `pause` and `resume`.

use oci::runtime::Status;

use super::flags::Flags;
use super::verb::Verb;
use super::{CliError, Outcome, Session};

/// `state`.
pub(super) const VERB: Verb = verb("state", "shows the state of a container", main);
/// `pause`.
pub(super) const PAUSE: Verb = verb(
    "pause",
    "stops all processes of a container",
    |_, rest, session| freeze(&rest[0], session, true),
);
/// `resume`.
pub(super) const RESUME: Verb = verb(
    "resume",
    "lets the processes of a paused container run again",
    |_, rest, session| freeze(&rest[0], session, false),
);

const fn verb(
    name: &'static str,
    about: &'static str,
    act: fn(&Flags, &[String], &mut Session<'_>) -> Outcome,
) -> Verb {
    Verb {
        name,
        arguments: "<container-id>",
        about,
        least: 1,
        most: 1,
        flags: &[],
        act,
    }
}

fn main(_: &Flags, rest: &[String], session: &mut Session<'_>) -> Outcome {
    let id = rest[0].as_str();
    let record = session.store.load(id)?;
    let spec = session.store.spec(id)?;
    let status = session.store.status(&record);
    let shown = record.shown(status, spec.annotations, String::new());
    let text = serde_json::to_string_pretty(&shown).map_err(|source| CliError::Json {
        path: "state".into(),
        source,
    })? + "\n";
    session.print(&text)?;
    Ok(0)
}

/// Stops all processes of a container, or lets them run again.
fn freeze(id: &str, session: &mut Session<'_>, stop: bool) -> Outcome {
    let record = session.store.load(id)?;
    let status = session.store.status(&record);
    if stop && !matches!(status, Status::Running | Status::Created) {
        return Err(CliError::State("container not running or created".into()));
    }
    if !stop && status != Status::Paused {
        return Err(CliError::State("container not paused".into()));
    }
    let cgroup = record.cgroup()?;
    if stop {
        cgroup.freeze()?
    } else {
        cgroup.thaw()?
    }
    Ok(0)
}
