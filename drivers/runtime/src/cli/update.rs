//! `update`: changes the limits of a container.

use cgroups::{Cgroup, Layout};
use oci::runtime::{BlockIo, Cpu, Memory, Pids, Resources};

use super::flags::{Flag, Flags};
use super::store::read_json;
use super::{CliError, Outcome, Session, only_id};

const FLAGS: &[Flag] = &[
    Flag::value("resources", Some('r')),
    Flag::value("blkio-weight", None),
    Flag::value("cpu-period", None),
    Flag::value("cpu-quota", None),
    Flag::value("cpu-burst", None),
    Flag::value("cpu-share", None),
    Flag::value("cpu-rt-period", None),
    Flag::value("cpu-rt-runtime", None),
    Flag::value("cpu-idle", None),
    Flag::value("cpuset-cpus", None),
    Flag::value("cpuset-mems", None),
    Flag::value("memory", None),
    Flag::value("memory-reservation", None),
    Flag::value("memory-swap", None),
    Flag::value("pids-limit", None),
];

pub(super) fn main(arguments: Vec<String>, session: &mut Session<'_>) -> Outcome {
    let (flags, rest) = Flags::parse(FLAGS, arguments)?;
    let record = session.store.load(only_id(&rest)?)?;
    let mut spec = session.store.spec(&record.id)?;
    let resources = match flags.get("resources") {
        Some("-") => serde_json::from_reader(std::io::stdin()).map_err(|source| CliError::Json {
            path: "standard input".into(),
            source,
        })?,
        Some(path) => read_json(std::path::Path::new(path))?
            .ok_or_else(|| CliError::Usage(format!("resources file {path} not found")))?,
        None => from_flags(&flags)?,
    };
    Cgroup::open(&Layout::detect()?, &record.cgroup)?.update(&resources)?;
    // What was changed is part of the container from now on.
    let linux = spec.linux.get_or_insert_default();
    linux.resources.get_or_insert_default().clone_from(&resources);
    session.store.save(&record, &spec)?;
    Ok(0)
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
        limit: flags.number("memory")?,
        reservation: flags.number("memory-reservation")?,
        swap: flags.number("memory-swap")?,
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
