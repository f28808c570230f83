//! `--check`, and `# check=error=true`.

use dockerfile::{Dockerfile, lint};

use crate::context::Context;
use crate::progress::{ProgressSender, line};
use crate::{BuildError, BuildRequest};

/// The warnings, where they are asked for; an error when they count as one.
pub(crate) fn check(
    file: &Dockerfile,
    request: &BuildRequest,
    context: &Context,
) -> Result<Vec<lint::Warning>, BuildError> {
    let config = lint::Config::parse(file.directives.check.as_deref().unwrap_or_default());
    if !request.check && !config.error {
        return Ok(Vec::new());
    }
    let build_args = request.build_args.iter();
    let options = lint::Options {
        build_args: build_args
            .map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()))
            .collect(),
        ignore: context.ignore.as_ref(),
        advice: request.check,
    };
    let warnings = lint::lint(file, &options);
    if config.error && !request.check && !warnings.is_empty() {
        let mut rules: Vec<&str> = warnings.iter().map(|warning| warning.rule).collect();
        rules.dedup();
        return Err(BuildError::Lint(rules.join(", ")));
    }
    Ok(warnings)
}

/// `--check`: the warnings with their lines; an error when there are any.
pub(crate) async fn tell(
    context: &Context,
    request: &BuildRequest,
    warnings: &[lint::Warning],
    progress: &ProgressSender,
) -> Result<(), BuildError> {
    let name = if request.dockerfile.is_empty() {
        "Dockerfile"
    } else {
        &request.dockerfile
    };
    let lines: Vec<&str> = context.dockerfile.lines().collect();
    for warning in warnings {
        let text = format!(
            "WARNING: {} - {}\n{}\n{name}:{}\n",
            warning.rule,
            warning.description(),
            warning.message,
            warning.span.first
        );
        progress.send(line(text)).await;
        for number in warning.span.first..=warning.span.last.min(warning.span.first + 7) {
            let shown = lines.get(number - 1).copied().unwrap_or_default();
            progress.send(line(format!("{number:>4} | {shown}\n"))).await;
        }
        progress.send(line("\n")).await;
    }
    match warnings.len() {
        0 => {
            progress.send(line("Check complete, no warnings found.\n")).await;
            Ok(())
        }
        count => Err(BuildError::Lint(format!(
            "check complete, {count} warning{} found",
            if count == 1 { "" } else { "s" }
        ))),
    }
}
