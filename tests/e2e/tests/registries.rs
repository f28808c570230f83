//! Pull, push, login, search and import from a URL, with every command.

use std::fs;

use e2e::image::busybox_at;
use e2e::{Settings, clients, daemon, daemon_with, for_each_client, until};
use fake_registry::{Fault, Layer, Registry};

#[test]
fn run_pulls_what_is_missing_and_push_gives_it_back() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "team/busybox");
    let name = format!("{}/team/busybox", registry.address());
    for_each_client(&daemon, |docker| {
        let error = docker.fails(125, ["run", "--rm", "--pull", "never", &name, "true"]);
        assert!(error.contains("No such image"), "{error}");
        let output = docker.run(["run", "--rm", &name, "echo", "hello"]);
        assert_eq!((output.code, output.stdout.trim()), (0, "hello"), "{output:?}");
        let missing = format!("Unable to find image '{name}:latest' locally");
        assert!(output.stderr.contains(&missing), "{}", output.stderr);
        assert!(
            output.stderr.contains("Status: Downloaded newer image for"),
            "{}",
            output.stderr
        );

        let text = docker.ok(["pull", &name]);
        assert!(text.contains("Using default tag: latest"), "{text}");
        assert!(
            text.contains(&format!("Status: Image is up to date for {name}:latest")),
            "{text}"
        );
        assert!(text.ends_with(&format!("{name}:latest")), "{text}");
        assert_eq!(docker.ok(["pull", "--quiet", &name]), format!("{name}:latest"));

        // Of its own for each: what one has pushed the next one need not.
        let copy = format!("copy-of-{}", docker.name.replace([' ', '.', '+', '~'], "-"));
        let (path, copy) = (copy.clone(), format!("{}/{copy}", registry.address()));
        docker.ok(["tag", &name, &copy]);
        let text = docker.ok(["push", &copy]);
        assert!(text.contains("Mounted from team/busybox"), "{text}");
        assert_eq!(
            registry.manifest(&path, "latest"),
            registry.manifest("team/busybox", "latest")
        );
        docker.ok(["push", &copy]);

        let digest = docker.ok(["image", "inspect", "--format", "{{index .RepoDigests 0}}", &copy]);
        docker.ok(["rmi", &name, &copy]);
        docker.ok(["pull", &digest]);
        docker.ok(["rmi", &digest]);
        let error = docker.fails(1, ["pull", &format!("{name}:none")]);
        assert!(
            error.contains(&format!("manifest for {name}:none not found: manifest unknown")),
            "{error}"
        );
        docker.ok(["pull", "--all-tags", &name]);
        docker.ok(["run", "--rm", "--pull", "always", &name, "true"]);
        docker.ok(["rmi", &name]);
    });
}

#[test]
fn a_pulled_image_keeps_its_digest_at_another_registry_however_often_its_connections_break() {
    let Some(daemon) = daemon() else { return };
    let (origin, other) = (Registry::start(), Registry::start());
    busybox_at(&origin, "team/busybox");
    let from = format!("{}/team/busybox", origin.address());
    for_each_client(&daemon, |docker| {
        docker.ok(["pull", &from]);
        // Of its own for each: what one has pushed the next one need not.
        let path = format!("copy-of-{}", docker.name.replace([' ', '.', '+', '~'], "-"));
        let to = format!("{}/{path}", other.address());
        docker.ok(["tag", &from, &to]);
        // Nothing is mounted here: the first one that pushes is not to help the others.
        other.fail("POST mount=", Fault::Status(404, Vec::new()), 1);
        other.fail("PATCH", Fault::Break(200_000), 1);
        docker.ok(["push", &to]);
        assert_eq!(
            other.manifest(&path, "latest"),
            origin.manifest("team/busybox", "latest")
        );
        docker.ok(["rmi", &from, &to]);
        other.behave();
    });
    assert!(other.count("GET uploads/") > 0, "{:?}", other.log());
}

#[test]
fn an_image_is_copied_between_registries_with_a_login_for_each_and_without_an_image_here() {
    let Some(daemon) = daemon() else { return };
    let all = clients(&daemon);
    let dhow = all.iter().find(|client| client.is_dhow()).expect("dhow");
    let (from, to) = (Registry::start(), Registry::start());
    busybox_at(&from, "team/busybox");
    from.require_password("reader", "first");
    to.require_password("writer", "second");
    let name = |registry: &Registry| format!("{}/team/busybox", registry.address());
    let error = dhow.fails(1, ["image", "copy", &name(&from), &name(&to)]);
    assert!(error.contains("unauthorized"), "{error}");
    for (registry, user, password) in [(&from, "reader", "first"), (&to, "writer", "second")] {
        let address = registry.address().to_string();
        dhow.ok(["login", "-u", user, "-p", password, &address]);
    }
    let text = dhow.ok(["image", "copy", &name(&from), &format!("{}:copy", name(&to))]);
    assert!(text.contains("copy: digest: sha256:"), "{text}");
    assert_eq!(
        to.manifest("team/busybox", "copy"),
        from.manifest("team/busybox", "latest")
    );
    assert_eq!(dhow.ok(["image", "ls", "--quiet"]), "");
    let output = dhow.run(["run", "--rm", &format!("{}:copy", name(&to)), "echo", "whole"]);
    assert_eq!((output.code, output.stdout.trim()), (0, "whole"), "{output:?}");
    assert_eq!(
        dhow.ok(["image", "copy", "--quiet", &name(&from), &name(&to)]),
        ""
    );
}

