//! `dhow update`.

use api_types::container::UpdateRequest;

use super::options;
use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome, Problems};
use crate::flags::{Kind, Parsed, flag, nano_cpus};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Update configuration of one or more containers",
    aliases: "container update, update",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[
        flag(
            "blkio-weight",
            '\0',
            Kind::Uint16,
            "uint16",
            "",
            "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)",
        ),
        flag(
            "cpu-period",
            '\0',
            Kind::Int,
            "int",
            "",
            "Limit CPU CFS (Completely Fair Scheduler) period",
        ),
        flag(
            "cpu-quota",
            '\0',
            Kind::Int,
            "int",
            "",
            "Limit CPU CFS (Completely Fair Scheduler) quota",
        ),
        flag(
            "cpu-rt-period",
            '\0',
            Kind::Int,
            "int",
            "",
            "Limit the CPU real-time period in microseconds",
        ),
        flag(
            "cpu-rt-runtime",
            '\0',
            Kind::Int,
            "int",
            "",
            "Limit the CPU real-time runtime in microseconds",
        ),
        flag(
            "cpu-shares",
            'c',
            Kind::Int,
            "int",
            "",
            "CPU shares (relative weight)",
        ),
        flag("cpus", '\0', Kind::Decimal, "decimal", "", "Number of CPUs"),
        flag(
            "cpuset-cpus",
            '\0',
            Kind::Text,
            "string",
            "",
            "CPUs in which to allow execution (0-3, 0,1)",
        ),
        flag(
            "cpuset-mems",
            '\0',
            Kind::Text,
            "string",
            "",
            "MEMs in which to allow execution (0-3, 0,1)",
        ),
        flag("memory", 'm', Kind::Bytes, "bytes", "", "Memory limit"),
        flag(
            "memory-reservation",
            '\0',
            Kind::Bytes,
            "bytes",
            "",
            "Memory soft limit",
        ),
        flag(
            "memory-swap",
            '\0',
            Kind::Bytes,
            "bytes",
            "",
            "Swap limit equal to memory plus swap: -1 to enable unlimited swap",
        ),
        flag(
            "pids-limit",
            '\0',
            Kind::Int,
            "int",
            "",
            "Tune container pids limit (set -1 for unlimited)",
        ),
        flag(
            "restart",
            '\0',
            Kind::Text,
            "string",
            "",
            "Restart policy to apply when a container exits",
        ),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    if !COMMAND.flags.iter().any(|f| args.has(f.name)) {
        return Err(Failure::new(
            "you must provide one or more flags when using this command",
        ));
    }
    let request = UpdateRequest {
        restart_policy: options::restart_policy(args.text("restart")).map_err(Failure::new)?,
        blkio_weight: args.int("blkio-weight").unwrap_or(0) as u16,
        cpuset_cpus: args.text("cpuset-cpus").to_owned(),
        cpuset_mems: args.text("cpuset-mems").to_owned(),
        cpu_shares: args.int("cpu-shares").unwrap_or(0),
        memory: args.bytes("memory"),
        memory_reservation: args.bytes("memory-reservation"),
        memory_swap: args.bytes("memory-swap"),
        cpu_period: args.int("cpu-period").unwrap_or(0),
        cpu_quota: args.int("cpu-quota").unwrap_or(0),
        cpu_realtime_period: args.int("cpu-rt-period").unwrap_or(0),
        cpu_realtime_runtime: args.int("cpu-rt-runtime").unwrap_or(0),
        nano_cpus: nano_cpus(args.text("cpus")).unwrap_or(0),
        pids_limit: args.int("pids-limit"),
        ..UpdateRequest::default()
    };
    let client = app.client()?;
    let (mut problems, mut warnings) = (Problems::default(), Vec::new());
    for name in &args.args {
        match client.container_update(name, &request).await {
            Ok(reply) => {
                console::line(name);
                warnings.extend(reply.warnings.unwrap_or_default());
            }
            Err(error) => problems.note(error),
        }
    }
    if !warnings.is_empty() {
        console::print(warnings.join("\n"));
    }
    problems.outcome()
}
