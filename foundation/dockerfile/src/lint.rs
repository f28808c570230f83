//! What would better be written in another way: BuildKit's checks by their names, and advice of our own.

mod advice;
mod style;
mod variables;

use crate::error::Span;
use crate::ignore::Ignore;
use crate::stage::Dockerfile;

/// Something to be written in another way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The name of the rule.
    pub rule: &'static str,
    /// What is found.
    pub message: String,
    /// Where.
    pub span: Span,
}

/// What the rules need to know besides the Dockerfile.
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    /// `--build-arg`s.
    pub build_args: Vec<(String, String)>,
    /// The rules of `.dockerignore`.
    pub ignore: Option<&'a Ignore>,
    /// The advice of our own too.
    pub advice: bool,
}

/// Which rules a file switches off, and whether warnings are errors: `# check=skip=A,B;error=true`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Names of rules; `all`.
    pub skip: Vec<String>,
    /// Warnings end the build.
    pub error: bool,
}

impl Config {
    /// Reads the value of `# check=`.
    pub fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for part in text.split(';') {
            match part.trim().split_once('=') {
                Some((key, value)) if key.trim() == "skip" => {
                    config
                        .skip
                        .extend(value.split(',').map(|rule| rule.trim().to_owned()));
                }
                Some((key, value)) if key.trim() == "error" => config.error = value.trim() == "true",
                _ => {}
            }
        }
        config
    }

    fn skips(&self, rule: &str) -> bool {
        self.skip
            .iter()
            .any(|skip| skip == "all" || skip.eq_ignore_ascii_case(rule))
    }
}

/// Checks a file; the warnings come in the order of lines.
pub fn lint(file: &Dockerfile, options: &Options<'_>) -> Vec<Warning> {
    let config = Config::parse(file.directives.check.as_deref().unwrap_or_default());
    let mut found = Found { warnings: Vec::new() };
    style::check(file, &mut found);
    variables::check(file, options, &mut found);
    if let Some(ignore) = options.ignore {
        style::copied_but_ignored(file, ignore, &mut found);
    }
    if options.advice {
        advice::check(file, &mut found);
    }
    let mut warnings = found.warnings;
    warnings.retain(|warning| !config.skips(warning.rule));
    warnings.sort_by_key(|warning| warning.span.first);
    warnings
}

/// Collects warnings.
struct Found {
    warnings: Vec<Warning>,
}

impl Found {
    fn add(&mut self, rule: &'static str, span: Span, message: impl Into<String>) {
        self.warnings.push(Warning {
            rule,
            message: message.into(),
            span,
        });
    }
}

impl Warning {
    /// What the rule is about, in one line.
    pub fn description(&self) -> &'static str {
        let found = DESCRIPTIONS.iter().find(|(rule, _)| *rule == self.rule);
        found.map_or("", |(_, description)| description)
    }
}

const DESCRIPTIONS: [(&str, &str); 26] = [
    ("StageNameCasing", "Stage names should be lowercase"),
    (
        "FromAsCasing",
        "The 'as' keyword should match the case of the 'from' keyword",
    ),
    (
        "NoEmptyContinuation",
        "Empty continuation lines will become errors in a future release",
    ),
    (
        "ConsistentInstructionCasing",
        "All commands within the Dockerfile should use the same casing (either upper or lower)",
    ),
    ("DuplicateStageName", "Stage names should be unique"),
    (
        "ReservedStageName",
        "Reserved words should not be used as stage names",
    ),
    (
        "JSONArgsRecommended",
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    ),
    (
        "MaintainerDeprecated",
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    ),
    ("UndefinedArgInFrom", "FROM command must use declared ARGs"),
    (
        "WorkdirRelativePath",
        "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
    ),
    ("UndefinedVar", "Variables should be defined before their use"),
    (
        "MultipleInstructionsDisallowed",
        "Multiple instructions of the same type should not be used in the same stage",
    ),
    (
        "LegacyKeyValueFormat",
        "Legacy key/value format with whitespace separator should not be used",
    ),
    (
        "RedundantTargetPlatform",
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    ),
    (
        "SecretsUsedInArgOrEnv",
        "Sensitive data should not be used in the ARG or ENV commands",
    ),
    (
        "InvalidDefaultArgInFrom",
        "Default value for global ARG results in an empty or invalid base image name",
    ),
    (
        "FromPlatformFlagConstDisallowed",
        "FROM --platform flag should not use a constant value",
    ),
    (
        "CopyIgnoredFile",
        "Attempting to Copy file that is excluded by .dockerignore",
    ),
    (
        "InvalidDefinitionDescription",
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    ),
    (
        "ExposeProtoCasing",
        "Protocol in EXPOSE instruction should be lowercase",
    ),
    (
        "ExposeInvalidFormat",
        "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
    ),
    (
        "AptUpdateAlone",
        "`apt-get update` apart from `apt-get install` installs old packages from the cache",
    ),
    (
        "PipefailMissing",
        "The exit code of a pipe is that of its last command; `set -o pipefail` tells the others'",
    ),
    (
        "DistUpgrade",
        "An upgrade of all packages makes an image that differs from its base in every build",
    ),
    ("SeveralServices", "A container should run one service"),
    (
        "LatestTag",
        "An image without a fixed tag is another one tomorrow",
    ),
];

#[cfg(test)]
mod tests;
