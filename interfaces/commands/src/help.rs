//! The text of `--help`, in docker's style.

use crate::flags::Flag;
use crate::tree::{Command, Entry, GLOBAL, Node, ROOT};

/// Width of the terminal, or 80.
fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map_or(80, |size| usize::from(size.ws_col))
        .max(2)
        - 1
}

/// `dhow CMD --help`.
pub(crate) fn command(path: &str, command: &Command) -> String {
    let usage = command.usage.replace("docker ", "dhow ");
    let mut out = format!(
        "Usage:  {}\n\n{}\n",
        format!("{path} {usage}").trim_end(),
        command.about
    );
    if !command.aliases.is_empty() {
        let all: Vec<String> = command.aliases.split(", ").map(|a| format!("dhow {a}")).collect();
        out.push_str(&format!("\nAliases:\n  {}\n", all.join(", ")));
    }
    let shown = options(command.flags, width());
    if !shown.is_empty() {
        out.push_str(&format!("\nOptions:\n{shown}"));
    }
    out
}

/// `dhow GROUP --help`.
pub(crate) fn group(path: &str, about: &str, entries: &[Entry]) -> String {
    let rows: Vec<(&str, &str)> = entries.iter().map(|e| (e.names[0], about_of(&e.node))).collect();
    // What has no description is for other programs.
    let rows = rows.into_iter().filter(|(_, about)| !about.is_empty()).collect();
    commands(path, about, rows)
}

/// The same of a group of which nothing is built.
pub(crate) fn missing_group(path: &str, about: &str, inner: &[(&'static str, &'static str)]) -> String {
    let rows = inner
        .iter()
        .map(|(n, a)| (n.split(' ').next().unwrap_or(n), *a))
        .collect();
    commands(path, about, rows)
}

fn commands(path: &str, about: &str, rows: Vec<(&str, &str)>) -> String {
    format!(
        "Usage:  {path} COMMAND\n\n{about}\n\nCommands:\n{}\nRun '{path} COMMAND --help' for more information on a command.\n",
        table(rows, 11)
    )
}

fn about_of(node: &Node) -> &'static str {
    match node {
        Node::Command(command) => command.about.lines().next().unwrap_or_default(),
        Node::Group(about, _) | Node::MissingGroup(about, _) => about,
    }
}

fn table(mut rows: Vec<(&str, &str)>, least: usize) -> String {
    rows.sort_unstable();
    let width = rows.iter().map(|r| r.0.len()).max().unwrap_or(0).max(least);
    rows.iter()
        .map(|(name, about)| format!("  {name:width$} {about}\n"))
        .collect()
}

/// Commands that stand at the head of the help, in this order.
const COMMON: &[&str] = &[
    "run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search", "version", "info",
];
const SWARM: &[&str] = &["config", "node", "secret", "service", "stack", "swarm"];

/// `dhow --help`.
pub(crate) fn root() -> String {
    let about = |name: &str| {
        ROOT.iter()
            .find(|e| e.names[0] == name)
            .map_or("", |e| about_of(&e.node))
    };
    let line = |name: &str| format!("  {name:11} {}\n", about(name));
    let mut out = String::from(
        "Usage:  dhow [OPTIONS] COMMAND\n\nA self-sufficient runtime for containers\n\nCommon Commands:\n",
    );
    out.extend(COMMON.iter().map(|n| line(n)));
    let mut names: Vec<&str> = ROOT.iter().map(|e| e.names[0]).collect();
    names.sort_unstable();
    let is_group = |name: &str| {
        ROOT.iter()
            .any(|e| e.names[0] == name && matches!(e.node, Node::Group(..) | Node::MissingGroup(..)))
    };
    out.push_str("\nManagement Commands:\n");
    out.extend(
        names
            .iter()
            .filter(|n| is_group(n) && !SWARM.contains(n))
            .map(|n| line(n)),
    );
    out.push_str("\nSwarm Commands:\n");
    out.extend(SWARM.iter().map(|n| line(n)));
    out.push_str("\nCommands:\n");
    out.extend(
        names
            .iter()
            .filter(|n| !is_group(n) && !COMMON.contains(n))
            .map(|n| line(n)),
    );
    out.push_str("\nGlobal Options:\n");
    out.push_str(&options(GLOBAL, width()));
    out.push_str("\nRun 'dhow COMMAND --help' for more information on a command.\n");
    out
}

/// One line per flag, by name, the descriptions wrapped to `width`.
fn options(flags: &[Flag], width: usize) -> String {
    let mut flags: Vec<&Flag> = flags.iter().filter(|f| !f.about.is_empty()).collect();
    flags.sort_unstable_by_key(|f| f.name);
    let lefts: Vec<String> = flags
        .iter()
        .map(|f| {
            let short = if f.short == '\0' {
                "    ".to_owned()
            } else {
                format!("-{}, ", f.short)
            };
            let value = if f.value.is_empty() {
                String::new()
            } else {
                format!(" {}", f.value)
            };
            format!("  {short}--{}{value}", f.name)
        })
        .collect();
    let column = lefts.iter().map(String::len).max().unwrap_or(0) + 3;
    let mut out = String::new();
    for (flag, left) in flags.iter().zip(lefts) {
        let mut about = flag.about.to_owned();
        let silent = flag.default.is_empty() || (flag.value.is_empty() && flag.default == "false");
        if !silent {
            about.push_str(&format!(" (default {})", flag.default));
        }
        out.push_str(&format!("{left:column$}{}\n", wrap(&about, column, width)));
    }
    out
}

/// Breaks a text into lines that fit beside `column`; where there is no room it stays as it is.
fn wrap(text: &str, column: usize, width: usize) -> String {
    let room = width.saturating_sub(column);
    let indent = format!("\n{}", " ".repeat(column));
    if room < 24 {
        return text.replace('\n', &indent);
    }
    // A last word of a few letters may stick out.
    let room = room - 5;
    let mut lines = Vec::new();
    for mut rest in text.split('\n') {
        while rest.len() >= room + 5 {
            let end = (0..=room).rev().find(|&i| rest.is_char_boundary(i)).unwrap_or(0);
            let Some(cut) = rest[..end]
                .rfind([' ', '\t'])
                .filter(|&i| !rest[..i].trim().is_empty())
            else {
                break;
            };
            lines.push(&rest[..cut]);
            rest = &rest[cut + 1..];
        }
        lines.push(rest);
    }
    lines.join(&indent)
}
