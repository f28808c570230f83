//! The good and bad documents that come with the runtime-spec's schema.

// Tests say on stderr that they were skipped.
#![allow(clippy::print_stderr)]

mod place;

use std::path::{Path, PathBuf};

use place::Place;
use serde_json::{Value, json};

/// The documents of one kind, by name; none where the reference is not beside the project.
fn documents(kind: &str) -> Vec<(String, PathBuf)> {
    let below = "../../../shared/reference/oci-runtime-spec/schema/test/config";
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(below).join(kind);
    let Ok(entries) = std::fs::read_dir(&directory) else {
        eprintln!("skipped: {} is not there", directory.display());
        return Vec::new();
    };
    let name = |path: &Path| path.file_stem().expect("name").to_string_lossy().into_owned();
    let paths = entries.map(|entry| entry.expect("entry").path());
    paths.map(|path| (name(&path), path)).collect()
}

/// Makes a container of a document; what the program said of it.
fn create(place: &Place, document: &[u8]) -> Result<(), String> {
    std::fs::write(place.bundle().join("config.json"), document).expect("config");
    let log = place.directory.path().join("log");
    let _ = std::fs::remove_file(&log);
    // Into a file: a container that is made after all would hold a pipe open.
    let status = place
        .command()
        .args(["--log", log.to_str().expect("utf-8"), "create", "-b"])
        .args([place.bundle().as_os_str(), place.id.as_ref()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .expect("run");
    if status.success() {
        place.verb(&["delete", "--force", &place.id]);
        return Ok(());
    }
    Err(std::fs::read_to_string(&log).expect("log"))
}

#[test]
fn a_process_must_be_there_at_the_latest_when_a_container_is_made() {
    let Some(place) = Place::new("minimal", "true") else {
        return;
    };
    let said = create(
        &place,
        br#"{ "ociVersion": "1.0.0", "root": { "path": "rootfs" } }"#,
    )
    .expect_err("no process");
    assert!(said.contains("process must be specified"), "{said}");
}

#[test]
fn good_documents_are_obeyed_and_those_for_other_systems_refused_by_name() {
    let Some(place) = Place::new("good", "true") else {
        return;
    };
    for (name, path) in documents("good") {
        let text = std::fs::read(&path).expect("document");
        let mut document: Value = serde_json::from_slice(&text).expect("json");
        if document["ociVersion"]
            .as_str()
            .expect("version")
            .starts_with("0.")
        {
            // A draft of the specification: what such a document means was still to be decided.
            let said = create(&place, &text).expect_err(&name);
            assert!(said.contains("ociVersion: unsupported version"), "{name}: {said}");
            document["ociVersion"] = json!("1.0.0");
        }
        let elsewhere = ["zos", "freebsd"]
            .into_iter()
            .find(|system| name.starts_with(system));
        if let Some(system) = elsewhere {
            let said = create(&place, document.to_string().as_bytes()).expect_err(&name);
            assert!(
                said.contains(&format!("{system}: the bundle is for another system")),
                "{name}: {said}"
            );
            continue;
        }
        // What these ask of the host (devices, hooks, labels) is not here; what they have of a process is obeyed.
        if document.get("process").is_none() {
            document["process"] = json!({ "cwd": "/", "args": ["sh"], "user": { "uid": 0, "gid": 0 } });
        }
        document["linux"] = json!({
            "cgroupsPath": format!("/dhow-test-{}", place.id),
            "namespaces": [{ "type": "mount" }, { "type": "uts" }],
        });
        for section in ["hooks", "mounts"] {
            document.as_object_mut().expect("object").remove(section);
        }
        for property in [
            "apparmorProfile",
            "selinuxLabel",
            "terminal",
            "ioPriority",
            "scheduler",
            "execCPUAffinity",
        ] {
            document["process"]
                .as_object_mut()
                .expect("process")
                .remove(property);
        }
        if let Err(said) = create(&place, document.to_string().as_bytes()) {
            panic!("{name}: {said}");
        }
    }
}

#[test]
fn bad_documents_are_refused_by_the_property_that_is_wrong() {
    let Some(place) = Place::new("bad", "true") else {
        return;
    };
    for (name, path) in documents("bad") {
        let said = create(&place, &std::fs::read(&path).expect("document")).expect_err(&name);
        let words = match name.as_str() {
            "invalid-json" => "line 1",
            "linux-netdevice" => "linux.netDevices.eth0.name",
            "linux-rdma" => "linux.resources.rdma.mlx5_1.hcaHandles",
            "linux-hugepage" => "hugepageLimits.pageSize",
            "freebsd-vnet-disable" => "freebsd: the bundle is for another system",
            other => panic!("{other}: a document that this test does not know"),
        };
        assert!(said.contains(words), "{name}: {said}");
    }
}
