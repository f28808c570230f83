//! `update`: changes the limits of a container.

use std::io::Read as _;

use oci::runtime::{BlockIo, Cpu, Memory, Pids, Resources, Status};

use super::flags::{Flag, Flags};
use super::store::{Record, parse_json, read_json};
use super::verb::Verb;
use super::{CliError, Outcome, Session};

/// More than this is not read from standard input.
const MOST: u64 = 1 << 20;

/// `update`.
pub(super) const VERB: Verb = Verb {
    name: "update",
    arguments: "<container-id>",
    about: "changes the limits of a container",
    least: 1,
    most: 1,
    flags: &[FLAGS],
    act: main,
};

const FLAGS: &[Flag] = &[
    Flag::value(
        "resources",
        Some('r'),
        "file with linux.resources as in config.json, or - for standard input",
    ),
    Flag::value("blkio-weight", None, "weight of block I/O, 10 to 1000"),
    Flag::value(
        "cpu-period",
        None,
        "period of the processor limit in microseconds",
    ),
    Flag::value("cpu-quota", None, "processor time in a period in microseconds"),
    Flag::value(
        "cpu-burst",
        None,
        "unused processor time that may be saved up, in microseconds",
    ),
    Flag::value("cpu-share", None, "relative weight of processor time"),
    Flag::value(
        "cpu-rt-period",
        None,
        "period of the real-time limit in microseconds",
    ),
    Flag::value(
        "cpu-rt-runtime",
        None,
        "real-time processor time in a period in microseconds",
    ),
    Flag::value("cpu-idle", None, "1: only processor time that nobody else wants"),
    Flag::value("cpuset-cpus", None, "processors to use, such as 0-2,4"),
    Flag::value("cpuset-mems", None, "memory nodes to use"),
    Flag::value(
        "kernel-memory",
        None,
        "limit of the kernel's memory (gone from the kernel: only a warning)",
    ),
    Flag::value("kernel-memory-tcp", None, "limit of the memory of TCP buffers"),
    Flag::value("memory", None, "limit of memory, such as 64m; -1: none"),
    Flag::value("memory-reservation", None, "memory to keep under pressure"),
    Flag::value("memory-swap", None, "limit of memory and swap together; -1: none"),
    Flag::value("pids-limit", None, "most tasks; -1: any number"),
    Flag::value(
        "l3-cache-schema",
        None,
        "line of the resctrl schemata for the cache",
    ),
    Flag::value(
        "mem-bw-schema",
        None,
        "line of the resctrl schemata for memory bandwidth",
    ),
];

fn main(flags: &Flags, rest: &[String], session: &mut Session<'_>) -> Outcome {
    let record = session.store.load(&rest[0])?;
    if session.store.status(&record) == Status::Stopped {
        return Err(CliError::State("container not running".into()));
    }
    let mut spec = session.store.spec(&record.id)?;
    let resources = match flags.get("resources") {
        Some("-") => {
            let mut text = Vec::new();
            let input = std::io::stdin().take(MOST).read_to_end(&mut text);
            input.map_err(CliError::file("read standard input"))?;
            parse_json("standard input", &text)?
        }
        Some(path) => read_json(std::path::Path::new(path))?
            .ok_or_else(|| CliError::Usage(format!("resources file {path} not found")))?,
        None => {
            if flags.get("kernel-memory").is_some() {
                session
                    .log
                    .warning("--kernel-memory: the kernel has no such limit any more; it is left as it is");
            }
            from_flags(flags)?
        }
    };
    if resources != Resources::default() {
        record.cgroup()?.update(&resources)?;
    }
    schemata(flags, &record)?;
    // What was changed is part of the container from now on.
    merge(
        spec.linux
            .get_or_insert_default()
            .resources
            .get_or_insert_default(),
        &resources,
    );
    session.store.save(&record, &spec)?;
    Ok(0)
}

/// Changes the class of cache and memory bandwidth.
fn schemata(flags: &Flags, record: &Record) -> Result<(), CliError> {
    let lines: Vec<String> = ["l3-cache-schema", "mem-bw-schema"]
        .into_iter()
        .filter_map(|name| flags.get(name).map(str::to_owned))
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let none = || CliError::State(format!("container {} has no linux.intelRdt to change", record.id));
    let group = record.resctrl.as_ref().ok_or_else(none)?;
    Ok(group.write_schemata(&lines).map_err(crate::Error::from)?)
}

