//! A person before a terminal: sizes, Ctrl-C, job control, detach keys, coming back.

use e2e::{Client, Daemon, Terminal, daemon, for_each_client, until};

/// A shell on a terminal; its prompt is awaited.
fn shell(docker: &Client, arguments: &[&str]) -> Terminal {
    let mut terminal = Terminal::start(&docker.command(arguments), 30, 100);
    terminal.expect("# ");
    terminal
}

/// The state of the process with this command line in the container, as ps shows it; empty if there is none.
fn state(docker: &Client, container: &str, command: &str) -> String {
    let processes = docker.run(["top", container, "-eo", "pid,stat,args"]).stdout;
    let line = processes.lines().find(|line| line.ends_with(command));
    let state = line.and_then(|line| line.split_whitespace().nth(1));
    state.unwrap_or_default().to_owned()
}

/// Waits until this command is in the foreground of its terminal: what is typed before that goes to the shell.
fn in_foreground(docker: &Client, container: &str, command: &str) {
    until(command, || state(docker, container, command).contains('+'));
}

fn busybox() -> Option<Daemon> {
    let daemon = daemon()?;
    daemon.load_busybox();
    Some(daemon)
}

/// Says something that its own echo does not contain.
fn say(terminal: &mut Terminal, word: &str) {
    terminal.send(&format!("echo {word}-$((6 * 7))\n"));
    terminal.expect(&format!("{word}-42"));
}

/// Lets the shell say that word once its terminal has this size.
fn await_size(terminal: &mut Terminal, size: &str, word: &str) {
    terminal.send(&format!(
        "while [ \"$(stty size)\" != '{size}' ]; do sleep 0.1; done; echo {word}-$((6 * 7))\n"
    ));
}

#[test]
fn the_window_has_the_size_of_the_terminal_and_follows_it() {
    let Some(daemon) = busybox() else { return };
    for_each_client(&daemon, |docker| {
        let mut terminal = shell(docker, &["run", "-it", "--name", "win", "busybox", "sh"]);
        await_size(&mut terminal, "30 100", "first");
        terminal.expect("first-42");
        await_size(&mut terminal, "40 120", "second");
        terminal.resize_until(40, 120, "second-42");
        terminal.send("exit 5\n");
        assert_eq!(terminal.ended(), 5);
        docker.ok(["rm", "win"]);
    });
}

#[test]
fn ctrl_c_and_job_control_are_the_shells_inside() {
    let Some(daemon) = busybox() else { return };
    for_each_client(&daemon, |docker| {
        let mut terminal = shell(docker, &["run", "-it", "--name", "jobs", "busybox", "sh"]);
        terminal.send("sleep 1001\n");
        in_foreground(docker, "jobs", "sleep 1001");
        terminal.send("\x03");
        say(&mut terminal, "interrupted");
        terminal.send("sleep 1002\n");
        in_foreground(docker, "jobs", "sleep 1002");
        terminal.send("\x1a");
        terminal.expect("Stopped");
        terminal.send("bg\n");
        say(&mut terminal, "background");
        terminal.send("fg\n");
        in_foreground(docker, "jobs", "sleep 1002");
        terminal.send("\x03");
        say(&mut terminal, "over");
        assert_eq!(state(docker, "jobs", "sleep 1002"), "");
        terminal.send("exit\n");
        let code = terminal.ended();
        // The shell's own code after an interrupted job.
        assert!(code == 0 || code == 130, "{code}");
        docker.ok(["rm", "jobs"]);
    });
}

#[test]
fn detach_keys_leave_the_container_running_and_it_can_be_joined_again() {
    let Some(daemon) = busybox() else { return };
    for_each_client(&daemon, |docker| {
        let running = || docker.ok(["inspect", "-f", "{{.State.Running}}", "left"]);
        let mut terminal = shell(docker, &["run", "-it", "--name", "left", "busybox", "sh"]);
        say(&mut terminal, "here");
        terminal.send("\x10\x11");
        assert_eq!(terminal.ended(), 0);
        assert_eq!(running(), "true");
        // Keys of its own; the default ones are input then.
        let keys = ["attach", "--detach-keys", "ctrl-x,x", "left"];
        let mut terminal = Terminal::start(&docker.command(keys), 24, 80);
        terminal.send("\n");
        terminal.expect("# ");
        terminal.send("\x15");
        say(&mut terminal, "back");
        terminal.send("\x18x");
        // As docker's, `attach` says 1 then; only `run` calls it a success.
        assert_eq!(terminal.ended(), 1);
        assert_eq!(running(), "true");
        let mut terminal = Terminal::start(&docker.command(["attach", "left"]), 24, 80);
        terminal.send("\n");
        terminal.expect("# ");
        terminal.send("exit 7\n");
        assert_eq!(terminal.ended(), 7);
        docker.ok(["rm", "left"]);
    });
}

#[test]
fn an_exec_has_a_terminal_of_its_own() {
    let Some(daemon) = busybox() else { return };
    for_each_client(&daemon, |docker| {
        docker.ok(["run", "-d", "--name", "host", "busybox", "sleep", "1000"]);
        let mut terminal = shell(docker, &["exec", "-it", "host", "sh"]);
        terminal.send("tty\n");
        terminal.expect("/dev/pts/");
        await_size(&mut terminal, "17 71", "resized");
        terminal.resize_until(17, 71, "resized-42");
        terminal.send("exit 9\n");
        assert_eq!(terminal.ended(), 9);
        let mut terminal = shell(
            docker,
            &["exec", "-it", "--detach-keys", "ctrl-a,d", "host", "sh"],
        );
        terminal.send("\x01d");
        terminal.ended();
        assert_eq!(docker.ok(["inspect", "-f", "{{.State.Running}}", "host"]), "true");
        docker.ok(["rm", "-f", "host"]);
    });
}

#[test]
fn signals_to_the_client_reach_the_container_unless_told_otherwise() {
    let Some(daemon) = busybox() else { return };
    for_each_client(&daemon, |docker| {
        let script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
        for (proxy, name) in [("true", "told"), ("false", "spared")] {
            let flag = format!("--sig-proxy={proxy}");
            let mut child = docker.spawn(["run", "--name", name, &flag, "busybox", "sh", "-c", script]);
            until("the trap", || docker.run(["logs", name]).stdout.contains("ready"));
            let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("pid");
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("kill");
            if proxy == "true" {
                assert_eq!(child.wait().expect("client").code(), Some(3));
                assert!(docker.ok(["logs", name]).contains("caught"));
            } else {
                // What the client does with it is its own affair; newer ones wait for the container.
                let logs = docker.ok(["logs", name]);
                child.kill().expect("kill");
                child.wait().expect("client");
                assert_eq!(logs, "ready");
                let running = docker.ok(["inspect", "-f", "{{.State.Running}}", name]);
                assert_eq!(running, "true");
            }
            docker.ok(["rm", "-f", name]);
        }
    });
}
