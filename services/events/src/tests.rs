use super::*;

fn filters(json: &str) -> Filters {
    Filters::parse(json).unwrap()
}

fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn open() -> (tempfile::TempDir, Arc<Events>) {
    let dir = tempfile::tempdir().unwrap();
    let events = Arc::new(Events::open(&dir.path().join("events.jsonl")).unwrap());
    (dir, events)
}

/// A time that is not the present one any more: clocks may stand still for a while.
fn later() -> i64 {
    let before = now();
    std::iter::repeat_with(now).find(|time| *time > before).unwrap()
}

async fn actions(mut subscription: Subscription) -> Vec<String> {
    let mut actions = Vec::new();
    while let Some(event) = subscription.next().await {
        actions.push(event.action.clone());
    }
    actions
}

#[tokio::test]
async fn followers_get_what_happens_after_they_came_and_what_they_filter_for() {
    let (_dir, events) = open();
    events.publish(
        Kind::Container,
        "create",
        "c1",
        attributes(&[("image", "alpine:3")]),
    );
    let mut all = events.subscribe(None, None, Filters::default()).unwrap();
    let mut dies = events
        .subscribe(None, None, filters(r#"{"event":["die"]}"#))
        .unwrap();
    events.publish(
        Kind::Container,
        "start",
        "c1",
        attributes(&[("image", "alpine:3")]),
    );
    events.publish(Kind::Container, "die", "c1", attributes(&[("exitCode", "1")]));
    let start = all.next().await.unwrap();
    assert_eq!(
        (start.action.as_str(), start.from.as_str(), start.id.as_str()),
        ("start", "alpine:3", "c1")
    );
    assert_eq!(start.time, start.time_nano / 1_000_000_000);
    assert_eq!(dies.next().await.unwrap().action, "die");
}

#[tokio::test]
async fn events_are_replayed_after_a_restart_and_a_torn_line_is_skipped() {
    let (dir, events) = open();
    events.publish(Kind::Volume, "create", "v", BTreeMap::new());
    let between = later();
    later();
    events.publish(Kind::Volume, "destroy", "v", BTreeMap::new());
    drop(events);
    let file = dir.path().join("events.jsonl");
    let mut torn = std::fs::read(&file).unwrap();
    torn.extend(b"{\"Type\":\"vol");
    std::fs::write(&file, &torn).unwrap();

    let events = Arc::new(Events::open(&file).unwrap());
    // Opening works on a full disk, too: nothing is written.
    assert_eq!(std::fs::read(&file).unwrap(), torn);
    events.publish(Kind::Volume, "mount", "v", BTreeMap::new());
    let until = Some(now());
    let all = events.subscribe(Some(0), until, Filters::default()).unwrap();
    assert_eq!(actions(all).await, ["create", "destroy", "mount"]);
    let late = events
        .subscribe(Some(between), until, Filters::default())
        .unwrap();
    assert_eq!(actions(late).await, ["destroy", "mount"]);
    let early = events
        .subscribe(Some(0), Some(between), Filters::default())
        .unwrap();
    assert_eq!(actions(early).await, ["create"]);
}

#[tokio::test]
async fn replay_and_live_events_join_without_gap_or_double_even_for_a_slow_follower() {
    let (_dir, events) = open();
    for n in 0..10 {
        events.publish(Kind::Network, &format!("a{n}"), "n", BTreeMap::new());
    }
    let mut follower = events.subscribe(Some(0), None, Filters::default()).unwrap();
    // More than the bus keeps for one follower.
    for n in 10..1000 {
        events.publish(Kind::Network, &format!("a{n}"), "n", BTreeMap::new());
    }
    for n in 0..1000 {
        assert_eq!(follower.next().await.unwrap().action, format!("a{n}"));
    }
}

#[test]
fn the_ring_file_stays_bounded_and_keeps_the_newest() {
    let (dir, events) = open();
    let long = attributes(&[("x", &"y".repeat(10_000))]);
    for n in 0..1000 {
        events.publish(Kind::Daemon, &format!("a{n}"), "d", long.clone());
    }
    let size: u64 = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().metadata().unwrap().len())
        .sum();
    assert!(size < 5 << 20, "{size}");
    let kept = events.lock().ring.reader().read(0, |_| true);
    assert!(kept.len() > 200 && kept.last().unwrap().action == "a999");
}

#[test]
fn filters_decide_as_docker_does() {
    let container = Message {
        kind: "container".into(),
        action: "exec_start: ls -l".into(),
        actor: Actor {
            id: "abcdef".into(),
            attributes: attributes(&[("name", "web"), ("image", "repo/nginx:1"), ("tier", "front")]),
        },
        scope: "local".into(),
        ..Message::default()
    };
    let image = Message {
        kind: "image".into(),
        action: "pull".into(),
        actor: Actor {
            id: "nginx:1".into(),
            attributes: attributes(&[("name", "nginx")]),
        },
        scope: "local".into(),
        ..Message::default()
    };
    let check = |json: &str, event: &Message, expected: bool| {
        let filter = EventFilter::new(filters(json)).unwrap();
        assert_eq!(filter.passes(event), expected, "{json}");
    };
    check("{}", &container, true);
    check(r#"{"container":["abc"]}"#, &container, true);
    check(r#"{"container":["we"]}"#, &container, true);
    check(r#"{"container":["web2"]}"#, &container, false);
    check(r#"{"container":["web"]}"#, &image, false);
    check(r#"{"event":["exec_start"]}"#, &container, true);
    check(r#"{"event":["exec"]}"#, &container, false);
    check(r#"{"type":["image","volume"]}"#, &image, true);
    check(r#"{"type":["imag"]}"#, &image, false);
    check(r#"{"image":["nginx"]}"#, &image, true);
    check(r#"{"image":["nginx:1"]}"#, &image, true);
    check(r#"{"image":["repo/nginx"]}"#, &container, true);
    check(r#"{"image":["nginx"]}"#, &container, false);
    check(r#"{"label":["tier","tier=front"]}"#, &container, true);
    check(r#"{"label":["tier","absent"]}"#, &container, false);
    check(r#"{"scope":["swarm"]}"#, &container, false);
    check(r#"{"scope":["local"]}"#, &container, true);
    for kind in ["config", "node", "secret", "service"] {
        check(&format!(r#"{{"type":["{kind}"]}}"#), &container, false);
    }
    let daemon = Message {
        kind: "daemon".into(),
        action: "reload".into(),
        actor: Actor {
            id: "4f2c-11".into(),
            attributes: attributes(&[("name", "host7")]),
        },
        ..Message::default()
    };
    for (by, passes) in [("4f2c-11", true), ("host7", true), ("host8", false)] {
        check(&format!(r#"{{"daemon":["{by}"]}}"#), &daemon, passes);
    }
    let error = EventFilter::new(filters(r#"{"nope":["x"]}"#)).unwrap_err();
    assert_eq!(error.to_string(), "invalid filter 'nope'");
}
