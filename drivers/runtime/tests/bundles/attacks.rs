//! What hostile images and specs come to.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::symlink;
use std::path::Path;

use linux::Errno;
use oci::runtime::Process;
use runtime::{CreateOptions, Error, ExecOptions, RootfsSource, Stdio, Target};

use crate::bundle::{Bundle, Running, piped};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "calls_that_the_filter_forbids_fail",
        calls_that_the_filter_forbids_fail,
    ),
    (
        "a_mount_through_a_symbolic_link_stays_inside",
        a_mount_through_a_symbolic_link_stays_inside,
    ),
    (
        "proc_is_not_mounted_through_a_symbolic_link",
        proc_is_not_mounted_through_a_symbolic_link,
    ),
    (
        "a_working_directory_outside_is_refused",
        a_working_directory_outside_is_refused,
    ),
    (
        "no_descriptor_of_the_caller_leaks",
        no_descriptor_of_the_caller_leaks,
    ),
    (
        "a_device_is_not_made_over_an_images_file",
        a_device_is_not_made_over_an_images_file,
    ),
    (
        "the_host_does_not_see_the_containers_mounts",
        the_host_does_not_see_the_containers_mounts,
    ),
    (
        "kernel_parameters_of_the_host_are_refused",
        kernel_parameters_of_the_host_are_refused,
    ),
    (
        "an_exec_enters_no_directory_outside",
        an_exec_enters_no_directory_outside,
    ),
    (
        "files_are_hidden_with_the_real_null_device",
        files_are_hidden_with_the_real_null_device,
    ),
    (
        "the_console_is_no_way_to_other_files",
        the_console_is_no_way_to_other_files,
    ),
    (
        "a_false_proc_gets_nothing_written",
        a_false_proc_gets_nothing_written,
    ),
    (
        "a_mount_target_that_is_swapped_stays_inside",
        a_mount_target_that_is_swapped_stays_inside,
    ),
    (
        "a_protected_path_that_is_swapped_stays_inside",
        a_protected_path_that_is_swapped_stays_inside,
    ),
    (
        "the_release_agent_is_out_of_reach",
        the_release_agent_is_out_of_reach,
    ),
    (
        "no_capability_is_inherited_unasked",
        no_capability_is_inherited_unasked,
    ),
    ("the_session_keyring_is_its_own", the_session_keyring_is_its_own),
    (
        "protected_paths_cannot_be_laid_open",
        protected_paths_cannot_be_laid_open,
    ),
    (
        "a_process_that_is_set_up_cannot_be_looked_into",
        a_process_that_is_set_up_cannot_be_looked_into,
    ),
];

fn process(args: &[&str]) -> Process {
    Process {
        args: args.iter().map(|a| (*a).to_owned()).collect(),
        env: vec!["PATH=/bin".into()],
        cwd: "/".into(),
        ..Process::default()
    }
}

fn target(container: &Running) -> Target<'_> {
    Target {
        pid: container.created.pid,
        pidfd: container.created.pidfd.as_fd(),
    }
}

fn end(mut container: Running) {
    linux::process::send_signal(&container.created.pidfd, 9).expect("killed");
    container.created.wait().expect("ended");
    container.created.warnings.clear();
}

/// CVE-2024-21626, by way of exec.
fn an_exec_enters_no_directory_outside() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    let mut container = bundle.create().expect("created");
    container.created.start().expect("started");
    let host = std::fs::File::open("/").expect("open");
    for number in [host.as_raw_fd(), 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] {
        let mut process = process(&["ls"]);
        process.cwd = format!("/proc/self/fd/{number}");
        let (_output, stdio) = piped();
        let options = ExecOptions {
            stdio,
            ..ExecOptions::default()
        };
        let error = runtime::exec(target(&container), &process, options).expect_err("refused");
        assert!(error.to_string().starts_with("chdir to cwd"), "{error}");
    }
    end(container);
}

