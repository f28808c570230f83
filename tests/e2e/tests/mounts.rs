//! What is mounted over what, what a volume is filled with, and who may write to it.

use std::os::unix::fs::{MetadataExt as _, chown};

use e2e::{daemon, for_each_client};

#[test]
fn a_mount_over_a_folder_leaves_what_belongs_below_it() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let run = [
            "run",
            "--rm",
            "--dns",
            "127.0.0.1",
            "-v",
            "/etc",
            "--tmpfs",
            "/etc/below",
        ];
        let script = "cat /etc/resolv.conf; touch /etc/below/file && ls /etc/below";
        let shown = docker.ok(run.iter().chain(&["busybox", "sh", "-c", script]));
        assert!(
            shown.contains("nameserver 127.0.0.1") && shown.ends_with("file"),
            "{shown}"
        );
    });
}

#[test]
fn what_other_containers_lend_is_not_filled_from_the_image() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let build = "FROM busybox\nRUN mkdir /data && echo image > /data/file\n";
        let output = docker.run_with(["build", "-q", "-t", "filled", "-"], build.as_bytes());
        assert_eq!(output.code, 0, "{}", output.stderr);
        docker.ok(["run", "--name", "lender", "-v", "/data", "busybox", "true"]);
        let run = ["run", "--name", "borrower", "--volumes-from", "lender", "filled"];
        assert_eq!(docker.ok(run.iter().chain(&["ls", "/data"])), "");
        assert_eq!(
            docker.ok(["run", "--rm", "-v", "/data", "filled", "cat", "/data/file"]),
            "image"
        );
        let error = docker.fails(125, ["run", "--volumes-from", "lender:odd", "busybox", "true"]);
        assert!(error.contains("invalid mode: odd"), "{error}");
        // Whoever goes last takes an anonymous volume along.
        let name = docker.ok(["inspect", "-f", "{{(index .Mounts 0).Name}}", "lender"]);
        docker.ok(["rm", "-v", "lender"]);
        docker.ok(["volume", "inspect", &name]);
        docker.ok(["rm", "-v", "borrower"]);
        docker.fails(1, ["volume", "inspect", &name]);
        docker.ok(["rmi", "filled"]);
    });
}

#[test]
fn a_tmpfs_passes_its_mounts_on_as_asked() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let propagation = |flags: &str| {
            let run = [
                "run",
                "--rm",
                "--tmpfs",
                flags,
                "busybox",
                "grep",
                " /place ",
                "/proc/self/mountinfo",
            ];
            docker.ok(run)
        };
        assert!(propagation("/place:shared").contains(" shared:"));
        assert!(!propagation("/place").contains(" shared:"));
        let error = docker.fails(125, ["run", "-v", "named:/place:shared", "busybox", "true"]);
        assert!(
            error.contains("invalid mount config for type \"volume\""),
            "{error}"
        );
    });
}

#[test]
fn cp_writes_only_where_the_container_may() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let file = daemon.folder().join("file");
    std::fs::write(&file, "content").expect("write");
    chown(&file, Some(1234), Some(5678)).expect("chown");
    assert_eq!(file.metadata().expect("metadata").uid(), 1234);
    let file = file.to_str().expect("utf-8");
    for_each_client(&daemon, |docker| {
        docker.ok([
            "create",
            "--read-only",
            "--name",
            "sealed",
            "-v",
            "/free",
            "busybox",
        ]);
        let error = docker.fails(1, ["cp", file, "sealed:/tmp/file"]);
        assert!(error.contains("marked read-only"), "{error}");
        docker.ok(["cp", file, "sealed:/free/file"]);
        docker.ok(["rm", "-v", "sealed"]);
        // The working directory is there from the beginning, as docker has it.
        docker.ok([
            "create",
            "--name",
            "placed",
            "-w",
            "/new/place",
            "busybox",
            "cat",
            "file",
        ]);
        docker.ok(["cp", file, "placed:/new/place"]);
        assert_eq!(docker.ok(["start", "-a", "placed"]), "content");
        docker.ok(["rm", "placed"]);
        // Without a user of the container's own `-a` leaves the ids as they are.
        let stat = [
            "create", "--name", "kept", "busybox", "stat", "-c", "%u %g", "/file",
        ];
        docker.ok(stat);
        docker.ok(["cp", "-a", file, "kept:/file"]);
        assert_eq!(docker.ok(["start", "-a", "kept"]), "1234 5678");
        docker.ok(["rm", "kept"]);
    });
}
