//! `dhow trust signer add`.

use std::path::Path;

use signatures::PublicKey;

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};
use crate::trust::keys::{self, Keys};
use crate::trust::reference;

pub(crate) static COMMAND: Command = Command {
    usage: "OPTIONS NAME REPOSITORY [REPOSITORY...]",
    about: "Add a signer",
    aliases: "",
    count: Count::AtLeast(2),
    stop_early: false,
    flags: &[flag(
        "key",
        '\0',
        Kind::List,
        "list",
        "",
        "Path to the signer's public key file",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let signer = args.arg(0);
    keys::check_name(signer)?;
    let [path] = args.all("key").try_into().map_err(|given: Vec<String>| {
        Failure::new(match given.is_empty() {
            true => "path to a public key must be provided using the `--key` flag",
            false => "a signer has one key: give other keys to signers of other names",
        })
    })?;
    let key = PublicKey::from_pem(&keys::read(Path::new(&path))?)
        .map_err(|error| Failure::new(format!("could not parse public key from file: {path}: {error}")))?;
    let store = Keys::of(app);
    let mut signers = store.signers()?;
    for text in &args.args[1..] {
        let repository = reference(text)?;
        console::line(format!("Adding signer \"{signer}\" to {text}..."));
        let known = signers.entry(repository.name()).or_default();
        known.insert(signer.to_owned(), key.to_pem());
    }
    store.set_signers(&signers)?;
    for text in &args.args[1..] {
        console::line(format!("Successfully added signer: {signer} to {text}"));
    }
    Ok(())
}
