//! Other people's clients, unmodified: skopeo, podman, and docker with its own daemon push to the registry and pull from it.
#![allow(clippy::print_stdout)] // what a test has to say goes to its log

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use conformance::{Server, server, server_with};
use serde_json::json;

/// Where Debian puts what is only for root.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    let found = places.map(|place| place.join(program)).find(|path| path.exists());
    if found.is_none() {
        println!("skipped: no {program} on this machine");
    }
    found
}

fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("start a client");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn archive(folder: &Path) -> String {
    let path = folder.join("busybox.tar");
    e2e::image::busybox(&path);
    path.display().to_string()
}

#[test]
fn skopeo_copies_inspects_lists_and_deletes() {
    let (Some(skopeo), Some(server)) = (find("skopeo"), server()) else {
        return;
    };
    let archive = archive(server.folder());
    let place = |name: &str| format!("docker://{}/{name}", server.address());
    let skopeo = |arguments: &[&str]| text(&run(Command::new(&skopeo).args(arguments)));
    let from = format!("docker-archive:{archive}");
    for format in ["v2s2", "oci"] {
        let to = place(&format!("team/busybox:{format}"));
        skopeo(&["copy", "--dest-tls-verify=false", "--format", format, &from, &to]);
        let inspected = skopeo(&["inspect", "--tls-verify=false", &to]);
        assert!(inspected.contains("\"Architecture\": \"amd64\""), "{inspected}");
        let back = format!("dir:{}", server.folder().join(format).display());
        skopeo(&["copy", "--src-tls-verify=false", &to, &back]);
    }
    // From repository to repository: what is there is mounted.
    skopeo(&[
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        &place("team/busybox:oci"),
        &place("other/box:1"),
    ]);
    let tags = skopeo(&["list-tags", "--tls-verify=false", &place("team/busybox")]);
    assert!(tags.contains("\"oci\"") && tags.contains("\"v2s2\""), "{tags}");
    skopeo(&["delete", "--tls-verify=false", &place("team/busybox:oci")]);
    assert_eq!(
        server.get("/v2/team/busybox/tags/list").send().json()["tags"],
        json!(["v2s2"])
    );
}

#[test]
fn skopeo_logs_in_over_tls_with_basic_authentication_and_with_tokens() {
    let Some(skopeo) = find("skopeo") else { return };
    for tokens in [false, true] {
        let folder = tempfile::tempdir().expect("folder");
        let users = folder.path().join("htpasswd");
        fs::write(
            &users,
            format!("alice:{}\n", bcrypt::hash("secret", 4).expect("a hash")),
        )
        .expect("users");
        let mut config = json!({"tls": {"self-signed": true}, "auth": {"htpasswd": users}});
        if tokens {
            config["auth"]["tokens"] = json!({});
        }
        let Some(server) = server_with(config) else { return };
        let archive = archive(server.folder());
        let trusted = folder.path().join("trusted");
        fs::create_dir(&trusted).expect("folder");
        fs::copy(server.root().join("tls/ca.pem"), trusted.join("ca.crt")).expect("the authority");
        let trusted = trusted.display().to_string();
        let place = format!("docker://{}/busybox:1", server.address());
        let copy = |credentials: &str| {
            let from = format!("docker-archive:{archive}");
            let arguments = [
                "copy",
                "--dest-cert-dir",
                &trusted,
                "--dest-creds",
                credentials,
                &from,
                &place,
            ];
            Command::new(&skopeo).args(arguments).output().expect("skopeo")
        };
        let refused = copy("alice:wrong");
        assert!(!refused.status.success(), "tokens: {tokens}");
        let pushed = copy("alice:secret");
        assert!(
            pushed.status.success(),
            "{}",
            String::from_utf8_lossy(&pushed.stderr)
        );
        let inspect = [
            "inspect",
            "--cert-dir",
            &trusted,
            "--creds",
            "alice:secret",
            &place,
        ];
        run(Command::new(&skopeo).args(inspect));
        let stranger = Command::new(&skopeo)
            .args(["inspect", "--creds", "alice:secret", &place])
            .output();
        let stranger = String::from_utf8_lossy(&stranger.expect("skopeo").stderr).into_owned();
        assert!(
            stranger.contains("certificate"),
            "who does not trust the authority is warned: {stranger}"
        );
    }
}

#[test]
fn podman_pushes_and_pulls() {
    let (Some(podman), Some(server)) = (find("podman"), server()) else {
        return;
    };
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let archive = archive(server.folder());
    let podman = |arguments: &[&str]| {
        let mut command = Command::new(&podman);
        let path = |part: &str| server.folder().join(part).display().to_string();
        command.args(["--root", &path("podman"), "--runroot", &path("podman-run")]);
        command
            .args(["--storage-driver", "vfs", "--events-backend", "none"])
            .args(arguments);
        command.env("TMPDIR", server.folder());
        text(&run(&mut command))
    };
    podman(&["load", "--quiet", "--input", &archive]);
    let name = format!("{}/team/busybox:podman", server.address());
    podman(&["push", "--quiet", "--tls-verify=false", "busybox", &name]);
    let id = podman(&["images", "--quiet", "--no-trunc"]);
    podman(&["rmi", "--all"]);
    podman(&["pull", "--quiet", "--tls-verify=false", &name]);
    assert_eq!(
        podman(&["images", "--quiet", "--no-trunc"]),
        id,
        "the same image comes back"
    );
}

