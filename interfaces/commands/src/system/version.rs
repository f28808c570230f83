//! `dhow version`.

use client::NEWEST;

use crate::app::{App, BUILD, VERSION};
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Parsed, recurring};
use crate::template::{MissingKey, Template, Value};
use crate::tree::{Command, Count, run};
use crate::units;

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "Show the Docker version information",
    aliases: "",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[recurring::FORMAT_OBJECT],
    run: run!(execute),
};

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let format = args.text("format");
    let template = match format {
        "" => None,
        "json" => Some("{{json .}}"),
        text => Some(text),
    };
    let template = template
        .map(Template::parse)
        .transpose()
        .map_err(|e| Failure::new(format!("template parsing error: {e}")).code(64))?;
    let server = async {
        let client = app.client()?;
        Ok::<_, Failure>((
            App::json(&client.server_version().await?)?,
            client.version().await?,
        ))
    };
    let server = server.await;
    let version = server.as_ref().map_or(NEWEST, |(_, v)| *v);
    let client = Value::map([
        ("Version", VERSION.into()),
        ("ApiVersion", version.to_string().into()),
        ("DefaultAPIVersion", NEWEST.to_string().into()),
        ("GitCommit", BUILD.into()),
        ("GoVersion", "".into()),
        ("Os", "linux".into()),
        ("Arch", arch().into()),
        ("BuildTime", "".into()),
        ("Context", app.context_name().into()),
    ]);
    let daemon = server.as_ref().map_or(Value::Nil, |(v, _)| v.clone());
    if let Some(template) = template {
        let whole = Value::map([("Client", client), ("Server", daemon)]);
        let missing = if server.is_ok() {
            MissingKey::Row("command.versionInfo")
        } else {
            MissingKey::NoValue
        };
        console::line(template.execute(&whole, missing)?);
        return server.map(drop);
    }
    let api = if version == NEWEST {
        version.to_string()
    } else {
        format!("{version} (downgraded from {NEWEST})")
    };
    let mut out = String::from("Client:\n");
    for (name, value) in [
        ("Version", VERSION),
        ("API version", &api),
        ("Git commit", BUILD),
        ("OS/Arch", &format!("linux/{}", arch())),
        ("Context", &app.context_name()),
    ] {
        out.push_str(&format!(" {:<19}{value}\n", format!("{name}:")));
    }
    console::print(out);
    let (daemon, _) = server?;
    console::print(render(&daemon));
    Ok(())
}

/// The part about the daemon.
fn render(daemon: &Value) -> String {
    let name = daemon.at(&["Platform", "Name"]).as_str().unwrap_or_default();
    let mut out = if name.is_empty() {
        "\nServer:\n".to_owned()
    } else {
        format!("\nServer: {name}\n")
    };
    for component in daemon.items_at("Components") {
        out.push_str(&format!(" {}:\n", component.str_at("Name")));
        let details = component.get("Details").unwrap_or(&Value::Nil);
        let detail = |name: &str| details.str_at(name).to_owned();
        let mut line = |name: &str, value: &str| {
            out.push_str(format!("  {:<18}{value}", format!("{name}:")).as_str());
            out.push('\n');
        };
        line("Version", component.str_at("Version"));
        if component.str_at("Name") == "Engine" {
            let built = detail("BuildTime");
            let built = match units::parse_rfc3339(&built) {
                Some(seconds) => go_date(seconds),
                None => built,
            };
            line(
                "API version",
                &format!(
                    "{} (minimum version {})",
                    detail("ApiVersion"),
                    detail("MinAPIVersion")
                ),
            );
            line("Go version", &detail("GoVersion"));
            line("Git commit", &detail("GitCommit"));
            line("Built", &built);
            line("OS/Arch", &format!("{}/{}", detail("Os"), detail("Arch")));
            line("Experimental", &detail("Experimental"));
        } else {
            for (key, value) in crate::template::sorted(details.members()) {
                line(key, &value.printed());
            }
        }
    }
    out
}

/// Go's `time.ANSIC`.
fn go_date(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(t) => t.strftime("%a %b %e %H:%M:%S %Y").to_string(),
        Err(_) => String::new(),
    }
}
