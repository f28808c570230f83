//! Filters and formats of the lists.

use e2e::{Client, daemon, for_each_client};
use serde_json::Value;

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// What a list shows with this filter, in order of the names.
fn check(docker: &Client, list: &[&str], filter: &str, expected: &[&str]) {
    let flags = ["--filter", filter];
    let found = docker.ok(list.iter().chain(&flags));
    assert_eq!(sorted(&found), expected, "{list:?} {filter}");
}

/// Each line of a list as JSON.
fn objects(docker: &Client, list: &[&str]) -> Vec<Value> {
    let text = docker.ok(list.iter().chain(&["--format", "json"]));
    let objects = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    objects.collect()
}

#[test]
fn ps_filters() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok(["network", "create", "lan"]);
        let up = [
            "run", "-d", "--name", "up", "--label", "tier=web", "-v", "data:/d",
        ];
        docker.ok(up
            .iter()
            .chain(&["--network", "lan", "--expose", "80", "busybox", "sleep", "1000"]));
        docker.run([
            "run", "--name", "failed", "--label", "tier=db", "busybox", "sh", "-c", "exit 3",
        ]);
        docker.ok(["create", "--name", "made", "busybox"]);
        let id = docker.ok(["inspect", "-f", "{{.Id}}", "up"]);
        let list = ["ps", "-a", "--format", "{{.Names}}"];
        for (filter, expected) in [
            ("status=running", &["up"][..]),
            ("status=created", &["made"]),
            ("exited=3", &["failed"]),
            ("exited=0", &[]),
            ("name=a", &["failed", "made"]),
            ("name=^up$", &["up"]),
            (&format!("id={}", &id[..12]), &["up"]),
            ("label=tier", &["failed", "up"]),
            ("label=tier=db", &["failed"]),
            ("volume=data", &["up"]),
            ("volume=/d", &["up"]),
            ("network=lan", &["up"]),
            ("expose=80/tcp", &["up"]),
            ("before=failed", &["up"]),
            ("since=failed", &["made"]),
            ("ancestor=busybox", &["failed", "made", "up"]),
            ("health=none", &["failed", "made", "up"]),
        ] {
            check(docker, &list, filter, expected);
        }
        let error = docker.fails(1, ["ps", "--filter", "nosuch=1"]);
        assert!(
            error.contains("invalid filter 'nosuch'") || error.contains("Invalid filter 'nosuch'"),
            "{error}"
        );
        let error = docker.fails(1, ["ps", "--filter", "status=asleep"]);
        assert!(error.contains("asleep"), "{error}");
        let shown = docker.ok([
            "ps",
            "-a",
            "--filter",
            "name=^up$",
            "--format",
            "table {{.Names}}\t{{.Image}}\t{{.Label \"tier\"}}",
        ]);
        let words: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(words[0][..2], ["NAMES", "IMAGE"]);
        assert_eq!(words[1], ["up", "busybox", "web"]);
        docker.ok(["rm", "-f", "up", "failed", "made"]);
        docker.ok(["volume", "rm", "data"]);
        docker.ok(["network", "rm", "lan"]);
    });
}

#[test]
fn image_volume_and_network_filters() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok(["create", "--name", "work", "busybox"]);
        docker.ok(["commit", "-c", "LABEL kind=odd", "work", "odd:1"]);
        let images = ["images", "--format", "{{.Repository}}"];
        for (filter, expected) in [
            ("label=kind", &["odd"][..]),
            ("label=kind=odd", &["odd"]),
            ("reference=odd:*", &["odd"]),
            ("reference=b*", &["busybox"]),
            ("since=busybox", &["odd"]),
            ("before=odd:1", &["busybox"]),
            ("dangling=false", &["busybox", "odd"]),
            ("dangling=true", &[]),
        ] {
            check(docker, &images, filter, expected);
        }
        docker.ok(["volume", "create", "--label", "kind=odd", "first"]);
        docker.ok(["volume", "create", "second"]);
        docker.ok(["create", "--name", "holder", "-v", "second:/s", "busybox"]);
        let volumes = ["volume", "ls", "--format", "{{.Name}}"];
        for (filter, expected) in [
            ("label=kind=odd", &["first"][..]),
            ("name=sec", &["second"]),
            ("dangling=true", &["first"]),
            ("dangling=false", &["second"]),
            ("driver=local", &["first", "second"]),
        ] {
            check(docker, &volumes, filter, expected);
        }
        docker.ok(["network", "create", "--label", "kind=odd", "lan"]);
        let networks = ["network", "ls", "--format", "{{.Name}}"];
        for (filter, expected) in [
            ("label=kind", &["lan"][..]),
            ("type=custom", &["lan"]),
            ("type=builtin", &["bridge", "host", "none"]),
            ("driver=bridge", &["bridge", "lan"]),
            ("name=ho", &["host"]),
            ("scope=local", &["bridge", "host", "lan", "none"]),
        ] {
            check(docker, &networks, filter, expected);
        }
        for (list, filter) in [
            ("images", "nosuch=1"),
            ("volume ls", "nosuch=1"),
            ("network ls", "nosuch=1"),
        ] {
            let words = list.split(' ').chain(["--filter", filter]);
            let error = docker.fails(1, words);
            assert!(
                error.to_lowercase().contains("invalid filter 'nosuch'"),
                "{list}: {error}"
            );
        }
        docker.ok(["rm", "work", "holder"]);
        docker.ok(["rmi", "odd:1"]);
        docker.ok(["volume", "rm", "first", "second"]);
        docker.ok(["network", "rm", "lan"]);
    });
}

