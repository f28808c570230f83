//! What a verb is: its name, its flags, how many arguments it takes, and what it does.

use std::io::Write;

use super::flags::{Flag, Flags};
use super::{CliError, Outcome, Session};

/// The name under which this program speaks of itself.
pub(super) const PROGRAM: &str = "dhow-runtime";

/// One command.
pub(super) struct Verb {
    /// Its name.
    pub(super) name: &'static str,
    /// Its arguments, as the help shows them.
    pub(super) arguments: &'static str,
    /// One line on what it does.
    pub(super) about: &'static str,
    /// Least number of arguments.
    pub(super) least: usize,
    /// Most of them.
    pub(super) most: usize,
    /// Its flags, in groups that verbs share.
    pub(super) flags: &'static [&'static [Flag]],
    /// Does it.
    pub(super) act: fn(&Flags, &[String], &mut Session<'_>) -> Outcome,
}

impl Verb {
    /// Takes flags and arguments apart; `None` when the help was asked for.
    pub(super) fn parse(&self, arguments: Vec<String>) -> Result<Option<(Flags, Vec<String>)>, CliError> {
        if matches!(arguments.first().map(String::as_str), Some("--help" | "-h")) {
            return Ok(None);
        }
        let known: Vec<Flag> = self.flags.iter().copied().flatten().copied().collect();
        // What follows the container's id belongs to a program there.
        let (flags, rest) = if matches!(self.name, "exec" | "ps") {
            Flags::parse(&known, arguments)?
        } else {
            Flags::parse_anywhere(&known, arguments)?
        };
        let complaint = |how: &str, count: usize| {
            let name = self.name;
            Err(CliError::Usage(format!(
                "{PROGRAM}: {name:?} requires {how} {count} argument(s)"
            )))
        };
        if self.least == self.most && rest.len() != self.least {
            return complaint("exactly", self.least);
        }
        if rest.len() < self.least {
            return complaint("a minimum of", self.least);
        }
        if rest.len() > self.most {
            return complaint("a maximum of", self.most);
        }
        Ok(Some((flags, rest)))
    }

    /// The help page.
    pub(super) fn help(&self) -> String {
        let Self {
            name,
            about,
            arguments,
            ..
        } = self;
        let flags: Vec<&Flag> = self.flags.iter().copied().flatten().collect();
        let options = if flags.is_empty() {
            ""
        } else {
            " [command options]"
        };
        let mut text = format!(
            "NAME:\n   {PROGRAM} {name} - {about}\n\nUSAGE:\n   {PROGRAM} {name}{options} {arguments}\n"
        );
        if !flags.is_empty() {
            text.push_str("\nOPTIONS:\n");
            text.push_str(&table(&flags));
        }
        text
    }
}

/// The help page of the whole program.
pub(super) fn overview(out: &mut dyn Write, verbs: &[Verb], global: &[Flag]) {
    let mut text = format!(
        "NAME:\n   {PROGRAM} - Open Container Initiative runtime\n\nUSAGE:\n   {PROGRAM} [global options] command \
         [command options] [arguments...]\n\nVERSION:\n   {}\n\nCOMMANDS:\n",
        env!("CARGO_PKG_VERSION")
    );
    for verb in verbs {
        text.push_str(&format!("   {:<11} {}\n", verb.name, verb.about));
    }
    text.push_str("   help, h     shows this list, or help for one command\n\nGLOBAL OPTIONS:\n");
    text.push_str(&table(&global.iter().collect::<Vec<_>>()));
    let _ = out.write_all(text.as_bytes());
}

fn table(flags: &[&Flag]) -> String {
    let names: Vec<String> = flags.iter().map(|flag| flag.names()).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    names
        .iter()
        .zip(flags)
        .map(|(name, flag)| format!("   {name:<width$}  {}\n", flag.help))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::VERBS;

    #[test]
    fn every_verb_and_flag_has_a_help_line() {
        for verb in VERBS {
            let help = verb.help();
            for flag in verb.flags.iter().copied().flatten() {
                assert!(!flag.help.is_empty(), "{} {}", verb.name, flag.names());
                assert!(help.contains(&flag.names()), "{help}");
            }
        }
    }

    #[test]
    fn the_number_of_arguments_is_checked_as_runc_does() {
        let kill = VERBS.iter().find(|verb| verb.name == "kill").expect("kill");
        let error = |arguments: &[&str]| {
            let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
            kill.parse(arguments).err().map(|error| error.to_string())
        };
        let text = |how: &str| Some(format!("dhow-runtime: \"kill\" requires {how} argument(s)"));
        assert_eq!(error(&[]), text("a minimum of 1"));
        assert_eq!(error(&["a", "b", "c"]), text("a maximum of 2"));
        assert_eq!(error(&["a", "KILL"]), None);
    }
}
