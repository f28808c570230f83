//! What a container sees of itself.

use linux::process::Exit;
use oci::runtime::{Device, Rlimit};

use crate::bundle::Bundle;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("it_has_namespaces_of_its_own", it_has_namespaces_of_its_own),
    (
        "hidden_paths_are_empty_and_protected_ones_read_only",
        hidden_paths_are_empty_and_protected_ones_read_only,
    ),
    ("devices_and_links_are_there", devices_and_links_are_there),
    (
        "it_has_the_capabilities_of_the_spec_and_no_more",
        it_has_the_capabilities_of_the_spec_and_no_more,
    ),
    (
        "it_runs_as_the_user_with_home_and_groups",
        it_runs_as_the_user_with_home_and_groups,
    ),
    (
        "limits_scores_and_kernel_parameters_are_set",
        limits_scores_and_kernel_parameters_are_set,
    ),
    ("a_read_only_root_refuses_writes", a_read_only_root_refuses_writes),
    (
        "files_and_trees_are_bound_with_their_options",
        files_and_trees_are_bound_with_their_options,
    ),
    (
        "exit_codes_and_signals_come_back",
        exit_codes_and_signals_come_back,
    ),
];

fn it_has_namespaces_of_its_own() {
    let text =
        Bundle::script("hostname; echo pid $$; ip link | grep -c ,UP; ls /proc | grep -c '^[0-9]'").output();
    // The shell, ls and grep.
    assert_eq!(text, "inside\npid 1\n1\n3\n");
}

fn hidden_paths_are_empty_and_protected_ones_read_only() {
    let script = "cat /proc/keys | wc -c; ls /sys/firmware | wc -l; \
                  echo 1 2>&1 > /proc/sys/kernel/panic; touch /sys/x 2>&1; true";
    let text = Bundle::script(script).output();
    assert!(text.starts_with("0\n0\n"), "{text}");
    assert_eq!(text.matches("Read-only file system").count(), 2, "{text}");
}

fn devices_and_links_are_there() {
    let mut bundle = Bundle::script(
        "stat -c '%n %a %t:%T %u' /dev/null /dev/tty /dev/mine; readlink /dev/ptmx; readlink /dev/fd; echo x > /dev/null && echo ok",
    );
    let device = Device {
        path: "/dev/mine".into(),
        kind: "c".into(),
        major: 1,
        minor: 5,
        file_mode: Some(0o640),
        uid: Some(7),
        gid: Some(8),
    };
    bundle.linux().devices.push(device);
    let text = bundle.output();
    assert_eq!(
        text,
        "/dev/null 666 1:3 0\n/dev/tty 666 5:0 0\n/dev/mine 640 1:5 7\npts/ptmx\n/proc/self/fd\nok\n"
    );
}

fn it_has_the_capabilities_of_the_spec_and_no_more() {
    let mut bundle = Bundle::script("grep -E 'Cap|NoNew' /proc/self/status");
    bundle.process().no_new_privileges = true;
    // chown 0, kill 5, setuid 7, mknod 27
    let set = "00000000080000a1";
    let wanted = format!(
        "CapInh:\t0000000000000000\nCapPrm:\t{set}\nCapEff:\t{set}\nCapBnd:\t{set}\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n"
    );
    assert_eq!(bundle.output(), wanted);
}

fn it_runs_as_the_user_with_home_and_groups() {
    let mut bundle = Bundle::script(
        "id -u; id -g; id -G; echo $HOME; umask; grep -E 'CapEff|CapAmb' /proc/self/status; echo hi > /dev/stdout",
    );
    let process = bundle.process();
    process.user.uid = 1000;
    process.user.gid = 100;
    process.user.additional_gids = vec![10, 20];
    process.user.umask = Some(0o077);
    let capabilities = process.capabilities.as_mut().expect("capabilities");
    capabilities.inheritable = vec!["CAP_KILL".into()];
    capabilities.ambient = vec!["CAP_KILL".into()];
    let kill = "0000000000000020";
    let wanted = format!("1000\n100\n100 10 20\n/home/user\n0077\nCapEff:\t{kill}\nCapAmb:\t{kill}\nhi\n");
    assert_eq!(bundle.output(), wanted);
}

fn limits_scores_and_kernel_parameters_are_set() {
    let mut bundle = Bundle::script(
        "ulimit -n; cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax",
    );
    let process = bundle.process();
    process.rlimits.push(Rlimit {
        kind: "RLIMIT_NOFILE".into(),
        hard: 512,
        soft: 256,
    });
    process.oom_score_adj = Some(321);
    let linux = bundle.linux();
    linux
        .sysctl
        .insert("net.ipv4.ip_unprivileged_port_start".into(), "77".into());
    linux.sysctl.insert("kernel.msgmax".into(), "9000".into());
    assert_eq!(bundle.output(), "256\n321\n77\n9000\n");
}

fn a_read_only_root_refuses_writes() {
    let mut bundle = Bundle::script("touch /x 2>&1; touch /dev/shm/x && echo shm");
    bundle.spec.root.as_mut().expect("root").readonly = true;
    assert_eq!(bundle.output(), "touch: /x: Read-only file system\nshm\n");
}

fn files_and_trees_are_bound_with_their_options() {
    let outside = tempfile::tempdir().expect("outside");
    std::fs::write(outside.path().join("file"), "content\n").expect("file");
    let mut bundle = Bundle::script(
        "cat /new/place/file; touch /new/place/file 2>&1; ls /tree; touch /tree/made && echo made; touch /ro/x 2>&1; true",
    );
    let path = outside.path().to_str().expect("utf-8").to_owned();
    bundle.mount(
        "/new/place/file",
        "bind",
        &format!("{path}/file"),
        &["bind", "ro"],
    );
    bundle.mount("/tree", "bind", &path, &["rbind", "rprivate"]);
    bundle.mount("/ro", "bind", &path, &["rbind", "rro"]);
    let text = bundle.output();
    let ro = |path: &str| format!("touch: {path}: Read-only file system\n");
    assert_eq!(
        text,
        format!("content\n{}file\nmade\n{}", ro("/new/place/file"), ro("/ro/x"))
    );
    assert!(outside.path().join("made").exists());
}

fn exit_codes_and_signals_come_back() {
    assert_eq!(Bundle::script("exit 42").run().1, Exit::Code(42));
    // PID 1 ignores what it has no handler for, except when it comes from outside.
    let bundle = Bundle::program(&["sleep", "1000"]);
    let mut running = bundle.create().expect("created");
    running.created.start().expect("started");
    linux::process::send_signal(&running.created.pidfd, 9).expect("killed");
    assert_eq!(
        running.created.wait(),
        Ok(Exit::Signal {
            signal: 9,
            core: false
        })
    );
}
