//! The mounts of a container: the kernel's file systems, the engine's files, the user's volumes.

use std::path::PathBuf;

use oci::runtime::Mount;
use volumes::Source;

use super::Inputs;
use crate::record::{MountSpec, Record};

/// A user's mount, with the path of its files on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) spec: MountSpec,
    /// Where the files of a bind or a volume are; `None` for a tmpfs.
    pub(crate) source: Option<Source>,
}

/// Files that the engine writes and mounts over those of the image; absent when the network is another's and
/// its files are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generated {
    pub(crate) hosts: Option<PathBuf>,
    pub(crate) hostname: Option<PathBuf>,
    pub(crate) resolv_conf: Option<PathBuf>,
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: source.into(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

/// All mounts, in the order in which they are made.
pub(super) fn build(inputs: &Inputs<'_>) -> Vec<Mount> {
    let files = generated(inputs.generated, inputs.record);
    below(user_mounts(inputs.mounts), system_mounts(inputs), files)
}

/// The kernel's file systems, and then the engine's files with the user's mounts, those nearer to the root first: a volume
/// on `/etc` must not hide the `resolv.conf` in it. A place that the user takes is the user's alone.
fn below(user: Vec<Mount>, system: Vec<Mount>, files: impl Iterator<Item = Mount>) -> Vec<Mount> {
    let left = |engine: &Mount| user.iter().all(|mount| mount.destination != engine.destination);
    let mut mounts = system;
    mounts.retain(&left);
    let mut placed: Vec<Mount> = files.filter(left).collect();
    placed.extend(user);
    placed.sort_by_key(|mount| {
        mount
            .destination
            .split('/')
            .filter(|part| !part.is_empty())
            .count()
    });
    mounts.append(&mut placed);
    mounts
}

/// The mounts of a stopped container that hold anything: what is in a tmpfs ended with it.
pub(crate) fn lasting_mounts(resolved: &[Resolved], files: &Generated, record: &Record) -> Vec<Mount> {
    let mut mounts = below(user_mounts(resolved), Vec::new(), generated(files, record));
    mounts.retain(|mount| mount.kind != "tmpfs");
    mounts
}

fn system_mounts(inputs: &Inputs<'_>) -> Vec<Mount> {
    let host = &inputs.record.host_config;
    let open = host.privileged;
    let sys = if open {
        &["nosuid", "noexec", "nodev"][..]
    } else {
        &["nosuid", "noexec", "nodev", "ro"]
    };
    let writable_cgroups = host.security_opt.iter().flatten().any(|option| {
        matches!(option.split_once('='), Some(("writable-cgroups", value)) if value != "false" && value != "0")
    });
    let mut groups = vec!["nosuid", "noexec", "nodev", "relatime"];
    if !open && !writable_cgroups {
        groups.push("ro");
    }
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount("/sys", "sysfs", "sysfs", sys),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &groups),
    ];
    // A mqueue mount shows the queues of the IPC namespace it is made in: the host's too, which need not have it mounted.
    mounts.push(mount(
        "/dev/mqueue",
        "mqueue",
        "mqueue",
        &["nosuid", "noexec", "nodev"],
    ));
    // That of another container comes from its mount namespace, as an annotation says.
    if host.ipc_mode == "host" || host.ipc_mode.starts_with("container:") {
        mounts.push(mount("/dev/shm", "bind", "/dev/shm", &["rbind", "rprivate"]));
    } else if host.ipc_mode != "none" {
        let size = format!("size={}", host.shm_size);
        mounts.push(mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", &size],
        ));
    }
    mounts
}

fn generated(generated: &Generated, record: &Record) -> impl Iterator<Item = Mount> {
    let files = [
        ("/etc/resolv.conf", &generated.resolv_conf),
        ("/etc/hostname", &generated.hostname),
        ("/etc/hosts", &generated.hosts),
    ];
    let access = if record.host_config.readonly_rootfs {
        "ro"
    } else {
        "rw"
    };
    files.into_iter().filter_map(move |(destination, path)| {
        let path = path.as_ref()?.to_string_lossy();
        let options = ["rbind", "rprivate", access];
        Some(mount(destination, "bind", &path, &options))
    })
}

fn user_mounts(resolved: &[Resolved]) -> Vec<Mount> {
    resolved.iter().map(user_mount).collect()
}

fn user_mount(resolved: &Resolved) -> Mount {
    let spec = &resolved.spec;
    let access = if spec.read_only { "ro" } else { "rw" };
    match &resolved.source {
        None => {
            let mut options = vec!["nosuid", "nodev", "noexec"];
            options.extend(spec.options.iter().map(String::as_str));
            options.push(access);
            mount(&spec.destination, "tmpfs", "tmpfs", &options)
        }
        Some(Source::FileSystem {
            kind,
            device,
            options,
        }) => {
            let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
            if spec.read_only {
                options.push("ro");
            }
            mount(&spec.destination, kind, device, &options)
        }
        Some(Source::Bind { path, options }) => {
            let recursive = if spec.non_recursive { "bind" } else { "rbind" };
            let propagation = if spec.propagation.is_empty() {
                "rprivate"
            } else {
                &spec.propagation
            };
            // Read-only means all of it, with what is mounted below, where the kernel can (5.12).
            let shallow = spec.non_recursive || spec.read_only_non_recursive;
            let access = if spec.read_only && !shallow { "rro" } else { access };
            let mut all = vec![recursive, propagation, access];
            all.extend(options.iter().map(String::as_str));
            mount(&spec.destination, "bind", &path.to_string_lossy(), &all)
        }
    }
}

/// The propagation of the root mount: mounts can be passed on only through a root that passes them on.
pub(super) fn root_propagation(mounts: &[Resolved]) -> String {
    let any = |name: &str| {
        mounts
            .iter()
            .any(|mount| mount.spec.propagation.trim_start_matches('r') == name)
    };
    if any("shared") {
        "shared".into()
    } else if any("slave") {
        "slave".into()
    } else {
        String::new()
    }
}
