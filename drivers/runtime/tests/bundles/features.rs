//! Features of the runtime-spec, each as its process sees it.

use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use linux::process::Exit;
use oci::runtime::{
    CpuAffinity, Hook, Hooks, IdMapping, IntelRdt, IoPriority, MemoryPolicy, Mount, Namespace, NamespaceKind,
    NetDevice, Personality, Process, Scheduler,
};
use runtime::{Error, ExecOptions, Target};

use crate::bundle::{Bundle, Running, mount, piped};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("owners_of_a_bind_are_shifted", owners_of_a_bind_are_shifted),
    (
        "a_shift_covers_the_tree_when_asked",
        a_shift_covers_the_tree_when_asked,
    ),
    (
        "a_shift_can_be_that_of_the_user_namespace",
        a_shift_can_be_that_of_the_user_namespace,
    ),
    ("the_root_is_shifted_when_asked", the_root_is_shifted_when_asked),
    (
        "a_tmpfs_is_filled_from_the_image",
        a_tmpfs_is_filled_from_the_image,
    ),
    ("propagation_is_as_asked", propagation_is_as_asked),
    (
        "the_root_can_be_shared_or_unbindable",
        the_root_can_be_shared_or_unbindable,
    ),
    (
        "recursive_attributes_reach_mounts_below",
        recursive_attributes_reach_mounts_below,
    ),
    ("priorities_and_domains_are_set", priorities_and_domains_are_set),
    ("an_exec_runs_on_its_processors", an_exec_runs_on_its_processors),
    ("network_devices_move_in", network_devices_move_in),
    ("a_class_of_cache_is_joined", a_class_of_cache_is_joined),
    (
        "without_pivot_root_the_host_is_out_of_reach",
        without_pivot_root_the_host_is_out_of_reach,
    ),
    (
        "namespaces_of_another_container_are_joined",
        namespaces_of_another_container_are_joined,
    ),
    (
        "a_hook_that_takes_too_long_is_killed",
        a_hook_that_takes_too_long_is_killed,
    ),
    ("annotations_reach_hooks", annotations_reach_hooks),
    ("landlock_holds_inside", landlock_holds_inside),
    ("landlock_asks_for_what_is_there", landlock_asks_for_what_is_there),
    ("a_filter_asks_its_listener", a_filter_asks_its_listener),
    ("every_action_of_a_filter_works", every_action_of_a_filter_works),
];

fn id_map(host: u32, size: u32) -> Vec<IdMapping> {
    vec![IdMapping {
        container_id: 0,
        host_id: host,
        size,
    }]
}

/// A directory on a file system whose owners can be shifted, with a file of root's.
fn outside() -> tempfile::TempDir {
    let outside = tempfile::tempdir().expect("outside");
    std::fs::write(outside.path().join("file"), "x").expect("file");
    std::fs::set_permissions(outside.path(), std::fs::Permissions::from_mode(0o777)).expect("mode");
    outside
}

fn shifted(place: &str, source: &str, options: &[&str], host: u32) -> Mount {
    Mount {
        uid_mappings: id_map(host, 1000),
        gid_mappings: id_map(host + 5, 1000),
        ..mount(place, "bind", source, options)
    }
}

fn owners_of_a_bind_are_shifted() {
    let outside = outside();
    let path = outside.path().to_str().expect("utf-8");
    let mut bundle =
        Bundle::script("stat -c '%u %g' /data/file; touch /data/file 2>&1; mkdir /data/made 2>&1; true");
    bundle.process().user.uid = 7003;
    bundle.process().user.gid = 7008;
    bundle
        .spec
        .mounts
        .push(shifted("/data", path, &["bind", "idmap"], 7000));
    bundle
        .spec
        .mounts
        .push(shifted("/ro", path, &["bind", "ro"], 7000));
    let text = bundle.output();
    assert_eq!(text, "7000 7005\ntouch: /data/file: Permission denied\n");
    // Made by 7003 inside, which is 3 on disk.
    let made = std::fs::metadata(outside.path().join("made")).expect("made");
    assert_eq!((made.uid(), made.gid()), (3, 3));
    bundle.process().args = vec!["sh".into(), "-c".into(), "mkdir /ro/x 2>&1".into()];
    assert!(bundle.output().contains("Read-only file system"));
}