/// CVE-2025-31133: an image whose `/dev/null` is something else would have files hidden with that.
fn files_are_hidden_with_the_real_null_device() {
    let mut bundle = Bundle::script("stat -c %t:%T /proc/keys /hidden; cat /hidden; cat /real");
    let dev = bundle.root().join("fake");
    std::fs::create_dir(&dev).expect("mkdir");
    symlink("/proc/sys/kernel/core_pattern", dev.join("null")).expect("link");
    for name in [
        "zero", "full", "tty", "random", "urandom", "ptmx", "fd", "stdin", "stdout", "stderr", "core",
    ] {
        std::fs::write(dev.join(name), "").expect("file");
    }
    bundle
        .spec
        .mounts
        .retain(|mount| !mount.destination.starts_with("/dev"));
    let path = dev.to_str().expect("utf-8").to_owned();
    bundle.mount("/dev", "bind", &path, &["bind"]);
    std::fs::write(bundle.root().join("real"), "content\n").expect("file");
    symlink("real", bundle.root().join("hidden")).expect("link");
    bundle.linux().masked_paths = vec!["/proc/keys".into(), "/hidden".into()];
    // What the link names is hidden, and with the device 1:3; of the host nothing changes.
    let before = std::fs::read("/proc/sys/kernel/core_pattern").expect("pattern");
    assert_eq!(bundle.output(), "1:3\n0:0\n");
    assert_eq!(
        std::fs::read("/proc/sys/kernel/core_pattern").expect("pattern"),
        before
    );
}

/// CVE-2025-52565: a link in the place of `/dev/console` would have another file covered by the terminal.
fn the_console_is_no_way_to_other_files() {
    let mut bundle = Bundle::script("true");
    let dev = bundle.root().join("fake");
    std::fs::create_dir(&dev).expect("mkdir");
    symlink("/proc/sysrq-trigger", dev.join("console")).expect("link");
    bundle.spec.mounts.retain(|mount| mount.destination != "/dev");
    std::fs::remove_dir(bundle.root().join("dev")).expect("rmdir");
    std::fs::rename(&dev, bundle.root().join("dev")).expect("rename");
    let mut options = bundle.options();
    options.stdio = Stdio::Terminal;
    let error = runtime::create(&bundle.spec, options).expect_err("refused");
    let text = error.to_string();
    assert!(
        text.contains("terminal") && text.contains("symbolic links"),
        "{text}"
    );
}

/// CVE-2025-52881: what is written to procfs must not be led elsewhere by a mount.
fn a_false_proc_gets_nothing_written() {
    let mut bundle = Bundle::script("true");
    let fake = bundle.root().join("fake");
    std::fs::create_dir_all(fake.join("sys/net/ipv4")).expect("mkdir");
    std::fs::create_dir_all(fake.join("self")).expect("mkdir");
    let parameter = fake.join("sys/net/ipv4/ip_forward");
    std::fs::write(&parameter, "old").expect("file");
    bundle.spec.mounts.retain(|mount| mount.destination != "/proc");
    let path = fake.to_str().expect("utf-8").to_owned();
    bundle.mount("/proc", "bind", &path, &["bind"]);
    bundle.linux().readonly_paths.clear();
    bundle
        .linux()
        .sysctl
        .insert("net.ipv4.ip_forward".into(), "1".into());
    let error = bundle.create().err().expect("refused").to_string();
    assert!(error.contains("ip_forward"), "{error}");
    assert_eq!(std::fs::read_to_string(parameter).expect("file"), "old");
}

/// A program that makes `swap` in a volume a directory and a link to the outside by turns, as quickly as it can.
struct Swapper(std::process::Child);

impl Swapper {
    /// `first` makes the directory `swap`.
    fn start(first: &str, volume: &Path, outside: &Path) -> Self {
        let target = format!("/../../../../../..{}", outside.display());
        symlink(target, volume.join("link")).expect("link");
        let script = format!(
            "cd \"$1\"; {first}; while :; do mv -T link other; mv -T swap link; mv -T other swap; \
             mv -T link other; mv -T swap link; mv -T other swap; done"
        );
        let child = std::process::Command::new("sh")
            .args(["-c", &script, "sh"])
            .arg(volume)
            .stderr(std::process::Stdio::null())
            .spawn();
        Self(child.expect("sh"))
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("ended");
    }
}

fn assert_not_mounted(outside: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(&outside.display().to_string()), "{mounts}");
}

