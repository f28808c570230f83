//! Replies are what Docker's own schema says, for two versions of it.
#![allow(clippy::print_stdout)] // what a test has to say goes to its log

use std::path::PathBuf;

use e2e::{Daemon, daemon, http};
use jsonschema::Validator;
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// Docker's description of one API version.
struct Schema {
    version: &'static str,
    document: Value,
}

impl Schema {
    /// Reads it; `None` where the reference texts are not beside the repository.
    fn load(version: &'static str) -> Option<Self> {
        let file = format!("../../../shared/reference/docker-api/swagger-v{version}.yaml");
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("skipped: {} is not here", path.display());
            return None;
        };
        // The text closes its flow mappings one level too far to the left, which YAML 1.2 does not allow.
        let text: String = text
            .lines()
            .map(|l| {
                if l.trim() == "}" {
                    format!("  {l}\n")
                } else {
                    format!("{l}\n")
                }
            })
            .collect();
        let yaml = Yaml::load_from_str(&text).expect("YAML");
        Some(Self {
            version,
            document: to_json(&yaml[0]),
        })
    }

    /// A validator for the reply of one operation.
    fn reply(&self, method: &str, path: &str, status: u16) -> Validator {
        let responses = &self.document["paths"][path][method]["responses"];
        let schema = &responses[status.to_string()]["schema"];
        assert!(
            schema.is_object(),
            "{method} {path} has a schema for {status} in {}",
            self.version
        );
        self.validator(schema)
    }

    fn validator(&self, schema: &Value) -> Validator {
        let whole =
            json!({ "allOf": [convert(schema)], "definitions": convert_all(&self.document["definitions"]) });
        jsonschema::validator_for(&whole).expect("a schema")
    }

    /// Asks the daemon and checks the reply.
    fn check(
        &self,
        daemon: &Daemon,
        method: &str,
        path: &str,
        real: &str,
        body: Option<&Value>,
        status: u16,
    ) -> Value {
        let reply = http::request(
            daemon,
            &method.to_uppercase(),
            &format!("/v{}{real}", self.version),
            body,
        );
        assert_eq!(reply.status, status, "{method} {real}: {}", reply.text());
        let value = reply.json();
        let validator = self.reply(method, path, status);
        let errors: Vec<_> = validator
            .iter_errors(&value)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(
            errors.is_empty(),
            "{method} {real} in {}: {errors:#?}\n{value:#}",
            self.version
        );
        value
    }
}

fn to_json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Boolean(b)) => json!(b),
        Yaml::Value(Scalar::Integer(n)) => json!(n),
        Yaml::Value(Scalar::FloatingPoint(n)) => json!(n.into_inner()),
        Yaml::Value(Scalar::String(s)) => json!(s),
        Yaml::Sequence(items) => items.iter().map(to_json).collect(),
        Yaml::Mapping(map) => map
            .iter()
            .map(|(k, v)| (key(k), to_json(v)))
            .collect::<Map<_, _>>()
            .into(),
        Yaml::Tagged(_, inner) => to_json(inner),
        _ => Value::Null,
    }
}

/// Statuses are keys too, and numbers.
fn key(yaml: &Yaml<'_>) -> String {
    match to_json(yaml) {
        Value::String(s) => s,
        other => other.to_string(),
    }
}

/// Fields that are pointers in Docker's code and null in its replies, though its text does not say so.
const POINTERS: [&str; 3] = ["ExitCode", "MemorySwappiness", "OomKillDisable"];

fn convert_all(definitions: &Value) -> Value {
    let Some(map) = definitions.as_object() else {
        return json!({});
    };
    map.iter()
        .map(|(name, schema)| match convert(schema) {
            pointer if POINTERS.contains(&name.as_str()) => {
                (name.clone(), json!({ "anyOf": [pointer, { "type": "null" }] }))
            }
            other => (name.clone(), other),
        })
        .collect::<Map<_, _>>()
        .into()
}

