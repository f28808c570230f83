//! One control group in all hierarchies at once.

mod scoped;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use oci::runtime::Resources;
use rustix::fs::OFlags;

use crate::dir::Dir;
use crate::layout::{Hierarchy, words};
use crate::systemd::{Bus, Scope, Unit};
use crate::{Error, Layout, Mode, OomEvents, Result, Stats, limits, oom, signal, stats};
use scoped::Held;

/// One group, of the same path below every hierarchy.
///
/// Dropping the value leaves the group as it is; [`Cgroup::remove`] removes it.
#[derive(Debug)]
pub struct Cgroup {
    path: String,
    mode: Mode,
    parts: Vec<Part>,
    /// The unit of a group that systemd has made.
    unit: Option<Unit>,
    held: Mutex<Option<Held>>,
}

/// Where a group is in one hierarchy.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Whether the hierarchy is the version 2 tree.
    pub unified: bool,
    /// Where the hierarchy is mounted.
    pub mount: &'a Path,
    /// Its controllers.
    pub controllers: &'a [String],
    /// The group's directory.
    pub directory: &'a Path,
}

/// The group in one hierarchy.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) unified: bool,
    /// The controllers whose files are in this directory.
    pub(crate) controllers: Vec<String>,
    pub(crate) dir: Dir,
    mount: PathBuf,
    names: Vec<String>,
}

