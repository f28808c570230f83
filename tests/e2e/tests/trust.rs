//! Signatures: made, demanded, revoked, and checked by openssl.
#![allow(clippy::print_stdout)] // what a test has to say goes to its log

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::image::busybox_at;
use e2e::{Client, Output, Settings, clients, daemon, daemon_with, for_each_client};
use fake_registry::Registry;
use serde_json::{Value, json};

const PASSPHRASE: &str = "open sesame";

/// The command with the passphrase in its environment.
fn with_passphrase(docker: &Client, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = docker.command(arguments);
    command.env("DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE", PASSPHRASE);
    command.current_dir(folder);
    Output::of(&command.output().expect("the command"))
}

fn dhow(all: &[Client]) -> &Client {
    all.iter().find(|client| client.is_dhow()).expect("dhow")
}

/// Makes a key; its public half is `FOLDER/NAME.pub`.
fn make_key(dhow: &Client, folder: &Path, name: &str) {
    let made = with_passphrase(dhow, folder, &["trust", "key", "generate", name]);
    assert!(
        made.code == 0
            && made
                .stdout
                .contains("Successfully generated and loaded private key"),
        "{made:?}"
    );
}

fn sign(dhow: &Client, folder: &Path, name: &str) {
    let signed = with_passphrase(dhow, folder, &["trust", "sign", name]);
    assert!(
        signed.code == 0 && signed.stdout.contains("Successfully signed"),
        "{signed:?}"
    );
}

/// A registry with busybox under these names, `latest` and `2`.
fn filled(repositories: &[&str]) -> Registry {
    let registry = Registry::start();
    for repository in repositories {
        busybox_at(&registry, repository);
        let (kind, manifest) = registry.manifest(repository, "latest").expect("manifest");
        registry.put_manifest(repository, "2", &kind, &manifest);
    }
    registry
}

#[test]
fn what_the_policy_wants_signed_must_be() {
    let registry = filled(&["prod/app", "prod/other", "open/app", "never/app"]);
    let at = |name: &str| format!("{}/{name}", registry.address());
    let folder = tempfile::tempdir().expect("folder");
    // The policy names a key, which must be there before the daemon is.
    let Some(maker) = daemon() else { return };
    let makers = clients(&maker);
    make_key(dhow(&makers), folder.path(), "release");
    let key = folder.path().join("release.pub");
    let policy = json!({at("prod"): {"keys": [key]}, at("never"): "reject", at("open"): "accept"});
    let Some(guarded) = daemon_with(Settings {
        config: Some(json!({"signature-policy": policy})),
        ..Settings::default()
    }) else {
        return;
    };
    let app = at("prod/app:latest");
    for_each_client(&guarded, |docker| {
        docker.ok(["pull", "--quiet", &at("open/app:latest")]);
        docker.ok(["rmi", &at("open/app:latest")]);
        let error = docker.fails(1, ["pull", &app]);
        assert!(
            error.contains("is refused by \"signature-policy\"") && error.contains("it has no signature"),
            "{error}"
        );
        let error = docker.fails(1, ["pull", &at("never/app:latest")]);
        assert!(error.contains("nothing may be pulled from there"), "{error}");
        docker.fails(125, ["run", "--rm", &app, "true"]);
    });
    let signer = dhow(&makers);
    let error = signer.fails(1, ["trust", "inspect", &app]);
    assert!(
        error.contains(&format!("No signatures or cannot access {app}")),
        "{error}"
    );
    sign(signer, folder.path(), &app);
    let shown: Value = serde_json::from_str(&signer.ok(["trust", "inspect", &app])).expect("JSON");
    assert_eq!(
        shown[0]["SignedTags"][0]["Signers"],
        json!(["release"]),
        "{shown}"
    );
    let table = signer.ok(["trust", "inspect", "--pretty", &at("prod/app")]);
    assert!(
        table.contains("SIGNED TAG") && table.contains("release"),
        "{table}"
    );
    // The signature has a tag, too, but is no image.
    signer.ok(["pull", "--quiet", "--all-tags", &at("prod/app")]);
    for_each_client(&guarded, |docker| {
        docker.ok(["run", "--rm", &app, "true"]);
        docker.ok(["rmi", &app]);
        // The same content under another tag: the signature is not for that one.
        let error = docker.fails(1, ["pull", &at("prod/app:2")]);
        assert!(error.contains("the signature is for"), "{error}");
        let error = docker.fails(1, ["pull", &at("prod/other:latest")]);
        assert!(error.contains("it has no signature"), "{error}");
    });
    // By another key.
    let Some(stranger) = daemon() else { return };
    let strangers = clients(&stranger);
    let elsewhere = tempfile::tempdir().expect("folder");
    make_key(dhow(&strangers), elsewhere.path(), "stranger");
    sign(dhow(&strangers), elsewhere.path(), &at("prod/other:latest"));
    let all = clients(&guarded);
    let error = dhow(&all).fails(1, ["pull", &at("prod/other:latest")]);
    assert!(
        error.contains("none of its 1 signatures is by a key that the policy names"),
        "{error}"
    );
    let text = signer.ok(["trust", "revoke", &app]);
    assert!(text.contains("Successfully deleted signature"), "{text}");
    dhow(&all).fails(1, ["pull", &app]);
    signer.fails(1, ["trust", "revoke", &app]);
}

