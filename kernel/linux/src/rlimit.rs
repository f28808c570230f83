//! Resource limits by their names in the runtime-spec.

use rustix::process::{Pid, Resource, Rlimit};

use crate::Result;

/// A resource by name, with or without the prefix `RLIMIT_`.
#[must_use]
pub fn by_name(name: &str) -> Option<Resource> {
    Some(match name.strip_prefix("RLIMIT_").unwrap_or(name) {
        "AS" => Resource::As,
        "CORE" => Resource::Core,
        "CPU" => Resource::Cpu,
        "DATA" => Resource::Data,
        "FSIZE" => Resource::Fsize,
        "LOCKS" => Resource::Locks,
        "MEMLOCK" => Resource::Memlock,
        "MSGQUEUE" => Resource::Msgqueue,
        "NICE" => Resource::Nice,
        "NOFILE" => Resource::Nofile,
        "NPROC" => Resource::Nproc,
        "RSS" => Resource::Rss,
        "RTPRIO" => Resource::Rtprio,
        "RTTIME" => Resource::Rttime,
        "SIGPENDING" => Resource::Sigpending,
        "STACK" => Resource::Stack,
        _ => return None,
    })
}

/// Sets a limit of a process (`None`: this one); `u64::MAX` is unlimited. *Async-signal-safe.*
///
/// # Errors
/// `EPERM` for raising the hard limit without CAP_SYS_RESOURCE, `EINVAL` when soft is above hard.
pub fn set(process: Option<Pid>, resource: Resource, soft: u64, hard: u64) -> Result<()> {
    let some = |value: u64| (value != u64::MAX).then_some(value);
    rustix::process::prlimit(
        process,
        resource,
        Rlimit {
            current: some(soft),
            maximum: some(hard),
        },
    )
    .map(drop)
}

/// The soft and hard limit of this process; `u64::MAX` is unlimited. *Async-signal-safe.*
#[must_use]
pub fn get(resource: Resource) -> (u64, u64) {
    let limit = rustix::process::getrlimit(resource);
    (
        limit.current.unwrap_or(u64::MAX),
        limit.maximum.unwrap_or(u64::MAX),
    )
}
