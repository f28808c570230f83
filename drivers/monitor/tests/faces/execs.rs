//! The exec face.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use monitor::channel::ChannelError;
use monitor::plan::{ExitRecord, Stdio, UserLookup};
use monitor::protocol::{Attach, Framing, Report, Request};

use crate::Test;
use crate::support::{Container, everything, frames, shell, wait_readable};

pub(crate) const TESTS: &[Test] = &[
    ("an_exec_runs_in_the_container_and_tells_its_code", exit_code),
    ("an_execs_input_ends_with_its_clients", input),
    ("an_exec_of_a_missing_program_tells_its_clients_why", missing),
    ("an_exec_is_the_user_that_the_container_knows", user),
    ("an_exec_with_a_terminal_is_resized", terminal),
];

fn running() -> (Container, i32) {
    let mut container = Container::new(shell("echo up; while :; do sleep 0.05; done"));
    container.spawn(&[]);
    let pid = container.pid();
    container.daemon().started();
    (container, pid)
}

fn exit_code() {
    let (container, pid) = running();
    let plan = container.exec_plan(
        pid,
        &[
            "/bin/sh",
            "-c",
            "echo $$ > /tmp/pid; cat /proc/1/cmdline; ls /proc/1/exe; exit 6",
        ],
    );
    let (mut exec, spawned) = container.exec(&plan);
    let client = exec.attach(everything(1));
    exec.started();
    let (output, _) = frames(client);
    assert!(
        String::from_utf8_lossy(&output).starts_with("/bin/sh\0-c\0echo up"),
        "it sees the container's processes"
    );
    assert_eq!(exec.exited().exit_code, 6);
    let record: ExitRecord =
        serde_json::from_slice(&std::fs::read(&plan.exit_file).expect("record")).expect("JSON");
    assert_eq!((record.exit_code, record.id), (6, plan.id));
    wait_readable(std::os::fd::AsFd::as_fd(&spawned.pidfd));
    linux::process::wait(&spawned.pidfd).expect("wait");
    assert!(container.cgroup_exists(), "the container's group is left alone");
    assert!(container.path("rootfs/tmp/pid").exists());
}

fn input() {
    let (container, pid) = running();
    let plan = container.exec_plan(pid, &["/bin/cat"]);
    let (mut exec, spawned) = container.exec(&plan);
    let mut client = exec.attach(everything(1));
    exec.started();
    client.write_all(b"through\n").expect("write");
    client.shutdown(std::net::Shutdown::Write).expect("shutdown");
    assert_eq!(frames(client).0, b"through\n");
    assert_eq!(exec.exited().exit_code, 0);
    linux::process::wait(&spawned.pidfd).expect("wait");
}

fn missing() {
    let (container, pid) = running();
    let plan = container.exec_plan(pid, &["nosuch"]);
    let (mut exec, spawned) = container.exec(&plan);
    let (client, theirs) = UnixStream::pair().expect("pair");
    // It may have failed and ended by now, or end before it takes the client; then it has none to tell, as it says.
    for (request, fd) in [
        (Request::Attach(everything(1)), Some(theirs.as_fd())),
        (Request::Start, None),
    ] {
        match exec.channel.send(&request, fd.as_slice()) {
            Ok(()) | Err(ChannelError::Closed) => {}
            Err(error) => panic!("{error}"),
        }
    }
    drop(theirs);
    let mut attached = false;
    let failure = exec.wait(|report| match report {
        Report::StartFailed(failure) | Report::CreateFailed(failure) => Some(failure.clone()),
        Report::Attached { .. } => {
            attached = true;
            None
        }
        _ => None,
    });
    assert_eq!(failure.exit_code, 127);
    let text = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"nosuch\": executable file \
                not found in $PATH: unknown";
    assert_eq!(failure.message, text);
    let told = if attached {
        format!("{text}\r\n")
    } else {
        String::new()
    };
    assert_eq!(String::from_utf8_lossy(&frames(client).0), told);
    linux::process::wait(&spawned.pidfd).expect("wait");
}

fn user() {
    let (container, pid) = running();
    let mut plan = container.exec_plan(pid, &["/bin/sh", "-c", "id; echo $HOME"]);
    plan.user = UserLookup {
        user: Some("web:logs".to_owned()),
        group_add: Vec::new(),
    };
    let (mut exec, spawned) = container.exec(&plan);
    let client = exec.attach(everything(1));
    exec.started();
    let output = frames(client).0;
    assert_eq!(
        String::from_utf8_lossy(&output),
        "uid=33(web) gid=40(logs) groups=40(logs)\n/var/www\n"
    );
    exec.exited();
    linux::process::wait(&spawned.pidfd).expect("wait");
}

fn terminal() {
    let (container, pid) = running();
    let mut plan = container.exec_plan(pid, &["/bin/sh", "-c", "read x; stty size"]);
    plan.stdio = Stdio {
        tty: true,
        open_stdin: true,
        stdin_once: true,
        ..Stdio::default()
    };
    let (mut exec, spawned) = container.exec(&plan);
    let mut client = exec.attach(Attach {
        framing: Framing::Multiplexed,
        ..everything(1)
    });
    exec.started();
    exec.send(&Request::Resize {
        rows: 44,
        columns: 111,
    });
    // The size comes by another socket than the input: its answer says that it was heard.
    exec.send(&Request::State);
    exec.wait(|report| matches!(report, Report::Hello { .. }).then_some(()));
    client.write_all(b"x\n").expect("write");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("read");
    assert!(text.contains("44 111"), "{text:?}");
    assert_eq!(exec.exited().exit_code, 0);
    linux::process::wait(&spawned.pidfd).expect("wait");
}
