//! What a request means and shows depends on the version that it names: each case before and since its version.

use e2e::{Daemon, daemon, http};
use serde_json::{Value, json};

fn post(daemon: &Daemon, path: &str, body: Option<&Value>) -> Value {
    let reply = http::request(daemon, "POST", path, body);
    assert!(reply.status < 300, "{path}: {} {}", reply.status, reply.text());
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

/// A running container of these words.
fn run(daemon: &Daemon, name: &str, command: &[&str]) -> String {
    let body = json!({ "Image": "busybox", "Cmd": command });
    let made = post(daemon, &format!("/containers/create?name={name}"), Some(&body));
    post(daemon, &format!("/containers/{name}/start"), None);
    made["Id"].as_str().expect("an id").to_owned()
}

/// What an exec of a shell with these settings says, all of it in this version.
fn exec(daemon: &Daemon, version: &str, name: &str, settings: &Value) -> String {
    let mut body =
        json!({ "Cmd": ["sh", "-c", "pwd; echo \"[$ADDED]\""], "AttachStdout": true, "Tty": true });
    let more = settings.as_object().expect("settings").clone();
    body.as_object_mut().expect("a body").extend(more);
    let made = post(daemon, &format!("/{version}/containers/{name}/exec"), Some(&body));
    let path = format!("/{version}/exec/{}/start", made["Id"].as_str().expect("an id"));
    http::request(daemon, "POST", &path, Some(&json!({ "Tty": true }))).text()
}

#[test]
fn settings_of_an_exec_count_since_their_version() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    run(&daemon, "box", &["sleep", "1000"]);
    let settings = json!({ "WorkingDir": "/etc", "Env": ["ADDED=yes"] });
    for (version, said) in [
        ("v1.24", "/\r\n[]\r\n"),
        ("v1.25", "/\r\n[yes]\r\n"),
        ("v1.34", "/\r\n[yes]\r\n"),
        ("v1.35", "/etc\r\n[yes]\r\n"),
    ] {
        assert_eq!(exec(&daemon, version, "box", &settings), said, "{version}");
    }
}

#[test]
fn the_end_of_a_log_can_be_chosen_since_1_35() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    run(&daemon, "box", &["echo", "said"]);
    post(&daemon, "/containers/box/wait", None);
    let log = |version: &str| {
        let path = format!("/{version}/containers/box/logs?stdout=1&until=1");
        http::request(&daemon, "GET", &path, None).body
    };
    assert!(log("v1.34").ends_with(b"said\n"));
    assert_eq!(log("v1.35"), b"");
}

#[test]
fn volumes_with_a_name_are_pruned_by_a_word_only_since_1_42() {
    let Some(daemon) = daemon() else { return };
    let make = || post(&daemon, "/volumes/create", Some(&json!({ "Name": "named" })));
    let prune = |path: &str| post(&daemon, path, None)["VolumesDeleted"].clone();
    make();
    assert_eq!(prune("/v1.41/volumes/prune"), json!(["named"]));
    make();
    assert_eq!(prune("/v1.42/volumes/prune").as_array().map_or(0, Vec::len), 0);
    let all = "/v1.42/volumes/prune?filters=%7B%22all%22%3A%5B%22true%22%5D%7D";
    assert_eq!(prune(all), json!(["named"]));
}

#[test]
fn lists_of_networks_tell_of_containers_before_1_28_only() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let id = run(&daemon, "box", &["sleep", "1000"]);
    let containers = |version: &str| -> Vec<String> {
        let list = http::get(&daemon, &format!("/{version}/networks"));
        let mut networks = list.as_array().expect("a list").iter();
        let bridge = networks
            .find(|network| network["Name"] == "bridge")
            .expect("bridge");
        let containers = bridge["Containers"].as_object();
        containers
            .map(|all| all.keys().cloned().collect())
            .unwrap_or_default()
    };
    assert_eq!(containers("v1.27"), [id]);
    assert_eq!(containers("v1.28"), Vec::<String>::new());
}

#[test]
fn events_that_came_later_are_not_shown_to_older_clients() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    run(&daemon, "box", &["sleep", "1000"]);
    exec(&daemon, "v1.56", "box", &json!({}));
    post(&daemon, "/volumes/prune", None);
    let actions = |version: &str| http::actions(&daemon, version, &json!({}));
    // The end of an exec is told behind the end of its stream.
    e2e::until("the end of the exec", || {
        actions("v1.56").iter().any(|a| a == "exec_die")
    });
    let has = |version: &str, action: &str| actions(version).iter().any(|have| have == action);
    assert_eq!(
        (has("v1.35", "exec_die"), has("v1.36", "exec_die")),
        (false, true)
    );
    assert_eq!((has("v1.40", "prune"), has("v1.41", "prune")), (false, true));
    assert!(has("v1.24", "start"));
}
