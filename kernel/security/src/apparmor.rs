//! AppArmor: is it there, and loading the default profile. Confining a task is one write of its own to `/proc`.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use fault::{Fault, Kind};

/// Docker's name of the profile that containers get by default.
pub const DEFAULT_PROFILE: &str = "docker-default";

/// What the profile begins with where Debian's abstractions are, and where they are not.
const TUNABLES: [(&str, &str, &str); 2] = [
    (
        "/etc/apparmor.d/tunables/global",
        "#include <tunables/global>",
        "@{PROC}=/proc/",
    ),
    (
        "/etc/apparmor.d/abstractions/base",
        "#include <abstractions/base>",
        "",
    ),
];

/// Docker's rules: signals and tracing only among containers of the profile, no mounts, and of `/proc` and `/sys` nothing
/// that reaches the host.
const RULES: &str = "
  network,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
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
";

/// The profile's text; `daemon` is the profile under which whoever signals containers runs.
fn default_text(daemon: &str, has: impl Fn(&str) -> bool) -> String {
    let [tunables, base] = TUNABLES.map(|(path, include, without)| if has(path) { include } else { without });
    // Unconfined is among the rules already.
    let signals = match daemon {
        "" | "unconfined" => String::new(),
        name => format!("  signal (receive) peer=\"{name}\",\n"),
    };
    format!(
        "{tunables}\nprofile {DEFAULT_PROFILE} flags=(attach_disconnected,mediate_deleted) {{\n  {base}\n{RULES}{signals}}}\n"
    )
}

/// The profile of this process, without its mode; empty where it cannot be read.
fn own_profile() -> String {
    let text = ["/proc/self/attr/apparmor/current", "/proc/self/attr/current"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .unwrap_or_default();
    let text = text.trim_end();
    let name = text.rsplit_once(" (").map_or(text, |(name, _)| name);
    // Nothing of it can end the quotes in the profile.
    if name.contains(['"', '\n', '\\']) {
        String::new()
    } else {
        name.to_owned()
    }
}

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
    let text = default_text(&own_profile(), |path| std::path::Path::new(path).exists());
    let mut child = Command::new("apparmor_parser")
        .args(["-Kr"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(text.as_bytes()).map_err(failed)?;
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
    #[error(
        "AppArmor enabled on system but the {profile} profile could not be loaded: running apparmor_parser failed with error: {source}"
    )]
    Parser {
        /// The profile.
        profile: String,
        /// What happened.
        source: io::Error,
    },
    /// apparmor_parser or the kernel did not take the profile.
    #[error("AppArmor enabled on system but the {profile} profile could not be loaded: {text}")]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_needs_no_files_of_debian() {
        let plain = default_text("unconfined", |_| false);
        assert!(
            plain.starts_with("@{PROC}=/proc/\nprofile docker-default "),
            "{plain}"
        );
        assert!(!plain.contains("#include"), "{plain}");
        let debian = default_text("/usr/bin/dhowd", |_| true);
        assert!(debian.starts_with("#include <tunables/global>\n"), "{debian}");
        assert!(debian.contains("#include <abstractions/base>"), "{debian}");
        assert!(debian.contains("peer=\"/usr/bin/dhowd\","), "{debian}");
    }
}
