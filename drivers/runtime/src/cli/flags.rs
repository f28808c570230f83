//! Flags in the way of Go's: `--name value`, `--name=value`, `-n value`; they end at the first argument that is none, or, as
//! runc takes most of its verbs, stand anywhere.

use super::CliError;

/// A flag that a verb knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    name: &'static str,
    short: Option<char>,
    takes_value: bool,
    /// What it is for.
    pub(super) help: &'static str,
}

impl Flag {
    /// A flag with a value.
    pub(super) const fn value(name: &'static str, short: Option<char>, help: &'static str) -> Self {
        Self {
            name,
            short,
            takes_value: true,
            help,
        }
    }

    /// A flag without one.
    pub(super) const fn switch(name: &'static str, short: Option<char>, help: &'static str) -> Self {
        Self {
            name,
            short,
            takes_value: false,
            help,
        }
    }

    /// The flag as the help shows it.
    pub(super) fn names(&self) -> String {
        let value = if self.takes_value { " value" } else { "" };
        match self.short {
            Some(short) => format!("--{}{value}, -{short}{value}", self.name),
            None => format!("--{}{value}", self.name),
        }
    }

    fn is(&self, name: &str) -> bool {
        self.name == name
            || self
                .short
                .is_some_and(|short| name.len() == 1 && name.starts_with(short))
    }
}

/// What was given.
#[derive(Debug, Default)]
pub(super) struct Flags(Vec<(&'static str, String)>);

impl Flags {
    /// Takes the flags out of `arguments`, also from behind other arguments; these come back. `--` ends the flags.
    pub(super) fn parse_anywhere(
        known: &[Flag],
        arguments: Vec<String>,
    ) -> Result<(Self, Vec<String>), CliError> {
        let (mut flags, mut others, mut rest) = (Self::default(), Vec::new(), arguments);
        loop {
            // What `parse` leaves begins with an argument, or is what comes after `--`.
            let before = rest.len();
            let ends =
                |left: &[String], all: &[String]| before > left.len() && all[before - left.len() - 1] == "--";
            let all = rest.clone();
            let (more, mut left) = Self::parse(known, rest)?;
            flags.0.extend(more.0);
            if left.is_empty() || ends(&left, &all) {
                others.append(&mut left);
                return Ok((flags, others));
            }
            others.push(left.remove(0));
            rest = left;
        }
    }

    /// Takes the flags off the front of `arguments`; the rest comes back.
    pub(super) fn parse(known: &[Flag], arguments: Vec<String>) -> Result<(Self, Vec<String>), CliError> {
        let mut flags = Self::default();
        let mut arguments = arguments.into_iter().peekable();
        while let Some(argument) = arguments.next_if(|argument| argument.starts_with('-') && argument != "-")
        {
            if argument == "--" {
                break;
            }
            let body = argument.strip_prefix("--").unwrap_or(&argument[1..]);
            let (name, value) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            let unknown = || CliError::Usage(format!("flag provided but not defined: -{name}"));
            let flag = known.iter().find(|flag| flag.is(name)).ok_or_else(unknown)?;
            let value = match (flag.takes_value, value) {
                (true, Some(value)) => value,
                (true, None) => arguments
                    .next()
                    .ok_or_else(|| CliError::Usage(format!("flag needs an argument: -{name}")))?,
                (false, value) => {
                    let value = value.unwrap_or_else(|| "true".to_owned());
                    if !matches!(value.as_str(), "true" | "false" | "1" | "0" | "t" | "f") {
                        let text = format!("invalid boolean value {value:?} for -{name}");
                        return Err(CliError::Usage(text));
                    }
                    value
                }
            };
            flags.0.push((flag.name, value));
        }
        Ok((flags, arguments.collect()))
    }

    /// Whether a switch is on.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| matches!(value, "true" | "1" | "t"))
    }

    /// The last value given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    /// All values given.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    /// A number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, CliError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let bad = |_| CliError::Usage(format!("invalid value {text:?} for flag -{name}"));
        text.parse().map(Some).map_err(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_end_at_the_first_argument() {
        let known = [
            Flag::value("bundle", Some('b'), "directory"),
            Flag::switch("detach", Some('d'), "in the background"),
        ];
        let arguments = ["-b", "/x", "--detach", "id", "--detach"]
            .map(str::to_owned)
            .to_vec();
        let (flags, rest) = Flags::parse(&known, arguments).expect("known");
        assert_eq!((flags.get("bundle"), flags.has("detach")), (Some("/x"), true));
        assert_eq!(rest, ["id", "--detach"]);
        let anywhere = |arguments: &[&str]| {
            let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
            let (flags, rest) = Flags::parse_anywhere(&known, arguments).expect("known");
            let bundle = flags.get("bundle").unwrap_or_default().to_owned();
            (bundle, flags.has("detach"), rest.join(" "))
        };
        let wanted = |bundle: &str, detach, rest: &str| (bundle.to_owned(), detach, rest.to_owned());
        assert_eq!(
            anywhere(&["id", "-d", "KILL", "-b", "x"]),
            wanted("x", true, "id KILL")
        );
        assert_eq!(anywhere(&["-d", "id", "--", "-b"]), wanted("", true, "id -b"));
        assert_eq!(anywhere(&["--", "-d"]), wanted("", false, "-d"));
        assert!(Flags::parse(&known, vec!["--nope".into()]).is_err());
        assert!(Flags::parse(&known, vec!["--detach=maybe".into()]).is_err());
    }
}
