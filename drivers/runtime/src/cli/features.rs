//! `features`: what this runtime can do (features.md).

use serde_json::{Value, json};

use super::flags::Flags;
use super::verb::Verb;
use super::{Outcome, Session};

/// `features`.
pub(super) const VERB: Verb = Verb {
    name: "features",
    arguments: "",
    about: "shows what this runtime can do",
    least: 0,
    most: 0,
    flags: &[],
    act: main,
};

fn main(_: &Flags, _: &[String], session: &mut Session<'_>) -> Outcome {
    let value = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": oci::runtime::VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": crate::compile::mount_option_names(),
        "linux": linux(),
        "annotations": annotations(),
    });
    session.print(&format!("{value:#}\n"))?;
    Ok(0)
}

/// What the specification has no place for.
fn annotations() -> Value {
    let landlock = security::landlock::version().map_or("none".to_owned(), |version| version.to_string());
    json!({
        "io.github.dhow.version": env!("CARGO_PKG_VERSION"),
        "io.github.dhow.landlock.version": landlock,
    })
}

fn linux() -> Value {
    json!({
        "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
        "capabilities": security::capabilities::CapabilitySet(u64::MAX >> 23).names(),
        "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
        "seccomp": {
            "enabled": true,
            "actions": ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"],
            "operators": ["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"],
            "archs": ["SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
            "knownFlags": FLAGS,
            "supportedFlags": FLAGS,
        },
        // What this program can do, whatever the machine has switched on (features-linux.md).
        "apparmor": { "enabled": true },
        "selinux": { "enabled": true },
        "intelRdt": { "enabled": crate::resctrl::mounted().is_some(), "schemata": true, "monitoring": true },
        "memoryPolicy": {
            "modes": crate::compile::memory_policy_modes(),
            "flags": crate::compile::memory_policy_flags(),
        },
        "mountExtensions": { "idmap": { "enabled": true } },
        "netDevices": { "enabled": true },
    })
}

const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];
