//! `events --stats`: what a container's cgroup has measured. The stream of events is not there yet.

use cgroups::{Cgroup, Layout};

use super::flags::{Flag, Flags};
use super::{CliError, Outcome, Session, only_id};

pub(super) fn main(arguments: Vec<String>, session: &mut Session<'_>) -> Outcome {
    let (flags, rest) = Flags::parse(
        &[Flag::switch("stats", None), Flag::value("interval", None)],
        arguments,
    )?;
    let record = session.store.load(only_id(&rest)?)?;
    if !flags.has("stats") {
        return Err(CliError::Usage(
            "events without --stats is not supported yet".into(),
        ));
    }
    let stats = Cgroup::open(&Layout::detect()?, &record.cgroup)?.stats()?;
    let value = serde_json::json!({ "type": "stats", "id": record.id, "data": stats });
    writeln!(session.out, "{value}").map_err(CliError::file("write"))?;
    Ok(0)
}
