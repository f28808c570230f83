//! `dhow trust`: signatures of images in sigstore's form, which cosign and skopeo make and check, too. One file per command.
//!
//! Signatures lie at the registry beside the images. Keys lie here, below `~/.docker/trust/sigstore` ([`keys`]): our own to
//! sign with, and others' public ones with the repositories that they are trusted for.

pub(crate) mod inspect;
pub(crate) mod key;
mod keys;
pub(crate) mod revoke;
pub(crate) mod sign;
pub(crate) mod signer;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::ClientError;
use oci::digest::Digest;
use oci::reference::Reference;
use signatures::{Found, place};

use crate::app::App;
use crate::failure::Failure;
use crate::manifest::remote;
use keys::Keys;

pub(crate) use sign::sign;

/// What a name stands for at its registry, and who signed that.
pub(crate) struct Trusted {
    /// Of the manifest.
    pub(crate) digest: Digest,
    /// Names of the keys that signed it, of those that are known for the repository.
    pub(crate) signers: Vec<String>,
    /// All signatures, of known keys or not.
    count: usize,
}

pub(crate) fn reference(text: &str) -> Result<Reference, Failure> {
    Reference::parse_docker(text).map_err(|error| Failure::new(error.to_string()))
}

/// Looks a name up; `None` if the registry does not know it.
pub(crate) async fn look_up(app: &App, name: &Reference) -> Result<Option<Trusted>, Failure> {
    let client = app.client()?;
    let remote = remote(app, name, false)?;
    let digest = match client.remote_manifest(&remote).await {
        Ok(document) => document.digest,
        Err(error) if error.status() == Some(404) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let digest: Digest = digest
        .parse()
        .map_err(|_| Failure::new(format!("unexpected reply: {digest:?} is no digest")))?;
    let found: Vec<Found> = client
        .remote_signatures(&remote)
        .await?
        .into_iter()
        .filter_map(|one| {
            Some(Found {
                payload: STANDARD.decode(one.payload).ok()?,
                signature: one.signature,
            })
        })
        .collect();
    let known = Keys::of(app).known(name)?;
    let signed = |key| {
        found
            .iter()
            .any(|one| signatures::check(one, key, name, &digest).is_ok())
    };
    let signers = known
        .iter()
        .filter(|(_, key)| signed(key))
        .map(|(signer, _)| signer.clone())
        .collect();
    Ok(Some(Trusted {
        digest,
        signers,
        count: found.len(),
    }))
}

/// The digest of what a name stands for, if somebody signed it whom we trust for that.
pub(crate) async fn resolve(app: &App, name: &Reference) -> Result<Digest, Failure> {
    let refused = |why: &str| {
        Err(Failure::new(format!(
            "Error: remote trust data does not exist for {}: {why}",
            name.familiar()
        )))
    };
    match look_up(app, name).await? {
        None => refused("the registry has no such image"),
        Some(found) if !found.signers.is_empty() => Ok(found.digest),
        Some(found) if found.count == 0 => refused("it has no signature"),
        Some(_) => {
            refused("none of its signatures is by a key that is trusted for it (see 'dhow trust signer add')")
        }
    }
}

/// Every tag of a repository that is no signature itself.
async fn tags(app: &App, repository: &Reference) -> Result<Vec<String>, Failure> {
    let remote = remote(app, &repository.without_tag_and_digest(), false)?;
    let all = match app.client()?.remote_tags(&remote).await {
        Ok(tags) => tags,
        Err(error) if error.status() == Some(404) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    Ok(all.into_iter().filter(|tag| !place::is_beside(tag)).collect())
}

/// The names that an argument means: one tag, or every tag of the repository.
async fn meant(app: &App, text: &str) -> Result<Vec<Reference>, Failure> {
    let name = Reference::parse_normalized(text).map_err(|error| Failure::new(error.to_string()))?;
    if !name.is_name_only() {
        return Ok(vec![name]);
    }
    let tags = tags(app, &name).await?;
    let with = |tag: String| {
        name.with_tag(&tag)
            .map_err(|error| Failure::new(error.to_string()))
    };
    tags.into_iter().map(with).collect()
}

/// Removes a manifest that need not be there; whether it was.
async fn remove(app: &App, name: &Reference) -> Result<bool, Failure> {
    let removed: Result<(), ClientError> = app
        .client()?
        .delete_remote_manifest(&remote(app, name, false)?)
        .await;
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.status() == Some(404) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
