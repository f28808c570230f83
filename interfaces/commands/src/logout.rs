//! `dhow logout`.

use crate::app::App;
use crate::console;
use crate::credentials::{self, HUB};
use crate::failure::Outcome;
use crate::flags::Parsed;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[SERVER]",
    about: "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
    aliases: "",
    count: Count::Between(0, 1),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let (server, shown) = match args.arg(0) {
        "" => (HUB.to_owned(), HUB.to_owned()),
        given => (credentials::server_key(given), credentials::server_key(given)),
    };
    console::line(format!("Removing login credentials for {shown}"));
    if !credentials::erase(app, &server)? {
        console::line(format!("Not logged in to {shown}"));
    }
    Ok(())
}