/// CVE-2021-30465: a directory of a volume becomes a link between the check of a mount's target and the mount.
fn a_mount_target_that_is_swapped_stays_inside() {
    let outside = tempfile::tempdir().expect("outside");
    let volume = tempfile::tempdir().expect("volume");
    let place = |name: &str| volume.path().join(name);
    std::fs::create_dir(place("real")).expect("mkdir");
    let swapper = Swapper::start("mkdir swap", volume.path(), outside.path());
    let mut bundle = Bundle::script("true");
    let path = volume.path().to_str().expect("utf-8").to_owned();
    bundle.mount("/volume", "bind", &path, &["bind"]);
    bundle.mount("/volume/swap/deep", "tmpfs", "tmpfs", &[]);
    for _ in 0..60 {
        // It may fail, but not reach the host.
        if let Ok(running) = bundle.create() {
            running.finish();
        }
        assert_eq!(std::fs::read_dir(outside.path()).expect("read").count(), 0);
    }
    drop(swapper);
    assert_not_mounted(outside.path());
}

/// CVE-2025-31133, by way of a race: what is to be hidden or made read-only becomes a link to the outside meanwhile.
fn a_protected_path_that_is_swapped_stays_inside() {
    let outside = tempfile::tempdir().expect("outside");
    let volume = tempfile::tempdir().expect("volume");
    let place = |name: &str| volume.path().join(name);
    for name in ["secret", "other"] {
        std::fs::write(outside.path().join(name), "of the host").expect("file");
    }
    std::fs::create_dir(place("real")).expect("mkdir");
    for name in ["secret", "other"] {
        std::fs::write(place("real").join(name), "of the container").expect("file");
    }
    let swapper = Swapper::start("mv -T real swap", volume.path(), outside.path());
    let mut bundle = Bundle::script("cat /volume/swap/secret /volume/link/secret 2>/dev/null; echo end");
    let path = volume.path().to_str().expect("utf-8").to_owned();
    bundle.mount("/volume", "bind", &path, &["bind"]);
    bundle.linux().masked_paths = vec!["/volume/swap/secret".into(), "/volume/swap".into()];
    bundle.linux().readonly_paths = vec!["/volume/swap/other".into()];
    for _ in 0..60 {
        // It may fail, but neither show nor touch what is the host's.
        if let Ok(running) = bundle.create() {
            let (text, _) = running.finish();
            assert!(!text.contains("of the host"), "{text}");
        }
        let kept = std::fs::read_to_string(outside.path().join("secret")).expect("secret");
        assert_eq!(kept, "of the host");
        std::fs::write(outside.path().join("other"), "of the host").expect("writable");
    }
    drop(swapper);
    assert_not_mounted(outside.path());
}

/// CVE-2022-0492: the release agent of a version 1 hierarchy runs on the host.
fn the_release_agent_is_out_of_reach() {
    let layout = cgroups::Layout::detect().expect("layout");
    let name = format!("/dhow-test-agent-{}", std::process::id());
    let cgroup =
        cgroups::Cgroup::create(&layout, &name, &oci::runtime::Resources::default()).expect("cgroup");
    let mut bundle = Bundle::script(
        "ls /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/release_agent 2>/dev/null; mkdir /tmp/c; \
         mount -t cgroup -o memory x /tmp/c 2>&1; mount -t cgroup2 x /tmp/c 2>&1; \
         touch /sys/fs/cgroup/pids/made 2>&1; echo 1 2>&1 > /sys/fs/cgroup/pids/cgroup.procs; echo end",
    );
    bundle.mount(
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        &["nosuid", "noexec", "nodev", "ro"],
    );
    let mut options = bundle.options();
    options.cgroup = Some(&cgroup);
    let result = bundle.create_with(options).map(Running::finish);
    cgroup.remove().expect("removed");
    let (text, _) = result.expect("created");
    assert!(!text.contains("release_agent"), "{text}");
    assert_eq!(text.matches("permission denied").count(), 2, "{text}");
    assert!(text.ends_with("end\n"), "{text}");
}

