//! Real groups on this machine's real hierarchies. Each test has a group of its own below `/dhow-test-PID-...`.

#![allow(clippy::print_stderr)] // a test that cannot run says so

use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cgroups::{Cgroup, Error, Layout, Mode};
use oci::runtime::{Cpu, DeviceRule, Memory, Pids, Resources};

/// Removes the group and its parent at the end of a test, whatever happens in it.
struct Ground {
    layout: Layout,
    parent: String,
}

impl Ground {
    /// `None`, with a line that says so, where the test cannot run.
    fn new(name: &str) -> Option<Ground> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: {name} needs root");
            return None;
        }
        let layout = Layout::detect().expect("layout");
        Some(Ground {
            layout,
            parent: format!("/dhow-test-{}-{name}", std::process::id()),
        })
    }

    fn path(&self) -> String {
        format!("{}/c", self.parent)
    }

    fn create(&self, resources: &Resources) -> Cgroup {
        Cgroup::create(&self.layout, &self.path(), resources).expect("create")
    }

    /// The group's file of a controller.
    fn file(&self, controller: &str, name: &str) -> PathBuf {
        let hierarchies = self.layout.hierarchies().iter().chain(self.layout.unified());
        let hierarchy = hierarchies
            .into_iter()
            .find(|h| h.controllers.iter().any(|c| c == controller));
        hierarchy
            .expect("hierarchy")
            .mount
            .join(&self.path()[1..])
            .join(name)
    }

    fn read(&self, controller: &str, name: &str) -> String {
        std::fs::read_to_string(self.file(controller, name))
            .expect("file")
            .trim()
            .to_owned()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Ok(group) = Cgroup::open(&self.layout, &self.parent) {
            let _ = group.kill();
            let _ = group.remove();
        }
    }
}

