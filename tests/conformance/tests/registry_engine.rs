//! The engine with real registries: ours and Debian's docker-registry, driven by `dhow` and by docker.
#![allow(clippy::print_stdout)] // what a test has to say goes to its log

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use conformance::server;
use e2e::{Client, Daemon, daemon, for_each_client};

/// Debian's registry; it ends when dropped.
struct Theirs {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Theirs {
    fn start() -> Option<Self> {
        let program = Path::new("/usr/bin/docker-registry");
        if !program.exists() {
            println!("skipped: no docker-registry (cargo xtask test installs it)");
            return None;
        }
        let folder = tempfile::tempdir().expect("folder");
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n",
            folder.path().join("root").display()
        );
        std::fs::write(&config, text).expect("configuration");
        let mut child = Command::new(program)
            .arg("serve")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start docker-registry");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, rest) = line.split_once("listening on ")?;
                let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':')?;
                rest[..end].parse().ok()
            })
            .expect("its address");
        // It must not block on a full pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Some(Self {
            child,
            address,
            _folder: folder,
        })
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that an image goes through between an engine and a registry.
fn an_image_goes_and_comes(daemon: &Daemon, docker: &Client, registry: SocketAddr) {
    let who = docker.name.replace([' ', '.', '+', '~'], "-");
    let name = format!("{registry}/{who}/busybox");
    docker.ok(["tag", "busybox", &format!("{name}:1")]);
    let text = docker.ok(["push", &format!("{name}:1")]);
    assert!(
        text.contains("Pushed") && text.contains("digest: sha256:"),
        "{text}"
    );
    let id = docker.ok(["image", "inspect", "--format", "{{.Id}}", "busybox"]);
    let digest = docker.ok([
        "image",
        "inspect",
        "--format",
        "{{index .RepoDigests 0}}",
        &format!("{name}:1"),
    ]);
    let copy = format!("{registry}/{who}/copy:2");
    docker.ok(["tag", &format!("{name}:1"), &copy]);
    let text = docker.ok(["push", &copy]);
    assert!(
        text.contains("Mounted from") || text.contains("Layer already exists"),
        "{text}"
    );
    let same = digest.split_once('@').expect("a digest").1;
    assert!(text.contains(same), "byte for byte: {text}");

    // Nothing of it is left here, and all of it comes back.
    docker.ok(["rmi", "--force", &id]);
    let output = docker.run(["run", "--rm", &copy, "echo", "hello"]);
    assert_eq!((output.code, output.stdout.trim()), (0, "hello"), "{output:?}");
    assert_eq!(docker.ok(["image", "inspect", "--format", "{{.Id}}", &copy]), id);
    docker.ok(["pull", &digest]);
    docker.ok(["pull", "--all-tags", &name]);
    let found = docker.ok(["search", "--format", "{{.Name}}", &format!("{registry}/{who}")]);
    assert_eq!(found.lines().count(), 2, "{found}");
    docker.ok(["rmi", "--force", &id]);
    daemon.load_busybox();
}

#[test]
fn with_our_own_registry() {
    let (Some(daemon), Some(registry)) = (daemon(), server()) else {
        return;
    };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        an_image_goes_and_comes(&daemon, docker, registry.address())
    });
}

#[test]
fn with_debians_registry() {
    let (Some(daemon), Some(registry)) = (daemon(), Theirs::start()) else {
        return;
    };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        an_image_goes_and_comes(&daemon, docker, registry.address)
    });
}
