//! The bundle that another runtime is given.

use std::fs;
use std::io::Write as _;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use oci::runtime::{NamespaceKind, Spec};
use serde::Serialize;

/// The newest version that all releases of runc and crun in use accept; what the daemon asks for is older.
const VERSION: &str = "1.0.2";

/// What a bundle shows of this process.
pub(crate) struct Root<'a> {
    /// The detached root file system.
    pub(crate) mount: BorrowedFd<'a>,
    /// The network namespace that the daemon has made.
    pub(crate) netns: Option<BorrowedFd<'a>>,
}

/// Writes the bundle; its directory, and where in it the root file system belongs.
pub(super) fn write(place: &Path, mut spec: Spec, root: &Root<'_>) -> Result<(PathBuf, PathBuf), String> {
    let bundle = place.join("bundle");
    let target = bundle.join("rootfs");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&target)
        .map_err(|error| format!("mkdir {}: {error}", target.display()))?;
    adapt(&mut spec, root)?;
    write_json(&bundle.join("config.json"), &spec)?;
    Ok((bundle, target))
}

/// Puts what the built-in runtime gets by descriptor into the spec.
fn adapt(spec: &mut Spec, root: &Root<'_>) -> Result<(), String> {
    VERSION.clone_into(&mut spec.oci_version);
    spec.root.get_or_insert_default().path = "rootfs".into();
    let shared = |option: &String| option == "shared" || option == "rshared";
    if let Some(mount) = spec.mounts.iter().find(|mount| mount.options.iter().any(shared)) {
        // The runtime's mounts are slaves of the host's: nothing of the container may appear there.
        return Err(format!(
            "mount {}: what is mounted there can reach the host only with the built-in runtime; use rslave",
            mount.destination
        ));
    }
    let Some(netns) = root.netns else { return Ok(()) };
    let own = rustix::process::getpid();
    let path = format!("/proc/{}/fd/{}", own.as_raw_pid(), netns.as_raw_fd());
    let linux = spec.linux.get_or_insert_default();
    for namespace in &mut linux.namespaces {
        if namespace.kind == NamespaceKind::Network {
            namespace.path.clone_from(&path);
        }
    }
    Ok(())
}

/// Writes a file that only root can read.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("write {}: {error}", path.display());
    let text = serde_json::to_vec(value).map_err(|error| failed(&error))?;
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(&text))
        .map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    fn spec(options: &[&str]) -> Spec {
        let json = serde_json::json!({
            "ociVersion": "1.3.0",
            "mounts": [{ "destination": "/data", "type": "bind", "source": "/srv", "options": options }],
            "linux": { "namespaces": [{ "type": "mount" }, { "type": "network" }] },
        });
        serde_json::from_value(json).expect("spec")
    }

    #[test]
    fn a_bundle_names_root_and_network_by_path() {
        let file = std::fs::File::open("/dev/null").expect("null");
        let root = Root {
            mount: file.as_fd(),
            netns: Some(file.as_fd()),
        };
        let directory = tempfile::tempdir().expect("directory");
        let (bundle, target) = write(directory.path(), spec(&["rbind", "rslave"]), &root).expect("written");
        assert!(target.is_dir());
        let text = std::fs::read(bundle.join("config.json")).expect("config");
        let read: Spec = serde_json::from_slice(&text).expect("spec");
        assert_eq!(
            (read.oci_version.as_str(), read.root.expect("root").path.as_str()),
            (VERSION, "rootfs")
        );
        let network = &read.linux.expect("linux").namespaces[1];
        assert!(
            network.path.ends_with(&format!("/fd/{}", file.as_raw_fd())),
            "{network:?}"
        );
    }

    #[test]
    fn mounts_that_would_reach_the_host_are_refused_by_name() {
        let file = std::fs::File::open("/dev/null").expect("null");
        let root = Root {
            mount: file.as_fd(),
            netns: None,
        };
        let error = adapt(&mut spec(&["rbind", "rshared"]), &root).expect_err("shared");
        assert!(error.contains("/data"), "{error}");
    }
}
