//! The life of a container: failures, terminals, hooks, joining, cgroups.

use std::io::Read as _;
use std::os::fd::AsFd as _;

use linux::process::Exit;
use oci::runtime::{ConsoleSize, Hook, Hooks, Process, Rlimit};
use runtime::{Error, ExecFailure, ExecOptions, RootfsSource, Stdio, Target};

use crate::bundle::{Bundle, Running, piped};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "a_pid_namespace_is_joined_by_path",
        a_pid_namespace_is_joined_by_path,
    ),
    (
        "a_time_namespace_has_its_offsets",
        a_time_namespace_has_its_offsets,
    ),
    (
        "programs_that_cannot_be_executed_are_told_apart",
        programs_that_cannot_be_executed_are_told_apart,
    ),
    ("a_bad_format_is_told_at_start", a_bad_format_is_told_at_start),
    (
        "a_detached_root_file_system_is_used",
        a_detached_root_file_system_is_used,
    ),
    (
        "a_terminal_has_its_size_and_is_the_console",
        a_terminal_has_its_size_and_is_the_console,
    ),
    ("another_process_joins", another_process_joins),
    (
        "hooks_run_in_order_and_are_told_the_state",
        hooks_run_in_order_and_are_told_the_state,
    ),
    (
        "dropping_a_created_container_ends_it",
        dropping_a_created_container_ends_it,
    ),
    (
        "a_given_network_namespace_is_joined",
        a_given_network_namespace_is_joined,
    ),
    (
        "a_limit_that_may_not_be_raised_is_a_warning",
        a_limit_that_may_not_be_raised_is_a_warning,
    ),
    ("it_stands_in_its_cgroup", it_stands_in_its_cgroup),
    ("a_user_namespace_maps_its_root", a_user_namespace_maps_its_root),
];

fn programs_that_cannot_be_executed_are_told_apart() {
    let failure = |program: &str| match Bundle::program(&[program]).create().err() {
        Some(Error::Exec(failure)) => failure,
        other => panic!("{program}: {other:?}"),
    };
    for (program, wanted, code) in [
        ("nope", ExecFailure::NotInPath("nope".into()), 127),
        ("/nope", ExecFailure::NotFound("/nope".into()), 127),
        (
            "/etc/passwd",
            ExecFailure::PermissionDenied("/etc/passwd".into()),
            126,
        ),
        ("/etc", ExecFailure::IsDirectory("/etc".into()), 126),
    ] {
        let got = failure(program);
        assert_eq!((got.exit_code(), &got), (code, &wanted));
    }
}

fn a_bad_format_is_told_at_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let bundle = Bundle::program(&["/bad"]);
    let path = bundle.root().join("bad");
    std::fs::write(&path, "\u{1}\u{2}\u{3}").expect("file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    let mut running = bundle.create().expect("created");
    let error = running.created.start().expect_err("no format");
    assert_eq!(error.to_string(), "exec /bad: exec format error");
    assert_eq!(error.exit_code(), 126);
}

fn a_detached_root_file_system_is_used() {
    let bundle = Bundle::script("echo made > /made; cat /proc/self/mountinfo | wc -l");
    let directory = std::fs::File::open(bundle.root()).expect("open");
    let mount = linux::mount::clone_tree(directory.as_fd(), c"", false).expect("clone");
    let mut options = bundle.options();
    options.rootfs = RootfsSource::DetachedMount(mount);
    let (text, exit) = bundle.create_with(options).expect("created").finish();
    assert_eq!(exit, Exit::Code(0), "{text}");
    assert_eq!(
        std::fs::read_to_string(bundle.root().join("made")).expect("made"),
        "made\n"
    );
}

fn a_terminal_has_its_size_and_is_the_console() {
    let mut bundle = Bundle::script("tty; stty size; test -c /dev/console && echo console > /dev/console");
    bundle.process().console_size = Some(ConsoleSize {
        height: 31,
        width: 97,
    });
    let mut options = bundle.options();
    options.stdio = Stdio::Terminal;
    let mut created = runtime::create(&bundle.spec, options).expect("created");
    let master = created.master.take().expect("master");
    created.start().expect("started");
    let mut text = Vec::new();
    // The end of a terminal is EIO.
    let _ = std::fs::File::from(master).read_to_end(&mut text);
    assert_eq!(
        String::from_utf8_lossy(&text),
        "/dev/pts/0\r\n31 97\r\nconsole\r\n"
    );
    assert_eq!(created.wait(), Ok(Exit::Code(0)));
}

