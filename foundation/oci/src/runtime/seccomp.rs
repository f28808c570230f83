//! The system call filter (config-linux.md, "Seccomp").

use serde::{Deserialize, Serialize};

use super::nullable;

/// A system call filter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Seccomp {
    /// What happens to calls without a rule.
    pub default_action: SeccompAction,
    /// Error number of that action; EPERM if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// Architectures besides the native one.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<SeccompArch>,
    /// Flags of `seccomp(2)`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<SeccompFlag>,
    /// Socket that gets the notification descriptor.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub listener_path: String,
    /// Text sent along.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub listener_metadata: String,
    /// Rules.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub syscalls: Vec<SyscallRule>,
}

/// What the kernel does with a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SeccompAction {
    /// Kill the thread (old name).
    #[default]
    #[serde(rename = "SCMP_ACT_KILL")]
    Kill,
    /// Kill the process.
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    /// Kill the thread.
    #[serde(rename = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    /// Send SIGSYS.
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    /// Fail with an error number.
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    /// Tell the tracer.
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    /// Let it pass.
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    /// Log it and let it pass.
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    /// Ask the listener.
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

/// Architectures by libseccomp's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(non_camel_case_types)]
pub enum SeccompArch {
    /// `X86`.
    #[serde(rename = "SCMP_ARCH_X86")]
    X86,
    /// `X86_64`.
    #[default]
    #[serde(rename = "SCMP_ARCH_X86_64")]
    X86_64,
    /// `X32`.
    #[serde(rename = "SCMP_ARCH_X32")]
    X32,
    /// `ARM`.
    #[serde(rename = "SCMP_ARCH_ARM")]
    Arm,
    /// `AARCH64`.
    #[serde(rename = "SCMP_ARCH_AARCH64")]
    Aarch64,
    /// `LOONGARCH64`.
    #[serde(rename = "SCMP_ARCH_LOONGARCH64")]
    Loongarch64,
    /// `M68K`.
    #[serde(rename = "SCMP_ARCH_M68K")]
    M68k,
    /// `MIPS`.
    #[serde(rename = "SCMP_ARCH_MIPS")]
    Mips,
    /// `MIPS64`.
    #[serde(rename = "SCMP_ARCH_MIPS64")]
    Mips64,
    /// `MIPS64N32`.
    #[serde(rename = "SCMP_ARCH_MIPS64N32")]
    Mips64n32,
    /// `MIPSEL`.
    #[serde(rename = "SCMP_ARCH_MIPSEL")]
    Mipsel,
    /// `MIPSEL64`.
    #[serde(rename = "SCMP_ARCH_MIPSEL64")]
    Mipsel64,
    /// `MIPSEL64N32`.
    #[serde(rename = "SCMP_ARCH_MIPSEL64N32")]
    Mipsel64n32,
    /// `PPC`.
    #[serde(rename = "SCMP_ARCH_PPC")]
    Ppc,
    /// `PPC64`.
    #[serde(rename = "SCMP_ARCH_PPC64")]
    Ppc64,
    /// `PPC64LE`.
    #[serde(rename = "SCMP_ARCH_PPC64LE")]
    Ppc64le,
    /// `S390`.
    #[serde(rename = "SCMP_ARCH_S390")]
    S390,
    /// `S390X`.
    #[serde(rename = "SCMP_ARCH_S390X")]
    S390x,
    /// `SH`.
    #[serde(rename = "SCMP_ARCH_SH")]
    Sh,
    /// `SHEB`.
    #[serde(rename = "SCMP_ARCH_SHEB")]
    Sheb,
    /// `PARISC`.
    #[serde(rename = "SCMP_ARCH_PARISC")]
    Parisc,
    /// `PARISC64`.
    #[serde(rename = "SCMP_ARCH_PARISC64")]
    Parisc64,
    /// `RISCV64`.
    #[serde(rename = "SCMP_ARCH_RISCV64")]
    Riscv64,
}

/// Flags of `seccomp(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SeccompFlag {
    /// All threads.
    #[default]
    #[serde(rename = "SECCOMP_FILTER_FLAG_TSYNC")]
    Tsync,
    /// Log what is not allowed.
    #[serde(rename = "SECCOMP_FILTER_FLAG_LOG")]
    Log,
    /// No speculation mitigation.
    #[serde(rename = "SECCOMP_FILTER_FLAG_SPEC_ALLOW")]
    SpecAllow,
    /// Only fatal signals interrupt a notified call.
    #[serde(rename = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")]
    WaitKillableRecv,
}

/// A rule for some calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyscallRule {
    /// Names of the calls.
    #[serde(deserialize_with = "nullable")]
    pub names: Vec<String>,
    /// What happens.
    pub action: SeccompAction,
    /// Error number (or trace data).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// Conditions, all of which must hold.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<SyscallArg>,
}

/// A condition on one argument.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyscallArg {
    /// 0 to 5.
    pub index: u32,
    /// Value (the mask for `MaskedEq`).
    pub value: u64,
    /// Value compared after masking.
    pub value_two: u64,
    /// Comparison.
    pub op: SeccompOp,
}

/// Comparisons of an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SeccompOp {
    /// Not equal.
    #[serde(rename = "SCMP_CMP_NE")]
    Ne,
    /// Less.
    #[serde(rename = "SCMP_CMP_LT")]
    Lt,
    /// Less or equal.
    #[serde(rename = "SCMP_CMP_LE")]
    Le,
    /// Equal.
    #[default]
    #[serde(rename = "SCMP_CMP_EQ")]
    Eq,
    /// Greater or equal.
    #[serde(rename = "SCMP_CMP_GE")]
    Ge,
    /// Greater.
    #[serde(rename = "SCMP_CMP_GT")]
    Gt,
    /// Equal after masking.
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEq,
}
