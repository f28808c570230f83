//! Where a build's result goes, what is taken away of a base, and what a step may do.

use std::fs;
use std::path::Path;

use e2e::image::busybox_at;
use e2e::{Client, Daemon, Output, daemon, for_each_client};
use fake_registry::Registry;
use serde_json::Value;

use super::{build, context};

/// A daemon with busybox, and dhow's own command: what follows are flags that docker has in buildx only.
fn prepared() -> Option<(Daemon, Client)> {
    let daemon = daemon()?;
    daemon.load_busybox();
    let dhow = e2e::clients(&daemon).into_iter().find(Client::is_dhow)?;
    Some((daemon, dhow))
}

fn made(dhow: &Client, text: &str, arguments: &[&str]) -> Output {
    let folder = context();
    fs::write(folder.path().join("Dockerfile"), text).expect("file");
    build(dhow, folder.path(), arguments, None)
}

/// The names in an archive.
fn members(archive: &Path) -> Vec<String> {
    let listed = std::process::Command::new("tar")
        .arg("--list")
        .arg("--file")
        .arg(archive)
        .output();
    let listed = listed.expect("tar");
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8_lossy(&listed.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

const FILES: &str = "FROM scratch\nCOPY --chmod=750 run.sh /bin/\nCOPY tree /tree\n";

#[test]
fn files_go_to_a_directory_an_archive_or_standard_output() {
    let Some((_daemon, dhow)) = prepared() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let built = made(&dhow, FILES, &["-o", &at("out/deep")]);
    assert_eq!(built.code, 0, "{built:?}");
    let root = folder.path().join("out/deep");
    assert_eq!(
        fs::read_to_string(root.join("tree/a/b/c.txt")).expect("file"),
        "tree/a/b/c.txt\n"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &root.join("bin/run.sh").metadata().expect("file").permissions(),
    );
    assert_eq!(mode & 0o7777, 0o750);
    let names = e2e::tree(&root);
    assert!(
        names
            .iter()
            .all(|path| path.starts_with("bin") || path.starts_with("tree")),
        "nothing that a container adds: {names:?}"
    );

    let built = made(&dhow, FILES, &["-o", &format!("type=tar,dest={}", at("a.tar"))]);
    assert_eq!(built.code, 0, "{built:?}");
    let listed = members(&folder.path().join("a.tar"));
    assert!(listed.iter().any(|name| name == "tree/a/b/c.txt"), "{listed:?}");

    let printed = made(&dhow, FILES, &["-o", "-"]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    assert!(
        printed.stdout.contains("ustar") && printed.stderr.contains("Step 1/3"),
        "{}",
        printed.stderr
    );
}

#[test]
fn an_image_goes_to_an_archive_or_a_layout_and_can_be_built_upon() {
    let Some((_daemon, dhow)) = prepared() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    for kind in ["docker", "oci"] {
        let output = format!("type={kind},dest={}", at(kind));
        let built = made(&dhow, FILES, &["-t", "kept:1", "-o", &output]);
        assert_eq!(built.code, 0, "{built:?}");
        let listed = members(&folder.path().join(kind));
        assert!(listed.iter().any(|name| name == "index.json"), "{listed:?}");
        dhow.ok(["rmi", "kept:1"]);
        assert!(dhow.ok(["load", "-i", &at(kind)]).contains("kept:1"));
    }
    let output = format!("type=oci,tar=false,dest={}", at("layout"));
    let built = made(&dhow, "FROM busybox\nENV from=layout\n", &["--output", &output]);
    assert_eq!(built.code, 0, "{built:?}");
    let pair = format!("base=oci-layout://{}", at("layout"));
    let built = made(&dhow, "FROM base\nRUN echo $from\n", &["--build-context", &pair]);
    assert!(
        built.code == 0 && built.stdout.contains("\nlayout\n"),
        "{built:?}"
    );
}

#[test]
fn a_result_is_pushed_and_its_digest_told() {
    let Some((_daemon, dhow)) = prepared() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "busybox");
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("meta.json");
    let name = format!("{}/made:1", registry.address());
    let file_text = file.display().to_string();
    let built = made(
        &dhow,
        FILES,
        &["-t", &name, "--push", "--metadata-file", &file_text],
    );
    assert_eq!(built.code, 0, "{built:?}");
    let (_, bytes) = registry.manifest("made", "1").expect("it is there");
    let digest = Value::from(sha256(&bytes));
    let told: Value = serde_json::from_slice(&fs::read(&file).expect("file")).expect("JSON");
    assert_eq!(told["containerimage.digest"], digest, "{told}");
    assert_eq!(told["image.name"], Value::from(name.as_str()));
    let id = dhow.ok(["image", "inspect", "--format", "{{.Id}}", &name]);
    assert_eq!(told["containerimage.config.digest"], Value::from(id));
    let other = format!("type=registry,name={}/other:2", registry.address());
    let built = made(&dhow, FILES, &["--output", &other]);
    assert_eq!(built.code, 0, "{built:?}");
    assert!(registry.manifest("other", "2").is_some());
}

fn sha256(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("x");
    fs::write(&path, bytes).expect("file");
    let output = std::process::Command::new("sha256sum")
        .arg(&path)
        .output()
        .expect("sha256sum");
    format!("sha256:{}", &String::from_utf8_lossy(&output.stdout)[..64])
}

#[test]
fn steps_are_kept_in_a_registry_or_a_directory_and_found_again() {
    let Some((_daemon, dhow)) = prepared() else { return };
    let registry = Registry::start();
    let folder = tempfile::tempdir().expect("folder");
    let name = format!("{}/cache:1", registry.address());
    let local = folder.path().join("cache").display().to_string();
    let text = "FROM busybox\nRUN echo one > /1\nRUN echo two > /2\n";
    let to = [
        format!("type=registry,ref={name},mode=min"),
        format!("type=local,dest={local}"),
    ];
    let built = made(
        &dhow,
        text,
        &["-t", "made", "--cache-to", &to[0], "--cache-to", &to[1]],
    );
    assert_eq!(built.code, 0, "{built:?}");
    for from in [
        format!("type=registry,ref={name}"),
        format!("type=local,src={local}"),
    ] {
        dhow.ok(["system", "prune", "--all", "--force"]);
        dhow.run(["rmi", "--force", "made", &name]);
        let fresh = e2e::daemon().expect("another daemon");
        fresh.load_busybox();
        let other = e2e::clients(&fresh)
            .into_iter()
            .find(Client::is_dhow)
            .expect("dhow");
        let built = made(&other, text, &["--cache-from", &from]);
        assert_eq!(
            built.stdout.matches("Using cache").count(),
            2,
            "{from}: {built:?}"
        );
    }
    let missing = made(&dhow, FILES, &["--cache-from", "type=local,src=/nonexistent"]);
    assert!(
        missing.code == 0 && missing.stderr.contains("WARNING"),
        "{missing:?}"
    );
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_built() {
    let Some((_daemon, dhow)) = prepared() else { return };
    for (arguments, says) in [
        (vec!["-o", "type=what"], "unsupported output type what"),
        (vec!["-o", "type=local"], "dest is required for local exporter"),
        (vec!["-o", "type=tar,dest=x,compression=zstd"], "compression=zstd"),
        (vec!["--push"], "tag is needed when pushing"),
        (vec!["--push", "--load", "-t", "x"], "push and load"),
        (vec!["--cache-to", "type=gha"], "type=gha is not available"),
        (
            vec!["--cache-to", "type=registry,ref=x,mode=max"],
            "mode=max is available with type=local only",
        ),
        (vec!["--sbom", "true"], "--sbom=true is not available"),
        (
            vec!["--provenance", "mode=max"],
            "--provenance=mode=max is not available",
        ),
        (vec!["--unset", "what"], "must be volume"),
        (vec!["--allow", "what"], "unknown entitlement what"),
    ] {
        let failed = made(&dhow, FILES, &arguments);
        assert_ne!(failed.code, 0, "{arguments:?}");
        assert!(
            failed.stderr.contains(says) && !failed.stdout.contains("Step"),
            "{arguments:?}: {failed:?}"
        );
    }
    let fine = made(
        &dhow,
        FILES,
        &["--sbom", "false", "--provenance", "false", "--load"],
    );
    assert_eq!(fine.code, 0, "{fine:?}");
}

#[test]
fn squash_leaves_one_layer_above_the_base_with_the_same_files() {
    let Some((_daemon, dhow)) = prepared() else { return };
    let text = "FROM busybox\nRUN mkdir /d && echo 1 > /d/1 && echo gone > /gone && chmod 700 /d\nRUN rm /gone && echo 2 > /d/2\n\
                ENV a=b\nRUN rm /bin/yes\nCMD [\"x\"]\n";
    for name in ["plain", "squashed"] {
        let mut arguments = vec!["-t", name];
        if name == "squashed" {
            arguments.push("--squash");
        }
        let built = made(&dhow, text, &arguments);
        assert_eq!(built.code, 0, "{built:?}");
    }
    let of = |name: &str, format: &str| dhow.ok(["image", "inspect", "--format", format, name]);
    assert_eq!(of("squashed", "{{len .RootFS.Layers}}"), "2");
    assert_eq!(
        of("plain", "{{json .Config}}"),
        of("squashed", "{{json .Config}}")
    );
    let files = "find / -xdev -path /proc -prune -o -path /sys -prune -o -path /dev -prune -o -path /etc -prune -o -exec stat -c '%n %a %u %s' {} + | sort";
    let tree = |name: &str| dhow.ok(["run", "--rm", "--entrypoint", "sh", name, "-c", files]);
    let (plain, squashed) = (tree("plain"), tree("squashed"));
    assert!(
        plain.contains("/d 700") && !plain.contains("/gone") && !plain.contains("/bin/yes"),
        "{plain}"
    );
    assert_eq!(plain, squashed);
    let history = dhow.ok(["history", "--no-trunc", "squashed"]);
    assert!(
        history.contains("merge sha256:") && history.contains("rm /gone"),
        "{history}"
    );
}

#[test]
fn unset_takes_away_what_a_base_sets_and_a_filter_builds_a_stage_anew() {
    let Some((_daemon, dhow)) = prepared() else { return };
    let base = "FROM busybox\nVOLUME /v\nENV a=1 b=2\nEXPOSE 80\n";
    assert_eq!(made(&dhow, base, &["-t", "base"]).code, 0);
    let built = made(
        &dhow,
        "FROM base\nENV c=3\n",
        &["-t", "less", "--unset", "volume,env:a", "--unset", "expose"],
    );
    assert_eq!(built.code, 0, "{built:?}");
    let config = dhow.ok(["image", "inspect", "--format", "{{json .Config}}", "less"]);
    assert!(
        config.contains("b=2") && config.contains("c=3") && !config.contains("a=1"),
        "{config}"
    );
    assert!(!config.contains("/v") && !config.contains("80/tcp"), "{config}");

    let stages = "FROM busybox AS one\nRUN echo 1 > /1\nFROM busybox AS two\nRUN echo 2 > /2\nFROM busybox\n\
                  COPY --from=one /1 /\nCOPY --from=two /2 /\n";
    assert_eq!(made(&dhow, stages, &[]).code, 0);
    let again = made(&dhow, stages, &["--no-cache-filter", "two"]);
    assert_eq!(again.stdout.matches("Using cache").count(), 3, "{again:?}");
    assert!(again.stdout.contains("Running in"), "{again:?}");
}

#[test]
fn an_insecure_step_needs_leave() {
    let Some((_daemon, dhow)) = prepared() else { return };
    let text = "FROM busybox\nRUN --security=insecure grep CapEff /proc/self/status\n";
    let failed = made(&dhow, text, &[]);
    assert!(
        failed.stderr.contains("security.insecure is not allowed"),
        "{failed:?}"
    );
    let caps = |output: &Output| {
        let line = output
            .stdout
            .lines()
            .find(|line| line.starts_with("CapEff"))
            .map(str::to_owned);
        u64::from_str_radix(line.expect("a line").trim_start_matches("CapEff:").trim(), 16).expect("digits")
    };
    let allowed = made(&dhow, text, &["--allow", "security.insecure"]);
    assert_eq!(allowed.code, 0, "{allowed:?}");
    let usual = made(&dhow, &text.replace("--security=insecure ", ""), &[]);
    const SYS_ADMIN: u64 = 1 << 21;
    assert_eq!(
        (caps(&allowed) & SYS_ADMIN, caps(&usual) & SYS_ADMIN),
        (SYS_ADMIN, 0)
    );
}

#[test]
fn hostile_dockerfiles_end_in_a_clear_error() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let folder = context();
        let run = |text: &str| {
            fs::write(folder.path().join("Dockerfile"), text).expect("file");
            build(docker, folder.path(), &["-t", "hostile"], None)
        };
        for (text, says) in [
            ("FROM a AS b\nFROM b AS a\nFROM 127.0.0.1:1/x\n", ""),
            ("FROM busybox\nCOPY --from=0 /x /\n", "0"),
            ("FROM busybox\nONBUILD ONBUILD RUN x\n", "ONBUILD"),
            ("FROM busybox\nCOPY evil /x\n", "evil"),
            (
                "FROM busybox\nRUN ln -s /etc /link && ln -s link /loop && rm /link && ln -s loop /link\nCOPY a.txt /loop/x\n",
                "symbolic links",
            ),
            ("FROM busybox\nCOPY ../../etc/passwd /\n", "outside"),
            ("FROM busybox\nADD dir/../../../etc/passwd /\n", "outside"),
        ] {
            let failed = run(text);
            assert_ne!(failed.code, 0, "{text}");
            assert!(
                failed.stderr.contains(says) && !failed.stderr.is_empty(),
                "{text}: {failed:?}"
            );
        }
        for (steps, says) in [
            (9_999, "127.0.0.1:1"),
            (10_000, "too many instructions: 10000 are allowed"),
        ] {
            let steps = "ENV a=b\n".repeat(steps);
            let many = run(&format!("FROM 127.0.0.1:1/x\n{steps}"));
            assert_ne!(many.code, 0);
            assert!(many.stderr.contains(says), "{:?}", many.stderr);
        }
        assert_eq!(
            docker.ok(["ps", "--all", "--quiet", "--filter", "status=running"]),
            ""
        );
    });
}

#[test]
fn steps_of_all_stages_are_kept_when_they_are_asked_for() {
    let Some((_daemon, dhow)) = prepared() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let text =
        "FROM busybox AS first\nRUN echo one > /1\nFROM busybox\nCOPY --from=first /1 /1\nRUN echo two\n";
    for (mode, cached) in [("min", 2), ("max", 3)] {
        let place = folder.path().join(mode).display().to_string();
        let to = format!("type=local,dest={place},mode={mode}");
        let built = made(&dhow, text, &["--cache-to", &to]);
        assert_eq!(built.code, 0, "{built:?}");
        let fresh = e2e::daemon().expect("another daemon");
        fresh.load_busybox();
        let clients = e2e::clients(&fresh);
        let other = clients.into_iter().find(Client::is_dhow).expect("dhow");
        let built = made(
            &other,
            text,
            &["--cache-from", &format!("type=local,src={place}")],
        );
        assert_eq!(
            built.stdout.matches("Using cache").count(),
            cached,
            "{mode}: {built:?}"
        );
    }
}
