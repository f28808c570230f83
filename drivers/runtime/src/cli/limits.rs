//! How the command line makes cgroups: whether a refusal counts, and whether systemd is asked.

use cgroups::{Cgroup, Error, Layout};
use oci::runtime::Resources;

use super::CliError;

/// The map of a user namespace that is no namespace of its own (user_namespaces(7)).
const ALL_IDS: [&str; 3] = ["0", "0", "4294967295"];

/// Makes cgroups as `--rootless` and `--systemd-cgroup` say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manager {
    rootless: bool,
}

impl Manager {
    pub(super) fn new(rootless: Option<&str>, systemd: bool) -> Result<Self, CliError> {
        let rootless = match rootless {
            None | Some("auto" | "") => is_rootless(),
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            Some(other) => {
                let text = format!("invalid value {other:?} for --rootless: true, false or auto");
                return Err(CliError::Usage(text));
            }
        };
        if systemd {
            let text = "--systemd-cgroup: the systemd cgroup driver is not available; give cgroupsPath as a path such \
                        as /parent/name and leave the flag out";
            return Err(CliError::Usage(text.into()));
        }
        Ok(Self { rootless })
    }

    /// Whether the caller is taken for one who may not change the machine.
    pub(super) fn rootless(self) -> bool {
        self.rootless
    }

    /// Makes the group of a container; `None` where it may not be made and nothing was to be limited.
    pub(super) fn create(self, path: &str, resources: &Resources) -> Result<Option<Cgroup>, CliError> {
        let made = Layout::detect().and_then(|layout| Cgroup::create(&layout, path, resources));
        match made {
            Ok(cgroup) => Ok(Some(cgroup)),
            Err(error) if self.rootless && !limits(resources) && is_refusal(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_rootless() -> bool {
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.is_empty() && !map.split_whitespace().eq(ALL_IDS)
}

/// Whether something is to be limited; access to devices is none of it, for a user namespace has no devices to give.
fn limits(resources: &Resources) -> bool {
    let rest = Resources {
        devices: Vec::new(),
        ..resources.clone()
    };
    rest != Resources::default()
}

fn is_refusal(error: &Error) -> bool {
    use std::io::ErrorKind;
    match error {
        Error::NoHierarchy => true,
        Error::Read { source, .. } | Error::Write { source, .. } | Error::Create { source, .. } => matches!(
            source.kind(),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_alone_are_no_limit() {
        let mut resources = Resources::default();
        resources.devices.push(oci::runtime::DeviceRule::default());
        assert!(!limits(&resources));
        resources.pids = Some(oci::runtime::Pids { limit: Some(1) });
        assert!(limits(&resources));
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        let text = |rootless, systemd| match Manager::new(rootless, systemd) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert!(text(Some("perhaps"), false).contains("--rootless"));
        assert!(text(None, true).contains("--systemd-cgroup"));
        assert_eq!(text(Some("true"), false), "");
    }
}
