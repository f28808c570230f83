//! Which cgroup hierarchies this machine has, and where this process stands in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::dir::{Dir, read_text};
use crate::{Error, Result};

/// How the controllers are spread over hierarchies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only version 1 hierarchies.
    V1,
    /// Version 1 hierarchies with the main controllers, and a version 2 tree beside them.
    Hybrid,
    /// One version 2 tree.
    V2,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Controllers (`cpu`, `cpuacct`); empty for a named hierarchy. For version 2 those offered at the top.
    pub controllers: Vec<String>,
    /// Name of a version 1 hierarchy without controllers (`systemd`).
    pub name: Option<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The path of this process below `mount`; `/` when it is at the top or not visible there.
    pub own: String,
}

/// All hierarchies of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(crate) v1: Vec<Hierarchy>,
    pub(crate) unified: Option<Hierarchy>,
}

/// What this machine can limit, as `docker info` and the checks of a container's settings need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `--memory`.
    pub memory: bool,
    /// `--memory-reservation`.
    pub memory_reservation: bool,
    /// `--memory-swap`.
    pub swap: bool,
    /// `--memory-swappiness`; version 1 only.
    pub swappiness: bool,
    /// `--oom-kill-disable`; version 1 only.
    pub oom_kill_disable: bool,
    /// `--cpu-shares`.
    pub cpu_shares: bool,
    /// `--cpu-period`, `--cpu-quota`, `--cpus`.
    pub cpu_cfs: bool,
    /// `--cpu-rt-period`, `--cpu-rt-runtime`; version 1 only.
    pub cpu_realtime: bool,
    /// `--cpuset-cpus`, `--cpuset-mems`.
    pub cpuset: bool,
    /// `--pids-limit`.
    pub pids: bool,
    /// `--blkio-weight`.
    pub blkio_weight: bool,
    /// `--device-read-bps` and its three siblings.
    pub blkio_throttle: bool,
}

impl Layout {
    /// Reads `/proc/self/mountinfo` and `/proc/self/cgroup` (cgroups(7)).
    pub fn detect() -> Result<Layout> {
        let read = |path: &str, usual| {
            let text = std::fs::File::open(path).and_then(|file| read_text(file, usual));
            text.map_err(|source| Error::Read {
                path: path.into(),
                source,
            })
        };
        let (mounts, own) = (
            read("/proc/self/mountinfo", 8192)?,
            read("/proc/self/cgroup", 1024)?,
        );
        let mut layout = Layout::parse(&mounts, &own)?;
        if let Some(unified) = &mut layout.unified {
            unified.controllers = words(&Dir::top(&unified.mount)?.read("cgroup.controllers")?);
        }
        Ok(layout)
    }

