//! Verbs whose issues are still open: they say so and fail, so that no script takes them for a success.

/// No flags yet.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn refuse(verb: &str, what: &str) -> anyhow::Result<()> {
    anyhow::bail!("`cargo xtask {verb}` ({what}) is not built yet; it comes with a later issue")
}
