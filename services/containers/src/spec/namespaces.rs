//! Which namespaces a container has of its own, which it joins, and which it shares with the host.

use oci::runtime::{Namespace, NamespaceKind};

use super::Inputs;

/// Namespaces of other containers that this one joins: paths below `/proc/PID/ns`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) pid: Option<String>,
    pub(crate) ipc: Option<String>,
    pub(crate) network: Option<String>,
    /// Whose `/dev/shm` it has: the file of that container's mount namespace.
    pub(crate) shared_memory: Option<String>,
}

pub(super) fn build(inputs: &Inputs<'_>) -> Vec<Namespace> {
    let host = &inputs.record.host_config;
    let own = |kind| Namespace {
        kind,
        path: String::new(),
    };
    let mut namespaces = vec![own(NamespaceKind::Mount)];
    if host.uts_mode != "host" {
        namespaces.push(own(NamespaceKind::Uts));
    }
    let modes = [
        (NamespaceKind::Pid, host.pid_mode.as_str(), &inputs.joined.pid),
        (NamespaceKind::Ipc, host.ipc_mode.as_str(), &inputs.joined.ipc),
        (
            NamespaceKind::Network,
            host.network_mode.as_str(),
            &inputs.joined.network,
        ),
    ];
    for (kind, mode, joined) in modes {
        match joined {
            Some(path) => namespaces.push(Namespace {
                kind,
                path: path.clone(),
            }),
            None if mode == "host" => {}
            None => namespaces.push(own(kind)),
        }
    }
    if host.cgroupns_mode == "private" {
        namespaces.push(own(NamespaceKind::Cgroup));
    }
    namespaces
}