/// CVE-2022-24769 and CVE-2022-29162: inheritable capabilities that nobody asked for.
fn no_capability_is_inherited_unasked() {
    let bundle = Bundle::script("grep CapInh /proc/self/status; sleep 1000");
    let mut container = bundle.create().expect("created");
    container.created.start().expect("started");
    let mut process = process(&["grep", "Cap[IA]", "/proc/self/status"]);
    process.capabilities = Some(oci::runtime::Capabilities {
        bounding: vec!["CAP_CHOWN".into()],
        effective: vec!["CAP_CHOWN".into()],
        permitted: vec!["CAP_CHOWN".into()],
        ..oci::runtime::Capabilities::default()
    });
    let (output, stdio) = piped();
    let options = ExecOptions {
        stdio,
        ..ExecOptions::default()
    };
    let created = runtime::exec(target(&container), &process, options).expect("executed");
    let (text, _) = Running::of(created, output).finish();
    assert_eq!(text, "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n");
    end(container);
}

fn the_session_keyring_is_its_own() {
    let mut bundle = Bundle::script("cat /proc/keys");
    bundle.linux().masked_paths.clear();
    for own in [true, false] {
        // Root sees the keyrings of all its sessions.
        let id = format!("keys-{}-{own}", std::process::id());
        let mut options = CreateOptions::new(&id, RootfsSource::Path(bundle.root()));
        options.no_new_keyring = !own;
        let (text, _) = bundle.create_with(options).expect("created").finish();
        assert_eq!(text.contains(&format!("_ses.{id}:")), own, "{text}");
    }
}

/// Not even with the right to mount: what hides and protects cannot be taken away by its container without it, and
/// remounting what is read-only fails.
fn protected_paths_cannot_be_laid_open() {
    let script = "umount /proc/keys 2>&1; mount -o remount,rw /proc/sys 2>&1; mount -o remount,bind,rw /proc/sys 2>&1; \
                  mount -t proc proc /tmp 2>&1; echo x > /proc/sys/kernel/core_pattern; cat /proc/keys | wc -c";
    let text = Bundle::script(script).output();
    assert!(text.ends_with("0\n"), "{text}");
    assert_eq!(
        text.to_lowercase().matches("permission denied").count()
            + text.matches("must be superuser").count()
            + text.matches("not permitted").count(),
        4,
        "{text}"
    );
    assert!(text.contains("Read-only file system"), "{text}");
}

/// CVE-2016-9962: a process of the container must not reach the descriptors of one that is about to be executed in it.
fn a_process_that_is_set_up_cannot_be_looked_into() {
    let script =
        "read pid; cat /proc/$pid/fd/0 2>&1; ls /proc/$pid/cwd/ 2>&1; cat /proc/$pid/environ 2>&1; echo end";
    let mut bundle = Bundle::script(script);
    let capabilities = bundle.process().capabilities.clone();
    let (read, write) = linux::fd::pipe_with(linux::fd::PipeFlags::CLOEXEC).expect("pipe");
    let (output, stdio) = piped();
    let Stdio::Fds { stdout, stderr, .. } = stdio else {
        unreachable!("piped");
    };
    let mut options = bundle.options();
    options.stdio = Stdio::Fds {
        stdin: read,
        stdout,
        stderr,
    };
    let mut created = runtime::create(&bundle.spec, options).expect("created");
    created.start().expect("started");
    let container = Running::of(created, output);
    // It waits, with the same rights as the container's shell.
    let mut process = process(&["true"]);
    process.capabilities = capabilities;
    let (_unread, stdio) = piped();
    let options = ExecOptions {
        stdio,
        ..ExecOptions::default()
    };
    let waiting = runtime::exec(target(&container), &process, options).expect("waits");
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", waiting.pid.as_raw_pid())).expect("status");
    let inside = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .and_then(|pids| pids.split_whitespace().last());
    rustix::io::write(
        &write,
        format!("{}\n", inside.expect("a number inside")).as_bytes(),
    )
    .expect("told");
    drop(write);
    let mut container = container;
    let text = container.read();
    // The namespace's end kills it; until it is reaped the first process cannot end.
    waiting.wait().expect("ended");
    container.created.wait().expect("ended");
    assert_eq!(text.matches("ermission denied").count(), 3, "{text}");
}

