//! A container for a test: its directories, its plan, and the daemon's side of the conversation.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use linux::mount::recipe::Recipe;
use log_drivers::{Config, ReadOptions, Reader, Step};
use monitor::channel::Channel;
use monitor::plan::{ExecPlan, ExitRecord, Fd, Plan, Stdio, UserLookup};
use monitor::protocol::{Attach, Framing, Report, Request};
use monitor::{Spawned, spawn, spawn_exec};
use oci::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec};

/// Nothing in these tests takes longer, unless it hangs.
const PATIENCE: Timespec = Timespec {
    tv_sec: 120,
    tv_nsec: 0,
};

pub(crate) fn reason_to_skip() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    (!Path::new("/usr/bin/busybox").exists()).then(|| "needs a static /usr/bin/busybox".to_owned())
}

/// This very program, as a sealed memfd: what the daemon makes of `dhow-runtime`. `DHOW_TEST_RUNTIME` names another one,
/// such as the real, static one.
pub(crate) fn runtime() -> OwnedFd {
    let program = std::env::var_os("DHOW_TEST_RUNTIME").unwrap_or_else(|| "/proc/self/exe".into());
    let content = std::fs::read(program).expect("read the runtime");
    linux::fd::sealed_memfd(c"runtime", &content, true).expect("memfd")
}

pub(crate) struct Container {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) plan: Plan,
    pub(crate) spawned: Option<Spawned>,
    pub(crate) control: Option<Daemon>,
}

/// The daemon's side of a control connection.
pub(crate) struct Daemon {
    pub(crate) channel: Channel,
    seen: VecDeque<Report>,
}

impl Daemon {
    pub(crate) fn new(channel: Channel) -> Self {
        Daemon {
            channel,
            seen: VecDeque::new(),
        }
    }

    pub(crate) fn send(&self, request: &Request) {
        self.channel.send(request, &[]).expect("send");
    }

    pub(crate) fn send_with(&self, request: &Request, fd: BorrowedFd<'_>) {
        self.channel.send(request, &[fd]).expect("send");
    }

    /// The next report that fits; others before it are kept for later.
    pub(crate) fn wait<T>(&mut self, mut fits: impl FnMut(&Report) -> Option<T>) -> T {
        if let Some(at) = self.seen.iter().position(|report| fits(report).is_some()) {
            return self.seen.remove(at).as_ref().and_then(fits).expect("fits");
        }
        loop {
            wait_readable(self.channel.as_fd());
            let report = self.channel.receive::<Report>().unwrap_or_else(|error| {
                panic!("{error}; seen: {:?}", self.seen);
            });
            if let Some(found) = fits(&report.message) {
                return found;
            }
            self.seen.push_back(report.message);
        }
    }

    pub(crate) fn exited(&mut self) -> ExitRecord {
        self.wait(|report| match report {
            Report::Exited(record) => Some(record.clone()),
            Report::CreateFailed(failure) | Report::StartFailed(failure) => panic!("{failure}"),
            _ => None,
        })
    }

    pub(crate) fn started(&mut self) {
        self.send(&Request::Start);
        self.wait(|report| match report {
            Report::Started { .. } => Some(()),
            Report::CreateFailed(failure) | Report::StartFailed(failure) => panic!("{failure}"),
            _ => None,
        });
    }

    pub(crate) fn attach(&mut self, attach: Attach) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        let client = attach.client;
        self.send_with(&Request::Attach(attach), theirs.as_fd());
        drop(theirs);
        self.wait(|report| {
            matches!(report, Report::Attached { client: id, .. } if *id == client).then_some(())
        });
        ours.set_read_timeout(Some(std::time::Duration::from_secs(120)))
            .expect("timeout");
        ours
    }
}

pub(crate) fn wait_readable(fd: BorrowedFd<'_>) {
    let mut poll = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let ready = rustix::event::poll(&mut poll, Some(&PATIENCE)).expect("poll");
    assert_eq!(ready, 1, "nothing came in time");
}

