//! Which namespaces are created, and which are joined.

use std::fmt::Write as _;

use linux::namespace::Flags;
use oci::runtime::{IdMapping, Linux, NamespaceKind};

use super::{CompileError, Options};
use crate::program::{IdMaps, Program, Step};

/// The kernel's flag of a kind.
pub(crate) fn flag(kind: NamespaceKind) -> Flags {
    match kind {
        NamespaceKind::Mount => Flags::MOUNT,
        NamespaceKind::Pid => Flags::PID,
        NamespaceKind::Network => Flags::NETWORK,
        NamespaceKind::Uts => Flags::UTS,
        NamespaceKind::Ipc => Flags::IPC,
        NamespaceKind::User => Flags::USER,
        NamespaceKind::Cgroup => Flags::CGROUP,
        NamespaceKind::Time => Flags::TIME,
    }
}

/// The namespaces to join by a path, in the order of the descriptors given at run time: user first, because it gives the
/// rights for the others. Pid and time are the parent's business.
pub(crate) fn joined(linux: &Linux, netns_given: bool) -> Vec<(NamespaceKind, &str)> {
    let order = [
        NamespaceKind::User,
        NamespaceKind::Ipc,
        NamespaceKind::Uts,
        NamespaceKind::Network,
        NamespaceKind::Cgroup,
        NamespaceKind::Mount,
    ];
    let mut list = Vec::new();
    for kind in order {
        if netns_given && kind == NamespaceKind::Network {
            continue;
        }
        let wanted = linux
            .namespaces
            .iter()
            .find(|n| n.kind == kind && !n.path.is_empty());
        list.extend(wanted.map(|n| (kind, n.path.as_str())));
    }
    list
}

/// Whether a namespace of this kind is joined by a path.
pub(super) fn joins(linux: &Linux, kind: NamespaceKind) -> bool {
    linux
        .namespaces
        .iter()
        .any(|n| n.kind == kind && !n.path.is_empty())
}

/// Whether the mount namespace is joined by a path.
pub(super) fn joins_mount(linux: &Linux) -> bool {
    joins(linux, NamespaceKind::Mount)
}

/// Compiles creation and joining; returns the kinds that are the container's own.
pub(super) fn compile(
    linux: &Linux,
    options: &Options,
    program: &mut Program,
) -> Result<Flags, CompileError> {
    let mut own = Flags::empty();
    let mut seen = Flags::empty();
    for namespace in &linux.namespaces {
        let flag = flag(namespace.kind);
        if seen.contains(flag) {
            return Err(CompileError::Contradiction("a kind of namespace is listed twice"));
        }
        seen = seen.with(flag);
        if !namespace.path.is_empty() && !namespace.path.starts_with('/') {
            return Err(CompileError::Relative {
                what: "namespace path",
                path: namespace.path.clone(),
            });
        }
        match (namespace.kind, namespace.path.is_empty()) {
            (NamespaceKind::Network, true) if options.netns => {}
            (NamespaceKind::Time, true) => program.parent.new_time = Some(time_offsets(linux)?),
            (NamespaceKind::Time, false) => program.parent.join_time = Some(namespace.path.clone()),
            (NamespaceKind::Pid, false) => program.parent.join_pid = Some(namespace.path.clone()),
            (_, true) => own = own.with(flag),
            (_, false) => {}
        }
    }
    if program.parent.new_time.is_none() && !linux.time_offsets.is_empty() {
        return Err(CompileError::Namespace {
            what: "timeOffsets".into(),
            namespace: "time",
        });
    }
    id_maps(linux, own, program)?;
    for (place, (kind, path)) in joined(linux, options.netns).into_iter().enumerate() {
        if kind == NamespaceKind::User {
            program.parent.join_user = Some(place);
            continue;
        }
        program.steps.push(Step::Join {
            fd: place,
            flags: flag(kind),
            name: path.to_owned(),
        });
    }
    if options.netns {
        // The given one comes last in the list of descriptors.
        let fd = joined(linux, true).len();
        program.steps.push(Step::Join {
            fd,
            flags: Flags::NETWORK,
            name: "of the network".into(),
        });
    }
    // The cgroup namespace's root is where the process stands: it is unshared after the placement.
    let at_clone = [
        Flags::MOUNT,
        Flags::PID,
        Flags::NETWORK,
        Flags::UTS,
        Flags::IPC,
        Flags::USER,
    ];
    program.namespaces = at_clone
        .into_iter()
        .filter(|f| own.contains(*f))
        .fold(Flags::empty(), Flags::with);
    Ok(own)
}

