//! `spec`: writes a `config.json` to start from.

use oci::runtime::{IdMapping, Namespace, NamespaceKind, Spec};

use super::flags::{Flag, Flags};
use super::verb::Verb;
use super::{CliError, Outcome, Session};

/// The default configuration: what runc's has, so that bundles made by habit work the same.
const DEFAULT: &str = include_str!("spec.json");

/// `spec`.
pub(super) const VERB: Verb = Verb {
    name: "spec",
    arguments: "",
    about: "writes a config.json to start from",
    least: 0,
    most: 0,
    flags: &[&[
        Flag::value(
            "bundle",
            Some('b'),
            "directory to write it to (default: the current one)",
        ),
        Flag::switch(
            "rootless",
            None,
            "for a user without rights: with a user namespace, without limits",
        ),
    ]],
    act: main,
};

fn main(flags: &Flags, _: &[String], _: &mut Session<'_>) -> Outcome {
    let path = std::path::Path::new(flags.get("bundle").unwrap_or(".")).join("config.json");
    if path.exists() {
        return Err(CliError::Usage(format!(
            "File {} exists. Remove it first",
            path.display()
        )));
    }
    let mut spec: Spec = super::store::parse_json("spec.json", DEFAULT.as_bytes())?;
    // Of the groups of version 1, runc's specs show the whole tree.
    let unified = cgroups::Layout::detect().is_ok_and(|layout| layout.mode() == cgroups::Mode::V2);
    let linux = spec.linux.get_or_insert_default();
    linux
        .namespaces
        .retain(|namespace| unified || namespace.kind != NamespaceKind::Cgroup);
    if flags.has("rootless") {
        rootless(&mut spec);
    }
    let text = serde_json::to_string_pretty(&spec).map_err(|source| CliError::Json {
        path: "config.json".into(),
        source,
    })? + "\n";
    std::fs::write(&path, text).map_err(CliError::file(format!("write {}", path.display())))?;
    Ok(0)
}

/// The same for somebody who may map only the own user and group, and change nothing on the machine.
fn rootless(spec: &mut Spec) {
    let linux = spec.linux.get_or_insert_default();
    linux
        .namespaces
        .retain(|namespace| namespace.kind != NamespaceKind::Network);
    linux.namespaces.push(Namespace {
        kind: NamespaceKind::User,
        path: String::new(),
    });
    let own = |host_id| IdMapping {
        container_id: 0,
        host_id,
        size: 1,
    };
    linux.uid_mappings = vec![own(rustix::process::geteuid().as_raw())];
    linux.gid_mappings = vec![own(rustix::process::getegid().as_raw())];
    linux.resources = None;
    for mount in &mut spec.mounts {
        // A group that is not mapped cannot own terminals.
        mount.options.retain(|option| !option.starts_with("gid="));
        if mount.kind == "sysfs" {
            // Without a network namespace of its own a container may not mount sysfs.
            mount.kind = "none".into();
            mount.source = "/sys".into();
            mount.options = ["rbind", "nosuid", "noexec", "nodev", "ro"]
                .map(str::to_owned)
                .to_vec();
        }
    }
    spec.mounts.retain(|mount| mount.kind != "cgroup");
}
