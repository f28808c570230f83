//! The command line of an OCI runtime, with runc's verbs and flags, one file per verb.
//!
//! State lives in `<root>/<id>/`: [`store`] says what. Nothing is printed here: verbs write to the streams they are given.

mod checkpoint;
mod create;
mod criu;
mod delete;
mod events;
mod exec;
mod features;
mod field;
mod filters;
mod flags;
mod kill;
mod limits;
mod list;
mod log;
mod notify;
mod protect;
mod ps;
mod restore;
mod run;
mod spec;
mod start;
mod state;
mod store;
mod terminal;
mod time;
mod update;
mod verb;

use std::ffi::CString;
use std::io::Write;

use crate::CompileError;
use flags::{Flag, Flags};
use log::Log;
use store::Store;
use verb::Verb;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// What a verb could not do, with the words that runc puts in front.
    #[error("{what} failed: {source}")]
    Failed {
        /// The verb, after this program's name where runc names itself.
        what: String,
        /// Why.
        source: Box<CliError>,
        /// The exit code.
        code: i32,
    },
    /// The file of a bundle does not describe a container.
    #[error("{path}: {field}: {source}")]
    Field {
        /// The file.
        path: String,
        /// The property, as `process.user.uid`.
        field: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
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

    /// runc gives 1 for everything but the failure of `exec`.
    fn exit_code(&self) -> i32 {
        match self {
            Self::Failed { code, .. } => *code,
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

/// What verbs get: where the state is, where to write, how cgroups are handled.
struct Session<'a> {
    store: Store,
    out: &'a mut dyn Write,
    log: Log,
    cgroups: limits::Manager,
    criu: String,
}

impl Session<'_> {
    /// Writes to standard output.
    fn print(&mut self, text: &str) -> Result<(), CliError> {
        self.out
            .write_all(text.as_bytes())
            .map_err(CliError::file("write"))
    }
}

const GLOBAL: &[Flag] = &[
    Flag::switch("debug", None, "also log what is done"),
    Flag::value("log", None, "file to log to (default: standard error)"),
    Flag::value("log-format", None, "format of the log: text (default) or json"),
    Flag::value(
        "root",
        None,
        "directory of the containers' state, best on a tmpfs",
    ),
    Flag::value(
        "criu",
        None,
        "the criu program, for checkpoint and restore (default: criu)",
    ),
    Flag::switch(
        "systemd-cgroup",
        None,
        "let systemd make the cgroups; cgroupsPath is then slice:prefix:name",
    ),
    Flag::value(
        "cgroup-manager",
        None,
        "crun's way to say it: cgroupfs (default), systemd, or disabled for no cgroup at all",
    ),
    Flag::value(
        "rootless",
        None,
        "go on where cgroups may not be made: true, false or auto (default)",
    ),
    Flag::switch("help", Some('h'), "show this help"),
    Flag::switch("version", Some('v'), "show the version"),
];

const VERBS: &[Verb] = &[
    checkpoint::VERB,
    create::VERB,
    delete::VERB,
    events::VERB,
    exec::VERB,
    features::VERB,
    kill::VERB,
    list::VERB,
    state::PAUSE,
    ps::VERB,
    restore::VERB,
    state::RESUME,
    run::VERB,
    spec::VERB,
    start::VERB,
    state::VERB,
    update::VERB,
];

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
            let _ = writeln!(out, "Incorrect Usage. {error}\n");
            verb::overview(out, VERBS, GLOBAL);
            Log::on_stderr().error(&error, err);
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
    let log = match Log::new(global.get("log"), global.get("log-format"), global.has("debug")) {
        Ok(log) => log,
        Err(error) => {
            Log::on_stderr().error(&error, err);
            return 1;
        }
    };
    let Some((name, rest)) = rest.split_first().filter(|_| !global.has("help")) else {
        verb::overview(out, VERBS, GLOBAL);
        return 0;
    };
    if matches!(name.as_str(), "help" | "h") {
        return help(rest.first(), &log, out, err);
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        log.error(&CliError::Usage(format!("No help topic for '{name}'")), err);
        return 3;
    };
    dispatch(verb, rest.to_vec(), &global, again, log, out, err)
}

fn help(name: Option<&String>, log: &Log, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let Some(name) = name else {
        verb::overview(out, VERBS, GLOBAL);
        return 0;
    };
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        log.error(&CliError::Usage(format!("No help topic for '{name}'")), err);
        return 3;
    };
    let _ = out.write_all(verb.help().as_bytes());
    0
}

fn dispatch(
    verb: &Verb,
    arguments: Vec<String>,
    global: &Flags,
    again: protect::Again,
    log: Log,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> i32 {
    let (flags, rest) = match verb.parse(arguments) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => {
            let _ = out.write_all(verb.help().as_bytes());
            return 0;
        }
        Err(error) => {
            let _ = writeln!(out, "Incorrect Usage: {error}\n\n{}", verb.help());
            log.error(&error, err);
            return 1;
        }
    };
    let manager = match limits::Manager::new(
        global.get("rootless"),
        global.has("systemd-cgroup"),
        global.get("cgroup-manager"),
    ) {
        Ok(manager) => manager,
        Err(error) => {
            log.error(&error, err);
            return 1;
        }
    };
    let mut session = Session {
        store: Store::new(&store::root(global.get("root"), manager.rootless())),
        out,
        log,
        cgroups: manager,
        criu: global.get("criu").unwrap_or("criu").to_owned(),
    };
    let outcome = protect::before(verb.name, again).and_then(|()| {
        session.log.debug(&format!("{} {rest:?}", verb.name));
        (verb.act)(&flags, &rest, &mut session)
    });
    outcome.unwrap_or_else(|error| {
        let error = failed(verb.name, error);
        session.log.error(&error, err);
        error.exit_code()
    })
}

/// The words that runc puts in front of the failures of some verbs.
fn failed(verb: &str, error: CliError) -> CliError {
    let (what, code) = match verb {
        "exec" => ("exec".to_owned(), 255),
        "create" | "run" | "restore" => (format!("{} {verb}", verb::PROGRAM), 1),
        _ => return error,
    };
    CliError::Failed {
        what,
        source: Box::new(error),
        code,
    }
}
