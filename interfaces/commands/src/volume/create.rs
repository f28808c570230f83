//! `dhow volume create`.

use client::Body;

use crate::app::App;
use crate::console;
use crate::container::map;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] [VOLUME]",
    about: "Create a volume",
    aliases: "",
    count: Count::Between(0, 1),
    stop_early: false,
    flags: &[
        flag(
            "availability",
            '\0',
            Kind::Text,
            "string",
            "\"active\"",
            "Cluster Volume availability (\"active\", \"pause\", \"drain\")",
        ),
        flag(
            "driver",
            'd',
            Kind::Text,
            "string",
            "\"local\"",
            "Specify volume driver name",
        ),
        flag(
            "group",
            '\0',
            Kind::Text,
            "string",
            "",
            "Cluster Volume group (cluster volumes)",
        ),
        flag("label", '\0', Kind::List, "list", "", "Set metadata for a volume"),
        flag(
            "limit-bytes",
            '\0',
            Kind::Bytes,
            "bytes",
            "",
            "Minimum size of the Cluster Volume in bytes",
        ),
        flag(
            "opt",
            'o',
            Kind::List,
            "map",
            "map[]",
            "Set driver specific options",
        ),
        flag(
            "required-bytes",
            '\0',
            Kind::Bytes,
            "bytes",
            "",
            "Maximum size of the Cluster Volume in bytes",
        ),
        flag(
            "scope",
            '\0',
            Kind::Text,
            "string",
            "\"single\"",
            "Cluster Volume access scope (\"single\", \"multi\")",
        ),
        flag(
            "secret",
            '\0',
            Kind::List,
            "map",
            "map[]",
            "Cluster Volume secrets",
        ),
        flag(
            "sharing",
            '\0',
            Kind::Text,
            "string",
            "\"none\"",
            "Cluster Volume access sharing (\"none\", \"readonly\", \"onewriter\", \"all\")",
        ),
        flag(
            "topology-preferred",
            '\0',
            Kind::List,
            "list",
            "",
            "A topology that the Cluster Volume would be preferred in",
        ),
        flag(
            "topology-required",
            '\0',
            Kind::List,
            "list",
            "",
            "A topology that the Cluster Volume must be accessible from",
        ),
        flag(
            "type",
            '\0',
            Kind::Text,
            "string",
            "\"block\"",
            "Cluster Volume access type (\"mount\", \"block\")",
        ),
        flag("name", '\0', Kind::Text, "string", "", ""),
    ],
    run: run!(execute),
};

/// Flags of cluster volumes.
const CLUSTER: &[&str] = &[
    "availability",
    "group",
    "limit-bytes",
    "required-bytes",
    "scope",
    "secret",
    "sharing",
    "topology-preferred",
    "topology-required",
    "type",
];

async fn execute(app: &App, args: &Parsed) -> Outcome {
    if let Some(flag) = CLUSTER.iter().find(|f| args.has(f)) {
        return Err(Failure::new(format!(
            "flag --{flag} is not available in this version of dhow"
        )));
    }
    let name = match (args.text("name"), args.arg(0)) {
        ("", name) | (name, "") => name,
        (flag, name) if flag == name => name,
        _ => {
            return Err(Failure::new(
                "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
            ));
        }
    };
    let request = serde_json::json!({
        "Driver": if args.has("driver") { args.text("driver") } else { "local" },
        "DriverOpts": map(&args.all("opt")),
        "Labels": map(&args.all("label")),
        "Name": name,
    });
    let reply = App::json(&app.client()?.volume_create(Body::json(&request)?).await?)?;
    console::line(reply.str_at("Name"));
    Ok(())
}