fn id_maps(linux: &Linux, own: Flags, program: &mut Program) -> Result<(), CompileError> {
    let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    if !own.contains(Flags::USER) {
        if mapped && !joins(linux, NamespaceKind::User) {
            return Err(CompileError::Namespace {
                what: "an id mapping".into(),
                namespace: "user",
            });
        }
        return Ok(());
    }
    if linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty() {
        return Err(CompileError::Contradiction(
            "user namespaces enabled, but no uid or gid mappings found",
        ));
    }
    program.id_maps = Some(id_map(&linux.uid_mappings, &linux.gid_mappings));
    program.steps.push(Step::AwaitIdMaps);
    Ok(())
}

/// The maps as the kernel reads them.
pub(super) fn id_map(uids: &[IdMapping], gids: &[IdMapping]) -> IdMaps {
    IdMaps {
        uid: lines(uids),
        gid: lines(gids),
    }
}

fn lines(maps: &[IdMapping]) -> String {
    maps.iter().fold(String::new(), |mut text, map| {
        let _ = writeln!(text, "{} {} {}", map.container_id, map.host_id, map.size);
        text
    })
}

fn time_offsets(linux: &Linux) -> Result<String, CompileError> {
    let mut text = String::new();
    for (clock, offset) in &linux.time_offsets {
        if clock != "monotonic" && clock != "boottime" {
            return Err(CompileError::Unknown {
                what: "clock of timeOffsets",
                value: clock.clone(),
            });
        }
        let _ = writeln!(
            text,
            "{clock} {} {}",
            offset.secs.unwrap_or(0),
            offset.nanosecs.unwrap_or(0)
        );
    }
    Ok(text)
}

/// The path of a kernel parameter, if it belongs to a namespace of the container's own: others would change the host.
pub(super) fn sysctl_path(name: &str, linux: &Linux, own: Flags) -> Result<String, CompileError> {
    const IPC: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    // Names may be written with slashes, so that a dot can be part of an interface's name (sysctl.d(5)).
    let slashed = name.find('/') < name.find('.') && name.contains('/') || !name.contains('.');
    let (dotted, path) = if slashed {
        (name.replace('/', "."), name.to_owned())
    } else {
        (
            name.to_owned(),
            name.chars()
                .map(|c| match c {
                    '.' => '/',
                    '/' => '.',
                    c => c,
                })
                .collect(),
        )
    };
    if path
        .split('/')
        .any(|part| part.is_empty() || part == "." || part == "..")
    {
        return Err(CompileError::Unknown {
            what: "sysctl",
            value: name.to_owned(),
        });
    }
    if dotted == "kernel.hostname" {
        return Err(CompileError::Contradiction(
            "sysctl \"kernel.hostname\" is not allowed as it conflicts with the OCI \"hostname\" field",
        ));
    }
    let private = |kind: NamespaceKind| own.contains(flag(kind)) || joins(linux, kind);
    let need = |kind, namespace| {
        let what = format!("sysctl {name:?}");
        if private(kind) {
            Ok(())
        } else {
            Err(CompileError::Namespace { what, namespace })
        }
    };
    if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        need(NamespaceKind::Ipc, "IPC")?;
    } else if dotted.starts_with("net.") {
        // A network namespace given at run time is private by agreement with the caller.
        if linux.namespaces.iter().all(|n| n.kind != NamespaceKind::Network) {
            need(NamespaceKind::Network, "network")?;
        }
    } else if dotted == "kernel.domainname" {
        need(NamespaceKind::Uts, "UTS")?;
    } else if !dotted.starts_with("user.") || !private(NamespaceKind::User) {
        return Err(CompileError::Unknown {
            what: "sysctl: not in a separate kernel namespace",
            value: name.to_owned(),
        });
    }
    Ok(path)
}
