//! AppArmor: what a container may do is what its profile says. Skipped on kernels without it.
#![allow(clippy::print_stdout)] // a test that cannot run says so

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, PoisonError, RwLock};

use e2e::{Client, Daemon, shared_daemon};

/// Held for writing while the profile of all containers is taken away.
static PROFILE: RwLock<()> = RwLock::new(());

fn confined() -> Option<(Arc<Daemon>, Client)> {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled").unwrap_or_default();
    if !enabled.starts_with('Y') {
        println!("skipped: the kernel has AppArmor switched off; `cargo xtask vm-test` has it");
        return None;
    }
    let daemon = shared_daemon()?;
    let dhow = e2e::clients(&daemon).into_iter().next().expect("a client");
    Some((daemon, dhow))
}

/// Runs a script in a container with these flags.
fn run(dhow: &Client, flags: &[&str], script: &str) -> e2e::Output {
    let arguments = ["run", "--rm"].iter().chain(flags);
    dhow.run(arguments.chain(&["busybox", "sh", "-c", script]))
}

const CURRENT: &str = "cat /proc/self/attr/current";

#[test]
fn containers_and_their_execs_run_under_dockers_profile() {
    let _there = PROFILE.read().unwrap_or_else(PoisonError::into_inner);
    let Some((daemon, dhow)) = confined() else { return };
    assert_eq!(
        run(&dhow, &[], CURRENT).stdout,
        "docker-default (enforce)\n",
        "{}",
        daemon.log()
    );
    dhow.ok(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
    let exec = |flags: &[&str]| {
        let arguments = ["exec"].iter().chain(flags);
        dhow.ok(arguments.chain(&["box", "cat", "/proc/self/attr/current"]))
    };
    assert_eq!(exec(&[]), "docker-default (enforce)");
    // As with docker, more privileges are not another profile.
    assert_eq!(exec(&["--privileged"]), "docker-default (enforce)");
    assert_eq!(
        dhow.ok(["inspect", "--format", "{{.AppArmorProfile}}", "box"]),
        "docker-default"
    );
    let info = dhow.ok(["info", "--format", "{{.SecurityOptions}}"]);
    assert!(info.contains("name=apparmor"), "{info}");
    assert_eq!(
        run(&dhow, &["--security-opt", "no-new-privileges"], CURRENT).stdout,
        "docker-default (enforce)\n"
    );
}

#[test]
fn what_the_profile_denies_is_denied_whatever_else_allows_it() {
    let _there = PROFILE.read().unwrap_or_else(PoisonError::into_inner);
    let Some((_daemon, dhow)) = confined() else { return };
    let free = ["--security-opt", "apparmor=unconfined"];
    // A kernel parameter of the container's own, once nothing is masked any more.
    let open = ["--security-opt", "systempaths=unconfined"];
    let script = "echo inner > /proc/sys/kernel/hostname && cat /proc/sys/kernel/hostname";
    let denied = run(&dhow, &open, script);
    assert!(denied.stderr.contains("Permission denied"), "{denied:?}");
    let allowed = run(&dhow, &[open, free].concat(), script);
    assert_eq!(
        (allowed.stdout.as_str(), allowed.stderr.as_str()),
        ("inner\n", "")
    );
    // A mount, with the capability for it.
    let capable = ["--cap-add", "SYS_ADMIN"];
    let script = "mount -t tmpfs none /tmp && echo mounted";
    let denied = run(&dhow, &capable, script);
    assert!(
        denied.stdout.is_empty() && denied.stderr.to_lowercase().contains("permission denied"),
        "{denied:?}"
    );
    assert_eq!(run(&dhow, &[capable, free].concat(), script).stdout, "mounted\n");
}

#[test]
fn a_container_cannot_signal_the_hosts_processes_but_the_host_can_signal_it() {
    let _there = PROFILE.read().unwrap_or_else(PoisonError::into_inner);
    let Some((_daemon, dhow)) = confined() else { return };
    let mut victim = Command::new("sleep").arg("1000").spawn().expect("sleep");
    let script = format!("kill -TERM {}", victim.id());
    let denied = run(&dhow, &["--pid", "host"], &script);
    let alive = victim.try_wait().expect("wait").is_none();
    let allowed = run(
        &dhow,
        &["--pid", "host", "--security-opt", "apparmor=unconfined"],
        &script,
    );
    if allowed.code != 0 {
        victim.kill().expect("kill");
    }
    victim.wait().expect("wait");
    assert!(alive && denied.stderr.contains("Permission denied"), "{denied:?}");
    assert_eq!(allowed.code, 0, "{allowed:?}");

    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    dhow.ok(["run", "-d", "--name", "polite", "busybox", "sh", "-c", script]);
    e2e::until("the trap is set", || dhow.ok(["logs", "polite"]) == "ready");
    dhow.ok(["kill", "--signal", "TERM", "polite"]);
    assert_eq!(dhow.ok(["wait", "polite"]), "7");
}

#[test]
fn privileged_and_unconfined_containers_have_no_profile() {
    let _there = PROFILE.read().unwrap_or_else(PoisonError::into_inner);
    let Some((_daemon, dhow)) = confined() else { return };
    assert_eq!(run(&dhow, &["--privileged"], CURRENT).stdout, "unconfined\n");
    for option in ["apparmor=unconfined", "apparmor:unconfined"] {
        assert_eq!(
            run(&dhow, &["--security-opt", option], CURRENT).stdout,
            "unconfined\n"
        );
    }
    dhow.ok([
        "create",
        "--name",
        "free",
        "--security-opt",
        "apparmor=unconfined",
        "busybox",
    ]);
    assert_eq!(
        dhow.ok(["inspect", "--format", "{{.AppArmorProfile}}", "free"]),
        "unconfined"
    );
}

#[test]
fn a_profile_of_the_users_own_confines_and_an_unknown_one_is_refused() {
    let _there = PROFILE.read().unwrap_or_else(PoisonError::into_inner);
    let Some((_daemon, dhow)) = confined() else { return };
    let name = format!("dhow-test-{}", std::process::id());
    let text = format!(
        "profile {name} flags=(attach_disconnected) {{ file, network, capability, deny /secret rw, }}"
    );
    let parse = |flag: &str| {
        let mut parser = Command::new("apparmor_parser")
            .args(["-K", flag])
            .stdin(Stdio::piped())
            .spawn()
            .expect("apparmor_parser");
        parser
            .stdin
            .take()
            .expect("stdin")
            .write_all(text.as_bytes())
            .expect("profile");
        parser.wait().expect("wait").success()
    };
    assert!(parse("-r"), "the profile cannot be loaded");
    let option = format!("apparmor={name}");
    let output = run(
        &dhow,
        &["--security-opt", &option],
        "cat /proc/self/attr/current; echo a > /open; cat /open; echo b > /secret",
    );
    parse("-R");
    assert_eq!(output.stdout, format!("{name} (enforce)\na\n"));
    assert!(output.stderr.contains("Permission denied"), "{output:?}");

    // It is gone now.
    let output = run(&dhow, &["--security-opt", &option], "true");
    assert!(
        output.stderr.contains("apparmor") && output.stderr.contains("no such file or directory"),
        "{output:?}"
    );
    assert_eq!(output.code, 127, "docker's code for this");
}

#[test]
fn a_profile_that_was_taken_away_is_loaded_again() {
    if std::env::var_os("DHOW_TEST_OWN_MACHINE").is_none() {
        println!("skipped: takes the profile away from every container, so only in a machine of its own");
        return;
    }
    let _alone = PROFILE.write().unwrap_or_else(PoisonError::into_inner);
    let Some((_daemon, dhow)) = confined() else { return };
    fs::write("/sys/kernel/security/apparmor/.remove", "docker-default").expect("remove");
    assert_eq!(run(&dhow, &[], CURRENT).stdout, "docker-default (enforce)\n");
}
