//! SELinux: the labels of processes and mounts, seen from inside where it is on (the virtual machine of
//! `cargo xtask vm-test --suite selinux`, with the policy of `xtask/src/vm_test/selinux.cil`), refused where it is off.

// Tests say on stderr that they were skipped.
#![allow(clippy::print_stderr)]

mod place;

use std::path::Path;
use std::process::{Output, Stdio};

use place::Place;
use serde_json::{Value, json};

/// A process that may read what no file of `secret_t` is.
const BOX: &str = "system_u:system_r:box_t:s0:c1,c2";
/// What is made for it.
const FILES: &str = "system_u:object_r:box_file_t:s0:c1,c2";
const SECRET: &str = "system_u:object_r:secret_t:s0";

/// What went wrong, without the quoting of the log.
fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).replace('\\', "")
}

/// Whether this is the machine with the tests' policy.
fn has_policy() -> bool {
    let own = std::fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
    let has = Path::new("/sys/fs/selinux/enforce").exists() && own.starts_with("system_u:system_r:host_t:");
    if !has {
        eprintln!("skipped: SELinux with the tests' own policy (cargo xtask vm-test --suite selinux)");
    }
    has
}

/// Runs the bundle to its end; what its process wrote.
fn output_of(place: &Place, change: impl FnOnce(&mut Value)) -> String {
    place.configure(change);
    let output = place.run_bundle(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).expect("utf-8")
}

#[test]
fn a_process_has_the_label_of_its_bundle() {
    if !has_policy() {
        return;
    }
    let Some(place) = Place::new(
        "label",
        "cat /proc/self/attr/current; echo; cat /secret && echo read",
    ) else {
        return;
    };
    let secret = place.bundle().join("rootfs/secret");
    std::fs::write(&secret, "").expect("secret");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&secret, "security.selinux", SECRET.as_bytes(), flags).expect("label of the file");
    // Without a label it stays what the caller is, who may read everything.
    let text = output_of(&place, |_| {});
    assert!(text.starts_with("system_u:system_r:host_t:"), "{text}");
    assert!(text.contains("read"), "{text}");
    // The policy's word holds for the container.
    place.configure(|spec| spec["process"]["selinuxLabel"] = json!(BOX));
    for no_new_privileges in [true, false] {
        place.configure(|spec| spec["process"]["noNewPrivileges"] = json!(no_new_privileges));
        let output = place.run_bundle(&[]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.trim_end_matches(['\n', '\0']).starts_with(BOX), "{text}");
        assert!(!text.contains("read"), "{text}");
        assert!(
            stderr(&output).contains("Permission denied"),
            "{}",
            stderr(&output)
        );
    }
}

/// What the kernel says is the label of a file.
fn label_of(path: &Path) -> String {
    let mut room = [0; 256];
    let length = rustix::fs::getxattr(path, "security.selinux", &mut room).expect("label");
    let text = String::from_utf8_lossy(&room[..length]).into_owned();
    text.trim_end_matches('\0').to_owned()
}

/// A container that runs until it is deleted.
fn running(name: &str, change: impl FnOnce(&mut Value)) -> Option<Place> {
    let place = Place::new(name, "while :; do sleep 1; done")?;
    place.configure(change);
    let (log, bundle) = (place.directory.path().join("log"), place.bundle());
    let mut command = place.command();
    command.arg("--log").arg(&log).args(["create", "-b"]).arg(bundle);
    // The container keeps the streams: pipes would never end.
    command.arg(&place.id).stdout(Stdio::null()).stderr(Stdio::null());
    let made = command.status().expect("run").success();
    assert!(made, "{}", std::fs::read_to_string(log).unwrap_or_default());
    place.verb(&["start", &place.id]);
    Some(place)
}

