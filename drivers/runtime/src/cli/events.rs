//! `events`: what a container's cgroup has measured, once or at intervals, and its want of memory.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use cgroups::{Cgroup, OomEvents, Stats};
use oci::runtime::Status;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::flags::{Flag, Flags};
use super::verb::Verb;
use super::{CliError, Outcome, Session};

/// `events`.
pub(super) const VERB: Verb = Verb {
    name: "events",
    arguments: "<container-id>",
    about: "shows statistics and notices of the out-of-memory killer",
    least: 1,
    most: 1,
    flags: &[&[
        Flag::value(
            "interval",
            None,
            "time between statistics, such as 500ms or 1m30s (default: 5s)",
        ),
        Flag::switch("stats", None, "show the statistics once"),
    ]],
    act: main,
};

fn main(flags: &Flags, rest: &[String], session: &mut Session<'_>) -> Outcome {
    let record = session.store.load(&rest[0])?;
    let interval = interval(flags.get("interval").unwrap_or("5s"))?;
    if session.store.status(&record) == Status::Stopped {
        return Err(CliError::State(format!(
            "container with id {} is not running",
            record.id
        )));
    }
    let cgroup = record.cgroup()?;
    if flags.has("stats") {
        return show(&record.id, &cgroup, session).map(|()| 0);
    }
    let stopped = || CliError::State(format!("container with id {} is not running", record.id));
    let (_, pidfd) = record.open().ok_or_else(stopped)?;
    // Without the memory controller there is nothing to hear; statistics come all the same.
    let mut oom: Option<OomEvents> = cgroup.oom_events().ok();
    let mut next = Instant::now() + interval;
    loop {
        let wait = next.saturating_duration_since(Instant::now());
        let wait = Timespec::try_from(wait).unwrap_or(Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        });
        let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
        fds.extend(
            oom.as_ref()
                .map(|oom| PollFd::from_borrowed_fd(oom.as_fd(), PollFlags::IN)),
        );
        match poll(&mut fds, Some(&wait)) {
            Err(linux::Errno::INTR) => continue,
            other => other.map_err(CliError::signal("poll"))?,
        };
        let ended = !fds[0].revents().is_empty();
        if let Some(oom) = &mut oom
            && oom.take()?
        {
            session.print(&line("oom", &record.id, None))?;
        }
        if ended {
            return Ok(0);
        }
        if Instant::now() >= next {
            show(&record.id, &cgroup, session)?;
            next += interval;
        }
    }
}

fn show(id: &str, cgroup: &Cgroup, session: &mut Session<'_>) -> Result<(), CliError> {
    let data = data(&cgroup.stats()?);
    session.print(&line("stats", id, Some(&data)))
}

/// One event, with its kind in front as runc writes it: scripts look for that.
fn line(kind: &str, id: &str, data: Option<&Value>) -> String {
    let data = data.map(|data| format!(",\"data\":{data}")).unwrap_or_default();
    format!("{{\"type\":\"{kind}\",\"id\":{}{data}}}\n", Value::from(id))
}

/// The measurements in the shape that runc gives them.
fn data(stats: &Stats) -> Value {
    let cpu = &stats.cpu;
    let memory = &stats.memory;
    // Go programs write the largest number where there is no limit.
    let entry =
        |usage: u64, limit: Option<u64>| json!({ "usage": usage, "limit": limit.unwrap_or(u64::MAX) });
    let mut used = entry(memory.usage, memory.limit);
    used["max"] = json!(memory.max_usage.unwrap_or(0));
    used["failcnt"] = json!(memory.failures);
    let hugetlb: serde_json::Map<String, Value> = stats
        .hugetlb
        .iter()
        .map(|(size, s)| {
            let value = json!({ "usage": s.usage, "max": s.max_usage, "failcnt": s.failures });
            (size.clone(), value)
        })
        .collect();
    json!({
        "cpu": {
            "usage": { "total": cpu.total, "percpu": cpu.per_cpu, "kernel": cpu.system, "user": cpu.user },
            "throttling": {
                "periods": cpu.periods,
                "throttledPeriods": cpu.throttled_periods,
                "throttledTime": cpu.throttled_time,
            },
            "psi": stats.pressure.cpu,
        },
        "memory": {
            "cache": memory.stat.get("cache").or(memory.stat.get("file")).copied().unwrap_or(0),
            "usage": used,
            "swap": entry(memory.swap_usage.unwrap_or(0), memory.swap_limit),
            "raw": memory.stat,
            "oomKills": memory.oom_kills,
            "psi": stats.pressure.memory,
        },
        "pids": { "current": stats.pids.current, "limit": stats.pids.limit.unwrap_or(0) },
        "blkio": {
            "ioServiceBytesRecursive": stats.block_io.service_bytes,
            "ioServicedRecursive": stats.block_io.serviced,
            "psi": stats.pressure.io,
        },
        "hugetlb": hugetlb,
        "intel_rdt": {},
        "network_interfaces": null,
    })
}

/// A duration in the way of Go: `5s`, `1m30s`, `500ms`.
fn interval(text: &str) -> Result<Duration, CliError> {
    let bad = || {
        CliError::Usage(format!(
            "invalid duration {text:?} for --interval, such as 500ms or 5s"
        ))
    };
    let nanos = oci::duration::parse(text).ok_or_else(bad)?;
    let total = Duration::from_nanos(u64::try_from(nanos).map_err(|_| bad())?);
    if total.is_zero() {
        return Err(CliError::Usage("duration interval must be greater than 0".into()));
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_begins_with_its_kind() {
        assert_eq!(line("oom", "a", None), "{\"type\":\"oom\",\"id\":\"a\"}\n");
        let text = line("stats", "a", Some(&json!({ "pids": {} })));
        assert_eq!(text, "{\"type\":\"stats\",\"id\":\"a\",\"data\":{\"pids\":{}}}\n");
    }

    #[test]
    fn durations_are_read_as_go_does() {
        let read = |text| interval(text).ok();
        assert_eq!(read("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
        for text in ["", "0s", "5", "-5s", "99999999999999999999s"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
