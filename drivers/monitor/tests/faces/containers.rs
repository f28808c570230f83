//! The monitor of a container.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use log_drivers::{ReadOptions, Reader, Step};
use monitor::channel::{Channel, ChannelError};
use monitor::plan::{CopyUp, ExitRecord, StateFile, Stdio, UserLookup};
use monitor::protocol::{Attach, EndOfAttach, Framing, Phase, Report, Request};

use crate::Test;
use crate::support::{Container, Daemon, everything, frames, shell, wait_readable};

pub(crate) const TESTS: &[Test] = &[
    (
        "exit_code_log_and_record_are_there_when_exited_is_told",
        exit_code_log_and_record,
    ),
    (
        "a_container_killed_by_a_signal_has_128_plus_the_number",
        killed_by_signal,
    ),
    ("an_attached_client_gets_both_streams_in_frames", attached_frames),
    (
        "stdin_once_ends_the_containers_input_with_the_clients",
        stdin_once,
    ),
    ("input_of_a_relay_ends_by_message_only", relayed_input),
    (
        "a_missing_program_is_told_as_127_and_nothing_is_left",
        missing_program,
    ),
    ("a_terminal_is_resized_and_left_by_the_detach_keys", terminal),
    (
        "a_client_that_does_not_read_never_holds_the_container_up",
        slow_client,
    ),
    ("a_daemon_that_comes_back_finds_everything", reconnect),
    ("replay_and_live_output_join_without_gap_or_double", replay),
    (
        "replay_and_live_output_join_although_lines_are_buffered",
        buffered_replay,
    ),
    (
        "a_killed_monitor_leaves_what_the_daemon_needs_to_clean_up",
        monitor_killed,
    ),
    ("nobody_waits_for_a_pipe_that_outlives_pid_1", pipe_outlives),
    (
        "user_home_and_working_directory_come_from_the_image",
        user_and_directory,
    ),
    ("an_empty_volume_takes_over_the_images_content", copy_up),
    ("init_reaps_and_forwards", init),
    ("a_start_that_is_given_up_leaves_nothing", given_up),
    ("a_tiny_memory_limit_is_reported_as_oom", oom),
];

fn exit_code_log_and_record() {
    let mut container = Container::new(shell("echo out; echo err >&2; exit 7"));
    container.spawn(&[]);
    let pid = container.pid();
    assert!(container.cgroup_exists());
    container.daemon().started();
    let exited = container.daemon().exited();
    assert_eq!((exited.exit_code, exited.oom_killed), (7, false));
    let record: ExitRecord =
        serde_json::from_slice(&std::fs::read(&container.plan.exit_file).expect("record")).expect("JSON");
    assert_eq!(record, exited);
    assert!(record.started_at <= Some(record.finished_at));
    let log = container.log();
    assert!(
        log.contains("stdout: out\n") && log.contains("stderr: err\n"),
        "{log}"
    );
    assert!(!container.cgroup_exists());
    assert_eq!(
        std::fs::read_dir(&container.plan.state_dir).expect("dir").count(),
        0
    );
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    container.ended();
}

fn killed_by_signal() {
    let mut container = Container::new(shell("sleep 1000"));
    container.spawn(&[]).started();
    let state: StateFile =
        serde_json::from_slice(&std::fs::read(container.path("state/state.json")).expect("state"))
            .expect("JSON");
    assert_eq!(state.pid, container.pid());
    container.daemon().send(&Request::Signal { signal: 9 });
    assert_eq!(container.daemon().exited().exit_code, 137);
}

fn attached_frames() {
    let mut container = Container::new(shell("echo one; echo two >&2; echo three"));
    container.spawn(&[]);
    let client = container.daemon().attach(everything(1));
    container.daemon().started();
    assert_eq!(frames(client), (b"one\nthree\n".to_vec(), b"two\n".to_vec()));
    container.daemon().wait(|report| {
        matches!(
            report,
            Report::AttachEnded {
                client: 1,
                why: EndOfAttach::Eof
            }
        )
        .then_some(())
    });
    container.daemon().exited();
    container.ended();
}

fn stdin_once() {
    let mut container = Container::new(vec!["/bin/cat".to_owned()]);
    container.plan.stdio = Stdio {
        open_stdin: true,
        stdin_once: true,
        ..Stdio::default()
    };
    container.spawn(&[]);
    let mut client = container.daemon().attach(everything(1));
    container.daemon().started();
    let input: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let mut writer = client.try_clone().expect("clone");
    let sent = input.clone();
    let thread = std::thread::spawn(move || {
        writer.write_all(&sent).expect("write");
        writer.shutdown(std::net::Shutdown::Write).expect("shutdown");
    });
    let (output, _) = frames(&mut client);
    thread.join().expect("join");
    assert!(output == input, "{} of {} bytes", output.len(), input.len());
    assert_eq!(container.daemon().exited().exit_code, 0);
}

