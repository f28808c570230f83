//! The tree of commands, and the way from arguments to one of them.

mod missing;
mod root;

use std::future::Future;
use std::pin::Pin;

use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{self, Flag, Kind, Parsed, flag};
use crate::{console, help};

pub(crate) use root::ROOT;

/// How a command runs.
pub(crate) type Run = for<'a> fn(&'a App, &'a Parsed) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// How many arguments a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// Exactly so many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// From so many to so many.
    Between(usize, usize),
}

/// A command that can be run.
pub(crate) struct Command {
    /// What follows the name in the line `Usage:`; further lines are further ways to use it.
    pub(crate) usage: &'static str,
    /// One line about it.
    pub(crate) about: &'static str,
    /// Every name, without the program's, separated by commas; empty if there is one only.
    pub(crate) aliases: &'static str,
    /// Its arguments.
    pub(crate) count: Count,
    /// The first argument ends the flags.
    pub(crate) stop_early: bool,
    /// Its flags.
    pub(crate) flags: &'static [Flag],
    /// What it does.
    pub(crate) run: Run,
}

/// What stands behind a name.
#[derive(Clone, Copy)]
pub(crate) enum Node {
    /// A command.
    Command(&'static Command),
    /// Commands about one noun, and the line about it.
    Group(&'static str, &'static [Entry]),
    /// A group of which nothing is built yet.
    MissingGroup(&'static str, &'static [(&'static str, &'static str)]),
}

/// A name in the tree, its other names, and what stands there.
pub(crate) struct Entry {
    /// The name, then others that mean the same.
    pub(crate) names: &'static [&'static str],
    /// What stands there.
    pub(crate) node: Node,
}

/// Makes a row of the tree from an async function.
macro_rules! run {
    ($function:path) => {
        |app, args| Box::pin($function(app, args))
    };
}
pub(crate) use run;

/// Flags before the command.
pub(crate) static GLOBAL: &[Flag] = &[
    flag(
        "config",
        '\0',
        Kind::Text,
        "string",
        "\"~/.docker\"",
        "Location of client config files",
    ),
    flag(
        "context",
        'c',
        Kind::Text,
        "string",
        "",
        "Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context set with \"dhow context use\")",
    ),
    flag("debug", 'D', Kind::Bool, "", "", "Enable debug mode"),
    flag("host", 'H', Kind::List, "list", "", "Daemon socket to connect to"),
    flag(
        "log-level",
        'l',
        Kind::Text,
        "string",
        "\"info\"",
        "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")",
    ),
    flag("tls", '\0', Kind::Bool, "", "", "Use TLS; implied by --tlsverify"),
    flag(
        "tlscacert",
        '\0',
        Kind::Text,
        "string",
        "\"~/.docker/ca.pem\"",
        "Trust certs signed only by this CA",
    ),
    flag(
        "tlscert",
        '\0',
        Kind::Text,
        "string",
        "\"~/.docker/cert.pem\"",
        "Path to TLS certificate file",
    ),
    flag(
        "tlskey",
        '\0',
        Kind::Text,
        "string",
        "\"~/.docker/key.pem\"",
        "Path to TLS key file",
    ),
    flag(
        "tlsverify",
        '\0',
        Kind::Bool,
        "",
        "",
        "Use TLS and verify the remote",
    ),
    flag(
        "version",
        'v',
        Kind::Bool,
        "",
        "",
        "Print version information and quit",
    ),
];

/// Runs the command that the arguments name (without the program's own name); returns the exit code.
pub fn main(words: Vec<String>) -> i32 {
    match dispatch(&words) {
        Ok(()) => 0,
        Err(failure) => {
            if !failure.message.is_empty() {
                console::error(&failure.message);
            }
            failure.code
        }
    }
}

fn dispatch(words: &[String]) -> Outcome {
    let globals = flags::parse(GLOBAL, words, true).map_err(|message| {
        Failure::new(format!(
            "{message}\n\nUsage:  dhow [OPTIONS] COMMAND [ARG...]\n\nRun 'dhow --help' for more information"
        ))
        .code(125)
    })?;
    if globals.on("version") {
        console::line(format!(
            "Dhow version {}, build {}",
            crate::app::VERSION,
            crate::app::BUILD
        ));
        return Ok(());
    }
    if !matches!(
        globals.text("log-level"),
        "" | "debug" | "info" | "warn" | "warning" | "error" | "fatal" | "panic" | "trace"
    ) {
        let level = globals.text("log-level");
        return Err(Failure::new(format!("Unable to parse logging level: {level}")));
    }
    if globals.help || globals.args.is_empty() {
        if globals.help {
            console::print(help::root());
        } else {
            console::error(help::root().trim_end());
        }
        return Ok(());
    }
    let mut rest = globals.args.clone();
    if rest[0] == "help" {
        rest.remove(0);
        if rest.is_empty() {
            console::print(help::root());
            return Ok(());
        }
        rest.push("--help".to_owned());
    }
    find(&globals, &rest)
}

