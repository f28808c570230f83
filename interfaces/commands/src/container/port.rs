//! `dhow port`.

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::Parsed;
use crate::template::Value;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
    about: "List port mappings or a specific mapping for the container",
    aliases: "container port, port",
    count: Count::Between(1, 2),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let container = App::json(&app.client()?.container_inspect(args.arg(0), false).await?)?;
    let ports = container.at(&["NetworkSettings", "Ports"]);
    let mut lines = Vec::new();
    if args.args.len() == 2 {
        let (port, protocol) = args.arg(1).split_once('/').unwrap_or((args.arg(1), "tcp"));
        if port.parse::<u16>().is_err() {
            return Err(Failure::new(format!(
                "Error: invalid port ({port}): strconv.ParseUint: parsing \"{port}\": invalid syntax"
            )));
        }
        let key = format!("{port}/{protocol}");
        let bindings = ports.get(&key).map_or(&[][..], Value::items);
        if bindings.is_empty() {
            return Err(Failure::new(format!(
                "Error: No public port '{}' published for {}",
                args.arg(1),
                args.arg(0)
            )));
        }
        lines.extend(bindings.iter().map(|b| (0, String::new(), address(b))));
    } else {
        for (key, bindings) in ports.members() {
            let number = key.split('/').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            lines.extend(
                bindings
                    .items()
                    .iter()
                    .map(|b| (number, format!("{key} -> "), address(b))),
            );
        }
    }
    lines.sort_by(|a: &(u32, String, String), b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    for (_, left, right) in lines {
        console::line(left + &right);
    }
    Ok(())
}

fn address(binding: &Value) -> String {
    let (ip, port) = (binding.str_at("HostIp"), binding.str_at("HostPort"));
    if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    }
}