/// A shell that waits for a line on its input before it runs `script`.
fn shell(group: &Cgroup, script: &str) -> Child {
    let mut child = Command::new("sh")
        .args(["-c", &format!("read go; {script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh");
    group.add(child.id() as i32).expect("add");
    use std::io::Write;
    child
        .stdin
        .as_mut()
        .expect("stdin")
        .write_all(b"go\n")
        .expect("go");
    child
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn limits_are_set_and_read_back() {
    let Some(ground) = Ground::new("limits") else {
        return;
    };
    let resources = Resources {
        memory: Some(Memory {
            limit: Some(64 << 20),
            swap: Some(64 << 20),
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: Some(512),
            quota: Some(20_000),
            period: Some(50_000),
            cpus: "0".to_owned(),
            ..Cpu::default()
        }),
        pids: Some(Pids { limit: Some(20) }),
        ..Resources::default()
    };
    let group = ground.create(&resources);
    let is_v1 = ground.layout.mode() != Mode::V2;
    let limit = (64 << 20).to_string();
    let files = if is_v1 {
        [
            ("memory", "memory.limit_in_bytes", limit.as_str()),
            ("cpu", "cpu.shares", "512"),
            ("cpu", "cpu.cfs_quota_us", "20000"),
            ("cpuset", "cpuset.cpus", "0"),
        ]
    } else {
        [
            ("memory", "memory.max", limit.as_str()),
            // 512 shares are half of the default, 1024; the weights' default is 100.
            ("cpu", "cpu.weight", "59"),
            ("cpu", "cpu.max", "20000 50000"),
            ("cpuset", "cpuset.cpus", "0"),
        ]
    };
    for (controller, file, value) in files {
        assert_eq!(ground.read(controller, file), value, "{file}");
    }
    if is_v1 {
        assert_ne!(ground.read("cpuset", "cpuset.mems"), "");
    } else {
        assert_eq!(ground.read("memory", "memory.swap.max"), "0");
    }
    let stats = group.stats().expect("stats");
    assert_eq!((stats.memory.limit, stats.pids.limit), (Some(64 << 20), Some(20)));

    // Raising both above the old roof, and lowering both below the old limit, in one call each.
    for megabytes in [256_i64, 16] {
        let memory = Memory {
            limit: Some(megabytes << 20),
            swap: Some(megabytes << 21),
            ..Memory::default()
        };
        group
            .update(&Resources {
                memory: Some(memory),
                ..Resources::default()
            })
            .expect("update");
        assert_eq!(
            group.stats().expect("stats").memory.limit,
            Some((megabytes as u64) << 20)
        );
    }
    // What was not named stays.
    let (controller, file, value) = files[1];
    assert_eq!(ground.read(controller, file), value);
    group.remove().expect("remove");
    group.remove().expect("removing twice is no error");
    assert!(matches!(
        Cgroup::open(&ground.layout, &ground.path()),
        Err(Error::NotFound(_))
    ));
}

#[test]
fn a_child_attaches_itself_through_the_files() {
    let Some(ground) = Ground::new("attach") else {
        return;
    };
    let group = ground.create(&Resources::default());
    let fds = group.attach_fds().expect("files");
    if ground.layout.mode() == Mode::V2 {
        assert!(fds.is_empty() && group.v2_dir().is_some());
        return;
    }
    assert_eq!(fds.len(), ground.layout.hierarchies().len());
    // The descriptors are close-on-exec, so the shell reaches them through this process.
    let own = std::process::id();
    let writes: String = fds
        .iter()
        .map(|fd| format!("echo 0 > /proc/{own}/fd/{}; ", fd.as_fd().as_raw_fd()))
        .collect();
    let child = Command::new("sh")
        .args(["-c", &format!("{writes} cat /proc/self/cgroup")])
        .output()
        .expect("sh");
    let text = String::from_utf8(child.stdout).expect("text");
    let inside = text.lines().filter(|line| line.ends_with(&ground.path())).count();
    assert_eq!(inside, fds.len(), "{text}");
}

#[test]
fn the_limit_of_tasks_is_enforced() {
    let Some(ground) = Ground::new("pids") else { return };
    let group = ground.create(&Resources {
        pids: Some(Pids { limit: Some(2) }),
        ..Resources::default()
    });
    // One shell and one sleep are two tasks; the second sleep is one too many.
    let child = shell(&group, "sleep 0 & sleep 5 & sleep 5 & wait");
    let output = child.wait_with_output().expect("shell");
    let errors = String::from_utf8_lossy(&output.stderr);
    // Every shell has words of its own for EAGAIN of fork(2).
    let errors = errors.to_lowercase();
    assert!(
        errors.contains("cannot fork") || errors.contains("can't fork"),
        "{errors}"
    );
}

#[test]
fn a_frozen_group_stands_still_and_can_be_killed() {
    let Some(ground) = Ground::new("freeze") else {
        return;
    };
    let group = ground.create(&Resources::default());
    let mut child = shell(&group, "while :; do :; done");
    until("start", || group.stats().expect("stats").cpu.total > 5_000_000);
    group.freeze().expect("freeze");
    assert!(group.is_frozen().expect("state"));
    let total = || group.stats().expect("stats").cpu.total;
    // A task counts as frozen on its way off the processor, and what it used until then is accounted a moment later.
    let mut before = total();
    until("it stands still", || {
        std::thread::sleep(Duration::from_millis(50));
        std::mem::replace(&mut before, total()) == before
    });
    group.thaw().expect("thaw");
    until("running again", || total() > before + 5_000_000);

    group.freeze().expect("freeze");
    group.kill().expect("kill");
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(child.wait().expect("wait").signal(), Some(9));
    group.remove().expect("remove");
}

#[test]
fn killing_reaches_every_process_and_removal_waits_for_their_end() {
    let Some(ground) = Ground::new("kill") else { return };
    let group = ground.create(&Resources::default());
    let mut child = shell(&group, "sleep 100 & sleep 100 & (sleep 100; :) & wait");
    until("four processes", || group.procs().expect("procs").len() >= 4);
    assert!(matches!(
        Cgroup::create(&ground.layout, &ground.path(), &Resources::default()),
        Err(Error::NotEmpty { .. })
    ));
    group.kill().expect("kill");
    let reaper = std::thread::spawn(move || child.wait());
    group.remove().expect("remove");
    reaper.join().expect("thread").expect("wait");
}

#[test]
fn a_group_that_is_frozen_already_is_not_taken_over() {
    let Some(ground) = Ground::new("stiff") else {
        return;
    };
    let group = ground.create(&Resources::default());
    group.freeze().expect("freeze");
    let again = Cgroup::create(&ground.layout, &ground.path(), &Resources::default());
    assert!(matches!(again, Err(Error::Frozen { .. })));
    assert!(group.is_frozen().expect("the group is as it was"));
    group.thaw().expect("thaw");
    let again = ground.create(&Resources::default());
    again.remove().expect("remove");
}

#[test]
fn groups_below_are_removed_too() {
    let Some(ground) = Ground::new("below") else {
        return;
    };
    let group = ground.create(&Resources::default());
    let inner = format!("{}/x/y", ground.path());
    Cgroup::create(&ground.layout, &inner, &Resources::default()).expect("inner");
    assert_eq!(Cgroup::list(&ground.layout, &ground.path()).expect("list"), ["x"]);
    group.remove().expect("remove");
    assert!(Cgroup::open(&ground.layout, &inner).is_err());
    assert_eq!(
        Cgroup::list(&ground.layout, &ground.parent).expect("list"),
        Vec::<String>::new()
    );
}

#[test]
fn running_out_of_memory_is_noticed_and_counted() {
    let Some(ground) = Ground::new("oom") else { return };
    let memory = Memory {
        limit: Some(8 << 20),
        swap: Some(8 << 20),
        ..Memory::default()
    };
    let group = ground.create(&Resources {
        memory: Some(memory),
        ..Resources::default()
    });
    let mut events = group.oom_events().expect("watch");
    assert!(!events.take().expect("take"), "nothing has happened yet");
    let mut child = shell(&group, r#"x=$(head -c 50000000 /dev/zero | tr "\0" a)"#);
    let limit = rustix::event::Timespec {
        tv_sec: 120,
        tv_nsec: 0,
    };
    let mut wait = [rustix::event::PollFd::new(&events, rustix::event::PollFlags::IN)];
    assert_eq!(
        rustix::event::poll(&mut wait, Some(&limit)).expect("poll"),
        1,
        "no notice came"
    );
    child.wait().expect("wait");
    assert!(events.take().expect("take"));
    assert!(group.stats().expect("stats").memory.oom_kills >= 1);
    group.remove().expect("remove");
    assert!(
        !events.take().expect("take"),
        "the end of the group is no shortage of memory"
    );
}

#[test]
fn devices_that_are_not_allowed_cannot_be_opened() {
    let Some(ground) = Ground::new("devices") else {
        return;
    };
    let null = |access: &str| DeviceRule {
        allow: true,
        kind: Some("c".to_owned()),
        major: Some(1),
        minor: Some(3),
        access: access.to_owned(),
    };
    let devices = vec![DeviceRule::default(), null("rw")];
    let group = ground.create(&Resources {
        devices,
        ..Resources::default()
    });
    let script = ": < /dev/null && echo null; (: < /dev/zero) || echo no zero";
    let output = shell(&group, script).wait_with_output().expect("shell");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "null\nno zero\n");
}

#[test]
fn an_error_in_a_limit_leaves_no_group_behind() {
    let Some(ground) = Ground::new("error") else {
        return;
    };
    let cpu = Some(Cpu {
        cpus: "4095".to_owned(),
        ..Cpu::default()
    });
    let error = Cgroup::create(
        &ground.layout,
        &ground.path(),
        &Resources {
            cpu,
            ..Resources::default()
        },
    );
    assert!(matches!(error, Err(Error::Write { .. })), "{error:?}");
    assert!(matches!(
        Cgroup::open(&ground.layout, &ground.path()),
        Err(Error::NotFound(_))
    ));
}

/// The variable that turns this program into the process of [`a_process_is_moved_with_all_its_threads`].
const THREADED: &str = "DHOW_TEST_THREADED";

/// Not a test of its own: a process with threads, until its input ends.
#[test]
fn a_process_with_threads() {
    if std::env::var_os(THREADED).is_none() {
        return;
    }
    let ready = std::sync::Arc::new(std::sync::Barrier::new(4));
    for _ in 0..3 {
        let ready = std::sync::Arc::clone(&ready);
        std::thread::spawn(move || {
            ready.wait();
            loop {
                std::thread::park();
            }
        });
    }
    ready.wait();
    use std::io::{Read, Write};
    let mut out = std::io::stdout();
    out.write_all(b"\nthreads are there\n")
        .and_then(|()| out.flush())
        .expect("told");
    let _ = std::io::stdin().read_to_string(&mut String::new());
}

#[test]
fn a_process_is_moved_with_all_its_threads() {
    use std::io::{BufRead as _, Read as _};
    let Some(ground) = Ground::new("threads") else {
        return;
    };
    let group = ground.create(&Resources::default());
    let mut child = Command::new(std::env::current_exe().expect("own program"))
        .args(["--exact", "a_process_with_threads", "--nocapture"])
        .env(THREADED, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("child");
    let mut output = std::io::BufReader::new(child.stdout.take().expect("output"));
    let mut text = String::new();
    while !text.ends_with("threads are there\n") {
        assert_ne!(output.read_line(&mut text).expect("line"), 0, "{text}");
    }
    group.add(child.id() as i32).expect("add");
    let tasks: Vec<PathBuf> = std::fs::read_dir(format!("/proc/{}/task", child.id()))
        .expect("tasks")
        .map(|entry| entry.expect("task").path().join("cgroup"))
        .collect();
    assert!(tasks.len() >= 4, "{tasks:?}");
    let hierarchies = ground.layout.hierarchies().len() + usize::from(ground.layout.unified().is_some());
    for task in tasks {
        let text = std::fs::read_to_string(&task).expect("groups");
        let inside = text.lines().filter(|line| line.ends_with(&ground.path())).count();
        assert_eq!(inside, hierarchies, "{}: {text}", task.display());
    }
    assert_eq!(group.procs().expect("procs"), [child.id() as i32]);
    drop(child.stdin.take());
    // What it has to say of its end is heard, too.
    output.read_to_string(&mut text).expect("rest");
    child.wait().expect("wait");
    group.remove().expect("remove");
}