#[test]
fn a_user_may_demand_signatures_of_those_they_trust() {
    let registry = filled(&["team/app"]);
    let Some(daemon) = daemon() else { return };
    let all = clients(&daemon);
    let dhow = dhow(&all);
    let app = format!("{}/team/app:latest", registry.address());
    let folder = tempfile::tempdir().expect("folder");
    let demanded = ["pull", "--disable-content-trust=false", &app];
    let error = dhow.fails(1, demanded);
    assert!(error.contains("remote trust data does not exist"), "{error}");
    // Somebody else signs.
    let Some(theirs) = e2e::daemon() else { return };
    let their_clients = clients(&theirs);
    let other = self::dhow(&their_clients);
    make_key(other, folder.path(), "alice");
    sign(other, folder.path(), &app);
    let error = dhow.fails(1, demanded);
    assert!(error.contains("dhow trust signer add"), "{error}");
    let key = folder.path().join("alice.pub").display().to_string();
    dhow.ok(["trust", "signer", "add", "--key", &key, "alice", &app]);
    let text = dhow.ok(demanded);
    assert!(
        text.contains("Pull (1 of 1)") && text.contains("Tagging"),
        "{text}"
    );
    dhow.ok(["run", "--rm", "--disable-content-trust=false", &app, "true"]);
    dhow.ok(["trust", "signer", "remove", "--force", "alice", &app]);
    dhow.fails(
        125,
        ["run", "--rm", "--disable-content-trust=false", &app, "true"],
    );
    dhow.ok(["run", "--rm", &app, "true"]);
    // Who pushes signs.
    make_key(dhow, folder.path(), "own");
    let own = format!("{}/team/own:1", registry.address());
    dhow.ok(["tag", &app, &own]);
    let pushed = with_passphrase(
        dhow,
        folder.path(),
        &["push", "--disable-content-trust=false", &own],
    );
    assert!(
        pushed.code == 0 && pushed.stdout.contains("Successfully signed"),
        "{pushed:?}"
    );
    dhow.ok(["pull", "--disable-content-trust=false", &own]);
}

#[test]
fn keys_of_other_programs_are_loaded() {
    let Some(daemon) = daemon() else { return };
    let all = clients(&daemon);
    let dhow = dhow(&all);
    let folder = tempfile::tempdir().expect("folder");
    make_key(dhow, folder.path(), "first");
    let made = daemon
        .folder()
        .join("client-config/trust/sigstore/keys/first.key");
    let file = folder.path().join("first.key").display().to_string();
    fs::copy(&made, &file).expect("the key");
    let loaded = with_passphrase(
        dhow,
        folder.path(),
        &["trust", "key", "load", "--name", "second", &file],
    );
    assert!(
        loaded.code == 0 && loaded.stdout.contains("Successfully imported key"),
        "{loaded:?}"
    );
    let twice = with_passphrase(
        dhow,
        folder.path(),
        &["trust", "key", "load", "--name", "second", &file],
    );
    assert!(
        twice.code == 1 && twice.stderr.contains("there is a key second already"),
        "{twice:?}"
    );
    let mut wrong = dhow.command(["trust", "key", "load", "--name", "third", &file]);
    wrong.env("COSIGN_PASSWORD", "shut sesame");
    let wrong = Output::of(&wrong.output().expect("dhow"));
    assert!(
        wrong.code == 1 && wrong.stderr.contains("the passphrase does not open the key"),
        "{wrong:?}"
    );
    let error = dhow.fails(1, ["trust", "key", "generate", "Upper"]);
    assert!(error.contains("must start with lowercase"), "{error}");
    // Nobody is there to be asked.
    let error = dhow.fails(1, ["trust", "key", "generate", "fourth"]);
    assert!(error.contains("there is no terminal to ask on"), "{error}");
}

/// Runs openssl in a folder.
fn openssl(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("openssl");
    Output::of(
        &command
            .args(arguments)
            .current_dir(folder)
            .output()
            .expect("openssl"),
    )
}

#[test]
fn a_key_of_openssl_signs_and_openssl_agrees() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: no openssl (cargo xtask test installs it)");
        return;
    }
    let Some(daemon) = daemon() else { return };
    let registry = filled(&["app"]);
    let all = clients(&daemon);
    let dhow = dhow(&all);
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let curve = ["-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key.pem"];
    let made = openssl(folder, &[&["genpkey", "-algorithm", "EC"], &curve[..]].concat());
    assert_eq!(made.code, 0, "{made:?}");
    let public = openssl(folder, &["pkey", "-in", "key.pem", "-pubout", "-out", "key.pub"]);
    assert_eq!(public.code, 0, "{public:?}");
    let loaded = with_passphrase(
        dhow,
        folder,
        &["trust", "key", "load", "--name", "theirs", "key.pem"],
    );
    assert_eq!(loaded.code, 0, "{loaded:?}");
    let name = format!("{}/app:latest", registry.address());
    sign(dhow, folder, &name);

    let (_, image) = registry.manifest("app", "latest").expect("manifest");
    let place = format!("{}.sig", fake_registry::digest(&image).replace(':', "-"));
    let (_, holder) = registry.manifest("app", &place).expect("signatures");
    let holder: Value = serde_json::from_slice(&holder).expect("JSON");
    let layer = &holder["layers"][0];
    let payload = registry.blob("app", layer["digest"].as_str().expect("digest"));
    fs::write(folder.join("payload"), payload.expect("payload")).expect("file");
    let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str();
    fs::write(folder.join("signature"), signature.expect("signature")).expect("file");
    let decoded = openssl(
        folder,
        &["base64", "-d", "-A", "-in", "signature", "-out", "signature.der"],
    );
    assert_eq!(decoded.code, 0, "{decoded:?}");
    let verify = [
        "dgst",
        "-sha256",
        "-verify",
        "key.pub",
        "-signature",
        "signature.der",
    ];
    let verified = openssl(folder, &[&verify[..], &["payload"]].concat());
    assert!(
        verified.code == 0 && verified.stdout.contains("Verified OK"),
        "{verified:?}"
    );
}
