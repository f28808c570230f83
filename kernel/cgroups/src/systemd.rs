//! Groups that systemd makes: transient scopes, asked for over D-Bus.
//!
//! On a machine whose tree systemd owns, a group made behind its back may be changed by it. A [`Scope`] is the request,
//! in runc's form `slice:prefix:name`; the unit that comes of it is named `prefix-name.scope`. systemd makes the group,
//! keeps its limits over a reload, and lets us do what we want inside (`Delegate=`).
//!
//! A scope needs a process from the start. A [`Holder`] is that process until the container's own is in the group.

mod bus;
mod holder;
mod properties;
mod wire;

use oci::runtime::Resources;

use crate::{Error, Mode, Result};

pub use bus::Bus;
use bus::Connection;
pub(crate) use holder::Holder;
use wire::Value;

/// Where containers go that name no slice.
const SYSTEM_SLICE: &str = "system.slice";
/// The same under the manager of a user.
const USER_SLICE: &str = "user.slice";

/// A unit, and the systemd that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Which systemd.
    pub bus: Bus,
    /// Its name, as `dhow-box.scope`.
    pub name: String,
}

/// What `cgroupsPath` says when systemd makes the groups: `slice:prefix:name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The slice that it is put into; empty for the usual one.
    pub slice: String,
    /// First half of its name.
    pub prefix: String,
    /// Second half.
    pub name: String,
}

impl Scope {
    /// Takes `slice:prefix:name` apart.
    pub fn parse(text: &str) -> Result<Scope> {
        let invalid = |why: &str| Error::InvalidScope {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        let parts: Vec<&str> = text.split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            return Err(invalid("must be of the form slice:prefix:name"));
        };
        if name.ends_with(".slice") {
            return Err(invalid(
                "a slice holds no processes: the name must not end in .slice",
            ));
        }
        let allowed = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.@\\".contains(&b))
        };
        let scope = Scope {
            slice: slice.to_owned(),
            prefix: prefix.to_owned(),
            name: name.to_owned(),
        };
        // systemd.unit(5): ASCII letters, digits, ":-_.\" and an @; at most 256 of them.
        if name.is_empty() || !allowed(prefix) || !allowed(name) || scope.unit().len() > 255 {
            return Err(invalid("prefix and name make no name of a unit"));
        }
        if !slice.is_empty() {
            scope.slice_path()?;
        }
        Ok(scope)
    }

    /// Whether a path is of this form, not one of directories.
    pub fn is_meant(path: &str) -> bool {
        path.contains(':') && !path.contains('/')
    }

    /// Name of the unit, as runc makes it.
    pub fn unit(&self) -> String {
        format!("{}-{}.scope", self.prefix, self.name)
    }

    /// The slice as a path: `a-b.slice` lies in `a.slice` (systemd.slice(5)).
    fn slice_path(&self) -> Result<String> {
        let invalid = || Error::InvalidScope {
            text: self.slice.clone(),
            why: "is no name of a slice such as system.slice".to_owned(),
        };
        let stem = self.slice.strip_suffix(".slice").ok_or_else(invalid)?;
        if stem == "-" {
            return Ok(String::new());
        }
        if stem.contains('/') || stem.split('-').any(str::is_empty) {
            return Err(invalid());
        }
        let mut path = String::new();
        let ends = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
        for end in ends {
            path.push_str(&format!("/{}.slice", &stem[..end]));
        }
        Ok(path)
    }

    /// The same with a slice.
    fn with_slice(&self, bus: &Bus) -> Scope {
        let usual = if bus.user { USER_SLICE } else { SYSTEM_SLICE };
        Scope {
            slice: if self.slice.is_empty() {
                usual.to_owned()
            } else {
                self.slice.clone()
            },
            ..self.clone()
        }
    }

    /// Path of the group below every hierarchy. The groups of a user's manager lie below its own.
    pub(crate) fn group(&self, bus: &Bus) -> Result<String> {
        let own = if bus.user {
            Connection::open(bus)?.control_group()?
        } else {
            String::new()
        };
        let scope = self.with_slice(bus);
        Ok(format!("{own}{}/{}", scope.slice_path()?, scope.unit()))
    }

    /// Has systemd make the group, with a process of ours in it.
    pub(crate) fn start(&self, bus: &Bus, mode: Mode, resources: &Resources) -> Result<(Unit, Holder)> {
        let scope = self.with_slice(bus);
        let unit = Unit {
            bus: bus.clone(),
            name: scope.unit(),
        };
        let holder = Holder::new()?;
        let mut wishes = vec![
            ("Description", Value::Text(format!("container {}", self.name))),
            ("Slice", Value::Text(scope.slice.clone())),
            ("Delegate", Value::Flag(true)),
            ("PIDs", Value::Numbers(vec![holder.pid()])),
            ("MemoryAccounting", Value::Flag(true)),
            ("CPUAccounting", Value::Flag(true)),
            ("TasksAccounting", Value::Flag(true)),
            (
                if mode == Mode::V2 {
                    "IOAccounting"
                } else {
                    "BlockIOAccounting"
                },
                Value::Flag(true),
            ),
            // Without this, the end of the machine's usual services would be the end of this scope, too early.
            ("DefaultDependencies", Value::Flag(false)),
            // Also one that ran out of memory goes by itself, and its name is free again.
            ("CollectMode", Value::Text("inactive-or-failed".to_owned())),
        ];
        wishes.extend(properties::of(resources, mode)?);
        let mut systemd = Connection::open(bus)?;
        let started = match systemd.start_scope(&unit.name, &wishes) {
            // One that has failed stays until somebody has taken note.
            Err(Error::Systemd { name, .. }) if name == bus::UNIT_EXISTS => {
                systemd.forget(&unit.name);
                systemd.start_scope(&unit.name, &wishes)
            }
            other => other,
        };
        started?;
        Ok((unit, holder))
    }
}

