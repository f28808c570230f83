//! `dhow attach`.

use client::{AttachOptions, WaitCondition};

use super::run::detach_keys;
use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::streams::{self, Pump, Session, Target};
use crate::template::Value;
use crate::tree::{Command, Count, run};
use crate::units;

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTAINER",
    about: "Attach local standard input, output, and error streams to a running container",
    aliases: "container attach, attach",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[
        recurring::DETACH_KEYS,
        flag("no-stdin", '\0', Kind::Bool, "", "", "Do not attach STDIN"),
        flag(
            "sig-proxy",
            '\0',
            Kind::Bool,
            "",
            "true",
            "Proxy all received signals to the process",
        ),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let container = App::json(&client.container_inspect(args.arg(0), false).await?)?;
    let yes = |path: &[&str]| matches!(container.at(path), Value::Bool(true));
    if !yes(&["State", "Running"]) {
        return Err(Failure::new(
            "cannot attach to a stopped container, start it first",
        ));
    }
    if yes(&["State", "Paused"]) {
        return Err(Failure::new(
            "cannot attach to a paused container, unpause it first",
        ));
    }
    if yes(&["State", "Restarting"]) {
        return Err(Failure::new(
            "cannot attach to a restarting container, wait until it is running",
        ));
    }
    let tty = yes(&["Config", "Tty"]);
    let stdin = !args.on("no-stdin") && yes(&["Config", "OpenStdin"]);
    if tty && stdin && !streams::is_terminal(0) {
        return Err(Failure::new("the input device is not a TTY"));
    }
    let keys = detach_keys(app, args.text("detach-keys"));
    streams::check_keys(&keys).map_err(Failure::new)?;
    let id = container.str_at("Id").to_owned();
    // Begun before the attach, so that an end between the two is not missed.
    let wait = client.container_wait(&id, WaitCondition::NotRunning).await?;
    let join = AttachOptions {
        stream: true,
        stdin,
        stdout: true,
        stderr: true,
        logs: false,
        detach_keys: keys.clone(),
    };
    let hijacked = client.container_attach(&id, &join).await?;
    let pump = Pump { tty, stdin, keys };
    let proxy = args.on("sig-proxy") && !tty;
    let session = Session::begin(client, Target::Container(id.clone()), hijacked, pump, proxy);
    session.resize().await;
    match session.finish(wait, units::short_id(&id)).await? {
        Some(0) => Ok(()),
        Some(code) => Err(Failure::exit(code)),
        None => Err(Failure::new("read escape sequence")),
    }
}