fn relayed_input() {
    let mut container = Container::new(vec!["/bin/cat".to_owned()]);
    container.plan.stdio = Stdio {
        open_stdin: true,
        stdin_once: true,
        ..Stdio::default()
    };
    container.spawn(&[]);
    let gone = container.daemon().attach(Attach {
        relayed: true,
        ..everything(1)
    });
    container.daemon().started();
    drop(gone);
    container
        .daemon()
        .wait(|report| matches!(report, Report::AttachEnded { client: 1, .. }).then_some(()));
    let mut second = container.daemon().attach(Attach {
        relayed: true,
        framing: Framing::Raw,
        ..everything(2)
    });
    second.write_all(b"still here\n").expect("write");
    let mut buffer = [0u8; 11];
    second.read_exact(&mut buffer).expect("echo");
    assert_eq!(&buffer, b"still here\n");
    container.daemon().send(&Request::CloseStdin { client: 2 });
    assert_eq!(container.daemon().exited().exit_code, 0);
}

fn missing_program() {
    let mut container = Container::new(vec!["nosuch".to_owned()]);
    // It may have failed and ended by now; why lies in the socket.
    match container.spawn(&[]).channel.send(&Request::Start, &[]) {
        Ok(()) | Err(ChannelError::Closed) => {}
        Err(error) => panic!("{error}"),
    }
    let failure = container.daemon().wait(|report| match report {
        Report::StartFailed(failure) | Report::CreateFailed(failure) => Some(failure.clone()),
        _ => None,
    });
    assert_eq!(failure.exit_code, 127);
    assert!(
        failure
            .message
            .contains("exec: \"nosuch\": executable file not found in $PATH"),
        "{failure}"
    );
    container.ended();
    assert!(!container.plan.exit_file.exists());
    assert!(!container.cgroup_exists());
    assert_eq!(
        std::fs::read_dir(&container.plan.state_dir).expect("dir").count(),
        0
    );
}

