//! `dhow events`.

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::template::{MissingKey, Template, Value};
use crate::tree::{Command, Count, run};
use crate::units;

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS]",
    about: "Get real time events from the server",
    aliases: "system events, events",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[
        recurring::FILTER,
        flag(
            "format",
            '\0',
            Kind::Text,
            "string",
            "",
            "Format output using a custom template:\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template.\nRefer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates",
        ),
        flag(
            "since",
            '\0',
            Kind::Text,
            "string",
            "",
            "Show all events created since timestamp",
        ),
        flag(
            "until",
            '\0',
            Kind::Text,
            "string",
            "",
            "Stream events until this timestamp",
        ),
    ],
    run: run!(execute),
};

/// An event is longer than this only if something is wrong.
const EVENT_LIMIT: usize = 4 << 20;

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let template = match args.text("format") {
        "" => None,
        "json" => Some(Template::parse("{{json .}}")),
        text => Some(Template::parse(text)),
    };
    let template = template
        .transpose()
        .map_err(|e| Failure::new(format!("Error parsing format: {e}")).code(64))?;
    let moment = |name: &str| units::moment(args.text(name)).map_err(Failure::new);
    let (since, until) = (moment("since")?, moment("until")?);
    let mut reply = app.client()?.events(&since, &until, &args.filters()?).await?;
    let mut pending = Vec::new();
    while let Some(chunk) = reply.chunk().await? {
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            show(&line, template.as_ref())?;
        }
        if pending.len() > EVENT_LIMIT {
            return Err(Failure::new("event stream is broken"));
        }
    }
    show(&pending, template.as_ref())
}

fn show(line: &[u8], template: Option<&Template>) -> Outcome {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let event = App::json(line)?;
    match template {
        Some(template) => console::line(template.execute(&with_old_names(&event), MissingKey::Error)?),
        None => console::line(plain(&event)),
    }
    Ok(())
}

/// The event with the names that its parts had before the API had actors; JSON leaves them out of new kinds of events.
fn with_old_names(event: &Value) -> Value {
    let mut members: Vec<(String, Value)> = event
        .members()
        .iter()
        .map(|(k, v)| (k.to_string(), v.clone()))
        .collect();
    let mark = crate::template::HIDDEN;
    for (old, hidden) in [("ID", "id"), ("Status", "status"), ("From", "from")] {
        let value = event.get(hidden).cloned().unwrap_or_else(|| Value::from(""));
        members.push((format!("{mark}{old}"), value));
    }
    Value::map(members)
}

/// `2026-01-02T03:04:05.000000006Z container start ID (name=web, ...)`.
fn plain(event: &Value) -> String {
    let mut out = String::new();
    let nano = event.int_at("timeNano");
    let seconds = if nano != 0 {
        nano.div_euclid(1_000_000_000)
    } else {
        event.int_at("time")
    };
    if let Ok(t) = jiff::Timestamp::from_second(seconds) {
        out.push_str(&format!(
            "{}.{:09}Z ",
            t.strftime("%Y-%m-%dT%H:%M:%S"),
            nano.rem_euclid(1_000_000_000)
        ));
    }
    let actor = event.get("Actor").unwrap_or(&Value::Nil);
    out.push_str(&format!(
        "{} {} {}",
        event.str_at("Type"),
        event.str_at("Action"),
        actor.str_at("ID")
    ));
    let attributes = actor.get("Attributes").map_or(&[][..], Value::members);
    if !attributes.is_empty() {
        let pairs: Vec<String> = crate::template::sorted(attributes)
            .iter()
            .map(|(k, v)| format!("{k}={}", v.printed()))
            .collect();
        out.push_str(&format!(" ({})", pairs.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_with_its_attributes_by_name() {
        let json = br#"{"Type":"container","Action":"start","Actor":{"ID":"abc","Attributes":{"name":"web","image":"i"}},"time":1,"timeNano":1000000002}"#;
        assert_eq!(
            plain(&Value::from_json(json).unwrap()),
            "1970-01-01T00:00:01.000000002Z container start abc (image=i, name=web)"
        );
    }
}
