//! `dhow network disconnect`.

use api_types::network::DisconnectRequest;
use client::Body;

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] NETWORK CONTAINER",
    about: "Disconnect a container from a network",
    aliases: "",
    count: Count::Exactly(2),
    stop_early: false,
    flags: &[flag(
        "force",
        'f',
        Kind::Bool,
        "",
        "",
        "Force the container to disconnect from a network",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let request = DisconnectRequest {
        container: args.arg(1).to_owned(),
        force: args.on("force"),
    };
    Ok(app
        .client()?
        .network_member(args.arg(0), "disconnect", Body::json(&request)?)
        .await?)
}
