//! `ps`: the processes of a container, as numbers (`-f json`) or as the program `ps` shows them.

use super::flags::{Flag, Flags};
use super::verb::Verb;
use super::{CliError, Outcome, Session};

/// `ps`.
pub(super) const VERB: Verb = Verb {
    name: "ps",
    arguments: "<container-id> [options of ps]",
    about: "shows the processes of a container",
    least: 1,
    most: usize::MAX,
    flags: &[&[Flag::value("format", Some('f'), "table (default) or json")]],
    act: main,
};

fn main(flags: &Flags, rest: &[String], session: &mut Session<'_>) -> Outcome {
    if !matches!(flags.get("format"), None | Some("table" | "json")) {
        return Err(CliError::Usage("invalid format option".into()));
    }
    let record = session.store.load(&rest[0])?;
    let pids = record.cgroup()?.procs()?;
    if flags.get("format") == Some("json") {
        session.print(&format!("{}\n", serde_json::json!(pids)))?;
        return Ok(0);
    }
    let options = &rest[1..];
    let default = ["-ef".to_owned()];
    let options = if options.is_empty() { &default[..] } else { options };
    let output = std::process::Command::new("ps")
        .args(options)
        .output()
        .map_err(CliError::file("run ps"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| CliError::Usage("Couldn't find PID field in ps output".into()))?;
    let ours = |line: &&str| {
        let pid = line
            .split_whitespace()
            .nth(column)
            .and_then(|text| text.parse::<i32>().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    for line in std::iter::once(header).chain(lines.filter(ours)) {
        session.print(&format!("{line}\n"))?;
    }
    Ok(0)
}
