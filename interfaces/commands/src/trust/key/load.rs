//! `dhow trust key load`.

use std::path::Path;

use signatures::PrivateKey;

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};
use crate::trust::keys::{self, Keys};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] KEYFILE",
    about: "Load a private key file for signing",
    aliases: "",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[flag(
        "name",
        '\0',
        Kind::Text,
        "string",
        "\"signer\"",
        "Name for the loaded key",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let path = args.arg(0);
    let name = match args.text("name") {
        "" => "signer",
        name => name,
    };
    keys::check_name(name)?;
    console::line(format!("Loading key from \"{path}\"..."));
    let text = keys::read(Path::new(path))?;
    let failed = |error: signatures::SignatureError| Failure::new(format!("could not load {path}: {error}"));
    let sealed = PrivateKey::is_sealed(&text);
    let secret = keys::passphrase(name, !sealed)?;
    let key = PrivateKey::from_pem(&text, secret.as_bytes()).map_err(failed)?;
    let kept = match sealed {
        true => text,
        false => key.to_pem(secret.as_bytes(), &keys::random()?).map_err(failed)?,
    };
    Keys::of(app).keep(name, &kept, &key.public())?;
    console::line(format!("Successfully imported key from {path}"));
    Ok(())
}
