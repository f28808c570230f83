//! What the results of probes make of a container's health.

use std::time::Duration;

use api_types::container::{Config, HealthConfig};
use log_drivers::Timestamp;

use super::{Health, Outcome, Rules, Status, check, later, warning};

const SECOND: i64 = 1_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * SECOND)
}

fn config(test: &[&str]) -> Config {
    Config {
        healthcheck: Some(HealthConfig {
            test: Some(test.iter().map(|word| (*word).to_owned()).collect()),
            retries: 2,
            start_period: 10 * SECOND,
            ..HealthConfig::default()
        }),
        ..Config::default()
    }
}

fn rules() -> Rules {
    Rules::of(&config(&["CMD", "true"])).expect("a check")
}

fn outcome(seconds: i64, exit_code: i32) -> Outcome {
    Outcome {
        start: at(seconds),
        end: at(seconds),
        exit_code,
        output: String::new(),
    }
}

#[test]
fn failures_count_after_the_start_period_only_and_a_success_forgives_them() {
    let (mut health, rules) = (Health::default(), rules());
    assert_eq!(health.take(outcome(1, 1), &rules, at(0)), None);
    assert_eq!((health.status, health.failing_streak), (Status::Starting, 0));
    assert_eq!(health.take(outcome(11, 1), &rules, at(0)), None);
    assert_eq!(health.failing_streak, 1);
    assert_eq!(
        health.take(outcome(12, 0), &rules, at(0)),
        Some("health_status: healthy")
    );
    assert_eq!(health.failing_streak, 0);
    assert_eq!(health.take(outcome(13, 0), &rules, at(0)), None);
    assert_eq!(health.take(outcome(14, 1), &rules, at(0)), None);
    assert_eq!(health.status, Status::Healthy);
    assert_eq!(
        health.take(outcome(15, -1), &rules, at(0)),
        Some("health_status: unhealthy")
    );
}

#[test]
fn a_container_that_was_healthy_may_fail_in_the_start_period_no_more() {
    let (mut health, rules) = (Health::default(), rules());
    health.take(outcome(1, 0), &rules, at(0));
    health.take(outcome(2, 1), &rules, at(0));
    assert_eq!(health.failing_streak, 1);
}

#[test]
fn the_last_five_results_are_remembered() {
    let (mut health, rules) = (Health::default(), rules());
    for second in 0..7 {
        health.take(outcome(second, 0), &rules, at(0));
    }
    let starts: Vec<Timestamp> = health.log.iter().map(|outcome| outcome.start).collect();
    assert_eq!(starts, (2..7).map(at).collect::<Vec<_>>());
}

#[test]
fn the_forms_of_a_test_are_dockers() {
    let words = |config: &Config| Rules::of(config).map(|rules| rules.words);
    let owned = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!(words(&config(&["CMD", "curl", "-f"])), owned(&["curl", "-f"]));
    assert_eq!(
        words(&config(&["CMD-SHELL", "exit 1"])),
        owned(&["/bin/sh", "-c", "exit 1"])
    );
    let mut shell = config(&["CMD-SHELL", "exit 1"]);
    shell.shell = Some(vec!["/bin/bash".into(), "-lc".into()]);
    assert_eq!(words(&shell), owned(&["/bin/bash", "-lc", "exit 1"]));
    for none in [&["NONE"][..], &[]] {
        assert_eq!(Rules::of(&config(none)), None, "{none:?}");
    }
    assert_eq!(Rules::of(&Config::default()), None);
    let unknown = config(&["curl"]);
    assert!(Rules::of(&unknown).is_none() && warning(unknown.healthcheck.as_ref()).is_some());
    assert_eq!(warning(config(&["NONE"]).healthcheck.as_ref()), None);
}

#[test]
fn probes_are_frequent_while_a_container_comes_up() {
    let rules = rules();
    let pause = |status, seconds| rules.pause(status, at(0), at(seconds));
    assert_eq!(pause(Status::Starting, 1), Duration::from_secs(5));
    assert_eq!(pause(Status::Healthy, 1), Duration::from_secs(30));
    assert_eq!(pause(Status::Starting, 10), Duration::from_secs(30));
}

#[test]
fn a_probe_that_was_planned_before_the_daemon_ended_is_done_in_its_time() {
    let (rules, pause) = (rules(), Duration::from_secs(30));
    let rest = |due| rules.rest(due, pause, at(100));
    assert_eq!(rest(None), pause);
    assert_eq!(
        rest(Some(later(at(100), Duration::from_secs(7)))),
        Duration::from_secs(7)
    );
    assert_eq!(rest(Some(at(90))), Duration::ZERO);
    // A clock that was set back does not put it off for ever.
    assert_eq!(rest(Some(at(10_000))), pause);
}

#[test]
fn what_makes_no_sense_is_refused_in_dockers_words() {
    let refused = |check_: HealthConfig| {
        check(Some(&check_))
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    let base = HealthConfig::default();
    for (config, text) in [
        (
            HealthConfig {
                interval: 1,
                ..base.clone()
            },
            "Interval in Healthcheck cannot be less than 1ms",
        ),
        (
            HealthConfig {
                start_interval: -1,
                ..base.clone()
            },
            "StartInterval in Healthcheck cannot be less than 1ms",
        ),
        (
            HealthConfig {
                retries: -1,
                ..base.clone()
            },
            "Retries in Healthcheck cannot be negative",
        ),
    ] {
        assert_eq!(refused(config), text);
    }
    assert!(check(Some(&base)).is_ok() && check(None).is_ok());
}