fn a_shift_covers_the_tree_when_asked() {
    let outside = outside();
    let below = outside.path().join("below");
    std::fs::create_dir(&below).expect("mkdir");
    let path = outside.path().to_str().expect("utf-8");
    // Not a tmpfs, which cannot be id-mapped before Linux 6.3.
    let other = self::outside();
    rustix::mount::mount_bind(other.path(), &below).expect("mount");
    let result = std::panic::catch_unwind(|| {
        std::fs::write(below.join("deep"), "").expect("file");
        for (option, wanted) in [("idmap", "9000\n0\n"), ("ridmap", "9000\n9000\n")] {
            let mut bundle = Bundle::script("stat -c %u /data/file /data/below/deep");
            bundle
                .spec
                .mounts
                .push(shifted("/data", path, &["rbind", option], 9000));
            assert_eq!(bundle.output(), wanted, "{option}");
        }
    });
    rustix::mount::unmount(&below, rustix::mount::UnmountFlags::DETACH).expect("unmounted");
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn in_user_namespace(bundle: &mut Bundle) {
    for path in [
        bundle.root(),
        bundle.root().parent().expect("parent").to_path_buf(),
    ] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    }
    let linux = bundle.linux();
    linux.namespaces.push(Namespace {
        kind: NamespaceKind::User,
        path: String::new(),
    });
    linux.uid_mappings = id_map(100_000, 65536);
    linux.gid_mappings = id_map(100_000, 65536);
    // Root of the user namespace owns the root file system.
    for entry in ["", "bin", "dev", "proc", "sys", "tmp", "etc"] {
        std::os::unix::fs::chown(bundle.root().join(entry), Some(100_000), Some(100_000)).expect("chown");
    }
}

fn a_shift_can_be_that_of_the_user_namespace() {
    let outside = outside();
    let mut bundle =
        Bundle::script("stat -c %u /plain/file /data/file; touch /data/new && stat -c %u /data/new");
    in_user_namespace(&mut bundle);
    // A place that only root of the host may look into can be shown all the same.
    let secret = tempfile::tempdir().expect("secret");
    std::fs::write(secret.path().join("word"), "secret\n").expect("file");
    bundle.mount(
        "/secret",
        "bind",
        secret.path().to_str().expect("utf-8"),
        &["bind"],
    );
    let path = outside.path().to_str().expect("utf-8").to_owned();
    bundle.mount("/plain", "bind", &path, &["bind"]);
    bundle.mount("/data", "bind", &path, &["bind", "idmap"]);
    // Root's file is nobody's in a user namespace, and root's again where owners are shifted.
    assert_eq!(bundle.output(), "65534\n0\n0\n");
    assert_eq!(
        std::fs::metadata(outside.path().join("new")).expect("new").uid(),
        0
    );
    bundle.linux().namespaces.pop();
    bundle.linux().uid_mappings.clear();
    bundle.linux().gid_mappings.clear();
    let error = bundle
        .create()
        .err()
        .expect("no namespace to take the shift from");
    assert!(
        error.to_string().contains("requires a private user namespace"),
        "{error}"
    );
}

