//! `dhow image inspect`.

use crate::app::App;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::inspect;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Display detailed information on one or more images",
    aliases: "",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[
        recurring::FORMAT_OBJECT,
        flag(
            "platform",
            '\0',
            Kind::Text,
            "string",
            "",
            "Inspect a specific platform of the multi-platform image.\nIf the image or the server is not multi-platform capable, the command will error out if the platform does not match.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
        ),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let platform = platform(args.text("platform"));
    inspect::print(&args.args, args.text("format"), |name| {
        client.image_inspect(name, &platform)
    })
    .await
}

/// `os/arch[/variant]` as the API takes it; empty for none.
pub(super) fn platform(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mut parts = text.splitn(3, '/');
    let os = parts.next().unwrap_or_default();
    let mut platform = serde_json::json!({"os": os, "architecture": parts.next().unwrap_or_default()});
    if let Some(variant) = parts.next() {
        platform["variant"] = variant.into();
    }
    platform.to_string()
}
