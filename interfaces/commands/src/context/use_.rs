//! `dhow context use`.

use super::store;
use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::Parsed;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "CONTEXT",
    about: "Set the current docker context",
    aliases: "",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let name = args.arg(0);
    store::load(app, name)?;
    set_current(app, if name == super::DEFAULT { "" } else { name })?;
    console::line(name);
    console::error(format!("Current context is now {name:?}"));
    if name != super::DEFAULT && std::env::var("DOCKER_HOST").is_ok_and(|h| !h.is_empty()) {
        console::error(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use \"".to_owned()
                + name
                + "\", either set the global --context flag, or unset DOCKER_HOST environment variable.",
        );
    }
    Ok(())
}

/// Writes the setting `currentContext`; every other setting stays as it is.
pub(super) fn set_current(app: &App, name: &str) -> Outcome {
    let path = app.config_dir.join("config.json");
    let mut settings: serde_json::Map<String, serde_json::Value> = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|e| Failure::new(format!("Error loading config file: {}: {e}", path.display())))?,
        Err(_) => serde_json::Map::new(),
    };
    settings.entry("auths").or_insert_with(|| serde_json::json!({}));
    if name.is_empty() {
        settings.remove("currentContext");
    } else {
        settings.insert("currentContext".to_owned(), name.into());
    }
    let text = serde_json::to_string_pretty(&settings).map_err(|e| Failure::new(e.to_string()))?;
    store::write_file(&path, text.replace("  ", "\t").as_bytes())
}