/// Swagger 2.0 as JSON Schema: `x-nullable` becomes a type, and lists and maps may be null, because Go has nil ones
/// (`"Binds": null`) and Docker's text does not mark them.
fn convert(schema: &Value) -> Value {
    let Some(source) = schema.as_object() else {
        return schema.clone();
    };
    let mut out = Map::new();
    for (name, value) in source {
        match name.as_str() {
            "properties" => drop(out.insert(name.clone(), convert_all(value))),
            "items" => drop(out.insert(name.clone(), convert(value))),
            "additionalProperties" if value.is_object() => drop(out.insert(name.clone(), convert(value))),
            "allOf" => {
                let parts = value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(convert)
                    .collect::<Vec<_>>();
                out.insert(name.clone(), parts.into());
            }
            "type" | "$ref" | "required" | "enum" | "minimum" | "maximum" => {
                drop(out.insert(name.clone(), value.clone()))
            }
            _ => {}
        }
    }
    let kind = source.get("type").and_then(Value::as_str).unwrap_or_default();
    let nil = kind == "array" || (kind == "object" && source.contains_key("additionalProperties"));
    if nil || source.get("x-nullable") == Some(&json!(true)) {
        return json!({ "anyOf": [out, { "type": "null" }] });
    }
    out.into()
}

