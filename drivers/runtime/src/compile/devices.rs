//! Device nodes and the links that every container has in `/dev`.

use oci::runtime::{DeviceRule, Linux};

use super::{CompileError, absolute};
use crate::program::{Device, Step};

const CHARACTER: u32 = 0o020_000;
const BLOCK: u32 = 0o060_000;
const FIFO: u32 = 0o010_000;

/// Name, major and minor number of the devices that the runtime-spec asks for (config-linux.md, "Default Devices").
const DEFAULT: &[(&std::ffi::CStr, u32, u32)] = &[
    (c"/dev/null", 1, 3),
    (c"/dev/zero", 1, 5),
    (c"/dev/full", 1, 7),
    (c"/dev/tty", 5, 0),
    (c"/dev/urandom", 1, 9),
    (c"/dev/random", 1, 8),
];

/// Links (config-linux.md, "Default Devices", and config.md, "Dev symbolic links").
const LINKS: &[(&std::ffi::CStr, &std::ffi::CStr)] = &[
    (c"/proc/self/fd", c"/dev/fd"),
    (c"/proc/self/fd/0", c"/dev/stdin"),
    (c"/proc/self/fd/1", c"/dev/stdout"),
    (c"/proc/self/fd/2", c"/dev/stderr"),
    (c"pts/ptmx", c"/dev/ptmx"),
];

/// The device access rules of a container's cgroup: those of its spec, before which everything is denied and after which
/// the devices that every container has are allowed, and the making of any node (its use is another matter).
#[must_use]
pub fn device_rules(spec: &[DeviceRule]) -> Vec<DeviceRule> {
    let rule = |allow, kind: Option<&str>, major, minor, access: &str| DeviceRule {
        allow,
        kind: kind.map(str::to_owned),
        major,
        minor,
        access: access.to_owned(),
    };
    let mut rules = spec.to_vec();
    let denies_all = |first: &DeviceRule| {
        !first.allow && first.kind.as_deref().is_none_or(|kind| kind == "a") && first.major.is_none()
    };
    if !spec.first().is_some_and(denies_all) {
        rules.insert(0, rule(false, None, None, None, "rwm"));
    }
    rules.push(rule(true, Some("c"), None, None, "m"));
    rules.push(rule(true, Some("b"), None, None, "m"));
    let character = |major: u32, minor: Option<u32>| {
        rule(
            true,
            Some("c"),
            Some(i64::from(major)),
            minor.map(i64::from),
            "rwm",
        )
    };
    rules.extend(
        DEFAULT
            .iter()
            .map(|(_, major, minor)| character(*major, Some(*minor))),
    );
    // Terminals, their multiplexer, and what `/dev/console` shows.
    rules.extend([character(136, None), character(5, Some(2)), character(5, Some(1))]);
    rules
}

/// Adds the steps.
pub(super) fn compile(linux: &Linux, kcore: bool, steps: &mut Vec<Step>) -> Result<(), CompileError> {
    for (path, major, minor) in DEFAULT {
        let listed = linux
            .devices
            .iter()
            .any(|device| device.path.as_bytes() == path.to_bytes());
        if !listed {
            let path = (*path).to_owned();
            let (major, minor) = (*major, *minor);
            steps.push(Step::Device(Device {
                path,
                kind: CHARACTER,
                mode: 0o666,
                major,
                minor,
                uid: 0,
                gid: 0,
            }));
        }
    }
    for device in &linux.devices {
        let kind = match device.kind.as_str() {
            "c" | "u" => CHARACTER,
            "b" => BLOCK,
            "p" => FIFO,
            _ => {
                return Err(CompileError::Unknown {
                    what: "device type",
                    value: device.kind.clone(),
                });
            }
        };
        let number = |value: i64| {
            u32::try_from(value).map_err(|_| CompileError::Unknown {
                what: "device number",
                value: value.to_string(),
            })
        };
        steps.push(Step::Device(Device {
            path: absolute("device path", &device.path)?,
            kind,
            mode: device.file_mode.unwrap_or(0o666) & 0o7777,
            major: if kind == FIFO { 0 } else { number(device.major)? },
            minor: if kind == FIFO { 0 } else { number(device.minor)? },
            uid: device.uid.unwrap_or(0),
            gid: device.gid.unwrap_or(0),
        }));
    }
    // As runc: only where it leads somewhere.
    let core = [(c"/proc/kcore", c"/dev/core")];
    for (target, path) in LINKS.iter().chain(core.iter().filter(|_| kcore)) {
        steps.push(Step::Symlink {
            target: (*target).to_owned(),
            path: (*path).to_owned(),
        });
    }
    Ok(())
}
