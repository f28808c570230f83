//! `--link`: other containers by an alias.

use e2e::{daemon, for_each_client, until};

#[test]
fn a_linked_container_is_found_by_its_alias_and_in_the_environment() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "run",
            "-d",
            "--name",
            "db",
            "--expose",
            "5432",
            "-e",
            "MODE=fast",
            "busybox",
            "sleep",
            "1000",
        ]);
        let address = |name: &str| {
            let format = "{{.NetworkSettings.Networks.bridge.IPAddress}}";
            docker.ok(["inspect", "-f", format, name])
        };
        let start = ["run", "-d", "--name", "web", "--link", "db:store", "busybox"];
        docker.ok(start.iter().chain(&["sleep", "1000"]));
        let inside = |script: &str| docker.ok(["exec", "web", "sh", "-c", script]);
        let first = address("db");
        let hosts = inside("grep -w store /etc/hosts");
        let hostname = docker.ok(["inspect", "-f", "{{.Config.Hostname}}", "db"]);
        assert_eq!(
            hosts.split_whitespace().collect::<Vec<_>>(),
            [&first, "store", &hostname, "db"]
        );
        let variables = inside("env | grep ^STORE_ | sort");
        for line in [
            format!("STORE_PORT=tcp://{first}:5432"),
            format!("STORE_PORT_5432_TCP_ADDR={first}"),
            "STORE_NAME=/web/store".into(),
            "STORE_ENV_MODE=fast".into(),
        ] {
            assert!(variables.lines().any(|have| have == line), "{line}: {variables}");
        }
        // The process itself has them, not only an exec.
        let own = inside("tr '\\0' '\\n' < /proc/1/environ");
        assert!(own.contains("STORE_NAME=/web/store"), "{own}");
        // A static busybox does not read the file itself.
        let ping = "ping -c 1 -W 9 $(awk '/store/{print $1}' /etc/hosts) >/dev/null && echo reached";
        assert_eq!(inside(ping), "reached");
        let shown = docker.ok(["inspect", "-f", "{{.HostConfig.Links}}", "web"]);
        assert_eq!(shown, "[/db:/web/store]");
        // Back on another address, it is found there.
        docker.ok(["stop", "-t", "0", "db"]);
        docker.ok(["run", "-d", "--name", "thief", "busybox", "sleep", "1000"]);
        docker.ok(["start", "db"]);
        let second = address("db");
        until("the new address", || {
            inside("grep -w store /etc/hosts").starts_with(&second)
        });
        docker.ok(["rm", "-f", "web", "db", "thief"]);
    });
}

#[test]
fn links_that_cannot_be_are_refused() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let create = |flags: &[&str]| {
            let all: Vec<&str> = ["create", "--name", "web"]
                .iter()
                .chain(flags)
                .chain(&["busybox"])
                .copied()
                .collect();
            docker.run(all)
        };
        let error = create(&["--link", "nosuch:x"]).stderr;
        assert!(error.contains("could not get container for nosuch"), "{error}");
        docker.ok(["create", "--name", "idle", "busybox"]);
        let error = create(&["--link", "idle:x", "--network", "host"]).stderr;
        // docker 20.10 has words of its own and does not even ask.
        let words = [
            "host type networking can't be used with links",
            "links are only supported for user-defined networks",
        ];
        assert!(words.iter().any(|text| error.contains(text)), "{error}");
        assert_eq!(create(&["--link", "idle:x"]).code, 0);
        let error = docker.fails(1, ["start", "web"]);
        assert!(
            error.contains("Cannot link to a non running container: /idle AS /web/x"),
            "{error}"
        );
        // A link to what is gone keeps nobody from starting.
        docker.ok(["rm", "idle"]);
        docker.ok(["start", "web"]);
        docker.ok(["rm", "-f", "web"]);
    });
}

#[test]
fn a_link_is_a_name_until_it_is_taken_away() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let run = |name: &str, flags: &[&str]| {
            let run = ["run", "-d", "--name", name];
            docker.ok(run.iter().chain(flags).chain(&["busybox", "sleep", "1000"]))
        };
        run("db", &[]);
        // Whoever shares a network is reached where that is.
        run("guest", &["--network", "container:db"]);
        run("web", &["--link", "db:store", "--link", "guest:side"]);
        let names = || {
            let list = [
                "ps",
                "--no-trunc",
                "--filter",
                "name=^/db$",
                "--format",
                "{{.Names}}",
            ];
            docker.ok(list)
        };
        assert_eq!(names(), "db,web/store,web/side");
        let hosts = || docker.ok(["exec", "web", "cat", "/etc/hosts"]);
        assert!(
            hosts().contains("store") && hosts().contains("side"),
            "{}",
            hosts()
        );
        docker.ok(["rm", "--link", "web/store"]);
        assert_eq!(names(), "db,web/side");
        assert!(
            !hosts().contains("store") && hosts().contains("side"),
            "{}",
            hosts()
        );
        let error = docker.fails(1, ["rm", "--link", "web/store"]);
        assert!(error.contains("No such container: web/store"), "{error}");
        let error = docker.fails(1, ["rm", "--link", "web"]);
        assert!(error.contains("cannot remove the default link name"), "{error}");
        docker.ok(["rm", "-f", "web", "guest", "db"]);
        assert_eq!(names(), "");
    });
}

#[test]
fn a_container_that_shares_a_network_is_made_before_its_owner_but_not_started() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        docker.ok([
            "create",
            "--name",
            "guest",
            "--network",
            "container:later",
            "busybox",
            "true",
        ]);
        let error = docker.fails(1, ["start", "guest"]);
        assert!(error.contains("No such container: later"), "{error}");
        docker.ok(["run", "-d", "--name", "later", "busybox", "sleep", "1000"]);
        docker.ok(["start", "guest"]);
        docker.ok(["rm", "-f", "guest", "later"]);
        let error = docker
            .run(["run", "--name", "self", "--network", "container:self", "busybox"])
            .stderr;
        assert!(error.contains("cannot join own network"), "{error}");
        docker.ok(["rm", "self"]);
    });
}
