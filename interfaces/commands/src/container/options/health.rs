//! `--health-*` and `--no-healthcheck`.

use api_types::container::HealthConfig;

use crate::flags::Parsed;

const FLAGS: &[&str] = &[
    "health-cmd",
    "health-interval",
    "health-timeout",
    "health-start-period",
    "health-start-interval",
    "health-retries",
];

/// The health check that the flags ask for; none if they say nothing.
pub(super) fn check(args: &Parsed) -> Result<Option<HealthConfig>, String> {
    let given = FLAGS.iter().any(|f| args.has(f));
    if args.on("no-healthcheck") {
        if given {
            return Err("--no-healthcheck conflicts with --health-* options".to_owned());
        }
        return Ok(Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }));
    }
    if !given {
        return Ok(None);
    }
    for name in &FLAGS[1..5] {
        if args.nanoseconds(name) < 0 {
            return Err(format!("--{name} cannot be negative"));
        }
    }
    if args.int("health-retries").unwrap_or(0) < 0 {
        return Err("--health-retries cannot be negative".to_owned());
    }
    let command = args.text("health-cmd");
    Ok(Some(HealthConfig {
        test: (!command.is_empty()).then(|| vec!["CMD-SHELL".to_owned(), command.to_owned()]),
        interval: args.nanoseconds("health-interval"),
        timeout: args.nanoseconds("health-timeout"),
        start_period: args.nanoseconds("health-start-period"),
        start_interval: args.nanoseconds("health-start-interval"),
        retries: args.int("health-retries").unwrap_or(0),
    }))
}
