//! `dhow exec`.

use api_types::exec::{CreateRequest, StartRequest};

use super::options;
use super::run::detach_keys;
use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::streams::{self, Ending, Pump, Session, Target};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
    about: "Execute a command in a running container",
    aliases: "container exec, exec",
    count: Count::AtLeast(2),
    stop_early: true,
    flags: &[
        flag(
            "detach",
            'd',
            Kind::Bool,
            "",
            "",
            "Detached mode: run command in the background",
        ),
        recurring::DETACH_KEYS,
        flag("env", 'e', Kind::List, "list", "", "Set environment variables"),
        flag(
            "env-file",
            '\0',
            Kind::List,
            "list",
            "",
            "Read in a file of environment variables",
        ),
        flag(
            "interactive",
            'i',
            Kind::Bool,
            "",
            "",
            "Keep STDIN open even if not attached",
        ),
        flag(
            "privileged",
            '\0',
            Kind::Bool,
            "",
            "",
            "Give extended privileges to the command",
        ),
        flag("tty", 't', Kind::Bool, "", "", "Allocate a pseudo-TTY"),
        flag(
            "user",
            'u',
            Kind::Text,
            "string",
            "",
            "Username or UID (format: \"<name|uid>[:<group|gid>]\")",
        ),
        flag(
            "workdir",
            'w',
            Kind::Text,
            "string",
            "",
            "Working directory inside the container",
        ),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let (detach, tty) = (args.on("detach"), args.on("tty"));
    let stdin = args.on("interactive") && !detach;
    let keys = detach_keys(app, args.text("detach-keys"));
    streams::check_keys(&keys).map_err(Failure::new)?;
    if tty && stdin && !streams::is_terminal(0) {
        return Err(Failure::new("the input device is not a TTY"));
    }
    let console_size = (tty && streams::is_terminal(1)).then(|| {
        let (height, width) = streams::size();
        [u32::from(height), u32::from(width)]
    });
    let request = CreateRequest {
        user: args.text("user").to_owned(),
        privileged: args.on("privileged"),
        tty,
        console_size,
        attach_stdin: stdin,
        attach_stdout: !detach,
        attach_stderr: !detach,
        detach,
        detach_keys: keys.clone(),
        env: options::environment(&args.all("env"), &args.all("env-file")).map_err(Failure::new)?,
        working_dir: args.text("workdir").to_owned(),
        cmd: Some(args.args[1..].to_vec()),
    };
    let id = client.exec_create(args.arg(0), &request).await?;
    if id.is_empty() {
        return Err(Failure::new("exec ID empty"));
    }
    let start = StartRequest {
        detach,
        tty,
        console_size,
    };
    if detach {
        return Ok(client.exec_start(&id, &start).await?);
    }
    let hijacked = client.exec_attach(&id, &start).await.map_err(|e| {
        let code = if e.to_string().contains("not found") {
            127
        } else {
            126
        };
        Failure::new(e.to_string()).code(if e.status() == Some(400) { code } else { 1 })
    })?;
    let pump = Pump { tty, stdin, keys };
    let mut session = Session::begin(client, Target::Exec(id.clone()), hijacked, pump, false);
    session.resize().await;
    let ending = session.streams().await?;
    drop(session);
    if ending == Ending::Detached {
        return Err(Failure::new("read escape sequence"));
    }
    match client.exec_inspect(&id).await?.exit_code {
        Some(0) | None => Ok(()),
        Some(code) => Err(Failure::exit(code as i32)),
    }
}
