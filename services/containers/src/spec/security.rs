//! `--security-opt`, and which paths and calls are closed to a container.

use oci::runtime::Seccomp;
use security::capabilities::CapabilitySet;
use security::seccomp::{Context, Profile, default_profile};

use crate::Error;
use crate::record::Record;
use crate::settings::Settings;

pub(super) use security::paths::{MASKED, READONLY};

/// What AppArmor can do for containers here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppArmor {
    /// The kernel has it switched off: profiles have no meaning.
    Off,
    /// The profile that containers get by default cannot be loaded, which was said at the daemon's start: a container
    /// without it is better than none.
    OnlyNamed,
    /// Containers are confined.
    On,
}

impl AppArmor {
    /// Finds out, and loads the profile that containers get by default.
    pub(crate) fn detect() -> Self {
        if !security::apparmor::is_enabled() {
            return Self::Off;
        }
        match security::apparmor::load_default() {
            Ok(()) => Self::On,
            Err(error) => {
                tracing::warn!(%error, "containers run without an AppArmor profile unless they name one");
                Self::OnlyNamed
            }
        }
    }
}

/// The parsed options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SecurityOptions {
    pub(crate) no_new_privileges: Option<bool>,
    /// `unconfined`, `builtin`, or the text of a profile.
    pub(crate) seccomp: Option<String>,
    pub(crate) apparmor: Option<String>,
    /// SELinux: `user:…`, `role:…`, `type:…`, `level:…`, `disable`.
    pub(crate) labels: Vec<String>,
    pub(crate) systempaths_unconfined: bool,
    pub(crate) writable_cgroups: bool,
}

impl SecurityOptions {
    /// Reads the list as docker's daemon does; `key:value` is the older way to write `key=value`.
    ///
    /// # Errors
    /// docker's sentence for an option that is not known.
    pub(crate) fn parse(options: &[String]) -> Result<Self, Error> {
        let mut parsed = Self::default();
        for option in options {
            let invalid = || Error::Invalid(format!("invalid --security-opt: \"{option}\""));
            match option.as_str() {
                "no-new-privileges" => {
                    parsed.no_new_privileges = Some(true);
                    continue;
                }
                "disable" => {
                    parsed.labels.push("disable".into());
                    continue;
                }
                _ => {}
            }
            let (key, value) = option
                .split_once('=')
                .or_else(|| option.split_once(':'))
                .ok_or_else(invalid)?;
            match key {
                "no-new-privileges" => {
                    let value = parse_bool(value).ok_or_else(invalid)?;
                    parsed.no_new_privileges = Some(value);
                }
                "seccomp" => parsed.seccomp = Some(value.to_owned()),
                "apparmor" => parsed.apparmor = Some(value.to_owned()),
                "label" => parsed.labels.push(value.to_owned()),
                "systempaths" if value == "unconfined" => parsed.systempaths_unconfined = true,
                "writable-cgroups" => parsed.writable_cgroups = parse_bool(value).ok_or_else(invalid)?,
                _ => return Err(invalid()),
            }
        }
        Ok(parsed)
    }

    /// The AppArmor profile to run under; empty for none.
    pub(crate) fn apparmor_profile(&self, apparmor: AppArmor, privileged: bool) -> String {
        match (&self.apparmor, apparmor) {
            (_, AppArmor::Off) => String::new(),
            (Some(profile), _) => profile.clone(),
            (None, _) if privileged => "unconfined".into(),
            (None, AppArmor::On) => security::apparmor::DEFAULT_PROFILE.into(),
            (None, AppArmor::OnlyNamed) => String::new(),
        }
    }

    /// The SELinux label of the process. As with a dockerd without --selinux-enabled, which does not label the files of
    /// images, there is none unless a part of it is asked for; nor where SELinux is off.
    pub(super) fn selinux_label(&self) -> String {
        let is_part = |label: &String| label.contains(':');
        if !self.labels.iter().any(is_part)
            || self.labels.iter().any(|label| label == "disable")
            || !security::selinux::is_enabled()
        {
            return String::new();
        }
        let part = |name: &str, usual: &str| {
            self.labels
                .iter()
                .find_map(|label| label.strip_prefix(name))
                .unwrap_or(usual)
                .to_owned()
        };
        let parts = [
            part("user:", "system_u"),
            part("role:", "system_r"),
            part("type:", "container_t"),
        ];
        format!("{}:{}", parts.join(":"), part("level:", "s0"))
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// What a container's system call filter depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SeccompChoice {
    Unconfined,
    /// The built-in profile, for a process with these capabilities.
    Builtin(CapabilitySet),
    /// The text of a profile.
    Profile(String, CapabilitySet),
}

impl SeccompChoice {
    /// The filter, described as in a runtime-spec.
    ///
    /// # Errors
    /// A profile that cannot be read.
    pub(crate) fn resolve(&self) -> Result<Option<Seccomp>, Error> {
        match self {
            Self::Unconfined => Ok(None),
            Self::Builtin(capabilities) => Ok(Some(default_profile(&Context::native(*capabilities)))),
            Self::Profile(text, capabilities) => {
                let profile = Profile::parse(text.as_bytes()).map_err(Error::part)?;
                Ok(profile.resolve(&Context::native(*capabilities)))
            }
        }
    }
}

/// The filter: the container's own, else the daemon's, else the built-in one; none for a privileged container.
pub(super) fn choice(
    record: &Record,
    settings: &Settings,
    options: &SecurityOptions,
) -> Result<SeccompChoice, Error> {
    let chosen = options.seccomp.as_deref();
    if chosen.is_none() && record.host_config.privileged {
        return Ok(SeccompChoice::Unconfined);
    }
    let capabilities = super::capabilities(record)?;
    Ok(match chosen.or(settings.seccomp_profile.as_deref()) {
        Some("unconfined") => SeccompChoice::Unconfined,
        None | Some("builtin") => SeccompChoice::Builtin(capabilities),
        Some(text) => SeccompChoice::Profile(text.to_owned(), capabilities),
    })
}
