//! What `/version` and `/info` say about the host and the daemon.

use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use api_types::ApiVersion;
use api_types::system::{
    AddressPool, Commit, Component, FirewallInfo, Info, PlatformName, Runtime, Swarm, Version,
};
use cgroups::{Layout, Mode};

use crate::config::Settings;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The answer to `/version`.
pub(crate) fn version(settings: &Settings) -> Result<Version> {
    let kernel = text(rustix::system::uname().release());
    let commit = option_env!("DHOW_COMMIT").unwrap_or("unknown").to_owned();
    let built = build_time().unwrap_or_default();
    let floor = settings.api_floor()?.to_string();
    let details = [
        ("ApiVersion", ApiVersion::MAX.to_string()),
        ("Arch", architecture().to_owned()),
        ("BuildTime", built.clone()),
        ("Experimental", "false".to_owned()),
        ("GitCommit", commit.clone()),
        ("GoVersion", "none (Rust)".to_owned()),
        ("KernelVersion", kernel.clone()),
        ("MinAPIVersion", floor.clone()),
        ("Os", "linux".to_owned()),
    ];
    let engine = Component {
        name: "Engine".to_owned(),
        version: VERSION.to_owned(),
        details: Some(details.map(|(k, v)| (k.to_owned(), v)).into()),
    };
    let runtime = Component {
        name: "dhow-runtime".to_owned(),
        version: VERSION.to_owned(),
        details: Some([("GitCommit".to_owned(), commit.clone())].into()),
    };
    Ok(Version {
        platform: PlatformName {
            name: "dhow".to_owned(),
        },
        components: vec![engine, runtime],
        version: VERSION.to_owned(),
        api_version: ApiVersion::MAX.to_string(),
        min_api_version: floor,
        git_commit: commit,
        go_version: "none (Rust)".to_owned(),
        os: "linux".to_owned(),
        arch: architecture().to_owned(),
        kernel_version: kernel,
        experimental: false,
        build_time: built,
    })
}

/// The answer to `/info`, but for what changes by itself.
pub(crate) fn info(settings: &Settings, layout: &Layout, open_addresses: &[String]) -> Result<Info> {
    let uname = rustix::system::uname();
    let features = layout.features();
    let (operating_system, os_version) =
        distribution(&std::fs::read_to_string("/etc/os-release").unwrap_or_default());
    let mut info = Info {
        id: engine_id(&settings.data_root)?,
        memory_limit: features.memory,
        swap_limit: features.swap,
        cpu_cfs_period: features.cpu_cfs,
        cpu_cfs_quota: features.cpu_cfs,
        cpu_shares: features.cpu_shares,
        cpu_set: features.cpuset,
        pids_limit: features.pids,
        oom_kill_disable: features.oom_kill_disable,
        ipv4_forwarding: read_line("/proc/sys/net/ipv4/ip_forward") == "1",
        cgroup_driver: if settings.systemd_cgroups() {
            "systemd".to_owned()
        } else {
            "cgroupfs".to_owned()
        },
        cgroup_version: layout.version().to_owned(),
        kernel_version: text(uname.release()),
        operating_system,
        os_version,
        os_type: "linux".to_owned(),
        architecture: text(uname.machine()),
        index_server_address: "https://index.docker.io/v1/".to_owned(),
        registry_config: crate::registries::info(settings),
        ncpu: std::thread::available_parallelism().map_or(1, |n| i64::try_from(n.get()).unwrap_or(1)),
        mem_total: memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        docker_root_dir: settings.data_root.display().to_string(),
        name: text(uname.nodename()),
        server_version: VERSION.to_owned(),
        swarm: Swarm {
            local_node_state: "inactive".to_owned(),
            ..Swarm::default()
        },
        init_binary: "dhow-runtime".to_owned(),
        runc_commit: Commit {
            id: VERSION.to_owned(),
            ..Commit::default()
        },
        init_commit: Commit {
            id: VERSION.to_owned(),
            ..Commit::default()
        },
        security_options: security_options(settings, layout),
        default_address_pools: Some(pools(settings)),
        firewall_backend: Some(FirewallInfo {
            driver: "nftables".to_owned(),
            info: None,
        }),
        cdi_spec_dirs: Some(Vec::new()),
        ..Info::default()
    };
    info.plugins.volume = vec!["local".to_owned()];
    info.plugins.network = ["bridge", "host", "null"].map(str::to_owned).into();
    info.plugins.log = ["json-file", "local", "none"].map(str::to_owned).into();
    let warnings = warnings(&info, open_addresses);
    info.warnings = (!warnings.is_empty()).then_some(warnings);
    follow(settings, &mut info);
    Ok(info)
}

/// The facts that a reload of the configuration may change.
pub(crate) fn follow(settings: &Settings, info: &mut Info) {
    info.debug = settings.debug;
    info.labels.clone_from(&settings.labels);
    info.registry_config = crate::registries::info(settings);
    info.live_restore_enabled = settings.live_restore != Some(false);
    info.logging_driver.clone_from(&settings.log_driver);
    info.default_runtime.clone_from(&settings.default_runtime);
    let own = Runtime {
        path: containers::BUILT_IN_RUNTIME.to_owned(),
        ..Runtime::default()
    };
    info.runtimes = crate::translate::runtimes(settings);
    info.runtimes.insert(containers::BUILT_IN_RUNTIME.to_owned(), own);
}

