//! The types of the OCI runtime-spec 1.3 for Linux, one file per topic.
//!
//! Unknown properties are ignored, as the spec asks, and a JSON `null` where a list or a map is expected counts as empty,
//! because Go programs write that. Values that mean something only to the kernel (policy names, flags) stay text here and
//! are judged by the runtime's compiler, which can name the place.

mod hooks;
mod linux;
mod mounts;
mod process;
mod resources;
mod seccomp;
mod state;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub use hooks::{Hook, Hooks};
pub use linux::{
    Device, IntelRdt, Linux, MemoryPolicy, Namespace, NamespaceKind, NetDevice, Personality, TimeOffset,
};
pub use mounts::{IdMapping, Mount, Root};
pub use process::{Capabilities, ConsoleSize, CpuAffinity, IoPriority, Process, Rlimit, Scheduler, User};
pub use resources::{
    BlockIo, Cpu, DeviceRule, HugepageLimit, InterfacePriority, Memory, Network, Pids, Rdma, Resources,
    ThrottleDevice, WeightDevice,
};
pub use seccomp::{Seccomp, SeccompAction, SeccompArch, SeccompFlag, SeccompOp, SyscallArg, SyscallRule};
pub use state::{ProcessState, State, Status};

/// The version of the runtime-spec that these types follow.
pub const VERSION: &str = "1.3.0";

/// A container's configuration: `config.json` of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// Version of the runtime-spec that the file follows.
    pub oci_version: String,
    /// The process; absent only where it is given at start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The root file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// Host name (UTS namespace).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// NIS domain name (UTS namespace).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// Mounts, in order.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Programs to run at points of the life cycle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// Free text by name.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Linux-specific settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// Reads a value in whose place `null` means its default.
fn nullable<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_lists_count_as_empty() {
        let spec: Spec = serde_json::from_str(
            r#"{"ociVersion":"1.0.2","mounts":null,"annotations":null,
                "linux":{"devices":null,"namespaces":[{"type":"pid"}],"resources":{"devices":null}}}"#,
        )
        .expect("readable");
        assert!(spec.mounts.is_empty());
        assert_eq!(spec.linux.expect("linux").namespaces[0].kind, NamespaceKind::Pid);
    }

    #[test]
    fn names_are_those_of_the_schema() {
        let text = r#"{"ociVersion":"1.2.0","process":{"user":{"uid":1,"gid":2,"additionalGids":[3]},"args":["sh"],"cwd":"/",
            "rlimits":[{"type":"RLIMIT_NOFILE","hard":2,"soft":1}],"noNewPrivileges":true,"apparmorProfile":"a","oomScoreAdj":-5,
            "selinuxLabel":"l","ioPriority":{"class":"IOPRIO_CLASS_BE","priority":4},"execCPUAffinity":{"initial":"0","final":"1"}},
            "linux":{"cgroupsPath":"/x","uidMappings":[{"containerID":0,"hostID":1000,"size":1}],
            "resources":{"memory":{"kernelTCP":1,"disableOOMKiller":true},"blockIO":{"weight":10,
            "throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":5}]}},
            "intelRdt":{"closID":"c","l3CacheSchema":"L3"},
            "seccomp":{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],
            "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_MASKED_EQ","valueTwo":0}]}]}}}"#;
        let spec: Spec = serde_json::from_str(text).expect("readable");
        let mut wanted: serde_json::Value = serde_json::from_str(text).expect("json");
        wanted.sort_all_objects();
        let mut got = serde_json::to_value(&spec).expect("writable");
        got.sort_all_objects();
        assert_eq!(got, wanted);
    }
}
