//! `dhow trust key generate`.

use std::path::{Path, PathBuf};

use signatures::PrivateKey;

use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};
use crate::trust::keys::{self, Keys};
use crate::{console, streams};

pub(crate) static COMMAND: Command = Command {
    usage: "NAME",
    about: "Generate and load a signing key-pair",
    aliases: "",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[flag(
        "dir",
        '\0',
        Kind::Text,
        "string",
        "",
        "Directory to generate key in, defaults to current directory",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let name = args.arg(0);
    keys::check_name(name)?;
    let folder = match args.text("dir") {
        "" => PathBuf::from("."),
        folder => PathBuf::from(folder),
    };
    let public = folder.join(format!("{name}.pub"));
    if public.exists() {
        return Err(Failure::new(format!(
            "public key file already exists: \"{}\"",
            public.display()
        )));
    }
    console::line(format!("Generating key for {name}..."));
    let secret = keys::passphrase(name, true)?;
    let key = loop {
        // One try in 2^32 is none.
        if let Ok(key) = PrivateKey::from_random(keys::random()?) {
            break key;
        }
    };
    let sealed = key
        .to_pem(secret.as_bytes(), &keys::random()?)
        .map_err(|error| Failure::new(error.to_string()))?;
    Keys::of(app).keep(name, &sealed, &key.public())?;
    write(&public, &key.public().to_pem())?;
    console::line(format!(
        "Successfully generated and loaded private key. Corresponding public key available: {}",
        public.display()
    ));
    Ok(())
}

fn write(path: &Path, text: &str) -> Outcome {
    std::fs::write(path, text).map_err(|error| {
        Failure::new(format!(
            "cannot write {}: {}",
            path.display(),
            streams::cause(&error)
        ))
    })
}