#[test]
fn a_password_is_needed_kept_and_forgotten() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "private");
    registry.require_token("user", "secret", 50);
    let server = registry.address().to_string();
    let name = format!("{server}/private");
    for_each_client(&daemon, |docker| {
        let error = docker.fails(1, ["pull", &name]);
        assert!(
            error.contains("pull access denied for") && error.contains("may require 'docker login'"),
            "{error}"
        );
        let wrong = docker.run_with(
            ["login", "--username", "user", "--password-stdin", &server],
            b"wrong\n",
        );
        assert_eq!(wrong.code, 1, "{wrong:?}");
        assert!(
            wrong
                .stderr
                .contains("unauthorized: incorrect username or password"),
            "{wrong:?}"
        );
        let right = docker.run_with(
            ["login", "--username", "user", "--password-stdin", &server],
            b"secret\n",
        );
        assert_eq!(
            (right.code, right.stdout.trim()),
            (0, "Login Succeeded"),
            "{right:?}"
        );
        docker.ok(["pull", "--quiet", &name]);
        docker.ok(["push", &name]);
        if docker.is_dhow() {
            let folder = daemon.folder().join("client-config");
            for entry in fs::read_dir(&folder)
                .expect("folder")
                .flatten()
                .filter(|e| e.path().is_file())
            {
                let text = fs::read(entry.path()).expect("file");
                let text = String::from_utf8_lossy(&text).into_owned();
                assert!(
                    !text.contains("secret\"") && !text.contains("dXNlcjpzZWNyZXQ="),
                    "{text}"
                );
            }
        }
        docker.ok(["logout", &server]);
        docker.ok(["rmi", &name]);
        docker.fails(1, ["pull", &name]);
    });
}

#[test]
fn what_plain_keeps_docker_finds() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "private");
    registry.require_password("user", "secret");
    let server = registry.address().to_string();
    let all = e2e::clients(&daemon);
    let dhow = all.iter().find(|c| c.is_dhow()).expect("dhow");
    let output = dhow.run_with(
        ["login", "--plain", "-u", "user", "--password-stdin", &server],
        b"secret",
    );
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stderr.contains("stored unencrypted"), "{output:?}");
    for docker in &all {
        docker.ok(["pull", "--quiet", &format!("{server}/private")]);
        docker.ok(["rmi", &format!("{server}/private")]);
    }
    dhow.ok(["logout", &server]);
}

#[test]
fn an_archive_is_imported_from_a_url() {
    let Some(daemon) = daemon() else { return };
    let server = Registry::start();
    busybox_at(&server, "busybox");
    let (_, manifest) = server.manifest("busybox", "latest").expect("manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("manifest");
    let digest = manifest["layers"][0]["digest"].as_str().expect("digest");
    let url = format!("http://{}/v2/busybox/blobs/{digest}", server.address());
    for_each_client(&daemon, |docker| {
        let text = docker.ok(["import", "--change", "CMD [\"sh\"]", &url, "flat:1"]);
        assert!(text.contains(&format!("Downloading from {url}")), "{text}");
        assert_eq!(docker.ok(["run", "--rm", "flat:1", "echo", "hello"]), "hello");
        docker.ok(["rmi", "flat:1"]);
        let error = docker.fails(1, ["import", &format!("http://{}/none", server.address())]);
        assert!(error.contains("404"), "{error}");
    });
}

#[test]
fn a_client_that_goes_away_ends_the_pull() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "busybox");
    let name = format!("{}/busybox", registry.address());
    let docker = e2e::clients(&daemon).into_iter().next().expect("a client");
    let before = e2e::tree(&daemon.data_root());
    let (_, manifest) = registry.manifest("busybox", "latest").expect("manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("manifest");
    let layer = manifest["layers"][0]["digest"]
        .as_str()
        .expect("digest")
        .to_owned();
    registry.fail(&format!("GET {layer}"), Fault::Stall(300_000), usize::MAX);
    let mut child = docker.command(["pull", &name]).spawn().expect("a client");
    until("the layer is asked for", || {
        registry.count(&format!("GET {layer}")) > 0
    });
    child.kill().expect("kill");
    child.wait().expect("wait");
    // What has come of the layer stays for the next time; nothing else does.
    let staged = || {
        let now = e2e::tree(&daemon.data_root());
        now.difference(&before)
            .filter(|path| !path.starts_with("downloads") && !path.ends_with("state.json"))
            .count()
    };
    until("nothing half made is left", || staged() == 0);
    registry.behave();
    registry.clear_log();
    docker.ok(["pull", "--quiet", &name]);
    docker.ok(["rmi", &name]);
}

