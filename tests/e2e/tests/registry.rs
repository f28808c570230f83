//! A registry in a container, made of the registry's own program.

use std::process::{Command, Stdio};

use e2e::{binaries, clients, daemon, until};

#[test]
fn the_registry_makes_an_image_of_itself_that_serves_on_a_published_port() {
    let Some(daemon) = daemon() else { return };
    let archive = daemon.folder().join("registry.tar");
    let made = Command::new(binaries().join("dhow-registry"))
        .args(["image", "--tag", "registry:own", "--output"])
        .arg(&archive)
        .status()
        .expect("dhow-registry");
    assert!(made.success());
    let docker = clients(&daemon).into_iter().next().expect("a client");
    let archive = archive.display().to_string();
    assert!(docker.ok(["load", "--input", &archive]).contains("registry:own"));
    docker.ok([
        "run",
        "--detach",
        "--name",
        "registry",
        "--publish",
        "127.0.0.1::5000",
        "registry:own",
    ]);
    let address = docker.ok(["port", "registry", "5000/tcp"]);
    let ask = |path: &str| {
        let url = format!("http://{address}{path}");
        let asked = Command::new("busybox")
            .args(["wget", "-q", "-O", "-", &url])
            .stderr(Stdio::null())
            .output()
            .expect("busybox");
        String::from_utf8_lossy(&asked.stdout).into_owned()
    };
    until("the registry answers", || ask("/v2/").trim() == "{}");
    assert!(ask("/v2/_catalog").contains("\"repositories\":[]"));
    // A small one: the program of a test is large.
    daemon.load_busybox();
    for client in clients(&daemon) {
        let name = format!("{address}/team/busybox:1");
        client.ok(["tag", "busybox", &name]);
        client.ok(["push", "--quiet", &name]);
        let id = client.ok(["images", "--quiet", "--no-trunc", &name]);
        client.ok(["rmi", &name]);
        client.ok(["pull", "--quiet", &name]);
        assert_eq!(
            client.ok(["images", "--quiet", "--no-trunc", &name]),
            id,
            "the same image comes back"
        );
        client.ok(["rmi", &name]);
    }
    assert!(ask("/v2/_catalog").contains("team/busybox"));
    docker.ok(["rm", "--force", "--volumes", "registry"]);
}
