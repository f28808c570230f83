//! podman has no daemon: a sleeping process keeps the namespaces in which each of its commands runs.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::{Engine, find, isolated, remove_cgroups};

/// Where conmon puts itself on machines with cgroup v1.
const CONMON_PARENT: &str = "libpod_parent";

/// What podman writes outside of its roots (locks, names of namespaces) goes into file systems that end with it; and crun
/// takes a machine with both cgroup versions for one with version 2, unless that tree is out of its sight.
const SCRIPT: &str = "ip link set lo up
umount /sys/fs/cgroup/unified 2>/dev/null
mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib && echo ready && exec sleep infinity";

/// Debian's default limits are higher than what a machine without CAP_SYS_RESOURCE allows.
const CONFIG: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "file"
"#;

pub(super) fn start(folder: PathBuf, cgroup: String) -> Result<Engine> {
    find("podman").context("no podman (package podman)")?;
    // Empty, or else somebody's who uses podman on this machine.
    remove_cgroups(CONMON_PARENT);
    let mut keeper = isolated(SCRIPT)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = [0; 5];
    let ready = keeper.stdout.take().map(|mut out| out.read_exact(&mut said));
    let config = folder.join("containers.conf");
    fs::write(&config, CONFIG)?;
    let path = |part: &str| folder.join(part).display().to_string();
    let pid = keeper.id().to_string();
    let root = path("root");
    let leading = ["--target", &pid, "--net", "--mount", "--", "podman"];
    let leading = leading
        .into_iter()
        .chain(["--root", &root, "--runroot", "/run/podman"]);
    let engine = Engine {
        name: "podman".to_owned(),
        title: String::new(),
        program: PathBuf::from("nsenter"),
        leading: leading.map(str::to_owned).collect(),
        environment: vec![("CONTAINERS_CONF".to_owned(), config.display().to_string())],
        daemon: keeper,
        folder,
        cgroup,
    };
    ensure!(
        matches!(ready, Some(Ok(()))),
        "podman's namespaces cannot be made"
    );
    engine.ok(&["info"])?;
    Ok(engine)
}

/// After the engine has gone.
pub(super) fn remove_leftovers() {
    remove_cgroups(CONMON_PARENT);
}