#[test]
fn every_list_has_a_json_form_and_templates() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        if docker.name.starts_with("docker 20.") {
            // There `json` is no format, but a template without fields.
            return;
        }
        docker.ok(["create", "--name", "one", "-l", "a=b", "busybox"]);
        docker.ok(["volume", "create", "vol"]);
        let found = objects(docker, &["ps", "-a"]);
        assert_eq!(
            (&found[0]["Names"], &found[0]["Labels"]),
            (&"one".into(), &"a=b".into())
        );
        assert_eq!(objects(docker, &["images"])[0]["Repository"], "busybox");
        assert_eq!(objects(docker, &["volume", "ls"])[0]["Name"], "vol");
        assert_eq!(objects(docker, &["network", "ls"]).len(), 3);
        assert_eq!(objects(docker, &["version"])[0]["Server"]["Os"], "linux");
        assert!(objects(docker, &["info"])[0]["ID"].is_string());
        assert_eq!(objects(docker, &["history", "busybox"]).len(), 1);
        let inspected: Value =
            serde_json::from_str(&docker.ok(["inspect", "-f", "json", "one"])).expect("JSON");
        assert_eq!(inspected[0]["Name"], "/one");
        let template =
            "{{range $k, $v := .Config.Labels}}{{$k | upper}}={{printf \"%q\" $v}}{{end}} {{len .Mounts}}";
        assert_eq!(docker.ok(["inspect", "-f", template, "one"]), "A=\"b\" 0");
        let joined = docker.ok([
            "inspect",
            "-f",
            "{{join .Config.Env \"|\"}} {{json .Config.Cmd}}",
            "one",
        ]);
        assert_eq!(joined, "PATH=/bin [\"sh\"]");
        let error = docker.fails(1, ["inspect", "-f", "{{.Nosuch}}", "one"]);
        assert!(error.contains("Nosuch"), "{error}");
        docker.ok(["rm", "one"]);
        docker.ok(["volume", "rm", "vol"]);
    });
}

#[test]
fn events_are_filtered_and_formatted() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let since = docker.ok(["info", "-f", "{{.SystemTime}}"]);
        docker.ok(["run", "--name", "first", "-l", "team=a", "busybox", "true"]);
        docker.ok(["run", "--name", "second", "busybox", "true"]);
        docker.ok(["volume", "create", "seen"]);
        let until = docker.ok(["info", "-f", "{{.SystemTime}}"]);
        let events = |filters: &[&str]| -> Vec<String> {
            let mut arguments = vec!["events", "--since", &since, "--until", &until];
            arguments.extend(["--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}"]);
            arguments.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
            docker.ok(arguments).lines().map(str::to_owned).collect()
        };
        assert_eq!(
            events(&["container=first", "event=create", "event=die"]),
            ["container create first", "container die first"]
        );
        assert_eq!(
            events(&["label=team=a", "event=start"]),
            ["container start first"]
        );
        assert_eq!(
            events(&["type=container", "event=start", "image=busybox"]).len(),
            2
        );
        assert_eq!(events(&["type=volume", "event=create"]).len(), 1);
        docker.ok(["rm", "first", "second"]);
        docker.ok(["volume", "rm", "seen"]);
    });
}
