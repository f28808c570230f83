//! Landlock (landlock(7)): which files a process may reach, enforced by the kernel beside AppArmor and SELinux, and on
//! distributions that have neither. No privilege and no profile that an administrator has loaded is needed.

use serde::Deserialize;

/// The annotation of a spec that asks for it; the runtime-spec has no property.
pub const ANNOTATION: &str = "io.github.dhow.landlock";

/// More paths than these nobody writes by hand.
const MOST: usize = 256;

// `LANDLOCK_ACCESS_FS_*` of <linux/landlock.h>.
const EXECUTE: u64 = 1 << 0;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
/// Of version 3.
const TRUNCATE: u64 = 1 << 14;
/// Of version 5.
const IOCTL_DEV: u64 = 1 << 15;

/// The rights that a rule for a file may have; the others make sense for directories only.
pub const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// What a process may do to files: below these paths of its own root, and nothing anywhere else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Read files and list directories.
    read: Vec<String>,
    /// The same, and execute.
    execute: Vec<String>,
    /// Read, write, make, remove, rename, truncate, and control devices.
    write: Vec<String>,
}

/// An annotation that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the JSON that it should be.
    #[error("annotation {ANNOTATION}: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A path that does not begin at the root.
    #[error("annotation {ANNOTATION}: {0:?} is no absolute path")]
    Relative(String),
    /// Nothing would be allowed, not even to execute the program.
    #[error("annotation {ANNOTATION}: no path may be executed")]
    Nothing,
    /// Too long a list.
    #[error("annotation {ANNOTATION}: more than {MOST} paths")]
    Many,
}

impl Rules {
    /// Reads the annotation's text: `{"execute": ["/"], "write": ["/tmp", "/dev"]}`.
    ///
    /// # Errors
    /// [`Error`] names what is wrong.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let rules: Self = serde_json::from_str(text)?;
        if rules.execute.is_empty() {
            return Err(Error::Nothing);
        }
        let paths = || rules.paths().map(|(path, _)| path);
        if paths().count() > MOST {
            return Err(Error::Many);
        }
        if let Some(path) = paths().find(|path| !path.starts_with('/')) {
            return Err(Error::Relative(path.to_owned()));
        }
        Ok(rules)
    }

    /// Each path with the rights below it, for a kernel whose interface has this version.
    pub fn allowed(&self, version: u32) -> impl Iterator<Item = (&str, u64)> {
        let handled = handled(version);
        self.paths().map(move |(path, rights)| (path, rights & handled))
    }

    fn paths(&self) -> impl Iterator<Item = (&str, u64)> {
        const READ: u64 = READ_FILE | READ_DIR;
        let lists = [
            (&self.read, READ),
            (&self.execute, READ | EXECUTE),
            (&self.write, !EXECUTE),
        ];
        lists
            .into_iter()
            .flat_map(|(list, rights)| list.iter().map(move |path| (path.as_str(), rights)))
    }
}

/// The rights that this version of the kernel's interface can govern; all of them are taken away but for the rules.
#[must_use]
pub fn handled(version: u32) -> u64 {
    // From the last bit that a version knows.
    let bits = match version {
        0 | 1 => 13,
        2 => 14,
        3 | 4 => 15,
        _ => 16,
    };
    (1 << bits) - 1
}

/// The version of the kernel's interface; `None` where it is not switched on.
#[must_use]
pub fn version() -> Option<u32> {
    linux::landlock::version().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_come_from_json() {
        let rules = Rules::parse(r#"{"execute":["/bin"],"read":["/etc"],"write":["/tmp"]}"#).expect("valid");
        let allowed: Vec<_> = rules.allowed(1).collect();
        assert_eq!(allowed[0], ("/etc", READ_FILE | READ_DIR));
        assert_eq!(allowed[1], ("/bin", READ_FILE | READ_DIR | EXECUTE));
        let (path, rights) = allowed[2];
        assert_eq!(
            (path, rights & EXECUTE, rights & TRUNCATE),
            ("/tmp", 0, 0),
            "version 1 has no truncate"
        );
        assert_ne!(
            rules.allowed(3).last().map_or(0, |(_, rights)| rights & TRUNCATE),
            0
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, words) in [
            ("", ANNOTATION),
            ("[]", ANNOTATION),
            (r#"{"execute":["/"],"delete":["/x"]}"#, "delete"),
            (r#"{"execute":["bin"]}"#, "\"bin\""),
            (r#"{"read":["/"]}"#, "executed"),
        ] {
            let said = Rules::parse(text).expect_err(text).to_string();
            assert!(said.contains(words), "{text}: {said}");
        }
        let many = serde_json::json!({ "execute": vec!["/"; MOST + 1] });
        assert!(matches!(Rules::parse(&many.to_string()), Err(Error::Many)));
    }
}
