//! AppArmor: is it there, and loading the default profile. Confining a task is one write of its own to `/proc`.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use fault::{Fault, Kind};

/// Docker's name of the profile that containers get by default.
pub const DEFAULT_PROFILE: &str = "docker-default";

/// The means of another container of the same profile: signals and tracing only among themselves, no mounts, and of
/// `/proc` and `/sys` nothing that reaches the host.
const DEFAULT_TEXT: &str = r#"
#include <tunables/global>

profile docker-default flags=(attach_disconnected,mediate_deleted) {
  #include <abstractions/base>
  network,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (send,receive) peer=docker-default,
  ptrace (trace,read,tracedby,readby) peer=docker-default,
  deny mount,
  deny @{PROC}/* w,
  deny @{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/** w,
  deny @{PROC}/sys/[^k]** w,
  deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,
  deny @{PROC}/sysrq-trigger rwklx,
  deny @{PROC}/kcore rwklx,
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
"#;

/// Whether the kernel has AppArmor switched on (`/sys/module/apparmor/parameters/enabled`).
pub fn is_enabled() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.first() == Some(&b'Y'))
}

/// Whether a profile of this name is loaded.
pub fn is_loaded(profile: &str) -> bool {
    let list = std::fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap_or_default();
    list.lines()
        .any(|line| line.rsplit_once(" (").is_some_and(|(name, _)| name == profile))
}

/// Loads the profile that containers get by default, unless it is loaded already.
pub fn load_default() -> Result<(), Error> {
    if is_loaded(DEFAULT_PROFILE) {
        return Ok(());
    }
    let failed = |source| Error::Parser {
        profile: DEFAULT_PROFILE.to_owned(),
        source,
    };
    let mut child = Command::new("apparmor_parser")
        .args(["-Kr"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(DEFAULT_TEXT.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Error::Refused {
                profile: DEFAULT_PROFILE.to_owned(),
                text,
            })
        }
    }
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program apparmor_parser could not be used.
    #[error("running apparmor_parser for profile {profile}: {source}")]
    Parser {
        /// The profile.
        profile: String,
        /// What happened.
        source: io::Error,
    },
    /// apparmor_parser or the kernel did not take the profile.
    #[error("loading apparmor profile {profile}: {text}")]
    Refused {
        /// The profile.
        profile: String,
        /// What apparmor_parser said.
        text: String,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        Kind::System
    }
}
