//! Flags as docker reads them: `--name value`, `--name=value`, `-n value`, `-nvalue`, `-abc`, `--`.
//!
//! A command declares its flags in a table ([`Flag`]); [`parse`] checks the arguments against it, with the messages of
//! the Go library that docker uses, and hands out a [`Parsed`].

pub(crate) mod recurring;

use crate::units;

/// What a flag's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Yes or no; alone it is yes.
    Bool,
    /// Text.
    Text,
    /// A whole number.
    Int,
    /// A whole number, not negative.
    Uint,
    /// Sixteen bits.
    Uint16,
    /// May be given again and again.
    List,
    /// A list whose values may hold several, separated by commas.
    Strings,
    /// A size such as `512m`.
    Bytes,
    /// A time such as `30s`.
    Duration,
    /// A number of CPUs such as `1.5`.
    Decimal,
}

/// One flag of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    /// Name after the two dashes.
    pub(crate) name: &'static str,
    /// Letter after the one dash, or NUL.
    pub(crate) short: char,
    /// What its value is.
    pub(crate) kind: Kind,
    /// Word for the value in the help.
    pub(crate) value: &'static str,
    /// Value if it is not given, as the help shows it.
    pub(crate) default: &'static str,
    /// What it does; empty hides it from the help.
    pub(crate) about: &'static str,
}

/// A line of a flag table.
pub(crate) const fn flag(
    name: &'static str,
    short: char,
    kind: Kind,
    value: &'static str,
    default: &'static str,
    about: &'static str,
) -> Flag {
    Flag {
        name,
        short,
        kind,
        value,
        default,
        about,
    }
}

/// A table of `N` flags out of two: what several commands share, and what one has beside it. A wrong `N` does not compile.
pub(crate) const fn joined<const N: usize>(shared: &[Flag], own: &[Flag]) -> [Flag; N] {
    assert!(
        shared.len() + own.len() == N,
        "N is the number of flags in both tables"
    );
    let mut all = [flag("", '\0', Kind::Bool, "", "", ""); N];
    let mut at = 0;
    while at < N {
        all[at] = if at < shared.len() {
            shared[at]
        } else {
            own[at - shared.len()]
        };
        at += 1;
    }
    all
}

/// The flags that were given, and the arguments.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    table: &'static [Flag],
    given: Vec<(&'static str, String)>,
    /// What is no flag.
    pub(crate) args: Vec<String>,
    /// `--help` was given.
    pub(crate) help: bool,
}

/// Old names of flags.
const OLD_NAMES: &[(&str, &str)] = &[
    ("net", "network"),
    ("net-alias", "network-alias"),
    ("dns-opt", "dns-option"),
    ("time", "timeout"),
];

/// Reads arguments. With `stop_early` the first one that is no flag ends the flags (`run`, `exec`).
///
/// # Errors
/// The message for an unknown flag, or for a value that does not fit.
pub(crate) fn parse(table: &'static [Flag], words: &[String], stop_early: bool) -> Result<Parsed, String> {
    let mut parsed = Parsed {
        table,
        ..Parsed::default()
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            parsed.args.extend(words.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            parsed.long(long, &mut words)?;
        } else if word.len() > 1 && word.starts_with('-') {
            parsed.shorts(&word[1..], &mut words)?;
        } else {
            parsed.args.push(word.clone());
            if stop_early {
                parsed.args.extend(words.by_ref().cloned());
            }
        }
        if parsed.help {
            break;
        }
    }
    Ok(parsed)
}

