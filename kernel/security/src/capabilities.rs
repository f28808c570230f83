//! The 41 capabilities (capabilities(7)), Docker's default set and its rules for adding and dropping.

use fault::{Fault, Kind};

/// Names by number.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

const DOCKER_DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// A set of capabilities; bit N is capability number N, as capset(2) and `/proc/PID/status` count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// The set that Docker gives to a container by default.
    pub fn docker_default() -> CapabilitySet {
        DOCKER_DEFAULT.iter().filter_map(|name| number(name)).collect()
    }

    /// Every capability that can be given here: those that this crate knows, the running kernel knows, and this process
    /// holds (an engine inside a container may lack some).
    pub fn available() -> CapabilitySet {
        let known = (1 << NAMES.len()) - 1;
        // A kernel that does not answer has no capabilities at all; what fails then fails with a name.
        CapabilitySet(linux::caps::get().map_or(known, |sets| sets.effective & known))
    }

    /// Reads the names of a runtime-spec: `CAP_` and upper case.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Result<CapabilitySet, Error> {
        let one = |name: &S| {
            let found = NAMES.iter().position(|known| *known == name.as_ref());
            found
                .map(|n| n as u8)
                .ok_or_else(|| Error::Unknown(name.as_ref().to_owned()))
        };
        names.iter().map(one).collect()
    }

    /// The names with `CAP_`, by number.
    pub fn names(self) -> Vec<&'static str> {
        (0_u8..)
            .zip(NAMES)
            .filter(|(n, _)| self.has(*n))
            .map(|(_, name)| name)
            .collect()
    }

    /// Whether capability `number` is in the set.
    pub fn has(self, number: u8) -> bool {
        number < 64 && self.0 & (1 << number) != 0
    }

    /// Whether the capability of this name is in the set; a name that nobody knows is in none.
    pub fn has_name(self, name: &str) -> bool {
        number(name).is_some_and(|n| self.has(n))
    }
}

impl FromIterator<u8> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = u8>>(numbers: I) -> Self {
        CapabilitySet(numbers.into_iter().fold(0, |set, n| set | 1 << n))
    }
}

/// The number of a capability, by name with or without `CAP_`, in any case.
pub fn number(name: &str) -> Option<u8> {
    let prefixed = name
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("CAP_"));
    let name = if prefixed { &name[4..] } else { name };
    NAMES
        .iter()
        .position(|known| known[4..].eq_ignore_ascii_case(name))
        .map(|n| n as u8)
}

/// The set for a container: Docker's default, changed by `--cap-add` and `--cap-drop`; all that are available if
/// privileged.
///
/// `ALL` added: everything but what is dropped. `ALL` dropped: only what is added. Otherwise first drop, then add.
pub fn for_container(add: &[String], drop: &[String], privileged: bool) -> Result<CapabilitySet, Error> {
    choose(add, drop, privileged, CapabilitySet::available())
}

fn choose(
    add: &[String],
    drop: &[String],
    privileged: bool,
    available: CapabilitySet,
) -> Result<CapabilitySet, Error> {
    if privileged {
        return Ok(available);
    }
    let (added, adds_all) = normalise(add, available).map_err(|e| Error::Add(Box::new(e)))?;
    let (dropped, drops_all) = normalise(drop, available).map_err(|e| Error::Drop(Box::new(e)))?;
    Ok(CapabilitySet(if adds_all {
        available.0 & !dropped.0
    } else if drops_all {
        added.0
    } else {
        (CapabilitySet::docker_default().0 & !dropped.0) | added.0
    }))
}

/// The named set, and whether `ALL` was among the names.
fn normalise(names: &[String], available: CapabilitySet) -> Result<(CapabilitySet, bool), Error> {
    let mut set = CapabilitySet::default();
    let mut all = false;
    for name in names {
        if name.eq_ignore_ascii_case("ALL") {
            all = true;
            continue;
        }
        let upper = name.to_ascii_uppercase();
        let full = if upper.starts_with("CAP_") {
            upper
        } else {
            format!("CAP_{upper}")
        };
        match number(&full) {
            None => return Err(Error::Unknown(full)),
            Some(n) if !available.has(n) => return Err(Error::Unsupported(full)),
            Some(n) => set.0 |= 1 << n,
        }
    }
    Ok((set, all))
}

/// A name that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such capability.
    #[error("unknown capability: {0:?}")]
    Unknown(String),
    /// This kernel does not have it, or this process cannot pass it on.
    #[error("capability not supported by your kernel or not available in the current environment: {0:?}")]
    Unsupported(String),
    /// In the list of what to add.
    #[error("invalid CapAdd: {0}")]
    Add(#[source] Box<Error>),
    /// In the list of what to drop.
    #[error("invalid CapDrop: {0}")]
    Drop(#[source] Box<Error>),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        Kind::InvalidParameter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: CapabilitySet = CapabilitySet((1 << 41) - 1);

    fn check(add: &[&str], drop: &[&str], expect: CapabilitySet) {
        let own = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(
            choose(&own(add), &own(drop), false, ALL).expect("names"),
            expect,
            "+{add:?} -{drop:?}"
        );
    }

    fn set(names: &[&str]) -> CapabilitySet {
        names.iter().map(|n| number(n).expect("known")).collect()
    }

    #[test]
    fn the_default_is_dockers() {
        // CapBnd of a container as dockerd starts it.
        assert_eq!(CapabilitySet::docker_default().0, 0xa804_25fb);
    }

    #[test]
    fn adding_and_dropping_follow_docker() {
        let default = CapabilitySet::docker_default();
        check(&[], &[], default);
        check(
            &["net_admin"],
            &[],
            CapabilitySet(default.0 | set(&["NET_ADMIN"]).0),
        );
        check(
            &[],
            &["CAP_CHOWN", "kill"],
            CapabilitySet(default.0 & !set(&["CHOWN", "KILL"]).0),
        );
        check(
            &["ALL"],
            &["SYS_TIME"],
            CapabilitySet(ALL.0 & !set(&["SYS_TIME"]).0),
        );
        check(&["NET_RAW"], &["all"], set(&["NET_RAW"]));
        check(&["ALL"], &["ALL"], ALL);
        check(&["KILL"], &["KILL"], default);
        check(&[], &["ALL"], CapabilitySet(0));
    }

    #[test]
    fn wrong_names_are_answered_in_dockers_words() {
        let error = choose(&["foo".to_owned()], &[], false, ALL).expect_err("unknown");
        assert_eq!(
            error.to_string(),
            r#"invalid CapAdd: unknown capability: "CAP_FOO""#
        );
        let error = choose(&[], &["bpf".to_owned()], false, CapabilitySet(1)).expect_err("not there");
        assert_eq!(
            error.to_string(),
            r#"invalid CapDrop: capability not supported by your kernel or not available in the current environment: "CAP_BPF""#
        );
    }

    #[test]
    fn privileged_means_all_that_there_are() {
        assert_eq!(
            choose(&[], &["ALL".to_owned()], true, CapabilitySet(5)).expect("set"),
            CapabilitySet(5)
        );
    }

    #[test]
    fn names_and_numbers_agree() {
        assert_eq!(number("CAP_SYS_ADMIN"), Some(21));
        assert_eq!(number("checkpoint_restore"), Some(40));
        assert_eq!(number("CAP_"), None);
        assert_eq!(number("é"), None);
        assert_eq!(CapabilitySet::from_names(&ALL.names()).expect("names"), ALL);
        assert!(
            CapabilitySet::from_names(&["chown"]).is_err(),
            "a runtime-spec has full names only"
        );
    }
}
