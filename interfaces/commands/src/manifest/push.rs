//! `dhow manifest push`.

use oci::digest::Digest;
use oci::image::{Descriptor, media_type};
use oci::platform::Platform;
use oci::reference::Reference;
use serde::Serialize;

use super::store::Store;
use super::{reference, remote};
use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] MANIFEST_LIST",
    about: "Push a manifest list to a repository",
    aliases: "",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[
        recurring::INSECURE,
        flag(
            "purge",
            'p',
            Kind::Bool,
            "",
            "",
            "Remove the local manifest list after push",
        ),
    ],
    run: run!(execute),
};

/// A list as docker writes it: the order of the fields decides over its digest.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    media_type: &'a str,
    size: u64,
    digest: &'a Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'a Platform>,
}

/// What the list is: as in docker, its first image decides.
fn list_type(entries: &[Descriptor]) -> &'static str {
    match entries.first() {
        Some(first) if first.media_type == media_type::OCI_MANIFEST => media_type::OCI_INDEX,
        _ => media_type::DOCKER_LIST,
    }
}

/// The text of a list of these images.
pub(super) fn list_text(entries: &[Descriptor]) -> Result<Vec<u8>, Failure> {
    let list = List {
        schema_version: 2,
        media_type: list_type(entries),
        manifests: entries
            .iter()
            .map(|entry| Entry {
                media_type: &entry.media_type,
                size: entry.size,
                digest: &entry.digest,
                platform: entry.platform.as_ref(),
            })
            .collect(),
    };
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    let mut text = Vec::new();
    list.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))
        .map_err(|e| Failure::new(e.to_string()))?;
    Ok(text)
}

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let list = reference(args.arg(0))?;
    let insecure = args.on("insecure");
    let store = Store::of(app);
    let members = store.members(&list)?.filter(|members| !members.is_empty());
    let Some(members) = members else {
        return Err(Failure::new(format!("No such manifest: {}", list.familiar())));
    };
    let client = app.client()?;
    let mut parts = Vec::new();
    for member in &members {
        let source = Reference::parse_normalized(&member.name).map_err(|e| Failure::new(e.to_string()))?;
        if source.domain() != list.domain() {
            return Err(Failure::new(format!(
                "cannot use source images from a different registry than the target image: {} != {}",
                source.domain(),
                list.domain()
            )));
        }
        let platform = member.descriptor.platform.as_ref();
        if platform.is_none_or(|platform| platform.os.is_empty() || platform.architecture.is_empty()) {
            return Err(Failure::new(format!(
                "manifest {} must have an OS and Architecture to be pushed to a registry",
                member.name
            )));
        }
        parts.push((source, member, member.bytes()?));
    }
    for (source, member, bytes) in parts {
        let digest = &member.descriptor.digest;
        let target = list.without_tag_and_digest().with_digest(digest.clone());
        let kind = &member.descriptor.media_type;
        let target = remote(app, &target, insecure)?;
        let digest = client
            .put_remote_manifest(&target, kind, bytes, source.path())
            .await?;
        console::line(format!("Pushed ref {} with digest: {digest}", target.name));
    }
    let entries: Vec<Descriptor> = members.iter().map(|m| m.descriptor.clone()).collect();
    let text = list_text(&entries)?;
    let digest = client
        .put_remote_manifest(&remote(app, &list, insecure)?, list_type(&entries), text, "")
        .await?;
    console::line(digest);
    if args.on("purge") {
        store.remove(&list)?;
    }
    Ok(())
}