#[test]
fn a_further_process_has_the_containers_label_or_its_own() {
    if !has_policy() {
        return;
    }
    let Some(place) = running("execlabel", |spec| spec["process"]["selinuxLabel"] = json!(BOX)) else {
        return;
    };
    let current = ["cat", "/proc/self/attr/current"];
    let label = |flags: &[&str]| {
        let text = place.verb(&[&["exec"], flags, &[&place.id], &current].concat());
        text.trim_end_matches(['\n', '\0']).to_owned()
    };
    assert_eq!(label(&[]), BOX);
    let other = BOX.replace("c1,c2", "c0");
    assert_eq!(label(&["--process-label", &other]), other);
    // A process that says nothing of labels is no way out of the container's.
    let path = place.directory.path().join("process.json");
    let process = json!({ "args": current, "cwd": "/", "env": ["PATH=/bin"] });
    std::fs::write(&path, process.to_string()).expect("process");
    let text = place.verb(&["exec", "--process", &path.display().to_string(), &place.id]);
    assert_eq!(text.trim_end_matches(['\n', '\0']), BOX);
    let output = place.run(&["exec", "--process-label", "x:y:z", &place.id, "true"]);
    assert!(
        stderr(&output)
            .contains("can't set process label \"x:y:z\": write /proc/self/attr/exec: invalid argument"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn file_systems_made_for_a_container_have_its_mount_label() {
    if !has_policy() {
        return;
    }
    let Some(place) = running("mountlabel", |spec| {
        spec["linux"]["mountLabel"] = json!(FILES);
        spec["process"]["selinuxLabel"] = json!(BOX);
        spec["linux"]["maskedPaths"] = json!(["/proc/fs"]);
    }) else {
        return;
    };
    let root = format!("/proc/{}/root", place.state()["pid"]);
    for path in [
        "dev",
        "dev/null",
        "dev/pts",
        "dev/pts/ptmx",
        "dev/shm",
        "dev/mqueue",
        "proc/fs",
    ] {
        assert_eq!(label_of(&Path::new(&root).join(path)), FILES, "{path}");
    }
    // What the kernel fills has labels of its own, and so have the image's files.
    for path in ["proc/version", "sys/kernel", "bin/busybox"] {
        assert_eq!(
            label_of(&Path::new(&root).join(path)),
            "system_u:object_r:file_t:s0",
            "{path}"
        );
    }
    let made = place.verb(&[
        "exec",
        &place.id,
        "sh",
        "-c",
        "echo x >/dev/shm/made; cat /dev/shm/made",
    ]);
    assert_eq!(made, "x\n");
    assert_eq!(label_of(&Path::new(&root).join("dev/shm/made")), FILES);
}

#[test]
fn a_label_that_the_policy_does_not_know_is_named() {
    if !has_policy() {
        return;
    }
    let Some(place) = Place::new("badlabel", "true") else {
        return;
    };
    let said = |section: &str, key: &str| {
        place.configure(|spec| spec[section][key] = json!("x:y:z"));
        let output = place.run_bundle(&[]);
        place.configure(|spec| spec[section][key] = json!(""));
        assert_eq!(output.status.code(), Some(1));
        stderr(&output)
    };
    let process = said("process", "selinuxLabel");
    assert!(
        process
            .contains("can't set process label \"x:y:z\": write /proc/self/attr/keycreate: invalid argument"),
        "{process}"
    );
    let mount = said("linux", "mountLabel");
    assert!(
        mount.contains("to rootfs at \"/dev\" with the label \"x:y:z\": invalid argument"),
        "{mount}"
    );
}

#[test]
fn labels_where_selinux_is_off_are_refused_by_name() {
    if Path::new("/sys/fs/selinux/enforce").exists() {
        eprintln!("skipped: SELinux is on");
        return;
    }
    let Some(place) = Place::new("nolabel", "true") else {
        return;
    };
    let words = "selinux label is specified in config, but selinux is disabled or not supported";
    for (section, key) in [("process", "selinuxLabel"), ("linux", "mountLabel")] {
        place.configure(|spec| spec[section][key] = json!(BOX));
        let output = place.run_bundle(&[]);
        place.configure(|spec| spec[section][key] = json!(""));
        assert_eq!(output.status.code(), Some(1));
        let wanted = format!("{section}.{key}: {words}");
        assert!(stderr(&output).contains(&wanted), "{}", stderr(&output));
    }
}
