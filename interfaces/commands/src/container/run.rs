//! `dhow run`.

use client::{AttachOptions, ClientError, WaitCondition};

use super::{create, options};
use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, joined, recurring};
use crate::streams::{self, Pump, Session, Target};
use crate::tree::{Command, Count, run};
use crate::{console, units};

#[rustfmt::skip] // One line per flag: it is a table.
pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create and run a new container from an image",
    aliases: "container run, run",
    count: Count::AtLeast(1),
    stop_early: true,
    flags: &joined::<{ options::FLAGS.len() + 4 }>(options::FLAGS, &[
        flag("detach", 'd', Kind::Bool, "", "", "Run container in background and print container ID"),
        recurring::DETACH_KEYS,
        flag("pull", '\0', Kind::Text, "string", "\"missing\"", "Pull image before running (\"always\", \"missing\", \"never\")"),
        flag("sig-proxy", '\0', Kind::Bool, "", "true", "Proxy received signals to the process"),
    ]),
    run: run!(execute),
};

pub(crate) async fn execute(app: &App, args: &Parsed) -> Outcome {
    let usage = |message: &str| app.usage_error(message, 125);
    let mut request = options::request(args).map_err(|e| create::refused(app, &COMMAND, &e))?;
    let detach = args.on("detach");
    if detach && args.has("attach") {
        return Err(Failure::new(
            "conflicting options: cannot specify both --attach and --detach",
        ));
    }
    let (tty, keys) = (request.config.tty, detach_keys(app, args.text("detach-keys")));
    streams::check_keys(&keys).map_err(Failure::new)?;
    if tty && request.config.attach_stdin && !streams::is_terminal(0) {
        return Err(Failure::new("the input device is not a TTY"));
    }
    if streams::is_terminal(1) {
        let (height, width) = streams::size();
        request.host_config.console_size = [u32::from(height), u32::from(width)];
    }
    let client = app.client().map_err(|e| usage(&e.message))?;
    let id = create::create(app, args, &request)
        .await
        .map_err(|e| usage(&e.message))?;
    let attached = !detach
        && (request.config.attach_stdin || request.config.attach_stdout || request.config.attach_stderr);
    if !attached {
        start(app, &id, "").await?;
        console::line(&id);
        return Ok(());
    }
    let join = AttachOptions {
        stream: true,
        stdin: request.config.attach_stdin,
        stdout: request.config.attach_stdout,
        stderr: request.config.attach_stderr,
        logs: false,
        detach_keys: keys.clone(),
    };
    let hijacked = client
        .container_attach(&id, &join)
        .await
        .map_err(|e| usage(&e.to_string()))?;
    let condition = if request.host_config.auto_remove {
        WaitCondition::Removed
    } else {
        WaitCondition::NextExit
    };
    let wait = client
        .container_wait(&id, condition)
        .await
        .map_err(|e| usage(&e.to_string()))?;
    let pump = Pump {
        tty,
        stdin: join.stdin,
        keys,
    };
    let proxy = args.on("sig-proxy");
    let session = Session::begin(client, Target::Container(id.clone()), hijacked, pump, proxy);
    if let Err(failure) = start(app, &id, "").await {
        drop(session);
        if request.host_config.auto_remove {
            // The daemon removes it; what its exit status was does not matter any more.
            let _ = client.wait_result(wait).await;
        }
        return Err(failure);
    }
    session.resize().await;
    let name = args.text("name");
    let name = if name.is_empty() {
        units::short_id(&id)
    } else {
        name
    };
    match session.finish(wait, name).await? {
        Some(0) => Ok(()),
        Some(code) => Err(Failure::exit(code)),
        None => Ok(()),
    }
}

/// Starts it; the exit code of a failure says whether the program was missing (127), not executable (126), or something
/// else went wrong (125).
async fn start(app: &App, id: &str, keys: &str) -> Outcome {
    app.client()?
        .container_start(id, keys, "", "")
        .await
        .map_err(|error| app.usage_error(error.to_string(), start_code(&error)))
}

fn start_code(error: &ClientError) -> i32 {
    let text = error.to_string();
    let says = |part: &str| text.contains(part);
    if says("executable file not found") || says("no such file or directory") {
        127
    } else if says("permission denied") || says("is a directory") {
        126
    } else {
        125
    }
}

/// `--detach-keys`, or the setting.
pub(super) fn detach_keys(app: &App, given: &str) -> String {
    app.format(given, "detachKeys").to_owned()
}