/// An attachment to all streams.
pub(crate) fn everything(client: u64) -> Attach {
    Attach {
        client,
        stdin: true,
        stdout: true,
        stderr: true,
        framing: Framing::Multiplexed,
        detach_keys: monitor::detach_keys::DEFAULT.to_vec(),
        replay: false,
        relayed: false,
    }
}

/// Reads frames until the end: what came on which stream.
pub(crate) fn frames(mut stream: impl Read) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("read");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[4..8].try_into().expect("four")) as usize;
        assert_eq!(rest[1..4], [0; 3]);
        if rest[0] == 1 { &mut out } else { &mut err }.extend_from_slice(&rest[8..8 + length]);
        rest = &rest[8 + length..];
    }
    (out, err)
}

pub(crate) fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

impl Container {
    pub(crate) fn new(args: Vec<String>) -> Container {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let directory = tempfile::Builder::new()
            .prefix("dhow-monitor-")
            .tempdir()
            .expect("tempdir");
        let base = directory.path();
        let rootfs = base.join("rootfs");
        make_rootfs(&rootfs);
        for name in ["state", "spool"] {
            std::fs::create_dir(base.join(name)).expect("mkdir");
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("/dhow-monitor-test-{}-{number}", std::process::id());
        let plan = Plan {
            id: format!("{number:064x}"),
            state_dir: base.join("state"),
            exit_file: base.join("exit.json"),
            spool_dir: base.join("spool"),
            spec: spec(&args, &cgroup),
            rootfs: Recipe::Bind {
                path: rootfs,
                read_only: false,
            },
            user: UserLookup {
                user: Some(String::new()),
                group_add: Vec::new(),
            },
            make_working_dir: true,
            copy_ups: Vec::new(),
            stdio: Stdio::default(),
            log: Config::json_file(base.join("x-json.log")),
            netns: None,
            filter: None,
            ports: Vec::new(),
            init: None,
            runtime: None,
        };
        Container {
            directory,
            plan,
            spawned: None,
            control: None,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Spawns the monitor.
    pub(crate) fn spawn(&mut self, fds: &[BorrowedFd<'_>]) -> &mut Daemon {
        let runtime = runtime();
        let mut spawned = spawn(runtime.as_fd(), &self.plan, fds).expect("spawn");
        let (placeholder, _) = Channel::pair().expect("pair");
        let control = std::mem::replace(&mut spawned.control, placeholder);
        self.spawned = Some(spawned);
        self.control.insert(Daemon::new(control))
    }

    pub(crate) fn daemon(&mut self) -> &mut Daemon {
        self.control.as_mut().expect("spawned")
    }

    /// The container's PID 1, once created.
    pub(crate) fn pid(&mut self) -> i32 {
        self.daemon().wait(|report| match report {
            Report::Created { pid, .. } => Some(*pid),
            Report::CreateFailed(failure) => panic!("{failure}"),
            _ => None,
        })
    }

    /// Waits for the monitor's own end.
    pub(crate) fn ended(&mut self) {
        let spawned = self.spawned.take().expect("spawned");
        wait_readable(spawned.pidfd.as_fd());
        assert_eq!(
            linux::process::wait(&spawned.pidfd),
            Ok(linux::process::Exit::Code(0))
        );
    }

    pub(crate) fn log(&self) -> String {
        let mut reader = Reader::open(&self.plan.log, ReadOptions::default()).expect("open");
        let mut text = String::new();
        while let Step::Entry(entry) = reader.next().expect("read") {
            text.push_str(&format!(
                "{}: {}",
                entry.stream.name(),
                String::from_utf8_lossy(&entry.line)
            ));
        }
        text
    }

    pub(crate) fn cgroup_exists(&self) -> bool {
        let path = self.plan.spec.linux.as_ref().expect("linux").cgroups_path.clone();
        let layout = cgroups::Layout::detect().expect("layout");
        cgroups::Cgroup::open(&layout, &path).is_ok()
    }

    /// A plan of an exec; its files are PID 1's pidfd.
    pub(crate) fn exec_plan(&self, pid: i32, args: &[&str]) -> ExecPlan {
        let mut process = self.plan.spec.process.clone().expect("process");
        process.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let state_dir = self.path("exec");
        std::fs::create_dir_all(&state_dir).expect("mkdir");
        ExecPlan {
            id: "e".repeat(64),
            container: self.plan.id.clone(),
            exit_file: state_dir.join("exit.json"),
            state_dir,
            spool_dir: self.path("spool"),
            init: Fd(0),
            init_pid: pid,
            process,
            user: UserLookup {
                user: Some(String::new()),
                group_add: Vec::new(),
            },
            seccomp: None,
            filter: None,
            landlock: None,
            cgroups_path: self.plan.spec.linux.as_ref().expect("linux").cgroups_path.clone(),
            stdio: Stdio {
                open_stdin: true,
                stdin_once: true,
                ..Stdio::default()
            },
            runtime: None,
        }
    }

    pub(crate) fn exec(&self, plan: &ExecPlan) -> (Daemon, Spawned) {
        let pid = rustix::process::Pid::from_raw(plan.init_pid).expect("pid");
        let pidfd = linux::process::pidfd_open(pid).expect("pidfd");
        let mut spawned = spawn_exec(runtime().as_fd(), plan, &[pidfd.as_fd()]).expect("spawn");
        let (placeholder, _) = Channel::pair().expect("pair");
        let control = std::mem::replace(&mut spawned.control, placeholder);
        (Daemon::new(control), spawned)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // A failed test must leave nothing behind.
        if let Some(spawned) = self.spawned.take() {
            let _ = linux::process::send_signal(&spawned.pidfd, 15);
            let mut poll = [PollFd::new(&spawned.pidfd, PollFlags::IN)];
            let _ = rustix::event::poll(
                &mut poll,
                Some(&Timespec {
                    tv_sec: 5,
                    tv_nsec: 0,
                }),
            );
            let _ = linux::process::send_signal(&spawned.pidfd, 9);
            let _ = linux::process::wait(&spawned.pidfd);
        }
        let path = self.plan.spec.linux.as_ref().expect("linux").cgroups_path.clone();
        if let Ok(layout) = cgroups::Layout::detect()
            && let Ok(group) = cgroups::Cgroup::open(&layout, &path)
        {
            let _ = group.kill();
            let _ = group.remove();
        }
    }
}

fn make_rootfs(root: &Path) {
    for name in ["bin", "etc", "proc", "dev", "sys", "tmp", "root", "data/sub"] {
        std::fs::create_dir_all(root.join(name)).expect("mkdir");
    }
    std::fs::hard_link("/usr/bin/busybox", root.join("bin/busybox"))
        .or_else(|_| std::fs::copy("/usr/bin/busybox", root.join("bin/busybox")).map(drop))
        .expect("busybox");
    for applet in [
        "sh", "cat", "echo", "sleep", "true", "id", "stty", "seq", "kill", "ps", "pwd", "ls", "yes", "head",
        "trap", "env", "dd",
    ] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).expect("symlink");
    }
    write(
        &root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/var/www:/bin/sh\n",
    );
    write(&root.join("etc/group"), "root:x:0:\nweb:x:34:\nlogs:x:40:web\n");
    write(&root.join("data/file"), "content\n");
    write(&root.join("data/sub/deep"), "deep\n");
}

fn write(path: &Path, text: &str) {
    std::fs::File::create(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .expect("write");
}

fn spec(args: &[String], cgroup: &str) -> Spec {
    let value = serde_json::json!({
        "ociVersion": "1.2.0",
        "process": {
            "args": args,
            "cwd": "/work/dir",
            "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
        },
        "root": {"path": "ignored"},
        "hostname": "test",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "resources": {},
            "namespaces": [
                {"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"},
            ],
        },
    });
    serde_json::from_value(value).expect("spec")
}