    /// Joins the text of `mountinfo` (proc(5)) with that of `cgroup` (cgroups(7)); the controllers of the version 2
    /// tree are in neither.
    pub(crate) fn parse(mountinfo: &str, cgroup: &str) -> Result<Layout> {
        let mounts: Vec<MountLine<'_>> = mountinfo.lines().filter_map(MountLine::parse).collect();
        let mut v1 = Vec::new();
        let mut unified = None;
        for line in cgroup.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(number), Some(names), Some(path)) = (fields.next(), fields.next(), fields.next())
            else {
                return Err(Error::Malformed {
                    path: "/proc/self/cgroup".into(),
                    text: line.to_owned(),
                });
            };
            if number == "0" && names.is_empty() {
                let mount = mounts.iter().find(|m| m.kind == "cgroup2");
                unified = mount.map(|m| m.hierarchy(Vec::new(), None, path));
                continue;
            }
            let wanted: Vec<&str> = names.split(',').collect();
            let fits =
                |m: &&MountLine<'_>| m.kind == "cgroup" && wanted.iter().all(|w| m.options.contains(w));
            // A hierarchy that is mounted nowhere cannot be used, and need not be.
            let Some(mount) = mounts.iter().find(fits) else {
                continue;
            };
            let name = names.strip_prefix("name=").map(str::to_owned);
            let controllers = wanted
                .iter()
                .filter(|w| !w.contains('='))
                .map(|w| w.to_string())
                .collect();
            v1.push(mount.hierarchy(controllers, name, path));
        }
        if v1.is_empty() && unified.is_none() {
            return Err(Error::NoHierarchy);
        }
        Ok(Layout { v1, unified })
    }

    /// Version 1, 2 or both.
    pub fn mode(&self) -> Mode {
        match (self.v1.iter().any(|h| !h.controllers.is_empty()), &self.unified) {
            (true, Some(_)) => Mode::Hybrid,
            (true, None) => Mode::V1,
            (false, Some(_)) => Mode::V2,
            (false, None) => Mode::V1,
        }
    }

    /// What Docker calls `CgroupVersion`: `"1"` (also when hybrid) or `"2"`.
    pub fn version(&self) -> &'static str {
        if self.mode() == Mode::V2 { "2" } else { "1" }
    }

    /// True if limits of this controller (`memory`, `cpu`, `pids`, `io` or `blkio`, …) can be set here.
    pub fn has(&self, controller: &str) -> bool {
        let names = |h: &Hierarchy| h.controllers.iter().any(|c| c == controller);
        self.v1.iter().any(names)
            || self.unified.as_ref().is_some_and(|unified| match controller {
                "blkio" => unified.controllers.iter().any(|c| c == "io"),
                // Not controllers there, but always possible: BPF programs and `cgroup.freeze`.
                "devices" | "freezer" => true,
                "cpuacct" => unified.controllers.iter().any(|c| c == "cpu"),
                _ => names(unified),
            })
    }

    /// What can be limited here.
    pub fn features(&self) -> Features {
        let file = |controller: &str, name: &str| {
            let at = self
                .v1
                .iter()
                .find(|h| h.controllers.iter().any(|c| c == controller));
            at.is_some_and(|h| h.mount.join(name).exists())
        };
        if self.mode() == Mode::V2 {
            let io = self.has("io");
            return Features {
                memory: self.has("memory"),
                memory_reservation: self.has("memory"),
                swap: self.has("memory") && self.swap_is_counted(),
                cpu_shares: self.has("cpu"),
                cpu_cfs: self.has("cpu"),
                cpuset: self.has("cpuset"),
                pids: self.has("pids"),
                blkio_weight: io,
                blkio_throttle: io,
                ..Features::default()
            };
        }
        Features {
            memory: self.has("memory"),
            memory_reservation: file("memory", "memory.soft_limit_in_bytes"),
            swap: file("memory", "memory.memsw.limit_in_bytes"),
            swappiness: file("memory", "memory.swappiness"),
            oom_kill_disable: file("memory", "memory.oom_control"),
            cpu_shares: file("cpu", "cpu.shares"),
            cpu_cfs: self.has("cpu") && Path::new("/proc/sys/kernel/sched_cfs_bandwidth_slice_us").exists(),
            cpu_realtime: file("cpu", "cpu.rt_runtime_us"),
            cpuset: self.has("cpuset"),
            pids: self.has("pids"),
            // The weight files come with a scheduler of the block layer, and only below the top for some of them.
            blkio_weight: file("blkio", "blkio.weight") || file("blkio", "blkio.bfq.weight"),
            blkio_throttle: file("blkio", "blkio.throttle.read_bps_device"),
        }
    }

    /// `memory.swap.max` exists below the top only, so the group of this process is asked.
    fn swap_is_counted(&self) -> bool {
        self.unified.as_ref().is_some_and(|unified| {
            unified.own == "/"
                || unified
                    .mount
                    .join(&unified.own[1..])
                    .join("memory.swap.max")
                    .exists()
        })
    }

    /// This process's groups, by the places of the hierarchies: what relative paths count from.
    pub fn own_groups(&self) -> BTreeMap<String, String> {
        let all = self.v1.iter().chain(&self.unified);
        all.map(|h| (h.mount.display().to_string(), h.own.clone()))
            .collect()
    }

    /// Looks from the groups of another process, as it said by [`Layout::own_groups`]: what is relative may have been meant
    /// by somebody who stood elsewhere.
    pub fn stand_in(&mut self, groups: &BTreeMap<String, String>) {
        for hierarchy in self.v1.iter_mut().chain(&mut self.unified) {
            if let Some(own) = groups.get(&*hierarchy.mount.to_string_lossy()) {
                hierarchy.own.clone_from(own);
            }
        }
    }

    /// The version 1 hierarchies.
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.v1
    }

    /// The version 2 tree.
    pub fn unified(&self) -> Option<&Hierarchy> {
        self.unified.as_ref()
    }
}

