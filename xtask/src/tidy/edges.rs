//! Which crate may use which.

use std::collections::BTreeSet;

use crate::map::FLOORS;
use crate::workspace::Metadata;

/// Edges on one floor, as ARCHITECTURE.md draws them: (user, used). `*` is every crate of that floor.
const SAME_FLOOR: [(&str, &str, &str); 25] = [
    ("foundation", "api-types", "oci"),
    ("foundation", "dockerfile", "oci"),
    ("foundation", "signatures", "oci"),
    ("foundation", "*", "fault"),
    ("kernel", "*", "linux"),
    ("drivers", "monitor", "runtime"),
    ("drivers", "monitor", "log-drivers"),
    ("drivers", "distribution", "blobs"),
    ("services", "plugins", "events"),
    ("services", "images", "events"),
    ("services", "volumes", "events"),
    ("services", "networks", "events"),
    ("services", "volumes", "plugins"),
    ("services", "networks", "plugins"),
    ("services", "containers", "events"),
    ("services", "containers", "images"),
    ("services", "containers", "volumes"),
    ("services", "containers", "networks"),
    ("services", "containers", "plugins"),
    ("services", "builds", "events"),
    ("services", "builds", "images"),
    ("services", "builds", "containers"),
    ("interfaces", "http-api", "buildkit"),
    ("interfaces", "commands", "client"),
    ("interfaces", "compose", "client"),
];

/// Crates that must not see a floor that lies below them: (user, forbidden floor).
const BLIND: [(&str, &str); 9] = [
    ("client", "services"),
    ("client", "drivers"),
    ("commands", "services"),
    ("commands", "drivers"),
    ("dhow", "services"),
    ("registry", "services"),
    ("dhow-registry", "services"),
    ("dhow", "drivers"),
    ("dhow-runtime", "services"),
];

/// What a runtime that lives beside every container must not carry.
const TOO_HEAVY: [&str; 9] = [
    "tokio",
    "hyper",
    "rustls",
    "redb",
    "openssl",
    "clap",
    "tracing-subscriber",
    "durable",
    "reqwest",
];

pub(super) fn floors(metadata: &Metadata) -> Vec<String> {
    let mut wrong = Vec::new();
    let level = |floor: &str| FLOORS.iter().position(|f| *f == floor);
    for package in metadata.members() {
        let floor = package.floor();
        let Some(own) = level(&floor) else { continue };
        for below in metadata.dependencies(&package.id) {
            let Some(other) =
                level(&below.floor()).filter(|_| metadata.workspace_members.contains(&below.id))
            else {
                continue;
            };
            let (from, to) = (package.name.as_str(), below.name.as_str());
            let drawn = SAME_FLOOR
                .iter()
                .any(|(f, user, used)| *f == floor && (*user == "*" || *user == from) && *used == to);
            if other > own {
                wrong.push(format!(
                    "{from} ({floor}) uses {to}, which is upstairs ({})",
                    below.floor()
                ));
            } else if other == own && !drawn {
                wrong.push(format!(
                    "{from} uses {to} on its own floor ({floor}); that edge is not drawn"
                ));
            } else if BLIND
                .iter()
                .any(|(user, hidden)| *user == from && *hidden == below.floor())
            {
                wrong.push(format!("{from} must not see {}, but uses {to}", below.floor()));
            }
        }
    }
    wrong
}

pub(super) fn runtime_is_small(metadata: &Metadata) -> Vec<String> {
    let Some(start) = metadata
        .members()
        .into_iter()
        .find(|package| package.name == "dhow-runtime")
    else {
        return vec!["there is no package dhow-runtime".to_owned()];
    };
    let mut seen = BTreeSet::new();
    let mut open = vec![start.id.clone()];
    while let Some(id) = open.pop() {
        if seen.insert(id.clone()) {
            open.extend(
                metadata
                    .dependencies(&id)
                    .into_iter()
                    .map(|package| package.id.clone()),
            );
        }
    }
    let names: BTreeSet<&str> = seen
        .iter()
        .filter_map(|id| metadata.package(id))
        .map(|package| package.name.as_str())
        .collect();
    let found = TOO_HEAVY.iter().filter(|name| names.contains(*name));
    found
        .map(|name| format!("dhow-runtime carries {name} (cargo tree -p dhow-runtime -i {name})"))
        .collect()
}
