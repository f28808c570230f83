//! `list`: all containers.

use oci::runtime::Status;

use super::flags::{Flag, Flags};
use super::store::Record;
use super::verb::Verb;
use super::{CliError, Outcome, Session};

/// `list`.
pub(super) const VERB: Verb = Verb {
    name: "list",
    arguments: "",
    about: "lists the containers below the root directory",
    least: 0,
    most: 0,
    flags: &[&[
        Flag::value("format", Some('f'), "table (default) or json"),
        Flag::switch("quiet", Some('q'), "only the ids"),
    ]],
    act: main,
};

fn main(flags: &Flags, _: &[String], session: &mut Session<'_>) -> Outcome {
    if !matches!(flags.get("format"), None | Some("table" | "json")) {
        return Err(CliError::Usage("invalid format option".into()));
    }
    let mut rows = Vec::new();
    for id in session.store.ids() {
        // Deleted between the listing and the reading: not there.
        let Ok(record) = session.store.load(&id) else {
            continue;
        };
        let status = session.store.status(&record);
        let pid = if status == Status::Stopped { 0 } else { record.pid };
        rows.push((record, status, pid));
    }
    let text = if flags.has("quiet") {
        rows.iter()
            .map(|(record, _, _)| format!("{}\n", record.id))
            .collect()
    } else if flags.get("format") == Some("json") {
        let shown = |(record, status, _): &(Record, Status, i32)| {
            // A record without its spec is shown without annotations.
            let annotations = session.store.spec(&record.id).unwrap_or_default().annotations;
            record.shown(*status, annotations, record.owner())
        };
        let all: Vec<_> = rows.iter().map(shown).collect();
        serde_json::to_string(&all).map_err(|source| CliError::Json {
            path: "list".into(),
            source,
        })? + "\n"
    } else {
        table(rows.iter().map(|(record, status, pid)| {
            let status = format!("{status:?}").to_lowercase();
            [
                record.id.clone(),
                pid.to_string(),
                status,
                record.bundle.clone(),
                record.created.clone(),
                record.owner(),
            ]
        }))
    };
    session.print(&text)?;
    Ok(0)
}

fn table(rows: impl Iterator<Item = [String; 6]>) -> String {
    let mut lines = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    lines.extend(rows);
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].len())
            .max()
            .unwrap_or(0)
            .max(9)
            + 3
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        for (cell, width) in line.iter().zip(&widths).take(5) {
            text.push_str(&format!("{cell:<width$}"));
        }
        text.push_str(&line[5]);
        text.push('\n');
    }
    text
}
