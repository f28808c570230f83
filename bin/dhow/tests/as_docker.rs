//! The program against a daemon of canned replies: what it prints and how it ends is what docker 28.2.2 printed for the
//! same replies.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

const CONTAINERS: &str = r#"[{"Id":"fee1fe2aee2391900e33ef0cac62c0947c962a76034a24f11a5ce78a31ebd9ee","Names":["/web"],
"Image":"busybox","ImageID":"sha256:448094c3b948","Command":"sleep 10000000000000000","Created":1000000000,
"Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"IP":"::","PrivatePort":80,"PublicPort":8080,"Type":"tcp"}],
"Labels":{"a":"b","c":"<d>"},"State":"running","Status":"Up 2 seconds","HostConfig":{"NetworkMode":"bridge"},
"NetworkSettings":{"Networks":{"bridge":{}}},"Mounts":[]}]"#;

/// Status and body for a request line.
fn answer(line: &str) -> (&'static str, String) {
    let error = |text: &str| format!(r#"{{"message":"{text}"}}"#);
    if line.contains("/containers/json") {
        ("200 OK", CONTAINERS.to_owned())
    } else if line.contains("/containers/create") {
        (
            "201 Created",
            r#"{"Id":"0123","Warnings":["careful"]}"#.to_owned(),
        )
    } else if line.contains("/containers/0123/start") {
        (
            "400 Bad Request",
            error("exec: \\\"nope\\\": executable file not found in $PATH: unknown"),
        )
    } else if line.contains("/containers/web/json") {
        (
            "200 OK",
            r#"{"Id":"fee1","State":{"Running":true,"Health":null},"Config":{"Cmd":null}}"#.to_owned(),
        )
    } else {
        ("404 Not Found", error("No such container: nope"))
    }
}

fn serve(stream: UnixStream) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if let Some(n) = header.to_lowercase().strip_prefix("content-length: ") {
                length = n.trim().parse().unwrap();
            }
            if header.trim().is_empty() {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        let (status, body) = if line.contains("/_ping") {
            ("200 OK", String::new())
        } else {
            answer(&line)
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nApi-Version: 1.50\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        writer.write_all((head + &body).as_bytes()).unwrap();
    }
}

/// Runs the program; exit code, standard output, standard error.
fn dhow(words: &[&str]) -> (i32, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("d.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    let output = Command::new(env!("CARGO_BIN_EXE_dhow"))
        .args(words)
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .env("DOCKER_CONFIG", dir.path())
        .env_remove("DOCKER_CONTEXT")
        .env_remove("DOCKER_API_VERSION")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn lists_print_what_docker_prints() {
    let (code, out, _) = dhow(&[
        "ps",
        "--format",
        "table {{.ID}}\\t{{.Command}}\\t{{.Ports}}\\t{{.Label \"a\"}}\\t{{.Names}}",
    ]);
    assert_eq!(code, 0);
    assert_eq!(
        out,
        "CONTAINER ID   COMMAND                  PORTS                                     a         NAMES\n\
         fee1fe2aee23   \"sleep 1000000000000…\"   0.0.0.0:8080->80/tcp, [::]:8080->80/tcp   b         web\n"
    );
    let (_, out, _) = dhow(&["ps", "--format", "json"]);
    assert!(
        out.contains(r#""CreatedAt":"2001-09-09 01:46:40 +0000 UTC""#),
        "{out}"
    );
    assert!(out.contains(r#""Labels":"a=b,c=\u003cd\u003e""#), "{out}");
    assert_eq!(dhow(&["ps", "-q"]).1, "fee1fe2aee23\n");
    assert_eq!(dhow(&["ps", "--format", "{{.Foo}}"]).0, 1);
}

#[test]
fn exit_codes_and_errors_are_dockers() {
    let (code, out, err) = dhow(&["run", "-d", "busybox", "nope"]);
    assert_eq!((code, out.as_str()), (127, ""));
    assert_eq!(
        err,
        "WARNING: careful\ndhow: Error response from daemon: exec: \"nope\": executable file not found in $PATH: unknown\n\n\
         Run 'dhow run --help' for more information\n"
    );
    let (code, out, err) = dhow(&["stop", "nope"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (1, "", "Error response from daemon: No such container: nope\n")
    );
    let (code, out, err) = dhow(&[
        "inspect",
        "-f",
        "{{.Id}} {{.Config.Cmd}} {{if .State.Health}}x{{end}}",
        "web",
        "nope",
    ]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (1, "fee1 [] \n", "Error: No such object: nope\n")
    );
    let (code, _, err) = dhow(&["-H", "unix:///nonexistent", "ps"]);
    assert_eq!(
        (code, err.as_str()),
        (
            1,
            "Cannot connect to the Docker daemon at unix:///nonexistent. Is the docker daemon running?\n"
        )
    );
    assert_eq!(dhow(&["ps", "--nope"]).0, 125);
    assert_eq!(
        dhow(&["checkpoint", "ls"]).2,
        "dhow checkpoint ls is not available in this version of dhow\n"
    );
}