fn the_root_is_shifted_when_asked() {
    let annotation = "io.github.dhow.rootfs.idmap".to_owned();
    let mut bundle = Bundle::script("stat -c '%u %g' / /bin/busybox; touch /new && stat -c '%u %g' /new");
    in_user_namespace(&mut bundle);
    // The image as it is unpacked on the host: root's.
    for entry in ["", "bin", "dev", "proc", "sys", "tmp", "etc"] {
        std::os::unix::fs::chown(bundle.root().join(entry), Some(0), Some(0)).expect("chown");
    }
    bundle
        .spec
        .annotations
        .insert(annotation.clone(), "container".into());
    assert_eq!(bundle.output(), "0 0\n0 0\n0 0\n");
    let new = std::fs::metadata(bundle.root().join("new")).expect("new");
    assert_eq!((new.uid(), new.gid()), (0, 0), "on disk it is root's, too");
    bundle.spec.annotations.insert(annotation.clone(), "host".into());
    let refused = |bundle: &Bundle| bundle.create().map(drop).expect_err("refused").to_string();
    assert!(refused(&bundle).contains("unknown annotation io.github.dhow.rootfs.idmap: \"host\""));
    bundle.spec.annotations.insert(annotation, "container".into());
    bundle.linux().namespaces.pop();
    bundle.linux().uid_mappings.clear();
    bundle.linux().gid_mappings.clear();
    assert!(refused(&bundle).contains("requires a private user namespace"));
}

fn a_tmpfs_is_filled_from_the_image() {
    let mut bundle = Bundle::script(
        "mount | grep -c 'on /data'; cat /data/a/deep; readlink /data/link; stat -c '%a %u' /data /data/a /data/own; \
         touch /data/x 2>&1; touch /ro/x 2>&1; cat /ro/a/deep",
    );
    let data = bundle.root().join("data");
    std::fs::create_dir_all(data.join("a")).expect("mkdir");
    std::fs::write(data.join("a/deep"), "content\n").expect("file");
    std::os::unix::fs::symlink("/etc/shadow", data.join("link")).expect("link");
    std::fs::write(data.join("own"), "").expect("file");
    std::os::unix::fs::chown(data.join("own"), Some(42), Some(42)).expect("chown");
    std::fs::set_permissions(data.join("own"), std::fs::Permissions::from_mode(0o4755)).expect("mode");
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o751)).expect("mode");
    std::os::unix::fs::symlink("data", bundle.root().join("ro")).expect("link");
    bundle.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
    let text = bundle.output();
    let wanted = "1\ncontent\n/etc/shadow\n751 0\n755 0\n4755 42\ncontent\n";
    assert_eq!(text, wanted);
    // The image stays as it was.
    assert!(!data.join("x").exists());
    bundle.spec.mounts.pop();
    bundle.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup", "ro"]);
    let text = bundle.output();
    assert!(text.contains("touch: /data/x: Read-only file system"), "{text}");
}

