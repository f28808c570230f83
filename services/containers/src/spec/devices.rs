//! Device nodes and the rules of the device cgroup.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use api_types::container::DeviceMapping;
use oci::runtime::{Device as Node, DeviceRule};

use crate::Error;

/// A device of the host that a container gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// The path inside the container.
    pub(crate) path: String,
    /// `c` or `b`.
    pub(crate) kind: char,
    pub(crate) major: i64,
    pub(crate) minor: i64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// `r`, `w`, `m`.
    pub(crate) access: String,
}

/// The character devices that every container may use: (major, minor); `None` stands for all.
const ALLOWED: [(i64, Option<i64>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

/// Directories and files below `/dev` that a privileged container does not get from the host.
const NOT_SHARED: [&str; 9] = [
    "pts",
    "shm",
    "fd",
    "mqueue",
    "console",
    "ptmx",
    ".lxc",
    ".lxd-mounts",
    ".udev",
];

impl Device {
    /// The node that the runtime makes.
    pub(crate) fn node(&self) -> Node {
        Node {
            path: self.path.clone(),
            kind: self.kind.to_string(),
            major: self.major,
            minor: self.minor,
            file_mode: Some(self.mode),
            uid: Some(self.uid),
            gid: Some(self.gid),
        }
    }

    fn rule(&self) -> DeviceRule {
        DeviceRule {
            allow: true,
            kind: Some(self.kind.to_string()),
            major: Some(self.major),
            minor: Some(self.minor),
            access: self.access.clone(),
        }
    }

    fn of(host: &Path, inside: &str, access: &str) -> Option<Self> {
        let data = std::fs::metadata(host).ok()?;
        let kind = match data.file_type() {
            kind if kind.is_char_device() => 'c',
            kind if kind.is_block_device() => 'b',
            _ => return None,
        };
        Some(Self {
            path: inside.to_owned(),
            kind,
            major: i64::from(rustix::fs::major(data.rdev())),
            minor: i64::from(rustix::fs::minor(data.rdev())),
            mode: data.mode() & 0o7777,
            uid: data.uid(),
            gid: data.gid(),
            access: access.to_owned(),
        })
    }
}

/// The devices of one `--device`: the node itself, or all below a directory.
///
/// # Errors
/// docker's sentence when there is no such device, or the permissions are none of `r`, `w`, `m`.
pub(crate) fn mapped(mapping: &DeviceMapping) -> Result<Vec<Device>, Error> {
    let DeviceMapping {
        path_on_host,
        path_in_container,
        cgroup_permissions,
    } = mapping;
    let inside = if path_in_container.is_empty() {
        path_on_host
    } else {
        path_in_container
    };
    let access = if cgroup_permissions.is_empty() {
        "rwm"
    } else {
        cgroup_permissions
    };
    if !access.bytes().all(|byte| b"rwm".contains(&byte)) {
        return Err(Error::Invalid(format!("invalid device mode: {access}")));
    }
    let missing = |why: &str| {
        Error::Invalid(format!(
            "error gathering device information while adding custom device \"{path_on_host}\": {why}"
        ))
    };
    let host = std::fs::canonicalize(path_on_host).map_err(|_| missing("no such file or directory"))?;
    if host.is_dir() {
        let mut found = Vec::new();
        walk(&host, Path::new(inside), access, 0, &mut found);
        return if found.is_empty() {
            Err(missing("not a device node"))
        } else {
            Ok(found)
        };
    }
    Device::of(&host, inside, access)
        .map(|device| vec![device])
        .ok_or_else(|| missing("not a device node"))
}

/// All devices of the host, for `--privileged`.
pub(crate) fn all_of_host() -> Vec<Device> {
    let mut found = Vec::new();
    walk(Path::new("/dev"), Path::new("/dev"), "rwm", 0, &mut found);
    found
}

fn walk(host: &Path, inside: &Path, access: &str, depth: usize, found: &mut Vec<Device>) {
    let Ok(entries) = std::fs::read_dir(host) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let skipped = depth == 0 && NOT_SHARED.iter().any(|skip| name == *skip);
        let Ok(kind) = entry.file_type() else { continue };
        if skipped || kind.is_symlink() {
            continue;
        }
        let inside = inside.join(&name);
        if kind.is_dir() {
            if depth < 8 {
                walk(&entry.path(), &inside, access, depth + 1, found);
            }
        } else if let Some(device) = Device::of(&entry.path(), &inside.to_string_lossy(), access) {
            found.push(device);
        }
    }
}

/// Numbers of a block device, for limits.
pub(super) fn block_numbers(path: &str) -> Result<(i64, i64), Error> {
    match Device::of(Path::new(path), path, "") {
        Some(device) if device.kind == 'b' => Ok((device.major, device.minor)),
        // Clients tell by these words that something is missing (exit code 127).
        None if !Path::new(path).exists() => {
            Err(Error::Invalid(format!("stat {path}: no such file or directory")))
        }
        _ => Err(Error::Invalid(format!("{path} is not a block device"))),
    }
}

/// The rules: nothing, but for making nodes, the default devices, the given ones and the user's own rules.
pub(super) fn rules(privileged: bool, devices: &[Device], own: &[String]) -> Result<Vec<DeviceRule>, Error> {
    let all = |allow| DeviceRule {
        allow,
        kind: None,
        major: None,
        minor: None,
        access: "rwm".into(),
    };
    if privileged {
        return Ok(vec![all(true)]);
    }
    let make = |kind: &str| DeviceRule {
        allow: true,
        kind: Some(kind.into()),
        major: None,
        minor: None,
        access: "m".into(),
    };
    let usual = ALLOWED.iter().map(|(major, minor)| DeviceRule {
        allow: true,
        kind: Some("c".into()),
        major: Some(*major),
        minor: *minor,
        access: "rwm".into(),
    });
    let mut rules = vec![all(false), make("c"), make("b")];
    rules.extend(usual);
    rules.extend(devices.iter().map(Device::rule));
    for text in own {
        rules.push(parse_rule(text)?);
    }
    Ok(rules)
}

/// `c 1:3 rwm`, with `*` for any number and `a` for any kind.
pub(super) fn parse_rule(text: &str) -> Result<DeviceRule, Error> {
    let invalid = || Error::Invalid(format!("invalid device cgroup rule format: '{text}'"));
    let mut words = text.split_whitespace();
    let (Some(kind), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(invalid());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        digits => digits.parse::<i64>().map(Some).map_err(|_| invalid()),
    };
    let known = matches!(kind, "a" | "b" | "c") && access.len() <= 3;
    if !known || access.is_empty() || !access.bytes().all(|byte| b"rwm".contains(&byte)) {
        return Err(invalid());
    }
    Ok(DeviceRule {
        allow: true,
        kind: Some(kind.into()),
        major: number(major)?,
        minor: number(minor)?,
        access: access.into(),
    })
}
