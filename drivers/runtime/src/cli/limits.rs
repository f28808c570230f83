//! How the command line makes cgroups: whether a refusal counts, and whether systemd is asked.

use cgroups::systemd::{Bus, Scope};
use cgroups::{Cgroup, Error, Layout};
use oci::runtime::Resources;

use super::CliError;

/// The map of a user namespace that is no namespace of its own (user_namespaces(7)).
const ALL_IDS: [&str; 3] = ["0", "0", "4294967295"];

/// First half of the names of scopes, where `cgroupsPath` has none.
const PREFIX: &str = "dhow";

/// Makes cgroups as `--rootless` and `--systemd-cgroup` say.
#[derive(Clone, Debug)]
pub(super) struct Manager {
    rootless: bool,
    /// The systemd that makes them.
    systemd: Option<Bus>,
    /// None are made.
    disabled: bool,
    /// The caller is in truth not root of the machine.
    unprivileged: bool,
}

impl Manager {
    /// `--rootless`, `--systemd-cgroup`, and crun's `--cgroup-manager`.
    pub(super) fn new(
        rootless: Option<&str>,
        systemd: bool,
        manager: Option<&str>,
    ) -> Result<Self, CliError> {
        let (systemd, disabled) = match manager {
            None | Some("cgroupfs") => (systemd, false),
            Some("systemd") => (true, false),
            Some("disabled") => (false, true),
            Some(other) => {
                let text =
                    format!("invalid value {other:?} for --cgroup-manager: cgroupfs, systemd or disabled");
                return Err(CliError::Usage(text));
            }
        };
        let rootless = match rootless {
            None | Some("auto" | "") => is_rootless(),
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            Some(other) => {
                let text = format!("invalid value {other:?} for --rootless: true, false or auto");
                return Err(CliError::Usage(text));
            }
        };
        let systemd = systemd.then(|| bus(rootless)).transpose()?;
        Ok(Self {
            rootless,
            systemd,
            disabled,
            unprivileged: is_rootless(),
        })
    }

    /// Whether the caller is taken for one who may not change the machine.
    pub(super) fn rootless(&self) -> bool {
        self.rootless
    }

    /// Whether systemd makes the groups.
    pub(super) fn is_systemd(&self) -> bool {
        self.systemd.is_some()
    }

    /// Makes the group of a container, at `cgroupsPath` or under its id; `None` where it may not be made and nothing was
    /// to be limited.
    pub(super) fn create(
        &self,
        id: &str,
        path: &str,
        resources: &Resources,
    ) -> Result<Option<Cgroup>, CliError> {
        if self.disabled {
            return Ok(None);
        }
        let mut resources = resources.clone();
        if self.unprivileged {
            // The kernel takes no filter of devices from a user, and in a user namespace no device can be made.
            resources.devices.clear();
        }
        let resources = &resources;
        if let Some(bus) = &self.systemd {
            let scope = match path {
                "" => Scope::parse(&format!(":{PREFIX}:{id}"))?,
                path => Scope::parse(path)?,
            };
            return Ok(Some(Cgroup::create_scope(
                &Layout::detect()?,
                bus,
                &scope,
                resources,
            )?));
        }
        if Scope::is_meant(path) {
            let text = format!(
                "linux.cgroupsPath: {path:?} is for the systemd cgroup driver: give --systemd-cgroup, or a path such as \
                 /parent/name"
            );
            return Err(CliError::Usage(text));
        }
        // Whoever names a group wants it, as with runc.
        let may_do_without = self.rootless && path.is_empty() && !limits(resources);
        let path = if path.is_empty() { id } else { path };
        let made = Layout::detect().and_then(|layout| Cgroup::create(&layout, path, resources));
        match made {
            Ok(cgroup) => Ok(Some(cgroup)),
            Err(error) if may_do_without && is_refusal(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The systemd of this machine, or of the user.
fn bus(user: bool) -> Result<Bus, CliError> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if !user {
        let usual = Bus::system();
        let address = variable("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or(usual.address);
        return Ok(Bus { address, user });
    }
    let beside = || variable("XDG_RUNTIME_DIR").map(|directory| format!("unix:path={directory}/bus"));
    let address = variable("DBUS_SESSION_BUS_ADDRESS").or_else(beside);
    let none = || {
        let text = "--systemd-cgroup: the user's systemd cannot be found: set DBUS_SESSION_BUS_ADDRESS or \
                    XDG_RUNTIME_DIR, as a login session does";
        CliError::Usage(text.into())
    };
    Ok(Bus {
        address: address.ok_or_else(none)?,
        user,
    })
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
        let text = |rootless| match Manager::new(rootless, false, None) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert!(text(Some("perhaps")).contains("--rootless"));
        assert_eq!(text(Some("true")), "");
        let error = Manager::new(None, false, Some("lmctfy")).expect_err("unknown");
        assert!(error.to_string().contains("--cgroup-manager"), "{error}");
    }

    #[test]
    fn no_group_is_made_where_none_is_wanted() {
        let manager = Manager::new(Some("false"), false, Some("disabled")).expect("manager");
        let made = manager.create("box", "/never/made", &Resources::default());
        assert!(made.expect("nothing to do").is_none());
    }

    #[test]
    fn a_path_for_systemd_needs_its_driver() {
        let manager = Manager::new(Some("true"), false, None).expect("manager");
        let made = manager.create("box", "system.slice:dhow:box", &Resources::default());
        assert!(
            made.expect_err("refused")
                .to_string()
                .contains("--systemd-cgroup")
        );
    }
}
