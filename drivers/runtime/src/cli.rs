//! The command line of an OCI runtime, with runc's verbs and flags, one file per verb.
//!
//! State lives in `<root>/<id>/`: [`store`] says what. Nothing is printed here: verbs write to the streams they are given.

mod create;
mod delete;
mod events;
mod exec;
mod features;
mod flags;
mod kill;
mod list;
mod log;
mod protect;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod store;
mod terminal;
mod time;
mod update;

use std::ffi::CString;
use std::io::Write;

use crate::CompileError;
use flags::{Flag, Flags};
use log::Log;
use store::Store;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The runtime could not do it.
    #[error("unable to start container process: {0}")]
    Runtime(#[from] crate::Error),
    /// The cgroup could not be changed.
    #[error("{0}")]
    Cgroup(#[from] cgroups::Error),
    /// A file could not be read or written.
    #[error("{what}: {source}")]
    File {
        /// What was tried, with the path.
        what: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A JSON file makes no sense.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// No container has that id.
    #[error("container does not exist")]
    Missing,
    /// An id is taken.
    #[error("container with given ID already exists")]
    Exists,
    /// The container is in the wrong state.
    #[error("{0}")]
    State(String),
    /// A signal could not be sent.
    #[error("{what}: {}", crate::errno_text(*.errno))]
    Signal {
        /// What was tried.
        what: String,
        /// What the kernel said.
        errno: linux::Errno,
    },
}

impl CliError {
    fn file(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        |source| Self::File { what, source }
    }

    fn signal(what: impl Into<String>) -> impl FnOnce(linux::Errno) -> Self {
        let what = what.into();
        |errno| Self::Signal { what, errno }
    }

    /// runc gives 1 for everything of its own; a program that cannot be executed has the code of shells.
    fn exit_code(&self) -> i32 {
        match self {
            Self::Runtime(crate::Error::Exec(failure)) => failure.exit_code(),
            _ => 1,
        }
    }
}

impl From<CompileError> for CliError {
    fn from(error: CompileError) -> Self {
        Self::Runtime(error.into())
    }
}

type Outcome = Result<i32, CliError>;

/// What verbs get: where the state is, where to write.
struct Session<'a> {
    store: Store,
    out: &'a mut dyn Write,
    log: Log,
}

const GLOBAL: &[Flag] = &[
    Flag::value("root", None),
    Flag::value("log", None),
    Flag::value("log-format", None),
    Flag::value("criu", None),
    Flag::value("rootless", None),
    Flag::switch("debug", None),
    Flag::switch("systemd-cgroup", None),
    Flag::switch("version", Some('v')),
    Flag::switch("help", Some('h')),
];

const HELP: &str = "usage: dhow-runtime [--root DIR] [--log FILE] [--log-format text|json] COMMAND\n\n\
commands: create delete events exec features kill list pause ps resume run spec start state update\n";

/// Runs one command; `arguments` without the program's name. Verbs that enter a container execute this program again, with
/// `environment`, from a file that containers cannot change. Returns the exit code.
pub fn main(
    arguments: Vec<String>,
    environment: Vec<CString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> i32 {
    let again = protect::Again {
        arguments: arguments.clone(),
        environment,
    };
    let (global, rest) = match Flags::parse(GLOBAL, arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = writeln!(err, "{error}");
            return 1;
        }
    };
    if global.has("version") {
        let version = env!("CARGO_PKG_VERSION");
        let _ = writeln!(
            out,
            "dhow-runtime version {version}\nspec: {}",
            oci::runtime::VERSION
        );
        return 0;
    }
    let Some((verb, rest)) = rest.split_first().filter(|_| !global.has("help")) else {
        let _ = out.write_all(HELP.as_bytes());
        return 0;
    };
    let log = Log::new(global.get("log"), global.get("log-format"));
    let store = Store::new(global.get("root").unwrap_or("/run/dhow-runtime"));
    let mut session = Session { store, out, log };
    let outcome = if global.has("systemd-cgroup") {
        Err(CliError::Usage("--systemd-cgroup is not supported yet".into()))
    } else if let Err(error) = protect::before(verb, again) {
        Err(error)
    } else {
        dispatch(verb, rest.to_vec(), &mut session)
    };
    outcome.unwrap_or_else(|error| {
        session.log.error(&error, err);
        error.exit_code()
    })
}

fn dispatch(verb: &str, rest: Vec<String>, session: &mut Session<'_>) -> Outcome {
    match verb {
        "create" => create::main(rest, session),
        "run" => run::main(rest, session),
        "start" => start::main(rest, session),
        "state" => state::main(rest, session),
        "kill" => kill::main(rest, session),
        "delete" => delete::main(rest, session),
        "list" => list::main(rest, session),
        "exec" => exec::main(rest, session),
        "spec" => spec::main(rest, session),
        "pause" => state::freeze(rest, session, true),
        "resume" => state::freeze(rest, session, false),
        "ps" => ps::main(rest, session),
        "features" => features::main(rest, session),
        "update" => update::main(rest, session),
        "events" => events::main(rest, session),
        "checkpoint" | "restore" => Err(CliError::Usage(format!("{verb} is not supported yet"))),
        other => Err(CliError::Usage(format!("No help topic for '{other}'"))),
    }
}

/// The only positional argument, an id.
fn only_id(rest: &[String]) -> Result<&str, CliError> {
    match rest {
        [id] => Ok(id),
        [] => Err(CliError::Usage("container id cannot be empty".into())),
        _ => Err(CliError::Usage("accepts exactly one container id".into())),
    }
}