fn terminal() {
    let mut container = Container::new(shell("read x; stty size; sleep 1000"));
    container.plan.stdio = Stdio {
        tty: true,
        open_stdin: true,
        ..Stdio::default()
    };
    container.spawn(&[]);
    let mut client = container.daemon().attach(everything(1));
    container.daemon().started();
    container.daemon().send(&Request::Resize {
        rows: 33,
        columns: 99,
    });
    container.daemon().send(&Request::State);
    container.daemon().wait(|report| {
        matches!(
            report,
            Report::Hello {
                state: Phase::Running { .. },
                ..
            }
        )
        .then_some(())
    });
    client.write_all(b"go\n").expect("write");
    let mut text = String::new();
    while !text.contains("33 99") {
        let mut buffer = [0u8; 100];
        let count = client.read(&mut buffer).expect("read");
        assert!(count > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    client.write_all(b"\x10\x11").expect("write");
    container.daemon().wait(|report| {
        matches!(
            report,
            Report::AttachEnded {
                client: 1,
                why: EndOfAttach::Detached
            }
        )
        .then_some(())
    });
    // The end of the line may come by itself: the kernel hands it to the terminal apart from the line.
    client.read_to_string(&mut text).expect("end");
    container.daemon().send(&Request::Signal { signal: 9 });
    assert_eq!(container.daemon().exited().exit_code, 137);
    assert!(container.log().contains("33 99"));
}

fn slow_client() {
    let mut container = Container::new(shell("yes 0123456789abcdef | head -c 5000000"));
    container.spawn(&[]);
    let client = container.daemon().attach(everything(1));
    container.daemon().started();
    assert_eq!(container.daemon().exited().exit_code, 0);
    let (output, _) = frames(client);
    assert!(output.len() == 5_000_000 && output.chunks_exact(17).all(|line| line == b"0123456789abcdef\n"));
    container.ended();
}

fn reconnect() {
    let mut container = Container::new(shell(
        "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done",
    ));
    container.spawn(&[]);
    let pid = container.pid();
    let client = container.daemon().attach(everything(1));
    container.daemon().started();
    container.control = None;
    let mut back = Daemon::new(Channel::connect(&container.path("state/monitor.sock")).expect("connect"));
    let (state, clients) = back.wait(|report| match report {
        Report::Hello { state, clients, .. } => Some((state.clone(), clients.clone())),
        _ => None,
    });
    assert!(
        matches!(state, Phase::Running { pid: running, .. } if running == pid),
        "{state:?}"
    );
    assert_eq!(clients, [1]);
    // The attached client did not notice anything.
    let mut text = [0u8; 14];
    (&client).read_exact(&mut text).expect("read");
    assert_eq!(&text[8..], b"ready\n");
    back.send(&Request::Signal { signal: 15 });
    assert_eq!(frames(client).0, b"bye\n");
    assert_eq!(back.exited().exit_code, 3);
    container.ended();
}

fn replay() {
    replay_of(None);
}

fn buffered_replay() {
    // Nothing may be dropped here.
    replay_of(Some(1 << 30));
}

fn replay_of(buffer: Option<u64>) {
    // It counts until it is told that the client is there, however long that takes.
    let mut container = Container::new(shell(
        "trap told=1 USR1; i=0; while [ -z \"$told\" ] || [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; echo end",
    ));
    container.plan.log.buffer = buffer;
    container.spawn(&[]).started();
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().expect("pair");
    // In the middle of the output; what is written shows that the trap is set.
    while std::fs::metadata(&container.plan.log.path).map_or(0, |meta| meta.len()) == 0 {
        std::thread::yield_now();
    }
    let attach = Attach {
        replay: true,
        framing: Framing::Raw,
        stdin: false,
        ..everything(5)
    };
    container
        .daemon()
        .send_with(&Request::Attach(attach), theirs.as_fd());
    let position = container.daemon().wait(|report| match report {
        Report::Attached { client: 5, position } => Some(*position),
        _ => None,
    });
    container.daemon().send(&Request::Signal { signal: 10 });
    let options = ReadOptions {
        up_to: Some(position),
        ..ReadOptions::default()
    };
    let mut reader = Reader::open(&container.plan.log, options).expect("open");
    let mut text = String::new();
    ours.set_read_timeout(Some(std::time::Duration::from_secs(120)))
        .expect("timeout");
    while let Step::Entry(entry) = reader.next().expect("read") {
        // The socket is the monitor's too by now, and non-blocking.
        let mut rest = &entry.line[..];
        while !rest.is_empty() {
            match (&theirs).write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    let mut buffer = [0u8; 4096];
                    let count = ours.read(&mut buffer).expect("read");
                    text.push_str(std::str::from_utf8(&buffer[..count]).expect("ASCII"));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    drop(theirs);
    container.daemon().send(&Request::Release { client: 5 });
    ours.read_to_string(&mut text).expect("read");
    let count = text.lines().count().saturating_sub(1);
    assert!(count >= 3000, "{count}");
    let wanted: String = (0..count).map(|n| format!("{n}\n")).collect();
    let wanted = wanted + "end\n";
    assert!(text == wanted, "{} of {} bytes", text.len(), wanted.len());
}

fn monitor_killed() {
    let mut container = Container::new(shell("sleep 1000"));
    container.spawn(&[]);
    let pid = container.pid();
    container.daemon().started();
    let init = linux::process::pidfd_open(rustix::process::Pid::from_raw(pid).expect("pid")).expect("pidfd");
    let spawned = container.spawned.take().expect("spawned");
    linux::process::send_signal(&spawned.pidfd, 9).expect("kill");
    linux::process::wait(&spawned.pidfd).expect("wait");
    // What the daemon does when it sees that: who it was stands in the state file, and the group ends the rest.
    let state: StateFile =
        serde_json::from_slice(&std::fs::read(container.path("state/state.json")).expect("state"))
            .expect("JSON");
    assert_eq!((state.pid, state.monitor_pid), (pid, spawned.pid));
    assert!(!container.plan.exit_file.exists());
    let path = &container.plan.spec.linux.as_ref().expect("linux").cgroups_path;
    let group = cgroups::Cgroup::open(&cgroups::Layout::detect().expect("layout"), path).expect("group");
    group.kill().expect("kill");
    wait_readable(init.as_fd());
}

fn pipe_outlives() {
    // Shares the host's pid namespace, so that the sleeper outlives its parent and keeps the pipes.
    let mut container = Container::new(shell("echo before; sleep 1000 & exit 4"));
    container
        .plan
        .spec
        .linux
        .as_mut()
        .expect("linux")
        .namespaces
        .retain(|namespace| namespace.kind != oci::runtime::NamespaceKind::Pid);
    container.spawn(&[]);
    let client = container.daemon().attach(everything(1));
    container.daemon().started();
    assert_eq!(container.daemon().exited().exit_code, 4);
    assert_eq!(frames(client).0, b"before\n");
    assert!(
        !container.cgroup_exists(),
        "the sleeper was killed with the group"
    );
    container.ended();
}

fn user_and_directory() {
    let mut container = Container::new(shell("id; pwd; echo $HOME; echo again > /dev/stdout"));
    container.plan.user = UserLookup {
        user: Some("web".to_owned()),
        group_add: vec!["77".to_owned()],
    };
    container.spawn(&[]).started();
    assert_eq!(container.daemon().exited().exit_code, 0);
    let log = container.log();
    assert!(
        log.contains("uid=33(web) gid=34(web) groups=34(web),40(logs),77"),
        "{log}"
    );
    assert!(log.contains("stdout: /work/dir\nstdout: /var/www\n"), "{log}");

    let mut container = Container::new(shell("true"));
    container.plan.user = UserLookup {
        user: Some("nobody".to_owned()),
        group_add: Vec::new(),
    };
    container.spawn(&[]);
    let failure = container.daemon().wait(|report| match report {
        Report::CreateFailed(failure) => Some(failure.message.clone()),
        _ => None,
    });
    assert_eq!(
        failure,
        "unable to find user nobody: no matching entries in passwd file"
    );
    container.ended();
}

fn copy_up() {
    let mut container = Container::new(shell("true"));
    let volume = container.path("volume");
    std::fs::create_dir(&volume).expect("mkdir");
    std::os::unix::fs::chown(container.path("rootfs/data"), Some(33), Some(34)).expect("chown");
    container.plan.copy_ups.push(CopyUp {
        destination: "/data".into(),
        host_path: volume.clone(),
    });
    container.plan.copy_ups.push(CopyUp {
        destination: "/nothing".into(),
        host_path: volume.join("none"),
    });
    container.plan.copy_ups.truncate(1);
    container.spawn(&[]).started();
    assert_eq!(container.daemon().exited().exit_code, 0);
    assert_eq!(
        std::fs::read_to_string(volume.join("sub/deep")).expect("copied"),
        "deep\n"
    );
    let meta = std::fs::metadata(&volume).expect("stat");
    assert_eq!(
        (
            std::os::unix::fs::MetadataExt::uid(&meta),
            std::os::unix::fs::MetadataExt::gid(&meta)
        ),
        (33, 34)
    );
}

fn init() {
    // The orphan must be reaped by PID 1; the signal must reach the shell.
    let script = "trap 'exit 9' TERM; (sleep 0.05 & echo $! > /tmp/orphan); \
                  while [ -e /proc/$(cat /tmp/orphan) ]; do sleep 0.01; done; \
                  echo reaped; while :; do sleep 0.02; done";
    let mut container = Container::new(shell(script));
    let program = container.path("runtime");
    std::fs::copy("/proc/self/exe", &program).expect("copy");
    container.plan.init = Some(program);
    for library in ["/lib", "/lib64", "/usr/lib"] {
        // The test program is not static, as the real one is.
        let real = std::fs::canonicalize(library).expect(library);
        let mount = oci::runtime::Mount {
            destination: library.to_owned(),
            kind: "bind".to_owned(),
            source: real.to_string_lossy().into_owned(),
            options: vec!["rbind".to_owned(), "ro".to_owned()],
            ..oci::runtime::Mount::default()
        };
        container.plan.spec.mounts.push(mount);
    }
    container.spawn(&[]);
    let mut client = container.daemon().attach(Attach {
        framing: Framing::Raw,
        ..everything(1)
    });
    container.daemon().started();
    let mut text = [0u8; 7];
    client.read_exact(&mut text).expect("read");
    assert_eq!(&text, b"reaped\n");
    container.daemon().send(&Request::Signal { signal: 15 });
    assert_eq!(container.daemon().exited().exit_code, 9);
}

fn given_up() {
    let mut container = Container::new(shell("true"));
    container.spawn(&[]);
    container.pid();
    container.daemon().send(&Request::Shutdown);
    container
        .daemon()
        .wait(|report| matches!(report, Report::StartFailed(_)).then_some(()));
    container.ended();
    assert!(!container.cgroup_exists());
    assert!(!container.plan.exit_file.exists());
}

fn oom() {
    let mut container = Container::new(shell("dd if=/dev/zero of=/dev/null bs=100M count=1; exit 5"));
    let linux = container.plan.spec.linux.as_mut().expect("linux");
    linux.resources =
        serde_json::from_str(r#"{"memory":{"limit":16777216,"swap":16777216}}"#).expect("resources");
    container
        .plan
        .spec
        .mounts
        .retain(|mount| mount.destination != "/dev/shm");
    container.plan.spec.process.as_mut().expect("process").args =
        ["/bin/dd", "if=/proc/self/maps", "of=/tmp/x"]
            .map(str::to_owned)
            .to_vec();
    container.plan.spec.process.as_mut().expect("process").args =
        shell("x=0123456789abcdef; while :; do x=$x$x; done");
    container.spawn(&[]).started();
    let exited = container.daemon().exited();
    assert!(exited.oom_killed, "{exited:?}");
    assert_eq!(exited.exit_code, 137);
}
