//! The rules for the first process of a pid namespace (pid_namespaces(7)), as containers rely on them.

// Tests say on stderr that they were skipped.
#![allow(clippy::print_stderr)]

mod place;

use std::time::{Duration, Instant};

use place::Place;
use serde_json::json;

/// Asks until it is so; a loaded machine is slow.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(180);
    while !done() {
        assert!(Instant::now() < end, "{what}: not within three minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A line of `/proc/PID/status`; empty when there is no such process.
fn status(pid: i64, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_default().trim_start_matches(':').trim().to_owned()
}

#[test]
fn no_signal_from_inside_ends_it_unless_it_has_a_handler() {
    let script = "for s in TERM HUP USR1 KILL STOP; do kill -$s 1; sh -c \"kill -$s 1\"; done; echo alive; \
                  trap 'echo handled; exit 3' USR1; kill -USR1 1; echo lost";
    let Some(place) = Place::new("inside", script) else {
        return;
    };
    let output = place.run_bundle(&[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        (output.status.code(), said.as_ref()),
        (Some(3), "alive\nhandled\n"),
        "{output:?}"
    );
}

#[test]
fn from_outside_only_kill_and_stop_are_forced_and_its_death_ends_all() {
    let Some(place) = Place::new("outside", "true") else {
        return;
    };
    // A shell would have handlers; the first process itself has none.
    place.configure(|spec| spec["process"]["args"] = json!(["sleep", "1000"]));
    assert!(place.create("create").status.success());
    place.verb(&["start", &place.id]);
    let init = place.state()["pid"].as_i64().expect("pid");
    until("the program", || status(init, "Name") == "sleep");
    let second = place
        .command()
        .args(["exec", "-d", &place.id, "sleep", "1001"])
        .status();
    assert!(second.expect("exec").success());
    let processes =
        || -> Vec<i64> { serde_json::from_str(&place.verb(&["ps", "-f", "json", &place.id])).expect("json") };
    until("the second process", || processes().len() == 2);
    let second = processes().into_iter().find(|pid| *pid != init).expect("second");
    for signal in ["TERM", "INT", "HUP", "USR1", "SEGV"] {
        place.verb(&["kill", &place.id, signal]);
        // The kernel throws it away when it is sent: it is not even pending.
        let pending = (status(init, "SigPnd"), status(init, "ShdPnd"));
        let none = "0".repeat(16);
        assert_eq!(pending, (none.clone(), none), "{signal}");
    }
    assert_eq!(place.status(), "running");
    place.verb(&["kill", &place.id, "STOP"]);
    until("the stop", || status(init, "State").starts_with('T'));
    place.verb(&["kill", &place.id, "CONT"]);
    until("the continuation", || !status(init, "State").starts_with('T'));
    let is_the_second = || status(second, "Name") == "sleep" && status(second, "NSpid").contains('\t');
    // It may still be on its way to its program.
    until("the second program", is_the_second);
    place.verb(&["kill", &place.id, "KILL"]);
    place.await_status("stopped");
    until("the end of the second process", || {
        !is_the_second() || status(second, "State").starts_with('Z')
    });
}
