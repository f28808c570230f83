//! `--systemd-cgroup` against a bus that plays systemd: what it is asked for, and where the container is.
//!
//! The real one is asked in the virtual machine (`tests/e2e/tests/systemd.rs`).

// Tests say on stderr that they were skipped.
#![allow(clippy::print_stderr)]

mod place;

use std::path::Path;
use std::process::{Output, Stdio};

use place::Place;
use place::bus::Bus;
use serde_json::json;

/// A slice for one test; what is left of it in the hierarchies goes with the value.
struct Slice(String);

impl Slice {
    fn hierarchies() -> Vec<String> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let is_group = |line: &&str| line.contains(" - cgroup ") || line.contains(" - cgroup2 ");
        let points = mounts.lines().filter(is_group);
        points
            .filter_map(|line| line.split(' ').nth(4))
            .map(str::to_owned)
            .collect()
    }

    /// Places of the unit's group, if they are there.
    fn groups(&self, unit: &str) -> Vec<String> {
        let paths = Self::hierarchies()
            .into_iter()
            .map(|mount| format!("{mount}/{}/{unit}", self.0));
        paths.filter(|path| Path::new(path).exists()).collect()
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        for mount in Self::hierarchies() {
            let _ = std::fs::remove_dir(format!("{mount}/{}", self.0));
        }
    }
}

fn verb(place: &Place, bus: &Bus, arguments: &[&str]) -> Output {
    let mut command = place.command();
    command
        .env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address)
        .args(["--systemd-cgroup"])
        .args(arguments);
    if arguments[0] == "create" {
        // The container keeps the streams: pipes would never end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    command.output().expect("run")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_container_is_a_scope_with_its_limits_as_properties() {
    let Some(place) = Place::new("scope", "sleep 1000") else {
        return;
    };
    let slice = Slice(format!("dhowtest{}.slice", std::process::id()));
    let bus = Bus::new(place.directory.path(), &slice.0);
    let unit = format!("mine-{}.scope", place.id);
    place.configure(|spec| {
        spec["linux"]["cgroupsPath"] = json!(format!("{}:mine:{}", slice.0, place.id));
        spec["linux"]["resources"] = json!({
            "memory": { "limit": 67_108_864 }, "pids": { "limit": 5 }, "cpu": { "shares": 512, "quota": 20_000, "period": 50_000 },
            "devices": [{ "allow": false, "access": "rwm" }]
        });
    });
    let bundle = place.bundle();
    let bundle = bundle.to_str().expect("utf-8");
    // Without the flag, the form is no path.
    let output = place.run(&["run", "-b", bundle, &place.id]);
    assert!(
        stderr(&output).contains("give --systemd-cgroup"),
        "{}",
        stderr(&output)
    );
    assert!(
        verb(&place, &bus, &["create", "-b", bundle, &place.id])
            .status
            .success()
    );

    let [start] = &bus.calls("StartTransientUnit")[..] else {
        panic!("one unit");
    };
    for text in [
        &unit,
        "replace",
        "Slice",
        &slice.0,
        "Delegate",
        "DefaultDependencies",
        "PIDs",
    ] {
        assert!(
            start.has(text),
            "{text}: {}",
            String::from_utf8_lossy(&start.body)
        );
    }
    let is_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let (memory, weight) = if is_v2 {
        (("MemoryMax", 67_108_864), ("CPUWeight", 59))
    } else {
        (("MemoryLimit", 67_108_864), ("CPUShares", 512))
    };
    let rate = [
        ("TasksMax", 5),
        ("CPUQuotaPerSecUSec", 400_000),
        ("CPUQuotaPeriodUSec", 50_000),
    ];
    for (name, value) in [memory, weight].into_iter().chain(rate) {
        assert_eq!(start.number(name), Some(value), "{name}");
    }
    // The container is there, and alone: the process that the scope was made with has gone.
    let state = place.state();
    let pid = state["pid"].as_i64().expect("pid");
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("groups");
    let inside = format!("/{}/{unit}", slice.0);
    assert!(groups.lines().any(|line| line.ends_with(&inside)), "{groups}");
    let held = start.pid().expect("pid");
    assert_ne!(i64::from(held), pid);
    assert!(
        !Path::new(&format!("/proc/{held}")).exists(),
        "the holder lives on"
    );
    let listed: serde_json::Value =
        serde_json::from_str(&place.verb(&["ps", "--format", "json", &place.id])).expect("json");
    assert_eq!(listed, json!([pid]));
    let found = slice.groups(&unit);
    let limit = found
        .iter()
        .find_map(|group| std::fs::read_to_string(format!("{group}/pids.max")).ok());
    assert_eq!(limit.as_deref().map(str::trim), Some("5"));

    // No flag and no address from here on: the record knows.
    place.verb(&["start", &place.id]);
    place.verb(&["update", "--memory", "32m", "--pids-limit", "9", &place.id]);
    let [update] = &bus.calls("SetUnitProperties")[..] else {
        panic!("one update");
    };
    assert!(update.has(&unit));
    assert_eq!(
        (update.number(memory.0), update.number("TasksMax")),
        (Some(33_554_432), Some(9))
    );
    let limit = found
        .iter()
        .find_map(|group| std::fs::read_to_string(format!("{group}/pids.max")).ok());
    assert_eq!(limit.as_deref().map(str::trim), Some("9"));
    place.verb(&["exec", &place.id, "true"]);
    place.verb(&["delete", "--force", &place.id]);
    let [stop] = &bus.calls("StopUnit")[..] else {
        panic!("one stop");
    };
    assert!(stop.has(&unit));
    assert_eq!(slice.groups(&unit), Vec::<String>::new());
}

#[test]
fn a_start_that_fails_leaves_neither_unit_nor_process() {
    let Some(place) = Place::new("noscope", "true") else {
        return;
    };
    let slice = Slice(format!("dhowtestfail{}.slice", std::process::id()));
    let bus = Bus::new(place.directory.path(), &slice.0);
    let unit = format!("mine-{}.scope", place.id);
    place.configure(|spec| {
        spec["linux"]["cgroupsPath"] = json!(format!("{}:mine:{}", slice.0, place.id));
        spec["process"]["args"] = json!(["/absent"]);
    });
    let bundle = place.bundle();
    let bundle = bundle.to_str().expect("utf-8");
    let output = verb(&place, &bus, &["run", "-b", bundle, &place.id]);
    assert!(stderr(&output).contains("/absent"), "{}", stderr(&output));
    let [start] = &bus.calls("StartTransientUnit")[..] else {
        panic!("one unit");
    };
    assert!(!Path::new(&format!("/proc/{}", start.pid().expect("pid"))).exists());
    assert_eq!(bus.calls("StopUnit").len(), 1);
    assert_eq!(slice.groups(&unit), Vec::<String>::new());

    // Where nobody listens, and where the path is of the other form.
    let mut command = place.command();
    command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus");
    let output = command
        .args(["--systemd-cgroup", "run", "-b", bundle, &place.id])
        .output()
        .expect("run");
    assert!(
        stderr(&output).contains("unix:path=/nowhere/bus"),
        "{}",
        stderr(&output)
    );
    place.configure(|spec| spec["linux"]["cgroupsPath"] = json!("/a/b"));
    let output = verb(&place, &bus, &["run", "-b", bundle, &place.id]);
    assert!(
        stderr(&output).contains("slice:prefix:name"),
        "{}",
        stderr(&output)
    );
}
