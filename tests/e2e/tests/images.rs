//! Images without a registry: load, save, tag, import, commit, rmi.

use std::fs;

use e2e::{daemon, for_each_client};

#[test]
fn an_image_survives_save_and_load_with_its_id() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let id = || docker.ok(["image", "inspect", "--format", "{{.Id}}", "busybox"]);
        let before = id();
        let file = daemon.folder().join("saved.tar");
        docker.ok([
            "save".as_ref(),
            "-o".as_ref(),
            file.as_os_str(),
            "busybox".as_ref(),
        ]);
        docker.ok(["rmi", "busybox"]);
        let text = docker.ok(["load".as_ref(), "-i".as_ref(), file.as_os_str()]);
        assert_eq!(text, "Loaded image: busybox:latest");
        assert_eq!(id(), before);
        fs::remove_file(file).expect("file");
    });
}

#[test]
fn tags_are_names_and_the_last_one_takes_the_image_along() {
    let Some(daemon) = daemon() else { return };
    for_each_client(&daemon, |docker| {
        daemon.load_busybox();
        docker.ok(["tag", "busybox", "other:v1"]);
        assert_eq!(
            docker.ok(["images", "--format", "{{.Repository}}:{{.Tag}}", "other"]),
            "other:v1"
        );
        assert_eq!(docker.ok(["rmi", "busybox"]), "Untagged: busybox:latest");
        docker.ok(["create", "--name", "user", "other:v1"]);
        let error = docker.fails(1, ["rmi", "other:v1"]);
        assert!(error.contains("conflict: unable to"), "{error}");
        docker.ok(["rm", "user"]);
        let text = docker.ok(["rmi", "other:v1"]);
        assert!(
            text.contains("Untagged: other:v1") && text.contains("Deleted: sha256:"),
            "{text}"
        );
        let error = docker.fails(125, ["run", "--rm", "--pull", "never", "other:v1"]);
        assert!(error.contains("No such image: other:v1"), "{error}");
    });
}

#[test]
fn a_commit_carries_the_changes_and_nothing_of_the_engine() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run",
            "--name",
            "work",
            "busybox",
            "sh",
            "-c",
            "echo new > /root/file; rm /etc/group",
        ]);
        assert_eq!(
            docker.ok(["diff", "work"]),
            "C /etc\nD /etc/group\nC /root\nA /root/file"
        );
        docker.ok(["commit", "-c", "ENV A=b", "-m", "why", "work", "mine"]);
        assert_eq!(
            docker
                .ok([
                    "run",
                    "--rm",
                    "mine",
                    "sh",
                    "-c",
                    "cat /root/file; echo $A; ls /etc/group 2>&1; true"
                ])
                .lines()
                .take(2)
                .collect::<Vec<_>>(),
            ["new", "b"]
        );
        docker.ok(["create", "--name", "fresh", "mine"]);
        assert_eq!(
            docker.ok(["diff", "fresh"]),
            "",
            "a fresh container has no changes"
        );
        docker.ok(["rm", "work", "fresh"]);
        docker.ok(["rmi", "mine"]);
    });
}

#[test]
fn export_and_import_keep_the_tree() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run",
            "--name",
            "source",
            "busybox",
            "sh",
            "-c",
            "echo x > /mark; chmod 4711 /mark",
        ]);
        let file = daemon.folder().join("tree.tar");
        docker.ok([
            "export".as_ref(),
            "-o".as_ref(),
            file.as_os_str(),
            "source".as_ref(),
        ]);
        docker.ok([
            "import".as_ref(),
            "-c".as_ref(),
            "CMD [\"sh\"]".as_ref(),
            file.as_os_str(),
            "flat:1".as_ref(),
        ]);
        assert_eq!(
            docker.ok(["run", "--rm", "flat:1", "stat", "-c", "%a", "/mark"]),
            "4711"
        );
        docker.ok(["rm", "source"]);
        docker.ok(["rmi", "flat:1"]);
        fs::remove_file(file).expect("file");
    });
}

#[test]
fn images_beside_each_other_show_layers_differences_and_platforms() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let script = "dd if=/dev/zero of=/large bs=1k count=64 2>/dev/null; echo new > /new; rm /etc/group";
        docker.ok(["run", "--name", "one", "busybox", "sh", "-c", script]);
        docker.ok(["commit", "one", "middle"]);
        docker.ok(["run", "--name", "two", "middle", "rm", "/large"]);
        docker.ok(["commit", "two", "top"]);
        docker.ok(["rm", "one", "two"]);
        if docker.is_dhow() {
            let tree = docker.ok(["image", "tree", "top"]);
            assert_eq!(tree.lines().count(), 5, "{tree}");
            assert!(
                tree.lines().nth(4).unwrap_or_default().contains("busybox:latest"),
                "{tree}"
            );
            assert_eq!(
                docker.ok(["image", "diff", "busybox", "top"]),
                "C /etc\nD /etc/group\nA /new"
            );
            let id = docker.ok(["image", "squash", "--since", "busybox", "top", "small"]);
            assert_eq!(
                docker.ok(["image", "inspect", "--format", "{{.Id}}", "small"]),
                id
            );
            let layers = ["image", "inspect", "--format", "{{len .RootFS.Layers}}", "small"];
            assert_eq!(docker.ok(layers), "2");
            assert_eq!(docker.ok(["image", "diff", "top", "small"]), "");
            assert_eq!(docker.ok(["run", "--rm", "small", "cat", "/new"]), "new");
            docker.ok(["rmi", "small"]);
            let error = docker.fails(1, ["image", "squash", "--since", "top", "busybox"]);
            assert!(error.contains("is not built on"), "{error}");
            let error = docker.fails(1, ["image", "tree", "none"]);
            assert!(error.contains("No such image: none:latest"), "{error}");
            let shown = docker.ok(["image", "ls", "--tree"]);
            assert!(
                shown.contains("busybox:latest") && shown.contains("└─ linux/"),
                "{shown}"
            );

            let file = daemon.folder().join("since.tar");
            let file = file.to_str().expect("a name in UTF-8");
            docker.ok(["save", "--since", "busybox", "-o", file, "top"]);
            docker.ok(["rmi", "top", "middle"]);
            docker.ok(["load", "-i", file]);
            assert_eq!(docker.ok(["run", "--rm", "top", "cat", "/new"]), "new");
            fs::remove_file(file).expect("file");
            docker.ok(["rmi", "top"]);
        } else {
            docker.ok(["rmi", "top", "middle"]);
        }
        let other = ["image", "inspect", "--platform", "linux/s390x", "busybox"];
        // The oldest docker has no such flag.
        let refused = docker.run(other);
        assert_ne!(refused.code, 0, "{}", refused.stderr);
    });
}
