//! `dhow manifest inspect`.

use oci::image::{Descriptor, Index};
use oci::reference::Reference;
use serde::Serialize;

use super::store::{Member, Store};
use super::{Found, absent, look_up, member, push, reference, remote};
use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::tree::{Command, Count, run};

#[rustfmt::skip] // One line per flag: it is a table.
pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    about: "Display an image manifest, or manifest list",
    aliases: "",
    count: Count::Between(1, 2),
    stop_early: false,
    flags: &[
        recurring::INSECURE,
        flag("referrers", '\0', Kind::Bool, "", "", "Display what refers to the manifest: signatures, attestations and other artifacts"),
        flag("verbose", 'v', Kind::Bool, "", "", "Output additional info including layers and platform"),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let (insecure, verbose) = (args.on("insecure"), args.on("verbose"));
    let store = Store::of(app);
    if let [list, name] = args.args.as_slice() {
        if args.on("referrers") {
            return Err(Failure::new("--referrers is for one manifest at a registry"));
        }
        let (list, name) = (reference(list)?, reference(name)?);
        let found = store.member(&list, &name)?;
        let found = found.ok_or_else(|| Failure::new(format!("No such manifest: {}", name.familiar())))?;
        return show(&found, verbose);
    }
    let name = reference(args.arg(0))?;
    if args.on("referrers") {
        let asked = app
            .client()?
            .remote_referrers(&remote(app, &name, insecure)?)
            .await;
        let index = asked.map_err(|error| absent(error, &name))?;
        return pretty(&index, "   ");
    }
    if let Some(members) = store.members(&name)? {
        return show_list(&members, verbose);
    }
    match look_up(app, &name, insecure).await? {
        Found::One(member) => show(&member, verbose),
        Found::Several(index) if !verbose => pretty(&push::list_text(&index.manifests)?, "   "),
        Found::Several(index) => show_list(&members_of(app, &name, &index, insecure).await?, true),
    }
}

/// Every image of an index at a registry.
async fn members_of(
    app: &App,
    name: &Reference,
    index: &Index,
    insecure: bool,
) -> Result<Vec<Member>, Failure> {
    let mut members = Vec::new();
    for entry in &index.manifests {
        let one = name.without_tag_and_digest().with_digest(entry.digest.clone());
        let remote = remote(app, &one, insecure)?;
        let found = app.client()?.remote_manifest(&remote).await;
        let document = found.map_err(|error| absent(error, &one))?;
        let label = format!("{name}@{}", entry.digest);
        members.push(member(app, &one, label, &remote, document, entry.platform.clone()).await?);
    }
    Ok(members)
}

fn show(member: &Member, verbose: bool) -> Outcome {
    match verbose {
        true => pretty(&encoded(member)?, "\t"),
        false => pretty(&member.bytes()?, "\t"),
    }
}

fn show_list(members: &[Member], verbose: bool) -> Outcome {
    if verbose {
        return pretty(&encoded(&members)?, "\t");
    }
    let entries: Vec<Descriptor> = members.iter().map(|m| m.descriptor.clone()).collect();
    pretty(&push::list_text(&entries)?, "   ")
}

fn encoded<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|e| Failure::new(e.to_string()))
}

/// Prints JSON text; the order of its keys stays.
fn pretty(text: &[u8], indent: &str) -> Outcome {
    let mut out = String::new();
    App::json(text)?.json_pretty(&mut out, indent, 0);
    console::line(out);
    Ok(())
}