/// A running container with everything that shows in a reply, and a stopped one.
fn containers(daemon: &Daemon, schema: &Schema) -> (String, String) {
    let body = json!({
        "Image": "busybox", "Cmd": ["sleep", "600"], "Labels": { "a": "b" }, "Env": ["A=1"],
        "ExposedPorts": { "81/udp": {} }, "Healthcheck": { "Test": ["CMD", "true"], "Interval": 1_000_000_000i64 },
        "HostConfig": {
            "Binds": ["/tmp:/host:ro"], "Mounts": [{ "Type": "volume", "Source": "schema-vol", "Target": "/vol" },
                { "Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": { "SizeBytes": 65536 } }],
            "PortBindings": { "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "0" }] },
            "Ulimits": [{ "Name": "nofile", "Soft": 64, "Hard": 64 }], "Memory": 67_108_864, "PidsLimit": 50,
            "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 2 }, "Tmpfs": { "/t": "size=1m" },
        },
    });
    let create = |name: &str, body: &Value| {
        let real = format!("/containers/create?name={name}");
        let made = schema.check(daemon, "post", "/containers/create", &real, Some(body), 201);
        made["Id"].as_str().expect("an id").to_owned()
    };
    let running = create("schema-running", &body);
    assert_eq!(
        http::request(daemon, "POST", &format!("/containers/{running}/start"), None).status,
        204
    );
    let stopped = create(
        "schema-stopped",
        &json!({ "Image": "busybox", "Cmd": ["sh", "-c", "echo hi; exit 3"] }),
    );
    assert_eq!(
        http::request(daemon, "POST", &format!("/containers/{stopped}/start"), None).status,
        204
    );
    let wait = schema.check(
        daemon,
        "post",
        "/containers/{id}/wait",
        &format!("/containers/{stopped}/wait"),
        None,
        200,
    );
    assert_eq!(wait["StatusCode"], 3);
    (running, stopped)
}

fn check_version(version: &'static str) {
    let Some(schema) = Schema::load(version) else {
        return;
    };
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let get = |path: &str, real: &str| schema.check(&daemon, "get", path, real, None, 200);
    let post = |path: &str, real: &str, body: Value, status| {
        schema.check(&daemon, "post", path, real, Some(&body), status)
    };
    post(
        "/volumes/create",
        "/volumes/create",
        json!({ "Name": "schema-vol", "Labels": { "x": "y" } }),
        201,
    );
    // One for each version: their daemons live side by side.
    let subnet = format!("10.213.{}.0/24", version.trim_start_matches("1."));
    let network = json!({ "Name": "schema-net", "IPAM": { "Config": [{ "Subnet": subnet }] } });
    post("/networks/create", "/networks/create", network, 201);
    let (running, stopped) = containers(&daemon, &schema);

    for id in [&running, &stopped] {
        get("/containers/{id}/json", &format!("/containers/{id}/json?size=1"));
        get("/containers/{id}/changes", &format!("/containers/{id}/changes"));
        get(
            "/containers/{id}/stats",
            &format!("/containers/{id}/stats?stream=0&one-shot=1"),
        );
    }
    assert_eq!(
        get("/containers/json", "/containers/json?all=1&size=1")
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    get("/containers/{id}/top", &format!("/containers/{running}/top"));
    get(
        "/containers/{id}/stats",
        &format!("/containers/{running}/stats?stream=0"),
    );
    post(
        "/containers/{id}/update",
        &format!("/containers/{running}/update"),
        json!({ "Memory": 134_217_728, "MemorySwap": -1 }),
        200,
    );
    let exec = post(
        "/containers/{id}/exec",
        &format!("/containers/{running}/exec"),
        json!({ "Cmd": ["true"] }),
        201,
    );
    let exec = exec["Id"].as_str().expect("an id").to_owned();
    assert_eq!(
        http::request(
            &daemon,
            "POST",
            &format!("/exec/{exec}/start"),
            Some(&json!({ "Detach": true }))
        )
        .status,
        200
    );
    get("/exec/{id}/json", &format!("/exec/{exec}/json"));

    get("/images/json", "/images/json?all=1&shared-size=1");
    get("/images/{name}/json", "/images/busybox/json");
    get("/images/{name}/history", "/images/busybox/history");
    post(
        "/commit",
        &format!("/commit?container={stopped}&repo=schema&tag=1"),
        Value::Null,
        201,
    );
    let removed = schema.check(&daemon, "delete", "/images/{name}", "/images/schema:1", None, 200);
    assert!(removed.as_array().is_some_and(|r| r.len() >= 2), "{removed}");

    get("/volumes", "/volumes");
    get("/volumes/{name}", "/volumes/schema-vol");
    get("/networks", "/networks");
    get("/networks/{id}", "/networks/schema-net");
    get("/networks/{id}", "/networks/bridge");
    get("/info", "/info");
    get("/version", "/version");
    get("/system/df", "/system/df");
    if version == "1.56" {
        get("/system/df", "/system/df?verbose=1");
    }
    let errors = schema.check(
        &daemon,
        "get",
        "/containers/{id}/json",
        "/containers/nosuch/json",
        None,
        404,
    );
    assert_eq!(errors["message"], "No such container: nosuch");
    schema.check(
        &daemon,
        "get",
        "/images/{name}/json",
        "/images/nosuch/json",
        None,
        404,
    );

    let event = event(&daemon, version);
    let errors: Vec<_> = schema
        .reply("get", "/events", 200)
        .iter_errors(&event)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?} {event:#}");

    for real in [&running, &stopped] {
        assert_eq!(
            http::request(
                &daemon,
                "DELETE",
                &format!("/containers/{real}?force=1&v=1"),
                None
            )
            .status,
            204
        );
    }
    for what in ["containers", "images", "volumes", "networks"] {
        let path = format!("/{what}/prune");
        schema.check(&daemon, "post", &path, &path, None, 200);
    }
}

/// The first event that the daemon remembers.
fn event(daemon: &Daemon, version: &str) -> Value {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time")
        .as_secs()
        + 1;
    let filters = "%7B%22type%22%3A%5B%22container%22%5D%7D";
    let path = format!("/v{version}/events?since=1&until={now}&filters={filters}");
    let reply = http::request(daemon, "GET", &path, None);
    let first = reply.text().lines().next().unwrap_or_default().to_owned();
    serde_json::from_str(&first).expect("an event")
}

#[test]
fn every_reply_of_version_1_50_fits_its_schema() {
    check_version("1.50");
}

#[test]
fn every_reply_of_version_1_56_fits_its_schema() {
    check_version("1.56");
}
