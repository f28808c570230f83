//! `dhow logs`.

use client::LogsOptions;
use client::frames::Splitter;

use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};
use crate::{console, units};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTAINER",
    about: "Fetch the logs of a container",
    aliases: "container logs, logs",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[
        flag(
            "details",
            '\0',
            Kind::Bool,
            "",
            "",
            "Show extra details provided to logs",
        ),
        flag("follow", 'f', Kind::Bool, "", "", "Follow log output"),
        flag(
            "since",
            '\0',
            Kind::Text,
            "string",
            "",
            "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
        ),
        flag(
            "tail",
            'n',
            Kind::Text,
            "string",
            "\"all\"",
            "Number of lines to show from the end of the logs",
        ),
        flag("timestamps", 't', Kind::Bool, "", "", "Show timestamps"),
        flag(
            "until",
            '\0',
            Kind::Text,
            "string",
            "",
            "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
        ),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let moment = |name: &str| {
        units::moment(args.text(name)).map_err(|e| Failure::new(format!("invalid value for {name:?}: {e}")))
    };
    let options = LogsOptions {
        stdout: true,
        stderr: true,
        follow: args.on("follow"),
        timestamps: args.on("timestamps"),
        details: args.on("details"),
        since: moment("since")?,
        until: moment("until")?,
        tail: if args.has("tail") {
            args.text("tail").to_owned()
        } else {
            "all".to_owned()
        },
    };
    let container = App::json(&client.container_inspect(args.arg(0), false).await?)?;
    let tty = matches!(
        container.at(&["Config", "Tty"]),
        crate::template::Value::Bool(true)
    );
    let id = container.str_at("Id");
    let mut reply = client
        .container_logs(if id.is_empty() { args.arg(0) } else { id }, &options)
        .await?;
    let (mut splitter, mut out, mut err) = (Splitter::default(), std::io::stdout(), std::io::stderr());
    while let Some(chunk) = reply.chunk().await? {
        if tty {
            console::bytes(&chunk);
        } else {
            let fed = splitter
                .feed(&chunk, &mut out, &mut err)
                .and_then(|()| std::io::Write::flush(&mut out));
            match fed {
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                other => other.map_err(|e| Failure::new(e.to_string()))?,
            }
        }
    }
    Ok(())
}