/// Docker's own daemon with everything of its own; ends with the value.
struct Dockerd {
    child: Child,
    host: String,
}

impl Dockerd {
    fn start(program: &Path, folder: &Path) -> Option<Self> {
        let path = |part: &str| folder.join(part).display().to_string();
        let host = format!("unix://{}", path("docker.sock"));
        let log = fs::File::create(folder.join("dockerd.log")).expect("log");
        let child = Command::new(program)
            .args([
                "--host",
                &host,
                "--data-root",
                &path("docker"),
                "--exec-root",
                &path("docker-run"),
            ])
            .args([
                "--pidfile",
                &path("docker.pid"),
                "--bridge",
                "none",
                "--iptables=false",
            ])
            .args(["--ip-forward=false", "--storage-driver", "vfs"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("start dockerd");
        let mut dockerd = Self { child, host };
        // It takes as long as the machine is busy: its end or its answer is awaited.
        loop {
            if dockerd.child.try_wait().expect("dockerd").is_some() {
                let log = fs::read_to_string(folder.join("dockerd.log")).unwrap_or_default();
                println!(
                    "skipped: Docker's daemon does not start here: {}",
                    log.lines().last().unwrap_or_default()
                );
                return None;
            }
            let mut version = Command::new("docker");
            version
                .args(["--host", &dockerd.host, "version"])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if version.status().is_ok_and(|status| status.success()) {
                return Some(dockerd);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::TERM,
        );
        let _ = self.child.wait();
    }
}

#[test]
fn a_new_certificate_is_shown_after_a_hangup_while_it_serves() {
    let Some(curl) = find("curl") else { return };
    let lab = || server_with(json!({"tls": {"self-signed": true}}));
    let (Some(old), Some(new)) = (lab(), lab()) else {
        return;
    };
    let folder = tempfile::tempdir().expect("folder");
    let file = |name: &str| folder.path().join(name);
    let take_over = |from: &Server| {
        for name in ["certificate.pem", "key.pem"] {
            fs::copy(from.root().join("tls").join(name), file(name)).expect("copy");
        }
    };
    take_over(&old);
    let tls = json!({"certificate": file("certificate.pem"), "key": file("key.pem")});
    let Some(mut server) = server_with(json!({"tls": tls})) else {
        return;
    };
    let address = format!("https://{}/v2/", server.address());
    let trusted_by = |authority: &Server| {
        let mut command = Command::new(&curl);
        command.args(["--silent", "--fail", "--cacert"]);
        command.arg(authority.root().join("tls/ca.pem")).arg(&address);
        command.stdout(Stdio::null()).status().expect("curl").success()
    };
    assert!(trusted_by(&old) && !trusted_by(&new));
    take_over(&new);
    let pid = rustix::process::Pid::from_raw(server.pid().cast_signed()).expect("its number");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("signal");
    // The signal is obeyed when it comes.
    while !trusted_by(&new) {
        assert!(!server.has_ended(), "a hangup ends it");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(!trusted_by(&old));
    assert!(server.stop(), "a hangup does not end it");
}

#[test]
fn docker_logs_in_pushes_and_pulls() {
    let (Some(_), Some(program)) = (find("docker"), find("dockerd")) else {
        return;
    };
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let folder = tempfile::Builder::new()
        .prefix("dhow-reg-")
        .tempdir_in("/tmp")
        .expect("folder");
    let Some(server) = guarded_by_tokens(folder.path()) else {
        return;
    };
    let Some(dockerd) = Dockerd::start(&program, folder.path()) else {
        return;
    };
    let archive = archive(folder.path());
    let docker = |arguments: &[&str]| {
        let mut command = Command::new("docker");
        command
            .args(["--host", &dockerd.host, "--config"])
            .arg(folder.path().join("client"))
            .args(arguments);
        text(&run(&mut command))
    };
    docker(&["load", "--quiet", "--input", &archive]);
    let name = format!("{}/team/busybox:docker", server.address());
    docker(&["tag", "busybox", &name]);
    docker(&[
        "login",
        "--username",
        "alice",
        "--password",
        "secret",
        &server.address().to_string(),
    ]);
    docker(&["push", "--quiet", &name]);
    let id = docker(&["images", "--quiet", "--no-trunc", "busybox"]);
    let other = format!("{}/other/busybox:1", server.address());
    docker(&["tag", "busybox", &other]);
    docker(&["push", "--quiet", &other]);
    docker(&["rmi", "busybox", &name, &other]);
    docker(&["pull", "--quiet", &name]);
    assert_eq!(
        docker(&["images", "--quiet", "--no-trunc", &name]),
        id,
        "the same image comes back"
    );
    docker(&[
        "pull",
        "--quiet",
        "--all-tags",
        &format!("{}/other/busybox", server.address()),
    ]);
    docker(&["rmi", "--force", &id]);
}

fn guarded_by_tokens(folder: &Path) -> Option<Server> {
    let users = folder.join("htpasswd");
    fs::write(
        &users,
        format!("alice:{}\n", bcrypt::hash("secret", 4).expect("a hash")),
    )
    .expect("users");
    server_with(json!({"auth": {"htpasswd": users, "tokens": {}}}))
}
