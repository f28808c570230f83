//! `top`: the host's `ps`, reduced to the processes of one container.

use api_types::container::Top;
use tokio::process::Command;

use crate::Error;
use crate::cell::View;
use crate::house::House;

/// Runs `ps` with `arguments` (`-ef` by default) and keeps the rows of the container.
///
/// # Errors
/// Arguments that hide the process ids, or that `ps` refuses.
pub(crate) async fn top(house: &House, view: &View, arguments: &str) -> Result<Top, Error> {
    view.running_link()?;
    if view.phase == crate::machine::Phase::Waiting {
        return Err(Error::Conflict(format!(
            "container {} is restarting, wait until the container is running",
            view.record.id
        )));
    }
    let arguments = if arguments.trim().is_empty() {
        "-ef"
    } else {
        arguments
    };
    let pids = house
        .cgroup(&view.record)
        .and_then(|cgroup| cgroup.procs())
        .map_err(Error::part)?;
    let output = Command::new("ps")
        .args(arguments.split_whitespace())
        .output()
        .await
        .map_err(|source| Error::System {
            action: "run ps",
            source,
        })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Invalid(format!(
            "ps: {}",
            text.lines().next().unwrap_or("failed")
        )));
    }
    parse(&String::from_utf8_lossy(&output.stdout), &pids)
}

fn parse(text: &str, pids: &[i32]) -> Result<Top, Error> {
    let mut lines = text.lines();
    let titles: Vec<String> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let Some(pid_column) = titles.iter().position(|title| title == "PID") else {
        return Err(Error::Invalid("Couldn't find PID field in ps output".into()));
    };
    let mut processes = Vec::new();
    for line in lines {
        let row = columns(line, titles.len());
        let pid = row.get(pid_column).and_then(|pid| pid.parse::<i32>().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            processes.push(row);
        }
    }
    Ok(Top { processes, titles })
}

/// The words of a line, the last column with everything that is left.
fn columns(line: &str, count: usize) -> Vec<String> {
    let mut row = Vec::with_capacity(count);
    let mut rest = line.trim_start();
    while row.len() + 1 < count {
        let Some((word, more)) = rest.split_once(char::is_whitespace) else {
            break;
        };
        row.push(word.to_owned());
        rest = more.trim_start();
    }
    row.push(rest.trim_end().to_owned());
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_processes_are_left_out_and_the_command_stays_whole() {
        let text = "UID   PID  PPID CMD\nroot    1     0 init\nroot   42     1 sh -c sleep 5\n";
        let top = parse(text, &[42]).expect("has pids");
        assert_eq!(top.processes, [["root", "42", "1", "sh -c sleep 5"]]);
    }

    #[test]
    fn a_format_without_pids_is_refused() {
        assert!(parse("CMD\nsh\n", &[1]).is_err());
    }
}