impl Parsed {
    fn long(&mut self, text: &str, words: &mut std::slice::Iter<'_, String>) -> Result<(), String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(format!("bad flag syntax: --{text}"));
        }
        let find = |name: &str| self.table.iter().find(|f| f.name == name);
        let old = || {
            OLD_NAMES
                .iter()
                .find(|(old, _)| *old == name)
                .and_then(|(_, new)| find(new))
        };
        let Some(flag) = find(name).or_else(old) else {
            if name == "help" {
                self.help = true;
                return Ok(());
            }
            return Err(format!("unknown flag: --{name}"));
        };
        let value = match value {
            Some(value) => value,
            None if flag.kind == Kind::Bool => "true".to_owned(),
            None => words
                .next()
                .cloned()
                .ok_or_else(|| format!("flag needs an argument: --{name}"))?,
        };
        self.set(flag, value)
    }

    fn shorts(&mut self, letters: &str, words: &mut std::slice::Iter<'_, String>) -> Result<(), String> {
        let mut rest = letters;
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            let Some(flag) = self.table.iter().find(|f| f.short == letter && letter != '\0') else {
                if letter == 'h' {
                    self.help = true;
                    return Ok(());
                }
                return Err(format!("unknown shorthand flag: {letter:?} in -{letters}"));
            };
            if let Some(value) = rest.strip_prefix('=') {
                return self.set(flag, value.to_owned());
            }
            if flag.kind == Kind::Bool {
                self.set(flag, "true".to_owned())?;
                continue;
            }
            let value = if rest.is_empty() {
                words
                    .next()
                    .cloned()
                    .ok_or_else(|| format!("flag needs an argument: {letter:?} in -{letters}"))?
            } else {
                rest.to_owned()
            };
            return self.set(flag, value);
        }
        Ok(())
    }

    fn set(&mut self, flag: &'static Flag, value: String) -> Result<(), String> {
        if let Err(why) = check(flag, &value) {
            let name = match flag.short {
                '\0' => format!("--{}", flag.name),
                short => format!("-{short}, --{}", flag.name),
            };
            return Err(format!("invalid argument {value:?} for {name:?} flag: {why}"));
        }
        if flag.kind == Kind::Strings {
            for part in value.split(',') {
                self.given.push((flag.name, part.to_owned()));
            }
        } else {
            self.given.push((flag.name, value));
        }
        Ok(())
    }

    fn last(&self, name: &str) -> Option<&str> {
        debug_assert!(self.table.iter().any(|f| f.name == name), "no flag {name}");
        self.given
            .iter()
            .rev()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.as_str())
    }

    /// True if the flag was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.last(name).is_some()
    }

    /// True if the command has such a flag at all.
    pub(crate) fn table_has(&self, name: &str) -> bool {
        self.table.iter().any(|f| f.name == name)
    }

    /// The value of a yes-or-no flag; what the help says if it was not given.
    pub(crate) fn on(&self, name: &str) -> bool {
        match self.last(name) {
            Some(value) => parse_bool(value).unwrap_or(false),
            None => self.table.iter().any(|f| f.name == name && f.default == "true"),
        }
    }

    /// The text of a flag; empty if it was not given.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.last(name).unwrap_or_default()
    }

    /// The number of a flag; `None` if it was not given.
    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.last(name).and_then(parse_int)
    }

    /// The size of a flag in bytes; 0 if it was not given.
    pub(crate) fn bytes(&self, name: &str) -> i64 {
        self.last(name).and_then(parse_size).unwrap_or(0)
    }

    /// The time of a flag in nanoseconds; 0 if it was not given.
    pub(crate) fn nanoseconds(&self, name: &str) -> i64 {
        self.last(name).and_then(oci::duration::parse).unwrap_or(0)
    }

    /// Every value of a flag, in the order given.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        debug_assert!(self.table.iter().any(|f| f.name == name), "no flag {name}");
        self.given
            .iter()
            .filter(|(n, _)| *n == name)
            .map(|(_, v)| v.clone())
            .collect()
    }

    /// The filters of `--filter`, as the API takes them.
    pub(crate) fn filters(&self) -> Result<api_types::Filters, crate::failure::Failure> {
        let mut filters = api_types::Filters::default();
        for text in self.all("filter") {
            let Some((name, value)) = text.split_once('=') else {
                continue;
            };
            filters.add(name.trim().to_lowercase(), value.trim());
        }
        Ok(filters)
    }

    /// An argument, or nothing.
    pub(crate) fn arg(&self, i: usize) -> &str {
        self.args.get(i).map_or("", String::as_str)
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn parse_int(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let n = match digits.get(..2) {
        Some("0x" | "0X") => i64::from_str_radix(&digits[2..], 16).ok()?,
        Some("0b" | "0B") => i64::from_str_radix(&digits[2..], 2).ok()?,
        Some("0o" | "0O") => i64::from_str_radix(&digits[2..], 8).ok()?,
        _ if digits.len() > 1 && digits.starts_with('0') => i64::from_str_radix(digits, 8).ok()?,
        _ if digits.starts_with(['-', '+']) => return None,
        _ => digits.parse().ok()?,
    };
    Some(sign * n)
}

/// A size; `-1` stands for no limit.
fn parse_size(text: &str) -> Option<i64> {
    if text == "-1" {
        Some(-1)
    } else {
        units::parse_bytes(text)
    }
}

fn check(flag: &Flag, value: &str) -> Result<(), String> {
    let syntax = |function: &str| Err(format!("strconv.{function}: parsing {value:?}: invalid syntax"));
    match flag.kind {
        Kind::List if flag.name == "filter" && !value.is_empty() && !value.contains('=') => {
            Err("bad format of filter (expected name=value)".to_owned())
        }
        Kind::Bool if parse_bool(value).is_none() => syntax("ParseBool"),
        Kind::Int if parse_int(value).is_none() => syntax("ParseInt"),
        Kind::Uint | Kind::Uint16 if !matches!(parse_int(value), Some(0..)) => syntax("ParseUint"),
        Kind::Uint16 if parse_int(value).is_some_and(|n| n > 65535) => Err(format!(
            "strconv.ParseUint: parsing {value:?}: value out of range"
        )),
        Kind::Bytes if value == "-1" && flag.name == "memory-swap" => Ok(()),
        Kind::Bytes if units::parse_bytes(value).is_none() => Err(format!("invalid size: '{value}'")),
        Kind::Duration if oci::duration::parse(value).is_none() => {
            Err(format!("time: invalid duration {value:?}"))
        }
        Kind::Decimal if nano_cpus(value).is_none() => Err(match value.parse::<f64>() {
            Ok(_) => "value is too precise".to_owned(),
            Err(_) => format!("failed to parse {value} as a rational number"),
        }),
        _ => Ok(()),
    }
}

/// A number of CPUs in billionths, exactly; `None` if it is no number or has more than nine decimals.
pub(crate) fn nano_cpus(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) || text.is_empty() || text == "." {
        return None;
    }
    let fraction: i64 = if fraction.is_empty() {
        0
    } else {
        format!("{fraction:0<9}").parse().ok()?
    };
    let fraction = if negative { -fraction } else { fraction };
    whole.checked_mul(1_000_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    static TABLE: &[Flag] = &[
        flag("all", 'a', Kind::Bool, "", "", "All"),
        flag("proxy", '\0', Kind::Bool, "", "true", "Proxy"),
        flag("publish", 'p', Kind::List, "list", "", "Ports"),
        flag("memory", 'm', Kind::Bytes, "bytes", "", "Memory"),
        flag("timeout", 't', Kind::Int, "int", "", "Seconds"),
        flag("network", '\0', Kind::List, "network", "", "Network"),
    ];

    fn read(words: &[&str], early: bool) -> Result<Parsed, String> {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        parse(TABLE, &words, early)
    }

    #[test]
    fn every_way_to_write_a_flag() {
        let p = read(
            &[
                "-ap",
                "80",
                "-p=81",
                "-p82",
                "--publish=83",
                "x",
                "--publish",
                "84",
                "--proxy=false",
            ],
            false,
        )
        .unwrap();
        assert!(p.on("all") && !p.on("proxy"));
        assert_eq!(p.all("publish"), ["80", "81", "82", "83", "84"]);
        assert_eq!(p.args, ["x"]);
        let p = read(&["-m", "64m", "image", "-a", "--", "x"], true).unwrap();
        assert_eq!(
            (p.bytes("memory"), p.on("all"), p.on("proxy")),
            (64 << 20, false, true)
        );
        assert_eq!(p.args, ["image", "-a", "--", "x"]);
        assert_eq!(
            read(&["--net", "n", "--", "-a"], false).unwrap().all("network"),
            ["n"]
        );
    }

    #[test]
    fn errors_have_the_words_that_docker_prints() {
        for (words, message) in [
            (&["--nope"][..], "unknown flag: --nope"),
            (&["-az"], "unknown shorthand flag: 'z' in -az"),
            (&["-p"], "flag needs an argument: 'p' in -p"),
            (&["--memory"], "flag needs an argument: --memory"),
            (
                &["--memory=foo"],
                "invalid argument \"foo\" for \"-m, --memory\" flag: invalid size: 'foo'",
            ),
            (
                &["-t", "abc"],
                "invalid argument \"abc\" for \"-t, --timeout\" flag: strconv.ParseInt: parsing \"abc\": invalid syntax",
            ),
            (
                &["--all=foo"],
                "invalid argument \"foo\" for \"-a, --all\" flag: strconv.ParseBool: parsing \"foo\": invalid syntax",
            ),
        ] {
            assert_eq!(read(words, false).unwrap_err(), message);
        }
    }

    #[test]
    fn cpus_are_counted_exactly() {
        assert_eq!(nano_cpus("1.5"), Some(1_500_000_000));
        assert_eq!(nano_cpus(".000000001"), Some(1));
        assert_eq!(nano_cpus("2"), Some(2_000_000_000));
        assert_eq!(nano_cpus("0.0000000001"), None);
        assert_eq!(nano_cpus("x"), None);
    }
}
