//! Volumes as directories `<data root>/volumes/<name>/_data`.

use std::fs;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::{Driver, Options, Scope, Source, VolumeDriverError};

/// Volumes as directories below one root.
#[derive(Debug)]
pub struct Local {
    root: PathBuf,
}

/// Both prefixes begin with a dot, which no volume's name does.
const CLAIMED: &str = ".new-";
const REMOVED: &str = ".old-";
/// A file name has at most 255 bytes, and a prefix comes before it.
const MAX_NAME: usize = 249;
const KNOWN_OPTIONS: [&str; 4] = ["device", "o", "size", "type"];
/// Which option needs which others.
const REQUIRED: [(&str, &[&str]); 3] = [
    ("device", &["type"]),
    ("o", &["device", "type"]),
    ("type", &["device"]),
];

impl Local {
    /// Opens (and makes where needed) `<data_root>/volumes`.
    ///
    /// # Errors
    /// [`VolumeDriverError::File`].
    pub fn open(data_root: &Path) -> Result<Self, VolumeDriverError> {
        let root = data_root.join("volumes");
        make_directories(&root, 0o701)?;
        Ok(Self { root })
    }

    fn path(&self, prefix: &str, name: &str) -> PathBuf {
        self.root.join(format!("{prefix}{name}"))
    }
}

impl Driver for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn scope(&self) -> Scope {
        Scope::Local
    }

    fn validate(&self, name: &str, options: &Options) -> Result<(), VolumeDriverError> {
        check_name(name)?;
        for option in options.keys() {
            if !KNOWN_OPTIONS.contains(&option.as_str()) {
                return Err(VolumeDriverError::UnknownOption(option.clone()));
            }
        }
        if options.get("size").is_some_and(|size| size != "0") {
            return Err(VolumeDriverError::NoQuota);
        }
        for (option, required) in REQUIRED {
            if !options.contains_key(option) {
                continue;
            }
            if let Some(missing) = required.iter().find(|name| !options.contains_key(**name)) {
                return Err(VolumeDriverError::MissingOption(missing));
            }
        }
        Ok(())
    }

    fn claim(&self, name: &str) -> Result<(), VolumeDriverError> {
        let claimed = self.path(CLAIMED, name);
        make_directories(&claimed, 0o701)?;
        make_directories(&claimed.join("_data"), 0o755)
    }

    fn create(&self, name: &str) -> Result<(), VolumeDriverError> {
        let path = self.path("", name);
        if !path.exists() {
            let claimed = self.path(CLAIMED, name);
            if !claimed.exists() {
                self.claim(name)?;
            }
            return rename(&claimed, &path);
        }
        make_directories(&path.join("_data"), 0o755)
    }

    fn mountpoint(&self, name: &str) -> PathBuf {
        self.path("", name).join("_data")
    }

    fn source(&self, name: &str, options: &Options) -> Result<Source, VolumeDriverError> {
        let (Some(kind), Some(device)) = (options.get("type"), options.get("device")) else {
            return Ok(Source::Bind {
                path: self.mountpoint(name),
                options: Vec::new(),
            });
        };
        let words = options.get("o").map_or("", String::as_str);
        let mut words: Vec<String> = words
            .split(',')
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect();
        if words.iter().any(|word| word == "bind" || word == "rbind") {
            return Ok(Source::Bind {
                path: PathBuf::from(device),
                options: words,
            });
        }
        // The kernel's network file systems take addresses only, not names.
        for word in &mut words {
            if let Some(address) = word.strip_prefix("addr=") {
                *word = format!("addr={}", resolve(address)?);
            }
        }
        Ok(Source::FileSystem {
            kind: kind.clone(),
            device: device.clone(),
            options: words,
        })
    }

    fn remove(&self, name: &str) -> Result<(), VolumeDriverError> {
        let (path, removed) = (self.path("", name), self.path(REMOVED, name));
        remove_tree(&removed)?;
        if path.symlink_metadata().is_ok() {
            rename(&path, &removed)?;
        }
        remove_tree(&removed)
    }

    fn sweep(&self) -> Result<Vec<String>, VolumeDriverError> {
        let read = file("read", &self.root);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(&read)? {
            let name = entry.map_err(&read)?.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(CLAIMED) || name.starts_with(REMOVED) {
                remove_tree(&self.root.join(name))?;
            } else if check_name(name).is_ok() && self.mountpoint(name).is_dir() {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

fn check_name(name: &str) -> Result<(), VolumeDriverError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if name.len() == 1 {
        return Err(VolumeDriverError::NameTooShort);
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.bytes().all(allowed) {
        return Err(VolumeDriverError::NameCharacters {
            name: name.to_owned(),
        });
    }
    if name.len() > MAX_NAME {
        return Err(VolumeDriverError::NameTooLong);
    }
    Ok(())
}

fn resolve(address: &str) -> Result<IpAddr, VolumeDriverError> {
    if let Ok(ip) = address.parse() {
        return Ok(ip);
    }
    let failed = |source| VolumeDriverError::Resolve {
        address: address.to_owned(),
        source,
    };
    let mut found = (address, 0).to_socket_addrs().map_err(failed)?;
    let none = || io::Error::new(io::ErrorKind::NotFound, "no address");
    found
        .next()
        .map(|socket| socket.ip())
        .ok_or_else(none)
        .map_err(failed)
}

fn make_directories(path: &Path, mode: u32) -> Result<(), VolumeDriverError> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(file("make directory", path))
}

fn rename(from: &Path, to: &Path) -> Result<(), VolumeDriverError> {
    fs::rename(from, to).map_err(file("rename to", to))
}

fn remove_tree(path: &Path) -> Result<(), VolumeDriverError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(file("remove", path)(error)),
        Ok(()) => Ok(()),
    }
}