/// The fields of a `mountinfo` line that matter here.
struct MountLine<'a> {
    root: String,
    point: PathBuf,
    kind: &'a str,
    options: Vec<&'a str>,
}

impl<'a> MountLine<'a> {
    fn parse(line: &'a str) -> Option<MountLine<'a>> {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(3);
        let (root, point) = (front.next()?, front.next()?);
        let mut back = back.split(' ');
        let kind = back.next()?;
        if kind != "cgroup" && kind != "cgroup2" {
            return None;
        }
        let options = back.nth(1).unwrap_or("").split(',').collect();
        Some(MountLine {
            root: unescape(root),
            point: unescape(point).into(),
            kind,
            options,
        })
    }

    fn hierarchy(&self, controllers: Vec<String>, name: Option<String>, own: &str) -> Hierarchy {
        Hierarchy {
            controllers,
            name,
            mount: self.point.clone(),
            own: below(&self.root, own),
        }
    }
}

/// Where the group `own` is, seen from a mount that shows the hierarchy from `root` on.
///
/// Inside a container that shares the host's cgroup namespace, `root` is the container's own group; with `/..` in it,
/// the mount is from outside of this cgroup namespace and `own` cannot be seen.
fn below(root: &str, own: &str) -> String {
    if root == "/" {
        return own.to_owned();
    }
    match own.strip_prefix(root) {
        Some("") | None => "/".to_owned(),
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        Some(_) => "/".to_owned(),
    }
}

/// Undoes the octal escapes of proc(5): space, tab, newline, backslash.
fn unescape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        match rest
            .get(at + 1..at + 4)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            Some(byte) if byte.is_ascii() => {
                out.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            _ => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The words of a line.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "24 1 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
    const OWN: &str = "3:name=systemd:/a\n2:memory:/m/n\n1:cpuacct,cpu:/\n";

    #[test]
    fn a_pure_v2_machine_is_seen() {
        let layout = Layout::parse(V2, "0::/init.scope\n").expect("layout");
        assert_eq!((layout.mode(), layout.version()), (Mode::V2, "2"));
        assert_eq!(layout.unified().expect("unified").own, "/init.scope");
    }

    #[test]
    fn joined_controllers_and_named_hierarchies_are_seen() {
        let layout = Layout::parse(V1, OWN).expect("layout");
        assert_eq!((layout.mode(), layout.version()), (Mode::V1, "1"));
        assert!(layout.has("cpu") && layout.has("cpuacct") && layout.has("memory") && !layout.has("pids"));
        let systemd = &layout.hierarchies()[0];
        assert_eq!(
            (systemd.name.as_deref(), systemd.controllers.len()),
            (Some("systemd"), 0)
        );
    }

    #[test]
    fn hybrid_is_v1_with_a_tree_of_v2_beside_it() {
        let mounts = format!("{V1}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
        let layout = Layout::parse(&mounts, &format!("{OWN}0::/\n")).expect("layout");
        assert_eq!((layout.mode(), layout.version()), (Mode::Hybrid, "1"));
        assert_eq!(
            layout.unified().expect("unified").mount,
            Path::new("/sys/fs/cgroup/unified")
        );
    }

    #[test]
    fn a_hierarchy_without_a_mount_is_left_out() {
        let layout = Layout::parse(V2, "5:pids:/x\n0::/\n").expect("layout");
        assert_eq!(layout.mode(), Mode::V2);
        assert!(layout.hierarchies().is_empty());
    }

    #[test]
    fn no_mount_at_all_is_an_error() {
        assert!(matches!(Layout::parse("", "0::/\n"), Err(Error::NoHierarchy)));
    }

    #[test]
    fn inside_a_container_the_own_group_counts_from_the_mounted_part() {
        for (root, own, expect) in [
            ("/", "/docker/abc", "/docker/abc"),
            ("/docker/abc", "/docker/abc", "/"),
            ("/docker/abc", "/docker/abc/inner", "/inner"),
            ("/docker/abc", "/docker/abcd", "/"),
            ("/../..", "/", "/"),
        ] {
            assert_eq!(below(root, own), expect, "{root} {own}");
        }
    }

    #[test]
    fn escaped_mount_points_are_read() {
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape(r"/odd\9"), r"/odd\9");
    }

    #[test]
    fn this_machine_is_understood() {
        let layout = Layout::detect().expect("layout");
        assert!(layout.has("memory") || layout.mode() == Mode::V2, "{layout:?}");
    }
}