fn another_process_joins() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    let mut container = bundle.create().expect("created");
    container.created.start().expect("started");
    let target = Target {
        pid: container.created.pid,
        pidfd: container.created.pidfd.as_fd(),
    };
    let run = |args: &[&str]| {
        let process = Process {
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            env: vec!["PATH=/bin".into()],
            cwd: "/tmp".into(),
            ..Process::default()
        };
        let (output, stdio) = piped();
        let options = ExecOptions {
            stdio,
            ..ExecOptions::default()
        };
        runtime::exec(target, &process, options).map(|created| Running::of(created, output))
    };
    let script =
        "hostname; pwd; echo $HOME; cat /proc/1/comm; readlink /proc/1/ns/net /proc/self/ns/net; exit 5";
    let (text, exit) = run(&["sh", "-c", script]).expect("joined").finish();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..4], ["inside", "/tmp", "/root", "sleep"], "{text}");
    assert_eq!(exit, Exit::Code(5));
    match run(&["nope"]).err() {
        Some(error @ Error::Exec(ExecFailure::NotInPath(_))) => assert_eq!(error.exit_code(), 127),
        other => panic!("{other:?}"),
    }
    linux::process::send_signal(&container.created.pidfd, 9).expect("killed");
    container.created.wait().expect("ended");
    assert!(matches!(run(&["true"]).err(), Some(Error::Parent { .. })));
}

fn hooks_run_in_order_and_are_told_the_state() {
    let mut bundle = Bundle::script("echo process; cat /from-hook");
    let outside = tempfile::tempdir().expect("outside");
    let log = outside.path().join("log");
    let hook = |name: &str| {
        let script = format!(
            "echo {name} $(cat | tr -d '\\n' | sed 's/.*\"status\":\"\\([a-z]*\\)\".*/\\1/') >> {}",
            log.display()
        );
        Hook {
            path: "/bin/sh".into(),
            args: vec!["sh".into(), "-c".into(), script],
            env: vec!["PATH=/bin:/usr/bin".into()],
            timeout: Some(10),
        }
    };
    let inside = |script: &str| Hook {
        path: "/bin/sh".into(),
        args: vec!["sh".into(), "-c".into(), script.into()],
        env: vec!["PATH=/bin".into()],
        timeout: None,
    };
    bundle.spec.hooks = Some(Hooks {
        prestart: vec![hook("prestart")],
        create_runtime: vec![hook("createRuntime")],
        create_container: vec![hook("createContainer")],
        start_container: vec![inside("echo hook > /from-hook")],
        poststart: vec![hook("poststart")],
        ..Hooks::default()
    });
    let running = bundle.create().expect("created");
    running
        .created
        .run_start_hooks(&bundle.spec, None)
        .expect("hooks");
    let (text, _) = running.finish();
    assert_eq!(text, "process\nhook\n");
    let wanted = "prestart creating\ncreateRuntime creating\ncreateContainer creating\npoststart running\n";
    assert_eq!(std::fs::read_to_string(&log).expect("log"), wanted);
    bundle.spec.hooks = Some(Hooks {
        create_runtime: vec![inside("exit 3")],
        ..Hooks::default()
    });
    let error = bundle.create().err().expect("refused");
    assert_eq!(
        error.to_string(),
        "error running createRuntime hook #0: exit status 3"
    );
}

fn dropping_a_created_container_ends_it() {
    let bundle = Bundle::script("echo never");
    let running = bundle.create().expect("created");
    let pidfd = running.created.pidfd.try_clone().expect("dup");
    drop(running);
    assert_eq!(linux::process::wait(&pidfd), Ok(Exit::Code(126)));
}

fn a_given_network_namespace_is_joined() {
    let netns = linux::namespace::new_network().expect("netns");
    let inode = rustix::fs::fstat(&netns).expect("stat").st_ino;
    let bundle = Bundle::script("readlink /proc/self/ns/net");
    let mut options = bundle.options();
    options.netns = Some(netns);
    let (text, _) = bundle.create_with(options).expect("created").finish();
    assert_eq!(text, format!("net:[{inode}]\n"));
}