/// An image of three layers that are worth keeping; the digests of the layers.
fn image_of_three(registry: &Registry, repository: &str) -> Vec<String> {
    let layers: Vec<Layer> = (1..4_u8)
        .map(|number| {
            let content = vec![number; 700_000];
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            let mut archive = tar::Builder::new(Vec::new());
            archive
                .append_data(&mut header, format!("file{number}"), &content[..])
                .expect("member");
            Layer::plain(&archive.into_inner().expect("archive"))
        })
        .collect();
    let config = serde_json::json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}});
    registry.put_image(repository, "latest", &config, &layers);
    layers.into_iter().map(|layer| layer.diff_id).collect()
}

#[test]
fn a_daemon_killed_in_a_pull_fetches_nothing_again_that_was_there() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    let layers = image_of_three(&registry, "three");
    let name = format!("{}/three", registry.address());
    let docker = e2e::clients(&daemon).into_iter().next().expect("a client");
    let kept = |layer: &str| {
        let path = daemon.data_root().join("downloads").join(layer.replace(':', "-"));
        fs::metadata(path).map_or(0, |status| status.len())
    };
    // Killed while the last layer stands still in its middle, and the other ones are whole.
    registry.fail(&format!("GET {}", layers[2]), Fault::Stall(400_000), usize::MAX);
    let mut child = docker.command(["pull", &name]).spawn().expect("a client");
    until("two layers and a half are kept", || {
        kept(&layers[0]) > 700_000 && kept(&layers[1]) > 700_000 && kept(&layers[2]) >= 400_000
    });
    daemon.kill();
    child.wait().expect("wait");
    registry.behave();
    registry.clear_log();
    daemon.start();
    docker.ok(["pull", "--quiet", &name]);
    for (request, times) in [
        (layers[0].clone(), 0),
        (layers[1].clone(), 0),
        (layers[2].clone(), 1),
        (format!("{} bytes=400000-", layers[2]), 1),
    ] {
        let asked = registry.count(&format!("GET {request}"));
        assert_eq!(asked, times, "{request}: {:?}", registry.log());
    }
    docker.ok(["rmi", &name]);

    // Killed where all layers are there, but not the image, or not all of it.
    for point in [
        "images.pull.unpacked",
        "images.pull.put",
        "images.pull.remembered",
    ] {
        daemon.stop();
        daemon.set_environment(&[("DHOW_CRASH_AT", point)]);
        daemon.start();
        docker.run(["pull", "--quiet", &name]);
        until("the daemon is dead", || daemon.ended().is_some());
        daemon.set_environment(&[]);
        registry.clear_log();
        daemon.start();
        docker.ok(["pull", "--quiet", &name]);
        for layer in &layers {
            assert_eq!(
                registry.count(&format!("GET {layer}")),
                0,
                "{point}: {:?}",
                registry.log()
            );
        }
        docker.ok(["rmi", &name]);
    }
}

#[test]
fn configuration_says_where_registries_are_and_which_are_not_to_be_used() {
    let mirror = Registry::start();
    busybox_at(&mirror, "library/busybox");
    let address = mirror.address();
    let config = serde_json::json!({
        "registry-mirrors": [format!("http://{address}")],
        "blocked-registries": ["evil.example"],
        "max-concurrent-downloads": 2,
    });
    let Some(daemon) = daemon_with(Settings {
        config: Some(config),
        ..Settings::default()
    }) else {
        return;
    };
    for_each_client(&daemon, |docker| {
        // Docker Hub itself is never asked: the mirror has it.
        docker.ok(["pull", "busybox"]);
        assert_eq!(docker.ok(["run", "--rm", "busybox", "echo", "hello"]), "hello");
        docker.ok(["rmi", "busybox"]);
        let error = docker.fails(1, ["pull", "evil.example/a"]);
        assert!(
            error.contains("evil.example/a is blocked by \"blocked-registries\""),
            "{error}"
        );
        let mirrors = docker.ok(["info", "--format", "{{.RegistryConfig.Mirrors}}"]);
        assert_eq!(mirrors, format!("[http://{address}/]"));
    });
}

#[test]
fn a_registry_is_searched_by_its_catalogue() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "team/busybox");
    for_each_client(&daemon, |docker| {
        let text = docker.ok([
            "search",
            "--format",
            "{{.Name}}",
            &format!("{}/busy", registry.address()),
        ]);
        assert_eq!(text, format!("{}/team/busybox", registry.address()));
    });
}
