//! `spec`: writes a `config.json` to start from.

use super::flags::{Flag, Flags};
use super::{CliError, Outcome, Session};

/// The default configuration: what runc's has, so that bundles made by habit work the same.
const DEFAULT: &str = include_str!("spec.json");

pub(super) fn main(arguments: Vec<String>, _session: &mut Session<'_>) -> Outcome {
    let (flags, _) = Flags::parse(
        &[Flag::value("bundle", Some('b')), Flag::switch("rootless", None)],
        arguments,
    )?;
    if flags.has("rootless") {
        return Err(CliError::Usage("--rootless is not supported yet".into()));
    }
    let path = std::path::Path::new(flags.get("bundle").unwrap_or(".")).join("config.json");
    if path.exists() {
        return Err(CliError::Usage(format!(
            "File {} exists. Remove it first",
            path.display()
        )));
    }
    std::fs::write(&path, DEFAULT).map_err(CliError::file(format!("write {}", path.display())))?;
    Ok(0)
}