fn a_limit_that_may_not_be_raised_is_a_warning() {
    let resource = linux::rlimit::by_name("RLIMIT_NOFILE").expect("known");
    let (_, hard) = linux::rlimit::get(resource);
    let mut bundle = Bundle::script("ulimit -H -n");
    bundle.process().rlimits.push(Rlimit {
        kind: "RLIMIT_NOFILE".into(),
        hard: hard.saturating_add(1),
        soft: 64,
    });
    let running = bundle.create().expect("created");
    let warned = running
        .created
        .warnings
        .iter()
        .any(|warning| warning.contains("RLIMIT_NOFILE"));
    let (text, _) = running.finish();
    // Where the caller may raise it, it is raised; otherwise it stays and a warning says so.
    assert_eq!(warned, text.trim() == hard.to_string(), "{text}");
}

fn it_stands_in_its_cgroup() {
    let layout = cgroups::Layout::detect().expect("layout");
    let name = format!("/dhow-test-{}", std::process::id());
    let resources = oci::runtime::Resources {
        pids: Some(oci::runtime::Pids { limit: Some(37) }),
        ..oci::runtime::Resources::default()
    };
    let cgroup = cgroups::Cgroup::create(&layout, &name, &resources).expect("cgroup");
    let mut bundle = Bundle::script(
        "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; grep pids /proc/self/cgroup",
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
    assert!(text.starts_with("37\n"), "{text}");
    // The cgroup namespace makes it the top.
    assert!(
        text.trim_end().ends_with('/') || !text.contains("pids:"),
        "{text}"
    );
}

fn a_user_namespace_maps_its_root() {
    use oci::runtime::{IdMapping, Namespace, NamespaceKind};
    let mut bundle = Bundle::script("id -u; cat /proc/self/uid_map; echo x > /dev/null && echo null");
    for path in [
        bundle.root(),
        bundle.root().parent().expect("parent").to_path_buf(),
    ] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    }
    let map = IdMapping {
        container_id: 0,
        host_id: 100_000,
        size: 65536,
    };
    let linux = bundle.linux();
    linux.namespaces.push(Namespace {
        kind: NamespaceKind::User,
        path: String::new(),
    });
    linux.uid_mappings = vec![map];
    linux.gid_mappings = vec![map];
    let text = bundle.output();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "100000", "65536", "null"]);
}

fn a_pid_namespace_is_joined_by_path() {
    let first = Bundle::program(&["sleep", "1000"]);
    let mut container = first.create().expect("created");
    container.created.start().expect("started");
    let path = format!("/proc/{}/ns/pid", container.created.pid.as_raw_pid());
    let before = std::fs::read_link("/proc/self/ns/pid_for_children").expect("link");
    let mut second = Bundle::script("readlink /proc/self/ns/pid; cat /proc/1/comm; echo $$");
    for namespace in &mut second.linux().namespaces {
        if namespace.kind == oci::runtime::NamespaceKind::Pid {
            namespace.path.clone_from(&path);
        }
    }
    let text = second.output();
    let wanted = std::fs::read_link(&path).expect("link");
    assert_eq!(text, format!("{}\nsleep\n2\n", wanted.display()));
    // The caller's own children go on where they were.
    assert_eq!(
        std::fs::read_link("/proc/self/ns/pid_for_children").expect("link"),
        before
    );
    linux::process::send_signal(&container.created.pidfd, 9).expect("killed");
    container.created.wait().expect("ended");
}

fn a_time_namespace_has_its_offsets() {
    use oci::runtime::{Namespace, NamespaceKind, TimeOffset};
    if !std::path::Path::new("/proc/self/ns/time").exists() {
        eprintln!("skipped: the kernel has no time namespaces");
        return;
    }
    let mut bundle = Bundle::script("cat /proc/uptime");
    let linux = bundle.linux();
    linux.namespaces.push(Namespace {
        kind: NamespaceKind::Time,
        path: String::new(),
    });
    let offset = TimeOffset {
        secs: Some(10_000_000),
        nanosecs: None,
    };
    linux.time_offsets.insert("boottime".into(), offset);
    let text = bundle.output();
    let uptime: f64 = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .expect("a number");
    assert!(uptime > 10_000_000.0, "{text}");
}
