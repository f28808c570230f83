//! Intel's resource director: a container's class of cache and memory bandwidth (config-linux.md, "IntelRdt").

use std::io;
use std::path::{Path, PathBuf};

use fault::{Fault, Kind};
use oci::runtime::IntelRdt;
use serde::{Deserialize, Serialize};

/// Why a class could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system is not there.
    #[error("linux.intelRdt: no resctrl file system is mounted")]
    Absent,
    /// The class has a name that leads elsewhere.
    #[error("linux.intelRdt.closID: invalid name {0:?}")]
    Name(String),
    /// A class without a schema must be there already.
    #[error("linux.intelRdt: closID {0:?} does not exist, and no schema to make it with is given")]
    NoClass(String),
    /// A file or directory could not be made or written.
    #[error("linux.intelRdt: {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Name(_) | Self::NoClass(_) => Kind::InvalidParameter,
            Self::Absent => Kind::NotImplemented,
            Self::File { .. } => Kind::System,
        }
    }
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}

/// A container's class, and what of it was made for the container alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    class: PathBuf,
    own_class: bool,
    monitor: Option<PathBuf>,
}

/// Where the file system is mounted.
#[must_use]
pub fn mounted() -> Option<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    text.lines().find_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let point = front.split(' ').nth(4)?;
        back.starts_with("resctrl ").then(|| PathBuf::from(point))
    })
}

/// Puts a process into the class that `wish` describes, below `top`; a class without a name is called `id`.
///
/// # Errors
/// When it may not be made; nothing is left behind.
pub fn apply(top: &Path, wish: &IntelRdt, id: &str, pid: i32) -> Result<Made, Error> {
    let name = if wish.clos_id.is_empty() {
        id
    } else {
        &wish.clos_id
    };
    if name.contains('/') || matches!(name, "." | ".." | "info" | "mon_data" | "mon_groups") {
        return Err(Error::Name(name.to_owned()));
    }
    let mut lines = wish.schemata.clone();
    lines.extend(
        [&wish.l3_cache_schema, &wish.mem_bw_schema]
            .into_iter()
            .filter(|line| !line.is_empty())
            .cloned(),
    );
    let class = top.join(name);
    if !class.exists() && lines.is_empty() && !wish.clos_id.is_empty() {
        return Err(Error::NoClass(name.to_owned()));
    }
    let own_class = make(&class)?;
    let mut made = Made {
        class,
        own_class,
        monitor: None,
    };
    let filled = made.fill(&lines, wish.enable_monitoring.then_some(id), pid);
    if filled.is_err() {
        let _ = made.remove();
    }
    filled.map(|()| made)
}

impl Made {
    fn fill(&mut self, lines: &[String], monitor: Option<&str>, pid: i32) -> Result<(), Error> {
        self.write_schemata(lines)?;
        write(&self.class.join("tasks"), &pid.to_string())?;
        let Some(id) = monitor else { return Ok(()) };
        let group = self.class.join("mon_groups").join(id);
        if make(&group)? {
            self.monitor = Some(group.clone());
        }
        write(&group.join("tasks"), &pid.to_string())
    }

    /// Changes the shares of the class.
    ///
    /// # Errors
    /// When the kernel refuses a line.
    pub fn write_schemata(&self, lines: &[String]) -> Result<(), Error> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut text = lines.join("\n");
        text.push('\n');
        write(&self.class.join("schemata"), &text)
    }

    /// Removes what was made for the container alone.
    ///
    /// # Errors
    /// When the kernel refuses; what is gone already is none.
    pub fn remove(&self) -> Result<(), Error> {
        let own = self.own_class.then_some(&self.class);
        for path in self.monitor.iter().chain(own) {
            match std::fs::remove_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(file("rmdir", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Makes a directory; whether it is new.
fn make(path: &Path) -> Result<bool, Error> {
    match std::fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(file("mkdir", path)(error)),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of plain directories; the kernel would fill a new directory with files.
    fn tree() -> tempfile::TempDir {
        tempfile::tempdir().expect("directory")
    }

    fn wish(text: &str) -> IntelRdt {
        serde_json::from_str(text).expect("intelRdt")
    }

    #[test]
    fn a_class_is_made_filled_and_removed() {
        let top = tree();
        let rdt = wish(r#"{"l3CacheSchema":"L3:0=f","memBwSchema":"MB:0=20","schemata":["L2:0=3"]}"#);
        let made = apply(top.path(), &rdt, "box", 77).expect("made");
        let read = |name: &str| std::fs::read_to_string(top.path().join("box").join(name)).expect(name);
        assert_eq!(read("schemata"), "L2:0=3\nL3:0=f\nMB:0=20\n");
        assert_eq!(read("tasks"), "77");
        for name in ["schemata", "tasks"] {
            std::fs::remove_file(top.path().join("box").join(name))
                .expect("as the kernel's go with the directory");
        }
        made.remove().expect("removed");
        assert!(!top.path().join("box").exists());
    }

    #[test]
    fn a_class_that_was_there_stays() {
        let top = tree();
        std::fs::create_dir(top.path().join("shared")).expect("class");
        let made = apply(top.path(), &wish(r#"{"closID":"shared"}"#), "box", 5).expect("joined");
        made.remove().expect("nothing to remove");
        assert_eq!(
            std::fs::read_to_string(top.path().join("shared/tasks")).expect("tasks"),
            "5"
        );
    }

    #[test]
    fn wrong_classes_are_refused_by_name() {
        let top = tree();
        let text = |rdt: &str| {
            apply(top.path(), &wish(rdt), "box", 5)
                .expect_err("wrong")
                .to_string()
        };
        assert!(text(r#"{"closID":"../x"}"#).contains("\"../x\""));
        assert!(text(r#"{"closID":"absent"}"#).contains("does not exist"));
        // No mon_groups: what was made before is taken back.
        assert!(text(r#"{"enableMonitoring":true}"#).contains("mon_groups"));
    }
}