/// Walks down the tree.
fn find(globals: &Parsed, words: &[String]) -> Outcome {
    let mut entries = ROOT;
    let mut path = String::from("dhow");
    let mut about = "";
    for (i, word) in words.iter().enumerate() {
        if word.starts_with('-') {
            if word == "--help" || word == "-h" {
                console::print(help::group(&path, about, entries));
                return Ok(());
            }
            let parent =
                format!("{word}\n\nUsage:  {path} COMMAND\n\nRun '{path} --help' for more information");
            let what = if word.starts_with("--") {
                "unknown flag: "
            } else {
                "unknown shorthand flag: "
            };
            return Err(Failure::new(format!("{what}{parent}")).code(125));
        }
        let Some(entry) = entries.iter().find(|e| e.names.contains(&word.as_str())) else {
            return Err(unknown(&path, word));
        };
        path = format!("{path} {word}");
        match &entry.node {
            Node::Group(text, inner) => {
                entries = inner;
                about = text;
            }
            Node::Command(command) => return start(globals, command, &path, &words[i + 1..]),
            Node::MissingGroup(text, inner) => {
                let next = words.get(i + 1).map(String::as_str);
                return match next {
                    None => {
                        console::error(help::missing_group(&path, text, inner).trim_end());
                        Ok(())
                    }
                    Some("--help" | "-h") => {
                        console::print(help::missing_group(&path, text, inner));
                        Ok(())
                    }
                    Some(next) if inner.iter().any(|(name, _)| name.split(' ').any(|n| n == next)) => {
                        Err(not_available(&format!("{path} {next}")))
                    }
                    Some(next) => Err(unknown(&path, next)),
                };
            }
        }
    }
    console::error(help::group(&path, about, entries).trim_end());
    Ok(())
}

fn not_available(path: &str) -> Failure {
    Failure::new(format!("{path} is not available in this version of dhow"))
}

fn unknown(path: &str, word: &str) -> Failure {
    let usage = if path == "dhow" {
        String::new()
    } else {
        format!("Usage:  {path}\n\n")
    };
    Failure::new(format!(
        "dhow: unknown command: {path} {word}\n\n{usage}Run '{path} --help' for more information"
    ))
}

/// Reads the command's flags and runs it.
fn start(globals: &Parsed, command: &'static Command, path: &str, words: &[String]) -> Outcome {
    let usage = || {
        format!("Usage:  {path} {}", command.usage.replace("docker ", "dhow "))
            .trim_end()
            .to_owned()
    };
    let parsed = flags::parse(command.flags, words, command.stop_early).map_err(|message| {
        Failure::new(format!(
            "{message}\n\n{}\n\nRun '{path} --help' for more information",
            usage()
        ))
        .code(125)
    })?;
    if parsed.help {
        console::print(help::command(path, command));
        return Ok(());
    }
    let n = parsed.args.len();
    let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
    let wrong = match command.count {
        Count::Exactly(0) if n > 0 => Some(("accepts no arguments".to_owned(), "Run")),
        Count::Exactly(want) if n != want => Some((format!("requires {want} {}", plural(want)), "Run")),
        Count::AtLeast(want) if n < want => {
            Some((format!("requires at least {want} {}", plural(want)), "See"))
        }
        Count::Between(0, most) if n > most => {
            Some((format!("requires at most {most} {}", plural(most)), "Run"))
        }
        Count::Between(least, most) if n < least || n > most => Some((
            format!("requires at least {least} and at most {most} {}", plural(most)),
            "Run",
        )),
        _ => None,
    };
    if let Some((what, verb)) = wrong {
        return Err(Failure::new(format!(
            "dhow: '{path}' {what}\n\n{}\n\n{verb} '{path} --help' for more information",
            usage()
        )));
    }
    let app = App::new(globals, path)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("cannot start: {e}")))?;
    let outcome = runtime.block_on((command.run)(&app, &parsed));
    // A thread may still sit in a read of standard input; nobody waits for it.
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests;
