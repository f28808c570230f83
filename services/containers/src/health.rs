//! Health checks: what is probed and how often, and what the results make of a container's health.
//!
//! Everything here is pure; [`prober`] runs the probes. The results are part of the run's record, so they survive the
//! daemon: a new one goes on where the old one ended.

mod prober;
#[cfg(test)]
mod tests;

use std::time::Duration;

use api_types::container::{Config, HealthConfig, HealthResult};
use log_drivers::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;

pub(crate) use prober::{Prober, kill_orphans};

/// How many results are remembered.
const REMEMBERED: usize = 5;
/// Docker's defaults: `--health-interval`, `--health-timeout`, `--health-start-interval`, `--health-retries`.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
/// No duration may be shorter, in nanoseconds.
const LEAST: i64 = 1_000_000;

/// How a container with a health check stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Nothing is known yet.
    #[default]
    Starting,
    /// The last probe succeeded, or not enough have failed since one did.
    Healthy,
    /// Enough probes failed in a row; or nothing is probed, because the container does not run.
    Unhealthy,
}

impl Status {
    /// As the API has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// As `docker ps` shows it after «Up 5 seconds».
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Starting => " (health: starting)",
            Self::Healthy => " (healthy)",
            Self::Unhealthy => " (unhealthy)",
        }
    }

    /// The name of the event that tells of it.
    fn event(self) -> &'static str {
        match self {
            Self::Starting => "health_status: starting",
            Self::Healthy => "health_status: healthy",
            Self::Unhealthy => "health_status: unhealthy",
        }
    }
}

/// The result of one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// 0 is healthy; -1 when the probe had no end of its own.
    pub(crate) exit_code: i32,
    pub(crate) output: String,
}

/// The health of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    pub(crate) status: Status,
    /// Failures in a row.
    pub(crate) failing_streak: u32,
    /// The newest last.
    pub(crate) log: Vec<Outcome>,
    /// When the next probe is due; `None` before the first was planned.
    pub(crate) due: Option<Timestamp>,
}

impl Health {
    /// Takes a result in; answers the event to publish when it changed the status. In the start period a container
    /// that was never healthy may fail without a penalty.
    pub(crate) fn take(
        &mut self,
        outcome: Outcome,
        rules: &Rules,
        started: Timestamp,
    ) -> Option<&'static str> {
        let before = self.status;
        if outcome.exit_code == 0 {
            self.failing_streak = 0;
            self.status = Status::Healthy;
        } else if self.status != Status::Starting || since(started, outcome.start) >= rules.start_period {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= rules.retries {
                self.status = Status::Unhealthy;
            }
        }
        if self.log.len() >= REMEMBERED {
            self.log.remove(0);
        }
        self.log.push(outcome);
        (self.status != before).then(|| self.status.event())
    }

    /// For `inspect`.
    pub(crate) fn shown(&self) -> api_types::container::Health {
        let result = |outcome: &Outcome| HealthResult {
            start: outcome.start.to_string(),
            end: outcome.end.to_string(),
            exit_code: outcome.exit_code.into(),
            output: outcome.output.clone(),
        };
        api_types::container::Health {
            status: self.status.as_str().into(),
            failing_streak: self.failing_streak.into(),
            log: Some(self.log.iter().map(result).collect()),
        }
    }
}

/// What to run inside the container, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) words: Vec<String>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: u32,
}

impl Rules {
    /// The health check of a container; `None` when it has none, or `NONE`.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let check = config.healthcheck.as_ref()?;
        let (kind, rest) = check.test.as_ref()?.split_first()?;
        let words = match kind.as_str() {
            "CMD" => rest.to_vec(),
            "CMD-SHELL" => {
                let usual = || vec!["/bin/sh".to_owned(), "-c".to_owned()];
                let shell = config.shell.clone().filter(|shell| !shell.is_empty());
                let mut words = shell.unwrap_or_else(usual);
                words.extend(rest.iter().cloned());
                words
            }
            _ => return None,
        };
        let duration = |nanos: i64, usual: Duration| match u64::try_from(nanos) {
            Ok(nanos) if nanos != 0 => Duration::from_nanos(nanos),
            _ => usual,
        };
        Some(Self {
            words,
            interval: duration(check.interval, INTERVAL),
            timeout: duration(check.timeout, TIMEOUT),
            start_period: duration(check.start_period, Duration::ZERO),
            start_interval: duration(check.start_interval, START_INTERVAL),
            retries: u32::try_from(check.retries)
                .ok()
                .filter(|most| *most != 0)
                .unwrap_or(RETRIES),
        })
    }

    /// How long to wait for the next probe: shorter while the container is still coming up.
    fn pause(&self, status: Status, started: Timestamp, now: Timestamp) -> Duration {
        if status == Status::Starting && since(started, now) < self.start_period {
            self.start_interval
        } else {
            self.interval
        }
    }

    /// How long to wait for a probe that an earlier daemon planned: what is left of its pause, and never more.
    fn rest(&self, due: Option<Timestamp>, pause: Duration, now: Timestamp) -> Duration {
        due.map_or(pause, |due| since(now, due).min(pause))
    }
}

/// The time from `earlier` to `later`; zero when a clock was set back.
fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    let nanos = later.as_nanos().saturating_sub(earlier.as_nanos());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

fn later(moment: Timestamp, by: Duration) -> Timestamp {
    let nanos = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanos(moment.as_nanos().saturating_add(nanos))
}

/// Refuses a health check that makes no sense, in docker's words.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn check(check: Option<&HealthConfig>) -> Result<(), Error> {
    let Some(check) = check else { return Ok(()) };
    for (name, nanos) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if nanos != 0 && nanos < LEAST {
            return Err(Error::Invalid(format!(
                "{name} in Healthcheck cannot be less than 1ms"
            )));
        }
    }
    if check.retries < 0 {
        return Err(Error::Invalid("Retries in Healthcheck cannot be negative".into()));
    }
    Ok(())
}

/// What docker says only in its log: a test of a form that nobody knows is never run.
pub(crate) fn warning(check: Option<&HealthConfig>) -> Option<String> {
    let kind = check?.test.as_ref()?.first()?;
    (!matches!(kind.as_str(), "CMD" | "CMD-SHELL" | "NONE"))
        .then(|| format!("Unknown healthcheck type '{kind}' (expected 'CMD'): health is not checked"))
}