/// Where the files of one controller are, and of which version they are.
#[derive(Clone, Copy)]
pub(crate) enum Seat<'a> {
    V1(&'a Dir),
    V2(&'a Dir),
}

impl Cgroup {
    /// Makes the group (and the groups above it) in every hierarchy and sets its limits.
    ///
    /// `path` with a leading `/` counts from the top of each hierarchy as mounted here, otherwise from this process'
    /// own group; where there is only version 2 from the one above it, as with runc, for a group that holds processes can
    /// give no controllers to others. A group that exists, holds no process and is not frozen is taken over. On an error
    /// nothing is left behind.
    ///
    /// With `slice:prefix:name` the system's systemd is asked ([`Cgroup::create_scope`]).
    pub fn create(layout: &Layout, path: &str, resources: &Resources) -> Result<Cgroup> {
        if Scope::is_meant(path) {
            return Self::create_scope(layout, &Bus::system(), &Scope::parse(path)?, resources);
        }
        let mut group = Cgroup::nowhere(layout, path);
        let made = group.make(layout, resources);
        if let Err(error) = made {
            // The first error is what the caller wants to know; what cannot be removed now is swept later.
            let _ = group.remove_parts();
            return Err(error);
        }
        Ok(group)
    }

    fn nowhere(layout: &Layout, path: &str) -> Cgroup {
        Cgroup {
            path: path.to_owned(),
            mode: layout.mode(),
            parts: Vec::new(),
            unit: None,
            held: Mutex::new(None),
        }
    }

    fn make(&mut self, layout: &Layout, resources: &Resources) -> Result<()> {
        for (hierarchy, unified) in all(layout) {
            let names = split(&self.path, origin(layout, hierarchy, unified))?;
            let (dir, new) = if unified {
                let wanted = if self.mode == Mode::V2 {
                    None
                } else {
                    Some(&hierarchy.controllers)
                };
                make_v2(hierarchy, &names, wanted)?
            } else {
                make_v1(hierarchy, &names)?
            };
            if !new {
                self.may_take_over(&dir)?;
            }
            // Taken over or not, from here on it is ours to remove.
            self.parts.push(Part::new(hierarchy, unified, names, dir)?);
        }
        limits::apply(self, resources)
    }

    /// Whether a group that was there already can be the container's: nothing runs in it, and what starts in it will run.
    fn may_take_over(&self, dir: &Dir) -> Result<()> {
        let text = dir.read_if_there("cgroup.procs")?;
        if let Some(pid) = text.and_then(|text| first_pid(&text)) {
            return Err(Error::NotEmpty {
                path: self.path.clone(),
                pid,
            });
        }
        for (file, runs) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            if dir.read_if_there(file)?.is_some_and(|state| state != runs) {
                return Err(Error::Frozen {
                    path: dir.path().to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Opens a group that exists in at least one hierarchy; [`Error::NotFound`] otherwise. `slice:prefix:name` is one that
    /// the system's systemd has made.
    pub fn open(layout: &Layout, path: &str) -> Result<Cgroup> {
        if Scope::is_meant(path) {
            let (bus, scope) = (Bus::system(), Scope::parse(path)?);
            let name = scope.unit();
            return Ok(Self::open(layout, &scope.group(&bus)?)?.of_unit(Unit { bus, name }));
        }
        let mut parts = Vec::new();
        for (hierarchy, unified) in all(layout) {
            let names = split(path, origin(layout, hierarchy, unified))?;
            if let Some(dir) = descend(Dir::top(&hierarchy.mount)?, &names)? {
                parts.push(Part::new(hierarchy, unified, names, dir)?);
            }
        }
        if parts.is_empty() {
            return Err(Error::NotFound(path.to_owned()));
        }
        Ok(Cgroup {
            parts,
            ..Cgroup::nowhere(layout, path)
        })
    }

    /// A group below this one that exists, in the hierarchies of these controllers only where some are named: in the
    /// others it is this group. As the place of one more process (`exec --cgroup`).
    pub fn below(&self, path: &str, controllers: Option<&[&str]>) -> Result<Cgroup> {
        let names = split(path.trim_start_matches('/'), "")?;
        let mut parts = Vec::new();
        let mut found = false;
        for part in &self.parts {
            let chosen = match controllers {
                None => true,
                Some(list) => list.iter().any(|c| part.controllers.iter().any(|own| own == c)),
            };
            found |= chosen;
            let missing = || Error::NotFound(part.dir.path().join(path).display().to_string());
            let own = Dir::top(part.dir.path())?;
            let dir = if chosen {
                descend(own, &names)?.ok_or_else(missing)?
            } else {
                own
            };
            let below = if chosen { names.clone() } else { Vec::new() };
            parts.push(Part {
                unified: part.unified,
                controllers: part.controllers.clone(),
                dir,
                mount: part.mount.clone(),
                names: part.names.iter().cloned().chain(below).collect(),
            });
        }
        if !found {
            return Err(Error::NotFound(format!(
                "{}:{path}",
                controllers.unwrap_or_default().join(",")
            )));
        }
        Ok(Cgroup {
            path: format!("{}/{}", self.path, names.join("/")),
            mode: self.mode,
            parts,
            unit: None,
            held: Mutex::new(None),
        })
    }

    /// The version 2 group that a process is in, as the tree is mounted here; [`Error::NotFound`] where there is none.
    pub fn of_process(layout: &Layout, pid: i32) -> Result<Cgroup> {
        let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let gone = || Error::NotFound(path.display().to_string());
        let own = text
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .ok_or_else(gone)?;
        let only = Layout {
            v1: Vec::new(),
            unified: layout.unified.clone(),
        };
        Cgroup::open(&only, own)
    }

    /// Names of the groups directly below `parent`, in any hierarchy; empty if there is no such group.
    ///
    /// For a sweep: an engine that lost its records finds here what it made.
    pub fn list(layout: &Layout, parent: &str) -> Result<Vec<String>> {
        let mut found = std::collections::BTreeSet::new();
        for (hierarchy, unified) in all(layout) {
            let names = split(parent, origin(layout, hierarchy, unified))?;
            if let Some(dir) = descend(Dir::top(&hierarchy.mount)?, &names)? {
                found.extend(dir.children()?);
            }
        }
        Ok(found.into_iter().collect())
    }

    /// The path below the hierarchies, as given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Version 1 files for a child to attach itself: it writes `0` to each as one of its first steps.
    ///
    /// They are the `tasks` files, because a single-threaded task that writes `0` there spares the kernel an RCU
    /// grace period per hierarchy (`cgroup_procs_write_start`). The version 2 tree, also a hybrid machine's, is not
    /// among them: give [`Cgroup::v2_dir`] to `CLONE_INTO_CGROUP`, which is free. Close-on-exec.
    pub fn attach_fds(&self) -> Result<Vec<OwnedFd>> {
        let v1 = self.parts.iter().filter(|part| !part.unified);
        v1.map(|part| part.dir.open("tasks", OFlags::WRONLY)).collect()
    }

    /// Where it is, in each hierarchy.
    pub fn places(&self) -> impl Iterator<Item = Place<'_>> {
        self.parts.iter().map(|part| Place {
            unified: part.unified,
            mount: &part.mount,
            controllers: &part.controllers,
            directory: part.dir.path(),
        })
    }

    /// Directory of the version 2 group, for `CLONE_INTO_CGROUP`; `None` where there is no version 2 tree.
    pub fn v2_dir(&self) -> Option<BorrowedFd<'_>> {
        self.unified().map(AsFd::as_fd)
    }

    /// Moves a process with all its threads into the group.
    pub fn add(&self, pid: i32) -> Result<()> {
        self.parts
            .iter()
            .try_for_each(|part| part.dir.write("cgroup.procs", &pid.to_string()))
    }

    /// Sets the limits that are present and leaves the others as they are.
    pub fn update(&self, resources: &Resources) -> Result<()> {
        if let Some(unit) = &self.unit {
            unit.update(self.mode, resources)?;
        }
        // Behind it: systemd rounds, and knows only some of them.
        limits::apply(self, resources)
    }

    /// Stops all tasks and returns when the kernel says that all have stopped.
    pub fn freeze(&self) -> Result<()> {
        signal::freeze(self)
    }

    /// Lets the tasks run again.
    pub fn thaw(&self) -> Result<()> {
        signal::thaw(self)
    }

    /// Whether the group is frozen, or about to be.
    pub fn is_frozen(&self) -> Result<bool> {
        signal::is_frozen(self)
    }

    /// Sends SIGKILL to every process of the group and of the groups below it; also to frozen ones.
    ///
    /// Does not wait for their end.
    pub fn kill(&self) -> Result<()> {
        signal::kill(self)
    }

    /// The processes of the group and of the groups below it, as seen from this pid namespace.
    pub fn procs(&self) -> Result<Vec<i32>> {
        let mut found = Vec::new();
        if let Some(part) = self.counting_part() {
            collect_procs(&part.dir, &mut found)?;
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Measures the group.
    pub fn stats(&self) -> Result<Stats> {
        stats::measure(self)
    }

    /// A descriptor that becomes readable when the group runs out of memory.
    pub fn oom_events(&self) -> Result<OomEvents> {
        oom::watch(self)
    }

    /// Removes the group and the groups below it. Groups that are gone already are no error.
    ///
    /// Waits some seconds for dying processes; kills nothing.
    pub fn remove(&self) -> Result<()> {
        // Of a container that was never made.
        drop(self.held.lock().unwrap_or_else(PoisonError::into_inner).take());
        let stopped = self.unit.as_ref().map_or(Ok(()), Unit::stop);
        // What systemd has removed is gone; in the hierarchies that it does not care for, the group is left.
        self.remove_parts().and(stopped)
    }

    fn remove_parts(&self) -> Result<()> {
        let mut first = Ok(());
        // Every hierarchy is tried, whatever happens in one.
        for part in &self.parts {
            let Some((last, above)) = part.names.split_last() else {
                continue;
            };
            let removed = Dir::top(&part.mount).and_then(|top| match descend(top, above)? {
                Some(parent) => signal::remove_tree(&parent, last),
                None => Ok(()),
            });
            first = first.and(removed);
        }
        first
    }

    /// The files of a controller, by its version 1 name.
    pub(crate) fn seat(&self, controller: &str) -> Option<Seat<'_>> {
        let v2_name = match controller {
            "blkio" => "io",
            "cpuacct" => "cpu",
            same => same,
        };
        // Version 2 has these without a controller, and even beside version 1, unless they are controllers there.
        let core = matches!(controller, "freezer" | "devices")
            && !self
                .parts
                .iter()
                .any(|part| !part.unified && part.controllers.iter().any(|own| own == controller));
        self.parts.iter().find_map(|part| {
            let name = if part.unified { v2_name } else { controller };
            let core = core && part.unified;
            (core || part.controllers.iter().any(|c| c == name)).then_some(if part.unified {
                Seat::V2(&part.dir)
            } else {
                Seat::V1(&part.dir)
            })
        })
    }

    /// The directory in the version 2 tree.
    pub(crate) fn unified(&self) -> Option<&Dir> {
        self.parts.iter().find(|part| part.unified).map(|part| &part.dir)
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// The hierarchy by which processes are counted: one that a container can hardly leave.
    fn counting_part(&self) -> Option<&Part> {
        let of = |name: &str| {
            self.parts
                .iter()
                .find(|p| !p.unified && p.controllers.iter().any(|c| c == name))
        };
        of("devices")
            .or_else(|| of("pids"))
            .or_else(|| of("freezer"))
            .or(self.parts.first())
    }

    /// A group on directories that a test has made.
    #[cfg(test)]
    pub(crate) fn for_test(mode: Mode, parts: Vec<(bool, &[&str], PathBuf)>) -> Cgroup {
        let parts = parts
            .into_iter()
            .map(|(unified, controllers, path)| Part {
                unified,
                controllers: controllers.iter().map(|c| c.to_string()).collect(),
                dir: Dir::top(&path).expect("directory"),
                mount: path.clone(),
                names: Vec::new(),
            })
            .collect();
        Cgroup {
            path: "/test".to_owned(),
            mode,
            parts,
            unit: None,
            held: Mutex::new(None),
        }
    }
}

impl Part {
    fn new(hierarchy: &Hierarchy, unified: bool, names: Vec<String>, dir: Dir) -> Result<Part> {
        let controllers = match unified {
            true => words(&dir.read_if_there("cgroup.controllers")?.unwrap_or_default()),
            false => hierarchy.controllers.clone(),
        };
        Ok(Part {
            unified,
            controllers,
            dir,
            mount: hierarchy.mount.clone(),
            names,
        })
    }
}

fn all(layout: &Layout) -> impl Iterator<Item = (&Hierarchy, bool)> {
    layout
        .v1
        .iter()
        .map(|h| (h, false))
        .chain(layout.unified.iter().map(|h| (h, true)))
}

/// The group that relative paths count from.
fn origin<'a>(layout: &Layout, hierarchy: &'a Hierarchy, unified: bool) -> &'a str {
    if unified && layout.mode() == Mode::V2 {
        hierarchy.own.rsplit_once('/').map_or("", |(above, _)| above)
    } else {
        &hierarchy.own
    }
}

/// The names on the way from the top of a hierarchy to the group.
fn split(path: &str, own: &str) -> Result<Vec<String>> {
    let parts = |text: &str| {
        text.split('/')
            .filter(|n| !n.is_empty() && *n != ".")
            .map(str::to_owned)
            .collect()
    };
    let below: Vec<String> = parts(path);
    if below.is_empty()
        || below
            .iter()
            .any(|n| n == ".." || n.contains(['\n', '\0']) || n.len() > 255)
    {
        return Err(Error::InvalidPath(path.to_owned()));
    }
    if path.starts_with('/') {
        return Ok(below);
    }
    let mut names: Vec<String> = parts(own);
    names.extend(below);
    Ok(names)
}

fn descend(top: Dir, names: &[String]) -> Result<Option<Dir>> {
    match names {
        [] => Ok(Some(top)),
        // All the way in one system call, times ten hierarchies; `split` lets no name through that would lead out.
        names => top.child(&names.join("/")),
    }
}

/// The group, and whether it is new.
fn make_v1(hierarchy: &Hierarchy, names: &[String]) -> Result<(Dir, bool)> {
    let cpuset = hierarchy.controllers.iter().any(|c| c == "cpuset");
    let mut dir = Dir::top(&hierarchy.mount)?;
    if let Some((last, above)) = names.split_last()
        && !cpuset
        && !above.is_empty()
        && let Some(parent) = dir.child(&above.join("/"))?
    {
        return parent.make_child(last);
    }
    let mut is_new = false;
    for name in names {
        let (child, new) = dir.make_child(name)?;
        if cpuset {
            // A new cpuset is empty and takes no task until it has processors and memory nodes.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if child.read(file)?.is_empty() {
                    child.write(file, &dir.read(file)?)?;
                }
            }
        }
        (dir, is_new) = (child, new);
    }
    Ok((dir, is_new))
}

/// `only`: the controllers to pass down; `None`: all that there are.
fn make_v2(hierarchy: &Hierarchy, names: &[String], only: Option<&Vec<String>>) -> Result<(Dir, bool)> {
    let mut dir = Dir::top(&hierarchy.mount)?;
    let mut is_new = false;
    for (depth, name) in names.iter().enumerate() {
        if let Some(offered) = dir.read_if_there("cgroup.controllers")? {
            let enabled = words(&dir.read("cgroup.subtree_control")?);
            for controller in words(&offered) {
                if enabled.contains(&controller) || only.is_some_and(|only| !only.contains(&controller)) {
                    continue;
                }
                pass_down(&dir, &controller, depth == 0)?;
            }
        }
        (dir, is_new) = dir.make_child(name)?;
    }
    Ok((dir, is_new))
}

/// Makes a controller available to the children of `dir`.
fn pass_down(dir: &Dir, controller: &str, top: bool) -> Result<()> {
    let value = format!("+{controller}");
    let refused = match dir.write("cgroup.subtree_control", &value) {
        Ok(()) => return Ok(()),
        Err(Error::Write { source, path, value }) => (source, path, value),
        Err(other) => return Err(other),
    };
    // At the top of a container's own cgroup namespace its processes stand in the way ("no internal processes"):
    // an engine inside a container moves them one step down, as Docker's own dind script does.
    if refused.0.kind() == std::io::ErrorKind::ResourceBusy && top && dir.has("cgroup.type") {
        let (init, _) = dir.make_child("init")?;
        for pid in dir.read("cgroup.procs")?.lines() {
            // A process that has just ended is no obstacle.
            let _ = init.write("cgroup.procs", pid);
        }
        return dir.write("cgroup.subtree_control", &value);
    }
    // A controller that cannot be delegated (cpu with real-time tasks about, a threaded parent, a group of root's) is only
    // missed by those who set its limits, and they get `NoController`.
    match refused.0.raw_os_error() {
        Some(22) | Some(16) | Some(95) | Some(2) | Some(13) => Ok(()),
        _ => Err(Error::Write {
            path: refused.1,
            value: refused.2,
            source: refused.0,
        }),
    }
}

fn first_pid(text: &str) -> Option<i32> {
    text.lines().next().and_then(|line| line.parse().ok())
}

/// Processes of `dir` and below; a group that is gone holds none.
pub(crate) fn collect_procs(dir: &Dir, found: &mut Vec<i32>) -> Result<()> {
    let text = dir.read_if_there("cgroup.procs")?.unwrap_or_default();
    // A process outside of this pid namespace is shown as 0.
    found.extend(
        text.lines()
            .filter_map(|line| line.parse::<i32>().ok())
            .filter(|pid| *pid > 0),
    );
    for name in dir.children()? {
        if let Some(child) = dir.child(&name)? {
            collect_procs(&child, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_start_at_the_own_group() {
        let unified = Hierarchy {
            controllers: Vec::new(),
            name: None,
            mount: "/sys/fs/cgroup".into(),
            own: "/user/shell".to_owned(),
        };
        let mut layout = Layout {
            v1: Vec::new(),
            unified: Some(unified.clone()),
        };
        assert_eq!(origin(&layout, &unified, true), "/user");
        layout.stand_in(&[("/sys/fs/cgroup".to_owned(), "/".to_owned())].into());
        assert_eq!(layout.own_groups()["/sys/fs/cgroup"], "/");
        assert_eq!(origin(&layout, &layout.unified.clone().expect("tree"), true), "");
        assert_eq!(split("a/b", "/own").expect("path"), ["own", "a", "b"]);
        assert_eq!(split("/a//b/.", "/own").expect("path"), ["a", "b"]);
    }

    #[test]
    fn paths_that_leave_the_hierarchy_are_refused() {
        for path in ["/a/../../b", "", "/", "..", "/a\nb"] {
            assert!(matches!(split(path, "/"), Err(Error::InvalidPath(_))), "{path:?}");
        }
    }
}