fn warnings(info: &Info, open_addresses: &[String]) -> Vec<String> {
    let mut warnings: Vec<_> = open_addresses
        .iter()
        .map(|a| {
            format!(
                "WARNING: API is accessible on http://{a} without encryption.\n         \
                 Access to the remote API is equivalent to root access on the host."
            )
        })
        .collect();
    for (there, what) in [
        (info.memory_limit, "memory limit"),
        (info.swap_limit, "swap limit"),
        (info.cpu_cfs_quota, "cpu cfs quota"),
        (info.cpu_shares, "cpu shares"),
        (info.cpu_set, "cpuset"),
        (info.pids_limit, "pids limit"),
    ] {
        if !there {
            warnings.push(format!("WARNING: No {what} support"));
        }
    }
    if !info.ipv4_forwarding {
        warnings.push("WARNING: IPv4 forwarding is disabled".to_owned());
    }
    warnings
}

fn security_options(settings: &Settings, layout: &Layout) -> Vec<String> {
    let mut options = Vec::new();
    // The profile of containers is loaded before anybody asks.
    if security::apparmor::is_enabled() && security::apparmor::is_loaded(security::apparmor::DEFAULT_PROFILE)
    {
        options.push("name=apparmor".to_owned());
    }
    let profile = match settings.seccomp_profile.as_str() {
        "" => "builtin",
        other => other,
    };
    options.push(format!("name=seccomp,profile={profile}"));
    let private = match settings.default_cgroupns_mode.as_str() {
        "" => layout.mode() == Mode::V2,
        mode => mode == "private",
    };
    if private {
        options.push("name=cgroupns".to_owned());
    }
    if settings.no_new_privileges {
        options.push("name=no-new-privileges".to_owned());
    }
    options
}

fn pools(settings: &Settings) -> Vec<AddressPool> {
    let pool = |p: &crate::config::Pool| AddressPool {
        base: p.base.clone(),
        size: i64::from(p.size),
    };
    settings.default_address_pools.iter().map(pool).collect()
}

/// The daemon's id: made at the first start, kept in the data root.
fn engine_id(data_root: &Path) -> Result<String> {
    let path = data_root.join("engine-id");
    match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        _ => {}
    }
    let id = read_line("/proc/sys/kernel/random/uuid");
    durable::atomic_write(&path, id.as_bytes(), 0o600)
        .with_context(|| format!("write {}", path.display()))?;
    Ok(id)
}

fn text(field: &std::ffi::CStr) -> String {
    field.to_string_lossy().into_owned()
}

fn read_line(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// `PRETTY_NAME` and `VERSION_ID` of os-release(5).
fn distribution(text: &str) -> (String, String) {
    let field = |name: &str| {
        let value = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    };
    (field("PRETTY_NAME"), field("VERSION_ID"))
}

/// `MemTotal` of /proc/meminfo in bytes.
fn memory(text: &str) -> i64 {
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|n| n.parse::<i64>().ok())
        .unwrap_or(0)
        * 1024
}

/// Go's word for the architecture that the program was built for.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// When this program was put where it is.
fn build_time() -> Option<String> {
    let written = std::fs::metadata(std::env::current_exe().ok()?)
        .ok()?
        .modified()
        .ok()?;
    let nanoseconds = written.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    Some(log_drivers::Timestamp::from_nanos(i64::try_from(nanoseconds).ok()?).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let id = engine_id(dir.path()).unwrap();
        assert_eq!(id.len(), 36);
        assert_eq!(engine_id(dir.path()).unwrap(), id);
    }

    #[test]
    fn the_distribution_and_the_memory_are_read() {
        let release = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\n";
        assert_eq!(
            distribution(release),
            ("Debian GNU/Linux 12 (bookworm)".to_owned(), "12".to_owned())
        );
        assert_eq!(memory("MemTotal:        2048 kB\nMemFree: 1 kB\n"), 2 << 20);
    }

    #[test]
    fn security_options_name_what_is_on_for_everybody() {
        let layout = Layout::detect().unwrap();
        let names = |no_new_privileges| {
            let settings = Settings {
                no_new_privileges,
                ..Settings::default()
            };
            security_options(&settings, &layout)
        };
        let wanted = "name=no-new-privileges".to_owned();
        assert!(names(true).contains(&wanted) && !names(false).contains(&wanted));
        assert!(names(false).contains(&"name=seccomp,profile=builtin".to_owned()));
    }

    #[test]
    fn open_addresses_and_missing_limits_are_warned_of() {
        let found = warnings(
            &Info {
                memory_limit: true,
                ..Info::default()
            },
            &["127.0.0.1:2375".to_owned()],
        );
        assert!(found[0].contains("http://127.0.0.1:2375 without encryption"));
        assert!(found.contains(&"WARNING: No swap limit support".to_owned()));
        assert!(!found.contains(&"WARNING: No memory limit support".to_owned()));
    }
}