fn propagation_is_as_asked() {
    let outside = outside();
    let path = outside.path().to_str().expect("utf-8").to_owned();
    rustix::mount::mount_bind(&path, &path).expect("bind");
    rustix::mount::mount_change(&path, rustix::mount::MountPropagationFlags::SHARED).expect("shared");
    let result = std::panic::catch_unwind(|| {
        for (options, wanted) in [
            (&["bind", "shared"][..], "shared:"),
            (&["bind", "slave"], "master:"),
            (&["rbind", "rslave", "rshared"], "shared:"),
            (&["bind", "private"], "- "),
            (&["bind", "unbindable"], "unbindable"),
            (&["rbind", "rprivate"], "- "),
        ] {
            let mut bundle = Bundle::script("grep ' /data ' /proc/self/mountinfo");
            bundle.mount("/data", "bind", &path, options);
            let text = bundle.output();
            // The optional fields stand between the options of the mount and a dash.
            let fields: Vec<&str> = text.split(' ').skip(6).collect();
            assert!(fields.join(" ").starts_with(wanted), "{options:?}: {text}");
        }
    });
    rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH).expect("unmounted");
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn the_root_can_be_shared_or_unbindable() {
    for (propagation, wanted) in [
        ("rshared", "shared:"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
        ("rprivate", "- "),
        ("private", "- "),
        ("", "- "),
    ] {
        let mut bundle = Bundle::script("grep ' / / \\| / rw' /proc/self/mountinfo | head -n 1");
        bundle.linux().rootfs_propagation = propagation.into();
        let text = bundle.output();
        let fields: Vec<&str> = text.split(' ').skip(6).collect();
        let fields = fields.join(" ");
        // A slave of the host's mount is as good as private to the host.
        assert!(
            fields.starts_with(wanted) || (wanted == "- " && fields.starts_with("master:")),
            "{propagation}: {text}"
        );
    }
}

fn recursive_attributes_reach_mounts_below() {
    let outside = outside();
    let below = outside.path().join("below");
    std::fs::create_dir(&below).expect("mkdir");
    rustix::mount::mount("tmpfs", &below, "tmpfs", rustix::mount::MountFlags::empty(), None).expect("mount");
    let path = outside.path().to_str().expect("utf-8").to_owned();
    let result = std::panic::catch_unwind(|| {
        let script = "touch /data/x 2>/dev/null || echo top; touch /data/below/x 2>/dev/null || echo below; \
                      grep ' /data/below ' /proc/self/mountinfo | grep -c nosuid,nodev,noexec; true";
        for (options, wanted) in [
            (&["rbind", "ro"][..], "top\n0\n"),
            (
                &["rbind", "rro", "rnosuid", "rnodev", "rnoexec"],
                "top\nbelow\n1\n",
            ),
        ] {
            let mut bundle = Bundle::script(script);
            bundle.mount("/data", "bind", &path, options);
            assert_eq!(bundle.output(), wanted, "{options:?}");
        }
    });
    rustix::mount::unmount(&below, rustix::mount::UnmountFlags::DETACH).expect("unmounted");
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn priorities_and_domains_are_set() {
    let mut bundle = Bundle::script(
        "uname -m; cat /proc/self/stat | sed 's/.*) //' | cut -d' ' -f 17,39; ionice -p 1; cat /proc/self/personality; \
         grep Mems_allowed_list /proc/self/status",
    );
    let process = bundle.process();
    process.scheduler = Some(Scheduler {
        policy: "SCHED_BATCH".into(),
        nice: Some(7),
        ..Scheduler::default()
    });
    process.io_priority = Some(IoPriority {
        class: "IOPRIO_CLASS_BE".into(),
        priority: 6,
    });
    let linux = bundle.linux();
    linux.personality = Some(Personality {
        domain: "LINUX32".into(),
        flags: Vec::new(),
    });
    linux.memory_policy = Some(MemoryPolicy {
        mode: "MPOL_BIND".into(),
        nodes: "0".into(),
        flags: vec!["MPOL_F_STATIC_NODES".into()],
    });
    let text = bundle.output();
    // The nice value and the policy (3: batch) of proc_pid_stat(5).
    assert!(text.contains("\n7 3\n"), "{text}");
    assert!(text.contains("best-effort: prio 6"), "{text}");
    assert!(text.starts_with("i686\n"), "{text}");
    let mut bundle = Bundle::script("grep -c bind:0 /proc/self/numa_maps");
    bundle.linux().memory_policy = Some(MemoryPolicy {
        mode: "MPOL_BIND".into(),
        nodes: "0".into(),
        flags: Vec::new(),
    });
    if std::path::Path::new("/proc/self/numa_maps").exists() {
        let text = bundle.output();
        assert!(text.trim().parse::<u32>().is_ok_and(|lines| lines > 0), "{text}");
    }
    let mut bundle = Bundle::script("true");
    bundle.linux().memory_policy = Some(MemoryPolicy {
        mode: "MPOL_NONE".into(),
        ..MemoryPolicy::default()
    });
    let error = bundle.create().err().expect("refused").to_string();
    assert_eq!(error, "unknown memory policy mode: \"MPOL_NONE\"");
}

fn exec(container: &Running, process: &Process) -> Result<(String, Exit), Error> {
    let target = Target {
        pid: container.created.pid,
        pidfd: container.created.pidfd.as_fd(),
    };
    let (output, stdio) = piped();
    let options = ExecOptions {
        stdio,
        ..ExecOptions::default()
    };
    runtime::exec(target, process, options).map(|created| Running::of(created, output).finish())
}

fn an_exec_runs_on_its_processors() {
    let bundle = Bundle::program(&["sleep", "1000"]);
    let mut container = bundle.create().expect("created");
    container.created.start().expect("started");
    let allowed = std::fs::read_to_string("/proc/self/status").expect("status");
    let first = allowed
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .and_then(|list| list.trim().split([',', '-']).next())
        .expect("a processor");
    let mut process = Process {
        args: ["grep", "Cpus_allowed_list", "/proc/self/status"]
            .map(str::to_owned)
            .to_vec(),
        env: vec!["PATH=/bin".into()],
        cwd: "/".into(),
        exec_cpu_affinity: Some(CpuAffinity {
            initial: "0-1023".into(),
            last: first.to_owned(),
        }),
        ..Process::default()
    };
    let (text, _) = exec(&container, &process).expect("executed");
    assert_eq!(text, format!("Cpus_allowed_list:\t{first}\n"));
    process.exec_cpu_affinity = Some(CpuAffinity {
        initial: "one".into(),
        last: String::new(),
    });
    let error = exec(&container, &process).expect_err("refused").to_string();
    assert_eq!(error, "unknown execCPUAffinity.initial: \"one\"");
    linux::process::send_signal(&container.created.pidfd, 9).expect("killed");
    container.created.wait().expect("ended");
}

fn network_devices_move_in() {
    // In a network of this test's own, so that no device of the machine is touched.
    let host = linux::namespace::open_own(c"net").expect("own");
    linux::namespace::unshare(linux::namespace::Flags::NETWORK).expect("unshare");
    let result = std::panic::catch_unwind(|| {
        let mut route = netlink::Route::open().expect("netlink");
        route
            .add_veth(&netlink::Veth {
                name: "near",
                master: None,
                peer_name: "lend",
                peer_netns: None,
                peer_mac: None,
                mtu: 1400,
            })
            .expect("veth");
        let index = route.index("lend").expect("index");
        route
            .add_address(index, "10.99.7.1/24".parse().expect("address"))
            .expect("address");
        let mut bundle =
            Bundle::script("ip -o addr show dev inner; ip link show dev inner; ip link | grep -c lend");
        let device = NetDevice { name: "inner".into() };
        bundle.linux().net_devices.insert("lend".into(), device);
        let running = bundle.create().expect("created");
        assert_eq!(running.created.net_devices["inner"], "lend");
        assert!(
            netlink::Route::open()
                .expect("netlink")
                .link("lend")
                .expect("asked")
                .is_none()
        );
        let (text, _) = running.finish();
        assert!(text.contains("10.99.7.1/24"), "{text}");
        assert!(text.contains(",UP") && text.contains("mtu 1400"), "{text}");
        assert!(text.ends_with("\n0\n"), "{text}");
        // A device that is not there is named, and nothing else has happened.
        let mut bundle = Bundle::script("true");
        bundle
            .linux()
            .net_devices
            .insert("absent".into(), NetDevice::default());
        let error = bundle.create().err().expect("refused").to_string();
        assert!(error.starts_with("linux.netDevices: absent: "), "{error}");
    });
    linux::namespace::join(host, linux::namespace::Flags::NETWORK).expect("back");
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn a_class_of_cache_is_joined() {
    let tree = tempfile::tempdir().expect("tree");
    let mut bundle = Bundle::script("true");
    bundle.linux().intel_rdt = Some(IntelRdt {
        l3_cache_schema: "L3:0=3".into(),
        ..IntelRdt::default()
    });
    let mut options = bundle.options();
    options.resctrl = Some(tree.path().to_owned());
    let running = bundle.create_with(options).expect("created");
    let read = |name: &str| std::fs::read_to_string(tree.path().join("test").join(name)).expect(name);
    assert_eq!(read("schemata"), "L3:0=3\n");
    assert_eq!(read("tasks"), running.created.pid.as_raw_pid().to_string());
    running.finish();
    if runtime::resctrl::mounted().is_none() {
        let error = bundle.create().err().expect("refused").to_string();
        assert_eq!(error, "linux.intelRdt: no resctrl file system is mounted");
    }
}

fn without_pivot_root_the_host_is_out_of_reach() {
    let bundle = Bundle::script(
        "ls /; cd ../../..; pwd; ls /../.. | wc -l; cat /proc/1/comm; mount | grep -c ' /proc type'",
    );
    let mut options = bundle.options();
    options.no_pivot = true;
    let (text, exit) = bundle.create_with(options).expect("created").finish();
    assert_eq!(text, "bin\ndev\netc\nproc\nsys\ntmp\n/\n6\nsh\n1\n");
    assert_eq!(exit, Exit::Code(0));
}

fn namespaces_of_another_container_are_joined() {
    let mut first = Bundle::program(&["sleep", "1000"]);
    in_user_namespace(&mut first);
    let mut container = first.create().expect("created");
    container.created.start().expect("started");
    let pid = container.created.pid.as_raw_pid();
    let mut second = Bundle::script(
        "for kind in net ipc uts user; do readlink /proc/self/ns/$kind; done; id -u; hostname; touch /made",
    );
    in_user_namespace(&mut second);
    second.spec.hostname = String::new();
    second.linux().uid_mappings.clear();
    second.linux().gid_mappings.clear();
    for namespace in &mut second.linux().namespaces {
        let name = match namespace.kind {
            NamespaceKind::Network => "net",
            NamespaceKind::Ipc => "ipc",
            NamespaceKind::Uts => "uts",
            NamespaceKind::User => "user",
            _ => continue,
        };
        namespace.path = format!("/proc/{pid}/ns/{name}");
    }
    let text = second.output();
    let links: Vec<String> = ["net", "ipc", "uts", "user"]
        .iter()
        .map(|name| {
            std::fs::read_link(format!("/proc/{pid}/ns/{name}"))
                .expect("link")
                .display()
                .to_string()
        })
        .collect();
    assert_eq!(text, format!("{}\n0\ninside\n", links.join("\n")));
    assert_eq!(
        std::fs::metadata(second.root().join("made")).expect("made").uid(),
        100_000
    );
    // A file that is no namespace, and one of another kind, are refused.
    for path in ["/etc/passwd".to_owned(), format!("/proc/{pid}/ns/ipc")] {
        let mut bundle = Bundle::script("true");
        for namespace in &mut bundle.linux().namespaces {
            if namespace.kind == NamespaceKind::Network {
                namespace.path.clone_from(&path);
            }
        }
        let error = bundle.create().err().expect("refused").to_string();
        assert!(error.contains(&path), "{error}");
    }
    linux::process::send_signal(&container.created.pidfd, 9).expect("killed");
    container.created.wait().expect("ended");
}

fn shell_hook(script: &str, timeout: Option<i64>) -> Hook {
    Hook {
        path: "/bin/sh".into(),
        args: vec!["sh".into(), "-c".into(), script.into()],
        env: vec!["PATH=/bin:/usr/bin".into()],
        timeout,
    }
}

fn a_hook_that_takes_too_long_is_killed() {
    let outside = tempfile::tempdir().expect("outside");
    let pid_file = outside.path().join("pid");
    let mut bundle = Bundle::script("true");
    bundle.spec.hooks = Some(Hooks {
        create_runtime: vec![shell_hook(
            &format!("echo $$ > {}; exec sleep 1000", pid_file.display()),
            Some(1),
        )],
        ..Hooks::default()
    });
    let error = bundle.create().err().expect("refused").to_string();
    assert!(
        error.starts_with("error running createRuntime hook #0: "),
        "{error}"
    );
    assert!(error.contains("timed out"), "{error}");
    let pid = std::fs::read_to_string(pid_file).expect("the hook ran");
    assert!(!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists());
}

/// Asks for Landlock; `false` where the kernel has it not.
fn confine(bundle: &mut Bundle, rules: &str) -> bool {
    let name = security::landlock::ANNOTATION.to_owned();
    bundle.spec.annotations.insert(name, rules.to_owned());
    let there = security::landlock::version().is_some();
    if !there {
        eprintln!("skipped: this kernel has no Landlock");
    }
    there
}

/// Says of each path whether it can be read, written, and removed.
const TRY: &str = "for p in /etc /tmp /proc; do ls $p >/dev/null 2>&1 && echo $p listed; done; \
    cat /etc/passwd >/dev/null 2>&1 && echo read; \
    (echo x > /etc/new) 2>/dev/null && echo written; (echo x > /tmp/new) 2>/dev/null && echo temporary; \
    (echo x > /dev/null) 2>/dev/null && echo null; \
    cp /bin/busybox /tmp/program 2>/dev/null; /tmp/program true 2>/dev/null && echo executed; \
    (mount -t tmpfs none /tmp) 2>/dev/null && echo mounted; echo end";

fn landlock_holds_inside() {
    for no_new_privileges in [true, false] {
        // Also for a root that has every right of its container.
        let mut bundle = Bundle::script(TRY);
        for capabilities in [&mut bundle.process().capabilities] {
            let capabilities = capabilities.get_or_insert_default();
            for set in [
                &mut capabilities.bounding,
                &mut capabilities.effective,
                &mut capabilities.permitted,
            ] {
                set.extend(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"].map(str::to_owned));
            }
        }
        bundle.process().no_new_privileges = no_new_privileges;
        if !confine(
            &mut bundle,
            r#"{"execute":["/bin"],"read":["/etc/passwd"],"write":["/tmp","/dev/null"]}"#,
        ) {
            return;
        }
        let (text, exit) = bundle.create().expect("created").finish();
        assert_eq!(
            (text.as_str(), exit),
            ("/tmp listed\nread\ntemporary\nnull\nend\n", Exit::Code(0))
        );
    }
    let mut bundle = Bundle::program(&["sleep", "1000"]);
    confine(&mut bundle, r#"{"execute":["/bin"]}"#);
    let mut container = bundle.create().expect("created");
    container.created.start().expect("started");
    let process = Process {
        args: ["sh", "-c", TRY].map(str::to_owned).to_vec(),
        env: vec!["PATH=/bin".into()],
        cwd: "/".into(),
        ..Process::default()
    };
    let (output, stdio) = piped();
    let target = Target {
        pid: container.created.pid,
        pidfd: container.created.pidfd.as_fd(),
    };
    let options = ExecOptions {
        stdio,
        landlock: bundle.spec.annotations.get(security::landlock::ANNOTATION),
        ..ExecOptions::default()
    };
    let created = runtime::exec(target, &process, options).expect("executed");
    let (text, _) = Running::of(created, output).finish();
    // The shell complains of /dev/null, which is not allowed here.
    let said: Vec<&str> = text.lines().filter(|line| !line.starts_with("sh: ")).collect();
    assert_eq!(said, ["end"], "{text}");
    linux::process::send_signal(&container.created.pidfd, 9).expect("killed");
    container.created.wait().expect("ended");
}

fn landlock_asks_for_what_is_there() {
    for (rules, words) in [
        (
            r#"{"execute":["/bin","/nowhere"]}"#,
            "unable to apply Landlock to \"/nowhere\": no such file or directory",
        ),
        (r#"{"execute":["bin"]}"#, "\"bin\" is no absolute path"),
        ("everything", "annotation io.github.dhow.landlock"),
    ] {
        let mut bundle = Bundle::script("true");
        if !confine(&mut bundle, rules) {
            return;
        }
        let error = bundle.create().map(drop).expect_err(rules).to_string();
        assert!(error.contains(words), "{rules}: {error}");
    }
    // The program itself must be among what may be executed.
    let mut bundle = Bundle::script("true");
    confine(&mut bundle, r#"{"execute":["/etc"],"read":["/"]}"#);
    let mut created = bundle.create().expect("created").created;
    let error = created.start().expect_err("not executable").to_string();
    assert!(error.contains("permission denied"), "{error}");
}

fn annotations_reach_hooks() {
    let outside = tempfile::tempdir().expect("outside");
    let file = outside.path().join("state");
    let mut bundle = Bundle::script("true");
    bundle
        .spec
        .annotations
        .insert("com.example.key".into(), "value".into());
    bundle.spec.hooks = Some(Hooks {
        prestart: vec![shell_hook(&format!("cat > {}", file.display()), None)],
        ..Hooks::default()
    });
    let running = bundle.create().expect("created");
    let state: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).expect("state")).expect("json");
    assert_eq!(state["annotations"]["com.example.key"], "value");
    assert_eq!(state["pid"], running.created.pid.as_raw_pid());
    assert_eq!(
        (&state["id"], &state["status"]),
        (&"test".into(), &"creating".into())
    );
    running.finish();
}

fn filter(json: serde_json::Value) -> Option<oci::runtime::Seccomp> {
    serde_json::from_value(json).expect("filter")
}

fn a_filter_asks_its_listener() {
    let outside = tempfile::tempdir().expect("outside");
    let path = outside.path().join("agent.sock");
    let agent = std::os::unix::net::UnixListener::bind(&path).expect("bind");
    let mut bundle = Bundle::script("echo done");
    // Nobody asks for this call: what matters is that the agent gets the descriptor and the state.
    bundle.linux().seccomp = filter(serde_json::json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "meta",
        "syscalls": [{ "names": ["swapoff"], "action": "SCMP_ACT_NOTIFY" }]
    }));
    let running = bundle.create().expect("created");
    let (socket, _) = agent.accept().expect("the runtime has connected");
    let mut buffer = vec![0_u8; 65536];
    let received = linux::fd::receive(&socket, &mut buffer).expect("message");
    let message: serde_json::Value = serde_json::from_slice(&buffer[..received.length]).expect("json");
    assert_eq!(
        (&message["metadata"], &message["fds"][0]),
        (&"meta".into(), &"seccompFd".into())
    );
    assert_eq!(message["pid"], running.created.pid.as_raw_pid());
    assert_eq!(message["state"]["id"], "test");
    let link = std::fs::read_link(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&received.fds[0])
    ));
    assert_eq!(link.expect("link").to_string_lossy(), "anon_inode:seccomp notify");
    assert_eq!(running.finish().0, "done\n");
}

fn every_action_of_a_filter_works() {
    for (action, wanted) in [
        ("SCMP_ACT_ERRNO", "failed 1"),
        ("SCMP_ACT_KILL_PROCESS", "failed 159"),
        ("SCMP_ACT_KILL_THREAD", "failed 159"),
        ("SCMP_ACT_KILL", "failed 159"),
        ("SCMP_ACT_TRAP", "failed 159"),
        ("SCMP_ACT_LOG", "passed"),
        // Without a tracer the call fails with ENOSYS.
        ("SCMP_ACT_TRACE", "failed 1"),
    ] {
        let mut bundle = Bundle::script(
            "mkdir /tmp/made 2>/dev/null; code=$?; test $code = 0 && echo passed || echo failed $code",
        );
        bundle.linux().seccomp = filter(serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": action }]
        }));
        assert_eq!(bundle.output().trim(), wanted, "{action}");
    }
}
