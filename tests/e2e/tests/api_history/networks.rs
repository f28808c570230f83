//! Networks and endpoints, and what is refused before it can fail.

use e2e::http::escaped;
use e2e::shared_daemon;
use serde_json::{Value, json};

use crate::{create, exec, get, post, remove, run, send, start};

#[test]
fn networks_are_made_shown_and_found_as_the_version_says() {
    let Some(daemon) = shared_daemon() else { return };
    let pool = |subnet: &str| json!({ "Config": [{ "Subnet": subnet }] });
    let body = json!({ "Name": "told", "IPAM": pool("10.213.81.0/24"), "EnableIPv4": false, "CheckDuplicate": false });
    let made = post(&daemon, "/v1.47/networks/create", body.clone(), 201);
    let id = made["Id"].as_str().expect("an id").to_owned();
    post(&daemon, "/v1.47/networks/create", body, 409);
    let shown = |minor: u32| get(&daemon, &format!("/v1.{minor}/networks/told"));
    assert!(
        shown(25)["Created"]
            .as_str()
            .is_some_and(|at| at.starts_with("20"))
    );
    assert_eq!(
        (&shown(47)["EnableIPv4"], &shown(48)["EnableIPv4"]),
        (&Value::Null, &json!(true))
    );
    // Network, broadcast and gateway.
    let full = &shown(52)["Status"]["IPAM"]["Subnets"]["10.213.81.0/24"];
    assert_eq!(
        (&full["IPsInUse"], &full["DynamicIPsAvailable"]),
        (&json!(3), &json!(253))
    );
    assert_eq!(shown(51).get("Status"), None);

    let list = |path: &str| get(&daemon, path).as_array().expect("a list").len();
    // Docker once took the slash for an empty name.
    assert!(list("/v1.25/networks/") >= 4);
    let chosen = |filters: Value| list(&format!("/networks?filters={}", escaped(&filters)));
    assert_eq!(
        chosen(json!({ "name": ["told"], "scope": ["local"], "dangling": ["true"] })),
        1
    );
    assert_eq!(chosen(json!({ "name": ["told"], "scope": ["swarm"] })), 0);
    assert_eq!(chosen(json!({ "name": ["told"], "driver": ["host"] })), 0);
    send(&daemon, "GET", "/v1.31/networks/told?scope=local", None, 200);
    send(&daemon, "GET", "/v1.31/networks/told?scope=swarm", None, 404);
    let wrong = json!({ "Name": "wrong", "IPAM": { "Config": [{ "Subnet": "10.213.82.0/24", "Gateway": "10.1.1.1" }] } });
    post(&daemon, "/v1.24/networks/create", wrong, 400);

    // A network whose name is the other's id hides nothing.
    let thief = json!({ "Name": id, "IPAM": pool("10.213.83.0/24") });
    let thief = post(&daemon, "/networks/create", thief, 201);
    send(&daemon, "DELETE", &format!("/networks/{id}"), None, 204);
    send(&daemon, "GET", "/networks/told", None, 404);
    let thief = thief["Id"].as_str().expect("an id");
    send(&daemon, "DELETE", &format!("/networks/{thief}"), None, 204);
}

#[test]
fn an_endpoint_has_its_own_address_and_the_gateway_its_priority() {
    let Some(daemon) = shared_daemon() else { return };
    for (name, subnet) in [("prio-a", "10.213.84.0/24"), ("prio-b", "10.213.85.0/24")] {
        let body = json!({ "Name": name, "IPAM": { "Config": [{ "Subnet": subnet }] } });
        post(&daemon, "/networks/create", body, 201);
    }
    let endpoints = json!({ "EndpointsConfig": { "prio-a": {}, "prio-b": { "GwPriority": 1 } } });
    for (version, gateway) in [("v1.47", "10.213.84.1"), ("v1.48", "10.213.85.1")] {
        let settings = json!({ "HostConfig": { "NetworkMode": "prio-a" }, "NetworkingConfig": endpoints });
        create(&daemon, version, "routed", settings);
        start(&daemon, "routed");
        let route = exec(
            &daemon,
            "v1.56",
            "routed",
            &json!({ "Cmd": ["ip", "route", "show", "default"] }),
        );
        assert!(route.contains(gateway), "{version}: {route}");
        remove(&daemon, "routed");
    }
    run(
        &daemon,
        "joining",
        json!({ "HostConfig": { "NetworkMode": "prio-a" } }),
    );
    let mac = "02:11:22:33:44:55";
    for (version, is_heard) in [("v1.43", false), ("v1.54", true)] {
        let body = json!({ "Container": "joining", "EndpointConfig": { "MacAddress": mac } });
        post(&daemon, &format!("/{version}/networks/prio-b/connect"), body, 200);
        let shown = get(&daemon, "/containers/joining/json");
        assert_eq!(
            shown["NetworkSettings"]["Networks"]["prio-b"]["MacAddress"] == mac,
            is_heard,
            "{version}"
        );
        let body = json!({ "Container": "joining" });
        post(&daemon, "/networks/prio-b/disconnect", body, 200);
    }
    remove(&daemon, "joining");
    for name in ["prio-a", "prio-b"] {
        send(&daemon, "DELETE", &format!("/networks/{name}"), None, 204);
    }
}

#[test]
fn what_cannot_be_started_is_refused_when_it_is_made() {
    let Some(daemon) = shared_daemon() else { return };
    let refused = |body: Value| {
        let made = post(&daemon, "/v1.25/containers/create?name=refused", body, 400);
        made["message"].as_str().unwrap_or_default().to_owned()
    };
    let of = |host: Value| json!({ "Image": "busybox", "Cmd": ["true"], "HostConfig": host });
    assert!(refused(of(json!({ "RestartPolicy": { "Name": "sometimes" } }))).contains("unknown policy"));
    assert!(
        refused(of(
            json!({ "RestartPolicy": { "Name": "always", "MaximumRetryCount": 2 } })
        ))
        .contains("maximum retry count")
    );
    let address =
        json!({ "IPAMConfig": { "IPv4Address": "10.0.0.300", "IPv6Address": "x::y::z" }, "MacAddress": "1" });
    let endpoints = json!({ "EndpointsConfig": { "bridge": address } });
    let body = json!({ "Image": "busybox", "Cmd": ["true"], "NetworkingConfig": endpoints });
    let made = post(&daemon, "/v1.44/containers/create?name=refused", body, 400);
    let text = made["message"].as_str().unwrap_or_default();
    for problem in ["10.0.0.300", "x::y::z", "1 is not a valid mac address"] {
        assert!(text.contains(problem), "{problem} in {text}");
    }
    assert!(
        refused(json!({ "Image": "busybox", "Cmd": [], "Entrypoint": [""] }))
            .contains("no command specified")
    );
    run(&daemon, "joined", json!({}));
    let body = json!({ "Container": "joined", "EndpointConfig": { "IPAMConfig": { "IPv4Address": "no" } } });
    let reply = post(&daemon, "/v1.44/networks/bridge/connect", body, 400);
    assert!(
        reply["message"]
            .as_str()
            .is_some_and(|text| text.contains("invalid IPv4 address: no")),
        "{reply}"
    );
    remove(&daemon, "joined");
    create(&daemon, "v1.24", "plain", json!({}));
    post(
        &daemon,
        "/v1.24/containers/plain/start",
        json!({ "Privileged": true }),
        400,
    );
    remove(&daemon, "plain");
}