impl Unit {
    /// Changes limits until the unit ends.
    pub(crate) fn update(&self, mode: Mode, resources: &Resources) -> Result<()> {
        let wishes = properties::of(resources, mode)?;
        if wishes.is_empty() {
            return Ok(());
        }
        Connection::open(&self.bus)?.set_properties(&self.name, &wishes)
    }

    /// Ends the unit and forgets it; one that is gone is no error.
    pub(crate) fn stop(&self) -> Result<()> {
        let mut systemd = Connection::open(&self.bus)?;
        let stopped = match systemd.stop(&self.name) {
            Err(Error::Systemd { name, .. }) if name == bus::NO_SUCH_UNIT => Ok(()),
            other => other,
        };
        systemd.forget(&self.name);
        stopped
    }

    /// Has systemd put a process into the group, where the kernel would let only systemd do so.
    pub(crate) fn attach(&self, pid: i32) -> Result<()> {
        Connection::open(&self.bus)?.attach(&self.name, pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_three_parts_is_a_scope() {
        let scope = Scope::parse("machine-a-b.slice:cri:box").expect("scope");
        assert_eq!(scope.unit(), "cri-box.scope");
        let system = Bus::system();
        assert_eq!(
            scope.group(&system).expect("path"),
            "/machine.slice/machine-a.slice/machine-a-b.slice/cri-box.scope"
        );
        let plain = Scope::parse(":runc:box").expect("scope");
        assert_eq!(
            plain.group(&system).expect("path"),
            "/system.slice/runc-box.scope"
        );
        let top = Scope::parse("-.slice:a:b").expect("scope");
        assert_eq!(top.group(&system).expect("path"), "/a-b.scope");
    }

    #[test]
    fn what_is_no_scope_is_refused_with_the_reason() {
        for (text, why) in [
            ("/a/b", "slice:prefix:name"),
            ("a.slice:b", "slice:prefix:name"),
            ("a:b:c", "no name of a slice"),
            ("a--b.slice:b:c", "no name of a slice"),
            ("a/b.slice:b:c", "no name of a slice"),
            ("a.slice:b:c.slice", "holds no processes"),
            ("a.slice:b:", "no name of a unit"),
            ("a.slice:b:../c", "no name of a unit"),
        ] {
            let error = Scope::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
