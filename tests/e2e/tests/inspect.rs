//! What `inspect` and `system df` say, against what is there.

use std::path::Path;

use e2e::{daemon, for_each_client, http};
use serde_json::Value;

#[test]
fn inspect_shows_absent_things_as_docker_does() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok(["run", "-d", "--name", "seen", "busybox", "sleep", "1000"]);
        let of = |template: &str| docker.ok(["inspect", "--format", template, "seen"]);
        assert_eq!(of("{{json .Config.Volumes}}"), "null");
        assert_eq!(of("{{json .HostConfig.MemorySwappiness}}"), "null");
        let network = of("{{.NetworkSettings.Networks.bridge.NetworkID}}");
        assert_eq!(
            network,
            docker.ok(["network", "inspect", "-f", "{{.Id}}", "bridge"])
        );
        docker.ok(["stop", "-t", "0", "seen"]);
        // What it was in is remembered; what it had there is gone.
        assert_eq!(of("{{.NetworkSettings.Networks.bridge.NetworkID}}"), network);
        assert_eq!(of("{{.NetworkSettings.Networks.bridge.IPAddress}}"), "");
        docker.ok(["rm", "seen"]);
    });
}

#[test]
fn the_storage_driver_tells_where_the_files_are() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run",
            "-d",
            "--name",
            "laid",
            "busybox",
            "sh",
            "-c",
            "echo in > /written; sleep 1000",
        ]);
        e2e::until("the file", || {
            docker.run(["exec", "laid", "test", "-s", "/written"]).code == 0
        });
        // Since 1.52 the API has no such field.
        let text = http::request(&daemon, "GET", "/v1.48/containers/laid/json", None);
        let data = &text.json()["GraphDriver"]["Data"];
        let path = |name: &str| {
            let text = data[name].as_str().unwrap_or_default().to_owned();
            assert!(!text.is_empty(), "{name} is missing in {data}");
            text
        };
        let read = |folder: &str| std::fs::read_to_string(Path::new(folder).join("written")).expect(folder);
        assert_eq!(read(&path("UpperDir")), "in\n");
        assert_eq!(read(&path("MergedDir")), "in\n");
        assert!(Path::new(&path("WorkDir")).is_dir());
        assert!(path("LowerDir").split(':').all(|lower| Path::new(lower).is_dir()));
        docker.ok(["rm", "-f", "laid"]);
        assert!(text.json()["GraphDriver"]["Name"].is_string());
    });
}

#[test]
fn system_df_counts_images_in_use() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let row = |kind: &str| -> Value {
            let lines = docker.ok(["system", "df", "--format", "{{json .}}"]);
            let rows = lines
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
            let mut of_kind = rows.filter(|row| row["Type"] == kind);
            of_kind.next().expect(kind)
        };
        assert_eq!(row("Images")["Active"], "0");
        docker.ok(["create", "--name", "user", "busybox"]);
        let images = row("Images");
        assert_eq!(
            (&images["TotalCount"], &images["Active"]),
            (&"1".into(), &"1".into()),
            "{images}"
        );
        assert_eq!(row("Containers")["TotalCount"], "1");
        // The verbose form counts the containers of each image.
        let verbose = docker.ok(["system", "df", "-v"]);
        let line = verbose
            .lines()
            .find(|line| line.starts_with("busybox"))
            .expect("the image");
        assert!(line.trim_end().ends_with(" 1"), "{verbose}");
        docker.ok(["rm", "user"]);
    });
}
