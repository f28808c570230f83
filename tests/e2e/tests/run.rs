//! `run`: the first promise of a container engine.

use e2e::{daemon, for_each_client};

#[test]
fn the_output_and_exit_code_are_those_of_the_command() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        assert_eq!(docker.ok(["run", "--rm", "busybox", "echo", "hello"]), "hello");
        let output = docker.run([
            "run",
            "--rm",
            "busybox",
            "sh",
            "-c",
            "echo out; echo err >&2; exit 7",
        ]);
        assert_eq!(
            (output.code, output.stdout.as_str(), output.stderr.as_str()),
            (7, "out\n", "err\n")
        );
        assert_eq!(docker.ok(["ps", "--all", "--quiet"]), "", "--rm leaves nothing");
    });
}

#[test]
fn a_command_that_is_not_there_is_127_and_one_that_is_no_program_126() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let error = docker.fails(127, ["run", "--rm", "busybox", "nosuch"]);
        assert!(error.contains("nosuch"), "{error}");
        docker.fails(126, ["run", "--rm", "busybox", "/etc/passwd"]);
        docker.fails(125, ["run", "--rm", "--no-such-flag", "busybox"]);
    });
}

#[test]
fn standard_input_reaches_the_container_and_its_end_too() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let text = "line\n".repeat(20_000);
        let output = docker.run_with(["run", "--rm", "-i", "busybox", "wc", "-l"], text.as_bytes());
        assert_eq!(output.stdout.trim(), "20000", "{output:?}");
    });
}

#[test]
fn user_folder_and_environment_are_as_asked() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        assert_eq!(
            docker.ok(["run", "--rm", "-u", "guest", "busybox", "id"]),
            "uid=1000(guest) gid=1000(guest) groups=1000(guest),2000(extra)"
        );
        assert_eq!(
            docker.ok(["run", "--rm", "-u", "guest", "busybox", "sh", "-c", "echo $HOME"]),
            "/home/guest"
        );
        assert_eq!(
            docker.ok(["run", "--rm", "-w", "/tmp/new", "busybox", "pwd"]),
            "/tmp/new"
        );
        assert_eq!(
            docker.ok(["run", "--rm", "-e", "A=b c", "busybox", "sh", "-c", "echo $A"]),
            "b c"
        );
        assert_eq!(
            docker.ok(["run", "--rm", "--hostname", "box", "busybox", "hostname"]),
            "box"
        );
    });
}
