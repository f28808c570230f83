//! `ps`: the processes of a container, as numbers (`-f json`) or as the program `ps` shows them.

use cgroups::{Cgroup, Layout};

use super::flags::{Flag, Flags};
use super::{CliError, Outcome, Session};

pub(super) fn main(arguments: Vec<String>, session: &mut Session<'_>) -> Outcome {
    let (flags, rest) = Flags::parse(&[Flag::value("format", Some('f'))], arguments)?;
    let Some((id, options)) = rest.split_first() else {
        return Err(CliError::Usage("container id cannot be empty".into()));
    };
    let record = session.store.load(id)?;
    let pids = Cgroup::open(&Layout::detect()?, &record.cgroup)?.procs()?;
    if flags.get("format") == Some("json") {
        let text = format!("{}\n", serde_json::json!(pids));
        session
            .out
            .write_all(text.as_bytes())
            .map_err(CliError::file("write"))?;
        return Ok(0);
    }
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
        writeln!(session.out, "{line}").map_err(CliError::file("write"))?;
    }
    Ok(0)
}
