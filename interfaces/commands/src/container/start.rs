//! `dhow start`.

use client::{AttachOptions, WaitCondition};

use super::run::detach_keys;
use crate::app::App;
use crate::failure::{Failure, Outcome, Problems};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::streams::{self, Pump, Session, Target};
use crate::template::Value;
use crate::tree::{Command, Count, run};
use crate::{console, units};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Start one or more stopped containers",
    aliases: "container start, start",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[
        flag(
            "attach",
            'a',
            Kind::Bool,
            "",
            "",
            "Attach STDOUT/STDERR and forward signals",
        ),
        flag(
            "checkpoint",
            '\0',
            Kind::Text,
            "string",
            "",
            "Restore from this checkpoint",
        ),
        flag(
            "checkpoint-dir",
            '\0',
            Kind::Text,
            "string",
            "",
            "Use a custom checkpoint storage directory",
        ),
        recurring::DETACH_KEYS,
        flag("interactive", 'i', Kind::Bool, "", "", "Attach container's STDIN"),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    if args.on("attach") || args.on("interactive") {
        return attached(app, args).await;
    }
    let client = app.client()?;
    let keys = detach_keys(app, args.text("detach-keys"));
    let (checkpoint, dir) = (args.text("checkpoint"), args.text("checkpoint-dir"));
    if !checkpoint.is_empty() && args.args.len() > 1 {
        return Err(Failure::new("you cannot restore multiple containers at once"));
    }
    let mut problems = Problems::default();
    let mut failed = Vec::new();
    for name in &args.args {
        match client.container_start(name, &keys, checkpoint, dir).await {
            Ok(()) => console::line(name),
            Err(error) => {
                console::error(error.to_string());
                failed.push(name.clone());
            }
        }
    }
    if !failed.is_empty() {
        problems.note(format!(
            "Error: failed to start containers: {}",
            failed.join(", ")
        ));
    }
    problems.outcome()
}

async fn attached(app: &App, args: &Parsed) -> Outcome {
    let [name] = args.args.as_slice() else {
        return Err(Failure::new(
            "you cannot start and attach multiple containers at once",
        ));
    };
    let client = app.client()?;
    let container = App::json(&client.container_inspect(name, false).await?)?;
    let yes = |path: &[&str]| matches!(container.at(path), Value::Bool(true));
    let tty = yes(&["Config", "Tty"]);
    let stdin = args.on("interactive") && yes(&["Config", "OpenStdin"]);
    let keys = detach_keys(app, args.text("detach-keys"));
    streams::check_keys(&keys).map_err(Failure::new)?;
    let id = container.str_at("Id").to_owned();
    let join = AttachOptions {
        stream: true,
        stdin,
        stdout: true,
        stderr: true,
        logs: false,
        detach_keys: keys.clone(),
    };
    let hijacked = client.container_attach(&id, &join).await?;
    let condition = match yes(&["HostConfig", "AutoRemove"]) {
        true => WaitCondition::Removed,
        false => WaitCondition::NextExit,
    };
    let wait = client.container_wait(&id, condition).await?;
    let pump = Pump { tty, stdin, keys };
    let proxy = !tty;
    let session = Session::begin(client, Target::Container(id.clone()), hijacked, pump, proxy);
    client
        .container_start(&id, "", args.text("checkpoint"), args.text("checkpoint-dir"))
        .await?;
    session.resize().await;
    match session.finish(wait, units::short_id(&id)).await? {
        Some(0) => Ok(()),
        Some(code) => Err(Failure::exit(code)),
        None => Ok(()),
    }
}
