//! `dhow manifest`: lists of images for several platforms, put together here and pushed. One file per command.
//!
//! The lists lie where docker keeps them and in its form ([`store`]), so that either command goes on where the other one
//! stopped. Registries are asked by the daemon.

pub(crate) mod annotate;
pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod push;
pub(crate) mod rm;
mod store;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::{ClientError, Document, Remote};
use oci::digest::Digest;
use oci::image::{Descriptor, Index, Manifest, media_type};
use oci::platform::Platform;
use oci::reference::Reference;

use crate::app::App;
use crate::credentials;
use crate::failure::Failure;
use store::Member;

fn reference(text: &str) -> Result<Reference, Failure> {
    let name = Reference::parse_normalized(text).map_err(|e| Failure::new(e.to_string()))?;
    Ok(match name.is_name_only() {
        true => name.tag_or_latest(),
        false => name,
    })
}

/// The name and who asks, as the daemon wants it.
pub(crate) fn remote(app: &App, name: &Reference, insecure: bool) -> Result<Remote, Failure> {
    Ok(Remote {
        login: credentials::header_for(app, &name.name())?,
        name: name.to_string(),
        insecure,
    })
}

/// Docker's words for a name that a registry does not know.
fn absent(error: ClientError, name: &Reference) -> Failure {
    match error.status() {
        Some(404) => Failure::new(format!("no such manifest: {}", name.familiar())),
        _ => error.into(),
    }
}

fn broken(name: &Reference, error: impl std::fmt::Display) -> Failure {
    Failure::new(format!(
        "the manifest of {} cannot be read: {error}",
        name.familiar()
    ))
}

/// What a registry has under a name.
enum Found {
    One(Box<Member>),
    Several(Index),
}

/// Looks a name up; a member comes with its platform, which its configuration tells.
async fn look_up(app: &App, name: &Reference, insecure: bool) -> Result<Found, Failure> {
    let remote = remote(app, name, insecure)?;
    let found = app.client()?.remote_manifest(&remote).await;
    let document = found.map_err(|error| absent(error, name))?;
    if matches!(
        document.media_type.as_str(),
        media_type::DOCKER_LIST | media_type::OCI_INDEX
    ) {
        let index = serde_json::from_slice(&document.bytes).map_err(|e| broken(name, e))?;
        return Ok(Found::Several(index));
    }
    let member = member(app, name, name.to_string(), &remote, document, None).await?;
    Ok(Found::One(Box::new(member)))
}

async fn member(
    app: &App,
    name: &Reference,
    label: String,
    remote: &Remote,
    document: Document,
    known: Option<Platform>,
) -> Result<Member, Failure> {
    let manifest: Manifest = serde_json::from_slice(&document.bytes).map_err(|e| broken(name, e))?;
    let platform = match known {
        Some(platform) => platform,
        None => {
            let digest = manifest.config.digest.to_string();
            let config = app.client()?.remote_blob(remote, &digest).await?;
            // Artifacts have configurations without platform: then all stays empty, as in docker.
            let said: Platform = serde_json::from_slice(&config).unwrap_or_default();
            let some = |text: Option<String>| text.filter(|text| !text.is_empty());
            Platform {
                variant: some(said.variant),
                os_version: some(said.os_version),
                ..said
            }
        }
    };
    let digest: Digest = document.digest.parse().map_err(|e| broken(name, e))?;
    let size = document.bytes.len() as u64;
    let body = serde_json::from_slice(&document.bytes).map_err(|e| broken(name, e))?;
    let oci = document.media_type == media_type::OCI_MANIFEST;
    let (docker_form, oci_form) = if oci {
        (None, Some(body))
    } else {
        (Some(body), None)
    };
    Ok(Member {
        name: label,
        descriptor: Descriptor {
            platform: Some(platform),
            ..Descriptor::new(&document.media_type, digest, size)
        },
        raw: STANDARD.encode(&document.bytes),
        docker_form,
        oci_form,
    })
}