fn file(step: &'static str, path: &Path) -> impl Fn(io::Error) -> VolumeDriverError {
    let path = path.to_path_buf();
    move |source| VolumeDriverError::File {
        step,
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> (tempfile::TempDir, Local) {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::open(dir.path()).unwrap();
        (dir, local)
    }

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn a_volume_is_a_directory_that_survives_a_second_creation() {
        let (dir, local) = open();
        local.claim("data").unwrap();
        assert!(!local.mountpoint("data").exists());
        local.create("data").unwrap();
        assert_eq!(local.mountpoint("data"), dir.path().join("volumes/data/_data"));
        fs::write(local.mountpoint("data").join("f"), "x").unwrap();
        local.create("data").unwrap();
        assert!(local.mountpoint("data").join("f").exists());
        local.remove("data").unwrap();
        local.remove("data").unwrap();
        assert_eq!(fs::read_dir(dir.path().join("volumes")).unwrap().count(), 0);
    }

    #[test]
    fn a_sweep_removes_what_was_claimed_or_half_removed_and_keeps_the_rest() {
        let (dir, local) = open();
        local.claim("claimed").unwrap();
        local.create("kept").unwrap();
        local.create("half").unwrap();
        let root = dir.path().join("volumes");
        fs::rename(root.join("half"), root.join(".old-half")).unwrap();
        assert_eq!(local.sweep().unwrap(), ["kept"]);
        assert_eq!(fs::read_dir(root).unwrap().count(), 1);
    }

    #[test]
    fn removing_a_volume_does_not_follow_links_out_of_it() {
        let (dir, local) = open();
        fs::write(dir.path().join("outside"), "x").unwrap();
        local.create("data").unwrap();
        std::os::unix::fs::symlink("../../..", local.mountpoint("data").join("up")).unwrap();
        local.remove("data").unwrap();
        assert!(dir.path().join("outside").exists());
    }

    #[test]
    fn names_are_refused_with_dockers_words() {
        let (_dir, local) = open();
        let check = |name: &str, expected: &str| {
            let error = local.validate(name, &Options::new()).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
        };
        check(
            "a",
            "volume name is too short, names should be at least two alphanumeric characters",
        );
        check(
            "a/b",
            "\"a/b\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed",
        );
        check("..", "includes invalid characters");
        check(".ab", "includes invalid characters");
        check("", "includes invalid characters");
        check("aé", "includes invalid characters");
        check(&"a".repeat(250), "too long");
        local.validate("a1_.-", &Options::new()).unwrap();
        local.validate(&"a".repeat(249), &Options::new()).unwrap();
    }

    #[test]
    fn options_are_refused_with_dockers_words() {
        let (_dir, local) = open();
        let check = |pairs: &[(&str, &str)], expected: &str| {
            let error = local.validate("data", &options(pairs)).unwrap_err().to_string();
            assert_eq!(error, expected);
        };
        check(&[("foo", "bar")], "invalid option: \"foo\"");
        check(&[("type", "tmpfs")], "missing required option: \"device\"");
        check(&[("device", "/x")], "missing required option: \"type\"");
        check(
            &[("o", "bind"), ("device", "/x")],
            "missing required option: \"type\"",
        );
        check(&[("size", "10M")], "quota size requested but no quota support");
    }

    #[test]
    fn options_become_what_a_container_mounts() {
        let (_dir, local) = open();
        let check = |pairs: &[(&str, &str)], expected: Source| {
            assert_eq!(local.source("data", &options(pairs)).unwrap(), expected);
        };
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        check(
            &[],
            Source::Bind {
                path: local.mountpoint("data"),
                options: vec![],
            },
        );
        check(
            &[("type", "none"), ("o", "bind,ro"), ("device", "/srv")],
            Source::Bind {
                path: "/srv".into(),
                options: words(&["bind", "ro"]),
            },
        );
        check(
            &[("type", "tmpfs"), ("o", "size=10m,uid=1"), ("device", "tmpfs")],
            Source::FileSystem {
                kind: "tmpfs".into(),
                device: "tmpfs".into(),
                options: words(&["size=10m", "uid=1"]),
            },
        );
        check(
            &[("type", "nfs"), ("o", "addr=127.0.0.1,rw"), ("device", ":/x")],
            Source::FileSystem {
                kind: "nfs".into(),
                device: ":/x".into(),
                options: words(&["addr=127.0.0.1", "rw"]),
            },
        );
    }
}
