//! `dhow trust sign`.

use std::time::{SystemTime, UNIX_EPOCH};

use oci::image::Manifest;
use oci::reference::Reference;
use signatures::{Claim, PrivateKey, place};

use super::keys::Keys;
use super::reference;
use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::image::transfer;
use crate::manifest::remote;
use crate::tree::{Command, Count, run};
use crate::{console, credentials};

#[rustfmt::skip] // One line per flag: it is a table.
pub(crate) static COMMAND: Command = Command {
    usage: "IMAGE:TAG",
    about: "Sign an image",
    aliases: "",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[
        flag("key", '\0', Kind::Text, "string", "", "Name of the key to sign with, if there are several"),
        flag("local", '\0', Kind::Bool, "", "", "Sign a locally tagged image"),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let name = Reference::parse_normalized(args.arg(0)).map_err(|error| Failure::new(error.to_string()))?;
    if name.tag().is_none() || name.digest().is_some() {
        return Err(Failure::new("No tag specified for ".to_owned() + args.arg(0)));
    }
    let key = chosen(app, args.text("key"))?;
    if args.on("local") || super::look_up(app, &name).await?.is_none() {
        console::line(format!(
            "Signing and pushing trust data for local image {}, may overwrite remote trust data",
            name.familiar()
        ));
        let login = credentials::header_for(app, &name.name())?;
        let tag = name.tag().unwrap_or_default();
        let reply = app.client()?.image_push(&name.name(), tag, "", &login).await?;
        transfer::show(reply, false, transfer::Output::Out).await?;
    }
    let private = Keys::of(app).open(&key)?;
    attach(app, &name, &private).await
}

/// Signs what a name stands for at its registry, with our only key or the one that `name_of_key` names.
pub(crate) async fn sign(app: &App, text: &str, name_of_key: &str) -> Outcome {
    let name = reference(text)?;
    let private = Keys::of(app).open(&chosen(app, name_of_key)?)?;
    attach(app, &name, &private).await
}

fn chosen(app: &App, wanted: &str) -> Result<String, Failure> {
    let own = Keys::of(app).own()?;
    match own.as_slice() {
        [] => Err(Failure::new(
            "there is no key to sign with: make one with 'dhow trust key generate NAME'",
        )),
        _ if !wanted.is_empty() => match own.iter().any(|name| name == wanted) {
            true => Ok(wanted.to_owned()),
            false => Err(Failure::new(format!(
                "there is no key {wanted}: there are {}",
                own.join(", ")
            ))),
        },
        [one] => Ok(one.clone()),
        _ => Err(Failure::new(format!(
            "there are several keys ({}): choose one with 'dhow trust sign --key NAME'",
            own.join(", ")
        ))),
    }
}

/// Puts a signature beside the image. Others' stay where they are; two who sign at the same moment may lose one of both.
async fn attach(app: &App, name: &Reference, key: &PrivateKey) -> Outcome {
    let client = app.client()?;
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Failure::new(format!("failed to sign {}: {what}: {error}", name.familiar()))
    };
    let document = client.remote_manifest(&remote(app, name, false)?).await?;
    let digest = document
        .digest
        .parse()
        .map_err(|error| failed("its digest", &error))?;
    let place_of = name
        .without_tag_and_digest()
        .with_tag(&place::tag(&digest))
        .map_err(|error| failed("the signature's tag", &error))?;
    let place_of = remote(app, &place_of, false)?;
    let mut layers = match client.remote_manifest(&place_of).await {
        Ok(there) => {
            let there: Manifest = serde_json::from_slice(&there.bytes)
                .map_err(|error| failed("the signatures that are there", &error))?;
            there.layers
        }
        Err(error) if error.status() == Some(404) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let creator = concat!("dhow ", env!("CARGO_PKG_VERSION"));
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let payload = Claim::new(name, &digest, creator, seconds).to_json();
    let layer = place::layer(&payload, key.sign(&payload));
    client
        .put_remote_blob(&place_of, &layer.digest.to_string(), payload)
        .await?;
    layers.push(layer);
    if layers.len() > place::MOST {
        return Err(failed(
            "there are too many signatures of it already",
            &format!("more than {} are not looked at", place::MOST),
        ));
    }
    let (config, manifest) = place::image(layers);
    client
        .put_remote_blob(&place_of, &manifest.config.digest.to_string(), config)
        .await?;
    let text = serde_json::to_vec(&manifest).map_err(|error| failed("the manifest", &error))?;
    client
        .put_remote_manifest(&place_of, &manifest.media_type, text, "")
        .await?;
    console::line(format!("Successfully signed {name}"));
    Ok(())
}
