//! `dhow info`.

use crate::app::{App, VERSION};
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Parsed, recurring};
use crate::template::{MissingKey, Template, Value};
use crate::tree::{Command, Count, run};
use crate::units;

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "Display system-wide information",
    aliases: "system info, info",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[recurring::FORMAT_OBJECT],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let format = match args.text("format") {
        "json" => "{{json .}}",
        text => text,
    };
    let template = (!format.is_empty())
        .then(|| Template::parse(format))
        .transpose()?;
    let server = match app.client() {
        Ok(client) => match client.info().await {
            Ok(reply) => App::json(&reply),
            Err(error) => Err(error.into()),
        },
        Err(failure) => Err(failure),
    };
    if let Some(template) = template {
        let mut members: Vec<(String, Value)> = server
            .as_ref()
            .map_or(&[][..], Value::members)
            .iter()
            .map(|(k, v)| (k.to_string(), v.clone()))
            .collect();
        if let Err(failure) = &server {
            members.push((
                "ServerErrors".to_owned(),
                Value::list(vec![failure.message.as_str().into()]),
            ));
        }
        let client = Value::map([
            ("Debug", Value::Bool(app.debug)),
            ("Version", VERSION.into()),
            ("Context", app.context_name().into()),
            ("Plugins", Value::list(Vec::new())),
            ("Warnings", Value::Nil),
        ]);
        members.push(("ClientInfo".to_owned(), client));
        let text = template
            .execute(&Value::map(members), MissingKey::Row("system.dockerInfo"))
            .map_err(|e| {
                console::line("");
                Failure::new(e.to_string())
            })?;
        console::line(text);
        return Ok(());
    }
    console::print(format!(
        "Client:\n Version:    {VERSION}\n Context:    {}\n Debug Mode: {}\n\nServer:\n",
        app.context_name(),
        app.debug
    ));
    match server {
        Ok(info) => {
            console::print(render(&info));
            for warning in info.items_at("Warnings").iter().filter_map(Value::as_str) {
                console::error(warning);
            }
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// The part about the daemon, one fact per line.
fn render(info: &Value) -> String {
    let mut out = String::new();
    let text = |name: &str| info.get(name).map(Value::printed).unwrap_or_default();
    let mut line = |indent: usize, name: &str, value: &str| {
        out.push_str(&format!("{}{name}: {value}\n", " ".repeat(indent)));
    };
    line(1, "Containers", &text("Containers"));
    line(2, "Running", &text("ContainersRunning"));
    line(2, "Paused", &text("ContainersPaused"));
    line(2, "Stopped", &text("ContainersStopped"));
    line(1, "Images", &text("Images"));
    line(1, "Server Version", &text("ServerVersion"));
    line(1, "Storage Driver", &text("Driver"));
    for pair in info.items_at("DriverStatus") {
        if let [name, value] = pair.items() {
            line(2, &name.printed(), &value.printed());
        }
    }
    line(1, "Logging Driver", &text("LoggingDriver"));
    line(1, "Cgroup Driver", &text("CgroupDriver"));
    line(1, "Cgroup Version", &text("CgroupVersion"));
    out.push_str(" Plugins:\n");
    for kind in ["Volume", "Network", "Authorization", "Log"] {
        let names: Vec<String> = info
            .get("Plugins")
            .map_or(&[][..], |p| p.items_at(kind))
            .iter()
            .map(Value::printed)
            .collect();
        if !names.is_empty() {
            out.push_str(&format!("  {kind}: {}\n", names.join(" ")));
        }
    }
    let mut line = |indent: usize, name: &str, value: &str| {
        out.push_str(&format!("{}{name}: {value}\n", " ".repeat(indent)));
    };
    let swarm = info
        .at(&["Swarm", "LocalNodeState"])
        .as_str()
        .unwrap_or("inactive")
        .to_owned();
    line(1, "Swarm", if swarm.is_empty() { "inactive" } else { &swarm });
    let mut runtimes: Vec<&str> = info
        .get("Runtimes")
        .map_or(&[][..], Value::members)
        .iter()
        .map(|(k, _)| &**k)
        .collect();
    runtimes.sort_unstable();
    line(1, "Runtimes", &runtimes.join(" "));
    line(1, "Default Runtime", &text("DefaultRuntime"));
    line(1, "Init Binary", &text("InitBinary"));
    for (name, member) in [
        ("containerd", "ContainerdCommit"),
        ("runc", "RuncCommit"),
        ("init", "InitCommit"),
    ] {
        let id = info.at(&[member, "ID"]).as_str().unwrap_or_default();
        line(1, &format!("{name} version"), id);
    }
    let options = info.items_at("SecurityOptions");
    if !options.is_empty() {
        out.push_str(" Security Options:\n");
        for option in options {
            let mut fields = option.printed();
            fields.push(',');
            for (i, field) in fields.split(',').filter(|f| !f.is_empty()).enumerate() {
                let (key, value) = field.split_once('=').unwrap_or((field, ""));
                match (i, key) {
                    (0, "name") => out.push_str(&format!("  {value}\n")),
                    (_, "profile") => out.push_str(&format!("   Profile: {value}\n")),
                    _ => out.push_str(&format!("   {key}: {value}\n")),
                }
            }
        }
    }
    let mut line = |name: &str, value: &str| out.push_str(&format!(" {name}: {value}\n"));
    line("Kernel Version", &text("KernelVersion"));
    line("Operating System", &text("OperatingSystem"));
    line("OSType", &text("OSType"));
    line("Architecture", &text("Architecture"));
    line("CPUs", &text("NCPU"));
    line("Total Memory", &units::binary(info.int_at("MemTotal") as f64));
    line("Name", &text("Name"));
    line("ID", &text("ID"));
    line("Docker Root Dir", &text("DockerRootDir"));
    line("Debug Mode", &text("Debug"));
    for (name, member) in [
        ("HTTP Proxy", "HttpProxy"),
        ("HTTPS Proxy", "HttpsProxy"),
        ("No Proxy", "NoProxy"),
    ] {
        if !info.str_at(member).is_empty() {
            line(name, info.str_at(member));
        }
    }
    if !info.items_at("Labels").is_empty() {
        out.push_str(" Labels:\n");
        for label in info.items_at("Labels") {
            out.push_str(&format!("  {}\n", label.printed()));
        }
    }
    out.push_str(&format!(" Experimental: {}\n", text("ExperimentalBuild")));
    let registries = info
        .get("RegistryConfig")
        .map_or(&[][..], |r| r.items_at("InsecureRegistryCIDRs"));
    if !registries.is_empty() {
        out.push_str(" Insecure Registries:\n");
        for registry in registries {
            out.push_str(&format!("  {}\n", registry.printed()));
        }
    }
    out.push_str(&format!(
        " Live Restore Enabled: {}\n",
        text("LiveRestoreEnabled")
    ));
    if !text("ProductLicense").is_empty() {
        out.push_str(&format!(" Product License: {}\n", text("ProductLicense")));
    }
    let pools = info.items_at("DefaultAddressPools");
    if !pools.is_empty() {
        out.push_str(" Default Address Pools:\n");
        for pool in pools {
            out.push_str(&format!(
                "   Base: {}, Size: {}\n",
                pool.str_at("Base"),
                pool.int_at("Size")
            ));
        }
    }
    out.push('\n');
    out
}
