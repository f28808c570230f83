//! Acting on all tasks of a group at once: freeze, thaw, kill, and removal of what is left.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::{Seat, collect_procs};
use crate::dir::Dir;
use crate::{Cgroup, Error, Result};

/// How long the kernel may take to stop all tasks: one in uninterruptible I/O holds up version 1.
const FREEZE_SECONDS: u64 = 10;
/// How long killed processes may take to die before their group is reported busy.
const REMOVE_SECONDS: u64 = 10;

pub(crate) fn freeze(group: &Cgroup) -> Result<()> {
    match freezer(group)? {
        Seat::V1(dir) => freeze_v1(group, dir),
        Seat::V2(dir) => {
            dir.write("cgroup.freeze", "1")?;
            wait_for_event(dir, "frozen 1", FREEZE_SECONDS).and_then(|reached| match reached {
                true => Ok(()),
                false => {
                    dir.write("cgroup.freeze", "0")?;
                    Err(too_slow(group, "frozen"))
                }
            })
        }
    }
}

pub(crate) fn thaw(group: &Cgroup) -> Result<()> {
    match freezer(group)? {
        Seat::V1(dir) => dir.write("freezer.state", "THAWED"),
        Seat::V2(dir) => dir.write("cgroup.freeze", "0"),
    }
}

pub(crate) fn is_frozen(group: &Cgroup) -> Result<bool> {
    match freezer(group)? {
        Seat::V1(dir) => Ok(dir.read("freezer.state")? != "THAWED"),
        Seat::V2(dir) => Ok(dir.read("cgroup.freeze")? == "1"),
    }
}

pub(crate) fn kill(group: &Cgroup) -> Result<()> {
    // In version 2 one write reaches every process, however fast they fork; kernels before 5.14 lack the file.
    if let Some(dir) = group.unified().filter(|dir| dir.has("cgroup.kill")) {
        dir.write("cgroup.kill", "1")?;
    }
    match freezer(group) {
        Ok(Seat::V1(dir)) => {
            // What left the version 2 tree, or was never in it, is killed one by one, and frozen meanwhile, so that
            // nothing forks away; a SIGKILL takes effect with the thaw.
            if !empty(dir)? {
                let frozen = freeze_v1(group, dir);
                let killed = kill_all(dir);
                dir.write("freezer.state", "THAWED")?;
                killed?;
                if frozen.is_err() {
                    kill_all(dir)?;
                }
            }
            Ok(())
        }
        Ok(Seat::V2(dir)) if !dir.has("cgroup.kill") => {
            dir.write("cgroup.freeze", "1")?;
            let killed = wait_for_event(dir, "frozen 1", FREEZE_SECONDS).and_then(|_| kill_all(dir));
            dir.write("cgroup.freeze", "0")?;
            killed
        }
        // `cgroup.kill` ends frozen processes, too.
        Ok(Seat::V2(_)) => Ok(()),
        Err(_) => group.procs()?.into_iter().try_for_each(kill_one),
    }
}

fn kill_all(dir: &Dir) -> Result<()> {
    let mut pids = Vec::new();
    collect_procs(dir, &mut pids)?;
    pids.into_iter().try_for_each(kill_one)
}

fn kill_one(pid: i32) -> Result<()> {
    let Some(target) = Pid::from_raw(pid) else {
        return Ok(());
    };
    match kill_process(target, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(e) => Err(Error::Kill {
            pid,
            source: e.into(),
        }),
    }
}

fn empty(dir: &Dir) -> Result<bool> {
    let mut pids = Vec::new();
    collect_procs(dir, &mut pids)?;
    Ok(pids.is_empty())
}

fn freezer(group: &Cgroup) -> Result<Seat<'_>> {
    group.seat("freezer").ok_or(Error::NoController {
        what: "freeze",
        controller: "freezer",
    })
}

/// Version 1 has no notice of the end, and a task that forks at the wrong moment can hold up the freezer until it is
/// thawed and frozen again.
fn freeze_v1(group: &Cgroup, dir: &Dir) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(FREEZE_SECONDS);
    let mut pause = Duration::from_micros(50);
    for round in 1_u32.. {
        dir.write("freezer.state", "FROZEN")?;
        if dir.read("freezer.state")? == "FROZEN" {
            return Ok(());
        }
        if Instant::now() > end {
            break;
        }
        if round.is_multiple_of(50) {
            dir.write("freezer.state", "THAWED")?;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
    dir.write("freezer.state", "THAWED")?;
    Err(too_slow(group, "frozen"))
}

fn too_slow(group: &Cgroup, state: &'static str) -> Error {
    Error::Timeout {
        path: group.path().to_owned(),
        state,
        seconds: FREEZE_SECONDS,
    }
}

/// Waits until `cgroup.events` has a line; the kernel wakes a poller whenever the file changes.
fn wait_for_event(dir: &Dir, line: &str, seconds: u64) -> Result<bool> {
    let events = dir.open("cgroup.events", OFlags::RDONLY)?;
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        let mut text = [0; 256];
        let failed = |e: Errno| Error::Read {
            path: dir.path().join("cgroup.events"),
            source: e.into(),
        };
        let length = rustix::io::pread(&events, &mut text, 0).map_err(failed)?;
        if text[..length]
            .split(|byte| *byte == b'\n')
            .any(|found| found == line.as_bytes())
        {
            return Ok(true);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        wait(&mut [PollFd::new(&events, PollFlags::PRI)], left);
    }
}

fn wait(fds: &mut [PollFd<'_>], most: Duration) {
    let limit = Timespec {
        tv_sec: most.as_secs() as i64,
        tv_nsec: i64::from(most.subsec_nanos()),
    };
    // Interrupted or not, the caller looks at the state again.
    let _ = poll(fds, Some(&limit));
}

/// Removes the child `name` of `parent` with everything below it.
pub(crate) fn remove_tree(parent: &Dir, name: &str) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(REMOVE_SECONDS);
    let mut pause = Duration::from_micros(100);
    loop {
        let busy = match parent.remove_child(name) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY | Errno::NOTEMPTY) => Errno::BUSY,
            Err(e) => {
                return Err(Error::Remove {
                    path: parent.path().join(name),
                    source: e.into(),
                });
            }
        };
        let Some(dir) = parent.child(name)? else {
            return Ok(());
        };
        for child in dir.children()? {
            remove_tree(&dir, &child)?;
        }
        if Instant::now() > end {
            return Err(Error::Remove {
                path: parent.path().join(name),
                source: busy.into(),
            });
        }
        wait_for_exit(&dir, pause)?;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Waits for the end of a process of the group. A task leaves its group a moment after its exit is announced, hence
/// the short sleep where no process is to be seen.
fn wait_for_exit(dir: &Dir, pause: Duration) -> Result<()> {
    let mut pids = Vec::new();
    collect_procs(dir, &mut pids)?;
    let process = pids.first().and_then(|pid| Pid::from_raw(*pid));
    let opened = process.map(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()));
    match opened {
        Some(Ok(fd)) => {
            wait(&mut [PollFd::new(&fd, PollFlags::IN)], Duration::from_secs(1));
            // A zombie keeps its pidfd readable but not its group; it must not turn this into a busy loop.
            std::thread::sleep(pause);
        }
        _ => std::thread::sleep(pause),
    }
    Ok(())
}
