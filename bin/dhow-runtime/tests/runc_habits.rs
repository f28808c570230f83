//! What users of runc do by habit, and its own tests ask for: flags behind the id, hooks that look for the root file system,
//! hooks of the image, variables given twice.

// Tests say on stderr that they were skipped.
#![allow(clippy::print_stderr)]

mod place;

use place::Place;
use serde_json::{Value, json};

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn flags_may_stand_behind_the_container_id() {
    let Some(place) = Place::new("behind", "sleep 1000") else {
        return;
    };
    assert!(place.create("create").status.success());
    place.verb(&["start", &place.id]);
    place.verb(&["update", &place.id, "--pids-limit", "50"]);
    let stats: Value = serde_json::from_str(&place.verb(&["events", &place.id, "--stats"])).expect("json");
    assert_eq!(stats["data"]["pids"]["limit"], 50);
    // No signal: asks whether somebody is there.
    place.verb(&["kill", &place.id, "0"]);
    // Behind the id of an exec, flags are the program's.
    assert_eq!(place.verb(&["exec", &place.id, "echo", "-n", "--user"]), "--user");
    place.verb(&["delete", &place.id, "--force"]);
    assert!(!place.run(&["state", &place.id]).status.success());
}

#[test]
fn state_and_list_have_the_order_of_runc() {
    let Some(place) = Place::new("order", "sleep 1000") else {
        return;
    };
    place.configure(|spec| spec["annotations"] = json!({ "a": "b" }));
    assert!(place.create("create").status.success());
    let list = place.verb(&["list", "--format", "json"]);
    assert!(list.starts_with("[{\"ociVersion\":\""), "{list}");
    for text in [list, place.verb(&["state", &place.id])] {
        let keys = [
            "ociVersion",
            "id",
            "pid",
            "status",
            "bundle",
            "rootfs",
            "created",
            "annotations",
            "owner",
        ];
        let places: Vec<_> = keys.iter().map(|key| text.find(&format!("\"{key}\":"))).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
    }
    place.verb(&["delete", "--force", &place.id]);
}

#[test]
fn of_a_variable_given_twice_the_last_counts() {
    let Some(place) = Place::new("twice", "echo $A; sleep 1000") else {
        return;
    };
    place.configure(|spec| spec["process"]["env"] = json!(["PATH=/bin", "A=1", "A=2"]));
    assert!(place.create("create").status.success());
    place.verb(&["start", &place.id]);
    assert_eq!(
        place.verb(&["exec", "-e", "A=3", &place.id, "sh", "-c", "echo $A"]),
        "3\n"
    );
    assert_eq!(place.verb(&["exec", &place.id, "sh", "-c", "echo $A"]), "2\n");
    place.verb(&["delete", "--force", &place.id]);
}

#[test]
fn a_capability_that_nobody_knows_is_left_out_with_a_warning() {
    let Some(place) = Place::new("capability", "grep CapBnd /proc/self/status") else {
        return;
    };
    place.configure(|spec| {
        spec["process"]["capabilities"]["bounding"] = json!(["CAP_OF_TOMORROW", "CAP_KILL"]);
    });
    let output = place.run_bundle(&[]);
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("0000000000000020\n"));
    let error = stderr(&output);
    assert!(
        error.contains("level=warning") && error.contains("CAP_OF_TOMORROW"),
        "{error}"
    );
}

#[test]
fn hooks_find_the_root_file_system_where_the_bundle_has_it() {
    let Some(place) = Place::new("found", "cat /from-runtime /from-container; ls -d /nowhere") else {
        return;
    };
    let rootfs = place.bundle().join("rootfs");
    let rootfs = rootfs.display();
    // As the hooks of graphics cards do: into the mount namespace, and there to the path that the bundle names.
    let runtime = format!(
        "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); nsenter -m -t $pid mount -t tmpfs none {rootfs}/mnt && \
         echo runtime > {rootfs}/from-runtime"
    );
    let container = "echo container > from-container";
    place.configure(|spec| {
        spec["root"]["readonly"] = json!(false);
        spec["hooks"] = json!({
            "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", runtime] }],
            "createContainer": [{ "path": "/bin/sh", "args": ["sh", "-c", container] }],
        });
        spec["process"]["args"] = json!([
            "sh",
            "-c",
            "cat /from-runtime /from-container; grep -c ' /mnt ' /proc/mounts"
        ]);
    });
    std::fs::create_dir(place.bundle().join("rootfs/mnt")).expect("mkdir");
    let output = place.run_bundle(&[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text, "runtime\ncontainer\n1\n", "{}", stderr(&output));
}

#[test]
fn a_hook_of_the_image_has_the_rights_of_the_container_and_ends_it_when_it_fails() {
    let Some(place) = Place::new("image-hook", "echo never") else {
        return;
    };
    let hook =
        |script: &str| json!({ "startContainer": [{ "path": "/bin/sh", "args": ["sh", "-c", script] }] });
    place.configure(|spec| {
        spec["process"]["user"] = json!({ "uid": 7, "gid": 8 });
        spec["hooks"] = hook("grep -E '^(Uid|CapBnd|NoNewPrivs)' /proc/self/status; cat; exit 3");
    });
    let output = place.run_bundle(&[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let error = stderr(&output);
    for wanted in [
        "startContainer hook #0: exit status 3",
        "Uid:\\t7\\t7\\t7\\t7",
        "CapBnd:\\t0000000020000420",
        "NoNewPrivs:\\t1",
        // Its own view of the processes.
        "\\\"pid\\\":1,",
    ] {
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    place.configure(|spec| {
        spec["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS" }],
        });
        spec["hooks"] = hook("exec mkdir /dev/shm/x");
    });
    let error = stderr(&place.run_bundle(&[]));
    assert!(error.contains("bad system call"), "{error}");
    // Also between create and start; and then nothing runs any more.
    assert!(place.create("create").status.success());
    assert!(!place.run(&["start", &place.id]).status.success());
    place.await_status("stopped");
    place.verb(&["delete", &place.id]);
}

#[test]
fn cruns_way_to_name_the_manager_and_the_file_is_understood() {
    let Some(place) = Place::new("crun", "echo here") else {
        return;
    };
    let bundle = place.bundle();
    std::fs::rename(bundle.join("config.json"), bundle.join("other.json")).expect("rename");
    let bundle = bundle.to_str().expect("utf-8");
    let run = [
        "--cgroup-manager",
        "cgroupfs",
        "run",
        "--config",
        "other.json",
        "-b",
        bundle,
        &place.id,
    ];
    assert_eq!(place.verb(&run), "here\n");
}
