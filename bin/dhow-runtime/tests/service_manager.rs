//! What a service manager and its services say to each other through the runtime: descriptors and «ready».

// Tests say on stderr that they were skipped.
#![allow(clippy::print_stderr)]

mod place;

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Stdio;
use std::time::Duration;

use place::Place;

/// Sends to `$NOTIFY_SOCKET` through the only program at hand that knows such sockets: this test's own, when it is
/// executed in the container with this variable.
const SAYS: &str = "SAYS_TO_THE_MANAGER";

/// A container whose process is a copy of this test program, which then says `words`, one message each.
fn speaker(name: &str, words: &str) -> Option<Place> {
    let place = Place::new(name, "true")?;
    let own = std::env::current_exe().expect("own program");
    let rootfs = place.bundle().join("rootfs");
    place::copy_program(&own, &rootfs.join("bin/speaker"));
    let libraries = std::process::Command::new("ldd").arg(&own).output().expect("ldd");
    for word in String::from_utf8_lossy(&libraries.stdout).split_whitespace() {
        if let Some(path) = word.strip_prefix('/') {
            let to = rootfs.join(path);
            std::fs::create_dir_all(to.parent().expect("parent")).expect("mkdir");
            place::copy_program(std::path::Path::new(word), &to);
        }
    }
    place.configure(|spec| {
        spec["process"]["args"] =
            serde_json::json!(["/bin/speaker", "--exact", "inside_it_speaks", "--test-threads=1"]);
        let env = spec["process"]["env"].as_array_mut().expect("env");
        env.push(format!("{SAYS}={words}").into());
    });
    Some(place)
}

/// Not a test of its own: what [`speaker`] runs in the container.
#[test]
fn inside_it_speaks() {
    let Ok(words) = std::env::var(SAYS) else { return };
    let socket = UnixDatagram::unbound().expect("socket");
    let path = std::env::var("NOTIFY_SOCKET").expect("NOTIFY_SOCKET");
    assert_eq!(path, "/run/notify/notify.sock");
    for word in words.split('|') {
        socket
            .send_to(word.replace('+', "\n").as_bytes(), &path)
            .expect("sent");
    }
    if words.contains("STAY") {
        loop {
            std::thread::park();
        }
    }
}

/// A service manager's socket; it waits for one message.
fn manager(address: &SocketAddr) -> UnixDatagram {
    let socket = UnixDatagram::bind_addr(address).expect("bind");
    socket
        .set_read_timeout(Some(Duration::from_secs(180)))
        .expect("patience");
    socket
}

fn heard(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).expect("a message");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn a_start_waits_until_the_container_is_ready() {
    let Some(place) = speaker("ready", "STATUS=warm|STAY=1+READY=1+STATUS=on") else {
        return;
    };
    let path = place.directory.path().join("manager");
    let socket = manager(&SocketAddr::from_pathname(&path).expect("address"));
    let bundle = place.bundle();
    let run = |arguments: &[&str]| {
        let mut command = place.command();
        command.env("NOTIFY_SOCKET", &path).args(arguments);
        let status = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("run");
        assert!(status.success(), "{arguments:?}");
    };
    run(&["create", "-b", bundle.to_str().expect("utf-8"), &place.id]);
    run(&["start", &place.id]);
    let pid = place.state()["pid"].as_i64().expect("pid");
    // Only what matters goes on: nobody inside may set the service's status or its other properties.
    assert_eq!(heard(&socket), format!("READY=1\nMAINPID={pid}\n"));
    place.verb(&["delete", "--force", &place.id]);
    run(&[
        "run",
        "--detach",
        "-b",
        bundle.to_str().expect("utf-8"),
        &place.id,
    ]);
    let pid = place.state()["pid"].as_i64().expect("pid");
    assert_eq!(heard(&socket), format!("READY=1\nMAINPID={pid}\n"));
}

#[test]
fn in_the_foreground_the_runtime_stays_the_main_process() {
    let Some(place) = speaker("attended", "READY=1") else {
        return;
    };
    let name = format!("dhow-test-{}", place.id);
    let socket = manager(&SocketAddr::from_abstract_name(&name).expect("address"));
    let bundle = place.bundle();
    let mut command = place.command();
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let output = command
        .args(["run", "-b", bundle.to_str().expect("utf-8"), &place.id])
        .output()
        .expect("run");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(heard(&socket), "READY=1\n");
}

/// One that never says that it is ready holds nobody up for longer than it lives.
#[test]
fn the_end_of_the_container_ends_the_waiting() {
    let Some(place) = Place::new("silent", "env | grep NOTIFY") else {
        return;
    };
    let path = place.directory.path().join("manager");
    let _socket = manager(&SocketAddr::from_pathname(&path).expect("address"));
    let bundle = place.bundle();
    let mut command = place.command();
    command.env("NOTIFY_SOCKET", &path).args([
        "run",
        "--detach",
        "-b",
        bundle.to_str().expect("utf-8"),
        &place.id,
    ]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("run").success());
    place.await_status("stopped");
}

/// Descriptors of sd_listen_fds(3) and those of `--preserve-fds` arrive, in that order, and no other.
#[test]
fn descriptors_are_handed_on() {
    let script = "echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4; cat <&5; for fd in /proc/$$/fd/*; do echo ${fd##*/}; done";
    let Some(place) = Place::new("listen", script) else {
        return;
    };
    let bundle = place.bundle();
    let shell =
        "exec 3<<A 4<<B 5<<C 7</dev/null\nthree\nA\nfour\nB\nfive\nC\nexec env LISTEN_FDS=2 \"$0\" \"$@\"";
    let output = std::process::Command::new("bash")
        .args(["-c", shell, env!("CARGO_BIN_EXE_dhow-runtime"), "--root"])
        .arg(place.directory.path().join("state"))
        .args([
            "run",
            "--preserve-fds",
            "1",
            "-b",
            bundle.to_str().expect("utf-8"),
            &place.id,
        ])
        .stdin(Stdio::null())
        .output()
        .expect("bash");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("2 1\nthree\nfour\nfive\n"), "{output:?}");
    let numbers: Vec<&str> = text.lines().skip(4).filter(|number| number.len() == 1).collect();
    // The sixth is the directory that the shell reads; the caller's seventh has stayed outside.
    assert_eq!(numbers, ["0", "1", "2", "3", "4", "5", "6"], "{output:?}");
}
