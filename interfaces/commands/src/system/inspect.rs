//! `dhow inspect`: an object of any kind.

use client::ClientError;

use crate::app::App;
use crate::failure::{Failure, Outcome, Problems};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::inspect;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] NAME|ID [NAME|ID...]",
    about: "Return low-level information on Docker objects",
    aliases: "",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[
        recurring::FORMAT_OBJECT,
        flag(
            "size",
            's',
            Kind::Bool,
            "",
            "",
            "Display total file sizes if the type is container",
        ),
        flag(
            "type",
            '\0',
            Kind::Text,
            "string",
            "",
            "Only inspect objects of the given type",
        ),
    ],
    run: run!(execute),
};

/// The kinds, in the order in which they are tried.
const KINDS: &[&str] = &["container", "image", "network", "volume"];
const LATER: &[&str] = &["service", "task", "node", "plugin", "secret", "config"];

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let kind = args.text("type");
    if args.has("type") && kind.is_empty() {
        return Err(Failure::new(
            "type is empty: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\"",
        ));
    }
    if LATER.contains(&kind) {
        return Err(Failure::new(format!(
            "inspecting a {kind} is not available in this version of dhow"
        )));
    }
    if !kind.is_empty() && !KINDS.contains(&kind) {
        return Err(Failure::new(format!(
            "unknown type: {kind:?}: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\""
        )));
    }
    let shape = inspect::parse(args.text("format"))?;
    let size = args.on("size");
    let (mut found, mut problems) = (Vec::new(), Problems::default());
    for name in &args.args {
        match look(app, kind, name, size).await {
            Ok(Some(reply)) => found.push(App::json(&reply)?),
            Ok(None) => problems.note(format!("Error: No such object: {name}")),
            Err(error) => {
                let away = error.is_lost_connection();
                problems.note(error);
                if away {
                    break;
                }
            }
        }
    }
    inspect::show(&found, &shape)?;
    problems.outcome()
}

async fn look(app: &App, kind: &str, name: &str, size: bool) -> Result<Option<Vec<u8>>, ClientError> {
    let client = app.client().map_err(|f| ClientError::BadHost(f.message))?;
    for tried in KINDS.iter().filter(|k| kind.is_empty() || **k == kind) {
        let reply = match *tried {
            "container" => client.container_inspect(name, size).await,
            "image" => client.image_inspect(name, "").await,
            "network" => client.network_inspect(name, false).await,
            _ => client.volume_inspect(name).await,
        };
        match reply {
            Ok(reply) => return Ok(Some(reply)),
            // What cannot be a name of one kind may be one of another.
            Err(error) if kind.is_empty() && (error.is_not_found() || error.status() == Some(400)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