/// Takes over what is set in `new`.
fn merge(old: &mut Resources, new: &Resources) {
    // Both can be written as JSON and what is put together can be read, for their types are the same.
    if let (Ok(mut value), Ok(changes)) = (serde_json::to_value(&*old), serde_json::to_value(new)) {
        overlay(&mut value, changes);
        *old = serde_json::from_value(value).unwrap_or_default();
    }
}

/// Puts the properties of `changes` over those of `value`; lists are replaced.
fn overlay(value: &mut serde_json::Value, changes: serde_json::Value) {
    match (value, changes) {
        (serde_json::Value::Object(old), serde_json::Value::Object(new)) => {
            for (name, change) in new {
                overlay(old.entry(name).or_insert(serde_json::Value::Null), change);
            }
        }
        (old, new) => *old = new,
    }
}

/// Bytes: a number with an optional k, m, g or t, each 1024 times the one before.
fn bytes(flags: &Flags, name: &str) -> Result<Option<i64>, CliError> {
    let Some(text) = flags.get(name) else {
        return Ok(None);
    };
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: Option<i64> = match lower[number.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => Some(1),
        "k" => Some(1 << 10),
        "m" => Some(1 << 20),
        "g" => Some(1 << 30),
        "t" => Some(1 << 40),
        _ => None,
    };
    let value = factor.and_then(|factor| number.parse::<i64>().ok()?.checked_mul(factor));
    let bad = || {
        CliError::Usage(format!(
            "invalid value for {name}: {text:?} is no size such as 64m"
        ))
    };
    value.map(Some).ok_or_else(bad)
}

fn from_flags(flags: &Flags) -> Result<Resources, CliError> {
    let text = |name| flags.get(name).unwrap_or_default().to_owned();
    let cpu = Cpu {
        shares: flags.number("cpu-share")?,
        quota: flags.number("cpu-quota")?,
        burst: flags.number("cpu-burst")?,
        period: flags.number("cpu-period")?,
        realtime_runtime: flags.number("cpu-rt-runtime")?,
        realtime_period: flags.number("cpu-rt-period")?,
        idle: flags.number("cpu-idle")?,
        cpus: text("cpuset-cpus"),
        mems: text("cpuset-mems"),
    };
    let memory = Memory {
        limit: bytes(flags, "memory")?,
        reservation: bytes(flags, "memory-reservation")?,
        swap: bytes(flags, "memory-swap")?,
        kernel_tcp: bytes(flags, "kernel-memory-tcp")?,
        ..Memory::default()
    };
    let block = BlockIo {
        weight: flags.number("blkio-weight")?,
        ..BlockIo::default()
    };
    Ok(Resources {
        cpu: (cpu != Cpu::default()).then_some(cpu),
        memory: (memory != Memory::default()).then_some(memory),
        block_io: block.weight.is_some().then_some(block),
        pids: flags
            .number("pids-limit")?
            .map(|limit| Pids { limit: Some(limit) }),
        ..Resources::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_stays() {
        let read = |text| serde_json::from_str::<Resources>(text).expect("resources");
        let mut old = read(r#"{"memory":{"limit":5,"swap":7},"pids":{"limit":3}}"#);
        merge(&mut old, &read(r#"{"memory":{"limit":6},"cpu":{"shares":9}}"#));
        let wanted = r#"{"memory":{"limit":6,"swap":7},"pids":{"limit":3},"cpu":{"shares":9}}"#;
        assert_eq!(old, read(wanted));
    }

    #[test]
    fn sizes_have_units() {
        let read = |text: &str| {
            let arguments = vec!["--memory".to_owned(), text.to_owned()];
            let (flags, _) = Flags::parse(FLAGS, arguments).expect("known");
            bytes(&flags, "memory").ok().flatten()
        };
        assert_eq!(read("64m"), Some(64 << 20));
        assert_eq!(
            (read("-1"), read("1GiB"), read("7")),
            (Some(-1), Some(1 << 30), Some(7))
        );
        assert_eq!((read("m"), read("1x"), read("9999999999g")), (None, None, None));
    }
}
