//! A daemon at its limits: it says what is missing, and works again when that is there.
#![allow(clippy::print_stdout)] // a test that cannot run says so

use std::fs;
use std::os::unix::net::UnixStream;

use e2e::{Client, Daemon, Leftovers, clients, daemon, until};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

fn open_files(daemon: &Daemon) -> u64 {
    let files = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("files");
    files.count() as u64
}

/// Lets the daemon have so many open files from now on.
fn allow_files(daemon: &Daemon, current: u64) {
    let pid = Pid::from_raw(daemon.pid().cast_signed()).expect("a pid");
    let limit = Rlimit {
        current: Some(current),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    prlimit(Some(pid), Resource::Nofile, limit).expect("limit");
}

fn one_client(daemon: &Daemon) -> Client {
    clients(daemon).into_iter().next().expect("a client")
}

#[test]
fn a_container_that_cannot_have_its_files_is_refused_and_nothing_is_left_of_it() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let docker = one_client(&daemon);
    let plenty = open_files(&daemon) + 1000;
    let mut refused = 0;
    for more in [6, 8, 10, 12, 14, 16] {
        allow_files(&daemon, open_files(&daemon) + more);
        let output = docker.run(["run", "--rm", "busybox", "echo", "ran"]);
        allow_files(&daemon, plenty);
        if output.code == 0 {
            assert_eq!(output.stdout, "ran\n", "{more}: {output:?}");
        } else {
            refused += 1;
            assert_eq!(output.code, 125, "{more}: {output:?}");
            assert!(
                output.stderr.contains("Too many open files"),
                "{more}: {output:?}"
            );
        }
        until("the end of the container", || docker.ok(["ps", "-aq"]).is_empty());
        assert_eq!(docker.ok(["run", "--rm", "busybox", "echo", "again"]), "again");
    }
    assert!(refused > 0, "a container needs less than six files");
}

#[test]
fn whoever_comes_while_all_files_are_in_use_is_served_when_some_are_free() {
    let Some(daemon) = daemon() else { return };
    let docker = one_client(&daemon);
    let before = open_files(&daemon);
    allow_files(&daemon, before + 20);
    // More than it can take; the rest waits in the socket's queue.
    let idle: Vec<UnixStream> = (0..60)
        .map(|_| UnixStream::connect(daemon.socket()).expect("connect"))
        .collect();
    until("a full table of files", || {
        daemon.log().contains("Too many open files")
    });
    let waiting = docker.spawn(["version", "--format", "{{.Server.Os}}"]);
    drop(idle);
    let output = waiting.wait_with_output().expect("client");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "linux\n", "{output:?}");
    allow_files(&daemon, before + 1000);
}

#[test]
fn two_hundred_containers_started_twenty_at_once_leave_nothing_behind() {
    if !e2e::full() {
        println!("skipped: long, so only with --full");
        return;
    }
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let docker = one_client(&daemon);
    let names: Vec<String> = (0..200).map(|number| format!("many{number}")).collect();
    for part in names.chunks(20) {
        let starting: Vec<_> = part
            .iter()
            .map(|name| docker.spawn(["run", "-d", "--name", name, "busybox", "sleep", "1000"]))
            .collect();
        for child in starting {
            let output = child.wait_with_output().expect("client");
            assert!(output.status.success(), "{output:?}");
        }
    }
    assert_eq!(docker.ok(["ps", "-q"]).lines().count(), 200);
    docker.ok(["rm", "-f"].into_iter().chain(names.iter().map(String::as_str)));
    assert_eq!(docker.ok(["ps", "-aq"]), "");
    let left = Leftovers::of(&daemon);
    until("all their links, cgroups, mounts and processes are gone", || {
        left.of_users().is_empty()
    });
}