fn a_mount_through_a_symbolic_link_stays_inside() {
    let outside = tempfile::tempdir().expect("outside");
    let mut bundle = Bundle::script("mount | grep -c evil");
    symlink(outside.path(), bundle.root().join("link")).expect("link");
    // What the link names is made inside, where it counts from the container's root.
    bundle.mount("/link/evil", "tmpfs", "evil", &[]);
    assert_eq!(bundle.output(), "1\n");
    assert_eq!(std::fs::read_dir(outside.path()).expect("read").count(), 0);
}

fn proc_is_not_mounted_through_a_symbolic_link() {
    let bundle = Bundle::script("true");
    std::fs::remove_dir(bundle.root().join("proc")).expect("rmdir");
    std::fs::create_dir(bundle.root().join("fake")).expect("mkdir");
    symlink("fake", bundle.root().join("proc")).expect("link");
    match bundle.create().err() {
        Some(Error::Step { step, errno }) => {
            assert_eq!(
                (step.as_str(), errno),
                (
                    "error mounting \"proc\" to rootfs at \"/proc\": it must be mounted on ordinary directory",
                    Errno::LOOP
                )
            );
        }
        other => panic!("{other:?}"),
    }
}

/// CVE-2024-21626: a working directory in `/proc/self/fd` of a descriptor that the runtime has open.
fn a_working_directory_outside_is_refused() {
    let host = std::fs::File::open("/").expect("open");
    for number in [host.as_raw_fd(), 3, 4, 5, 6, 7, 8, 9, 10] {
        let mut bundle = Bundle::script("ls");
        bundle.process().cwd = format!("/proc/self/fd/{number}");
        let error = bundle.create().err().expect("refused");
        assert!(error.to_string().starts_with("chdir to cwd"), "{error}");
    }
}

fn no_descriptor_of_the_caller_leaks() {
    let leaked = std::fs::File::open("/").expect("open");
    // Not marked to be closed on exec, as a careless caller would have it.
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).expect("unmarked");
    let text = Bundle::script("ls /proc/1/fd; true").output();
    assert_eq!(text, "0\n1\n2\n");
}

fn a_device_is_not_made_over_an_images_file() {
    let mut bundle = Bundle::script("true");
    // Without a fresh /dev, the image's own directory gets the nodes.
    bundle
        .spec
        .mounts
        .retain(|mount| !mount.destination.starts_with("/dev"));
    symlink("/etc/passwd", bundle.root().join("dev/null")).expect("link");
    match bundle.create().err() {
        Some(Error::Step { step, errno }) => {
            assert_eq!(
                (step.as_str(), errno),
                ("error creating device node \"/dev/null\"", Errno::EXIST)
            );
        }
        other => panic!("{other:?}"),
    }
}

fn the_host_does_not_see_the_containers_mounts() {
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    bundle.mount("/tmp", "tmpfs", "tmpfs", &[]);
    let ours = bundle.root().to_string_lossy().into_owned();
    let running = bundle.create().expect("created");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    assert!(!mounts.contains(&ours), "{mounts}");
    drop(running);
}

fn kernel_parameters_of_the_host_are_refused() {
    for name in [
        "kernel.panic",
        "vm.swappiness",
        "../x",
        "net.ipv4../x",
        "kernel.core_pattern",
    ] {
        let mut bundle = Bundle::script("true");
        bundle.linux().sysctl.insert(name.into(), "1".into());
        assert!(matches!(bundle.create().err(), Some(Error::Spec(_))), "{name}");
    }
}

fn calls_that_the_filter_forbids_fail() {
    use oci::runtime::{Seccomp, SeccompAction, SyscallRule};
    for no_new_privileges in [false, true] {
        let mut bundle = Bundle::script(
            "mkdir /made 2>&1; echo x > /file && echo written; grep Seccomp: /proc/self/status",
        );
        bundle.process().no_new_privileges = no_new_privileges;
        let rule = SyscallRule {
            names: vec!["mkdir".into(), "mkdirat".into()],
            action: SeccompAction::Errno,
            errno_ret: Some(13),
            args: Vec::new(),
        };
        bundle.linux().seccomp = Some(Seccomp {
            default_action: SeccompAction::Allow,
            syscalls: vec![rule],
            ..Seccomp::default()
        });
        let wanted = "mkdir: can't create directory '/made': Permission denied\nwritten\nSeccomp:\t2\n";
        assert_eq!(bundle.output(), wanted);
    }
}
