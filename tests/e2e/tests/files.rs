//! Files in and out: cp, volumes, binds, tmpfs, read-only roots.

use std::fs;

use e2e::{daemon, for_each_client, until};

#[test]
fn cp_goes_both_ways_and_follows_links_inside_the_container_only() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run",
            "-d",
            "--name",
            "cc",
            "busybox",
            "sh",
            "-c",
            "ln -s / /tmp/up; ln -s /etc/passwd /link; sleep 1000",
        ]);
        until("the links", || {
            docker.run(["exec", "cc", "test", "-L", "/link"]).code == 0
        });
        let source = daemon.folder().join("source.txt");
        fs::write(&source, "content").expect("file");
        docker.ok([
            "cp".as_ref(),
            source.as_os_str(),
            "cc:/tmp/up/root/there".as_ref(),
        ]);
        assert_eq!(docker.ok(["exec", "cc", "cat", "/root/there"]), "content");
        let back = daemon.folder().join("back.txt");
        docker.ok([
            "cp".as_ref(),
            "-L".as_ref(),
            "cc:/link".as_ref(),
            back.as_os_str(),
        ]);
        let text = fs::read_to_string(&back).expect("file");
        assert!(
            text.contains("guest:x:1000"),
            "the container's passwd, not the host's: {text}"
        );
        let error = docker.fails(1, ["cp", "cc:/nosuch", "-"]);
        // The words of the daemon, or those that docker 20.10 has for this status.
        let said = [
            "Could not find the file /nosuch in container cc",
            "No such container:path: cc:/nosuch",
        ];
        assert!(said.iter().any(|text| error.contains(text)), "{error}");
        docker.ok(["rm", "-f", "cc"]);
        fs::remove_file(back).expect("file");
    });
}

#[test]
fn a_stopped_container_has_the_files_of_its_last_run_and_its_mounts_for_cp() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let shared = daemon.folder().join("shared");
    fs::create_dir(&shared).expect("folder");
    fs::write(shared.join("kept"), "of the host").expect("file");
    let source = daemon.folder().join("source.txt");
    fs::write(&source, "content").expect("file");
    for_each_client(&daemon, |docker| {
        let bind = format!("{}:/shared:ro", shared.display());
        let flags = [
            "--hostname",
            "mine",
            "--add-host",
            "peer:10.9.8.7",
            "--tmpfs",
            "/scratch",
            "-v",
            &bind,
        ];
        docker.ok(["run", "--name", "over"]
            .iter()
            .chain(&flags)
            .chain(&["busybox", "true"]));
        let file = |path: &str| {
            let to = daemon.folder().join("back");
            docker.ok(["cp".as_ref(), format!("over:{path}").as_ref(), to.as_os_str()]);
            let text = fs::read_to_string(&to).expect("file");
            fs::remove_file(to).expect("file");
            text
        };
        assert_eq!(file("/etc/hostname"), "mine\n");
        let hosts = file("/etc/hosts");
        assert!(hosts.contains("10.9.8.7\tpeer"), "{hosts}");
        assert_eq!(file("/shared/kept"), "of the host");
        let error = docker.fails(
            1,
            ["cp".as_ref(), source.as_os_str(), "over:/shared/new".as_ref()],
        );
        assert!(
            error.contains("marked read-only") || error.contains("read-only file system"),
            "{error}"
        );
        assert!(!shared.join("new").exists());
        docker.ok(["rm", "over"]);
    });
}

#[test]
fn cp_does_not_take_mounts_away_and_names_what_holds_no_files() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let source = daemon.folder().join("hostname");
    fs::write(&source, "other\n").expect("file");
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run",
            "-d",
            "--name",
            "kept",
            "--hostname",
            "mine",
            "busybox",
            "sleep",
            "1000",
        ]);
        let copy = |to: &str| docker.fails(1, ["cp".as_ref(), source.as_os_str(), to.as_ref()]);
        let error = copy("kept:/etc/hostname");
        assert!(
            error.contains("unlinkat /etc/hostname: device or resource busy"),
            "{error}"
        );
        assert_eq!(docker.ok(["exec", "kept", "cat", "/etc/hostname"]), "mine");
        for place in ["kept:/proc/", "kept:/sys/fs/"] {
            let error = copy(place);
            assert!(error.contains("it shows the kernel's state"), "{place}: {error}");
        }
        docker.ok(["rm", "-f", "kept"]);
    });
}

#[test]
fn volumes_keep_their_content_and_start_with_the_images() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run",
            "--rm",
            "-v",
            "data:/etc",
            "busybox",
            "sh",
            "-c",
            "echo more > /etc/more",
        ]);
        assert_eq!(
            docker.ok([
                "run",
                "--rm",
                "-v",
                "data:/d",
                "busybox",
                "sh",
                "-c",
                "cat /d/more; ls /d/passwd"
            ]),
            "more\n/d/passwd"
        );
        docker.ok(["create", "--name", "holder", "-v", "data:/d", "busybox"]);
        let error = docker.fails(1, ["volume", "rm", "data"]);
        assert!(error.contains("volume is in use"), "{error}");
        docker.ok(["rm", "holder"]);
        docker.ok(["volume", "rm", "data"]);
    });
}

#[test]
fn mounts_are_as_asked() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let shared = daemon.folder().join("shared");
    fs::create_dir(&shared).expect("folder");
    fs::write(shared.join("file"), "host").expect("file");
    for_each_client(&daemon, |docker| {
        let bind = format!("{}:/m:ro", shared.display());
        let output = docker.run([
            "run",
            "--rm",
            "-v",
            &bind,
            "busybox",
            "sh",
            "-c",
            "cat /m/file; echo no > /m/file",
        ]);
        assert!(
            output.stdout == "host" && output.code != 0 && output.stderr.contains("Read-only file system"),
            "{output:?}"
        );
        let output = docker.run([
            "run",
            "--rm",
            "--read-only",
            "--tmpfs",
            "/t:size=1m",
            "busybox",
            "sh",
            "-c",
            "touch /t/a && touch /b",
        ]);
        assert!(
            output.code != 0 && output.stderr.contains("/b: Read-only file system"),
            "{output:?}"
        );
        let text = docker.ok([
            "run",
            "--rm",
            "--tmpfs",
            "/t:size=1m",
            "busybox",
            "sh",
            "-c",
            "df -k /t | tail -n1",
        ]);
        assert!(text.split_whitespace().any(|word| word == "1024"), "{text}");
        let error = docker.fails(
            125,
            [
                "run",
                "--rm",
                "--mount",
                "type=bind,src=/no/such/folder,dst=/m",
                "busybox",
                "true",
            ],
        );
        assert!(
            error.contains("bind source path does not exist: /no/such/folder"),
            "{error}"
        );
    });
}
