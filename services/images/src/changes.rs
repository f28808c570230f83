//! `--change` of import and commit: those instructions of a Dockerfile that alter a configuration only.

mod words;

use oci::image::{Empty, Healthcheck, RunConfig};

use words::{expand, pairs, split};

/// Why a change is refused; the texts follow Docker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Not one of the instructions that can be used here.
    #[error("{0} is not a valid change command")]
    Instruction(String),
    /// The instruction needs arguments.
    #[error("{0} requires at least one argument")]
    NoArgument(&'static str),
    /// The instruction takes one argument.
    #[error("{0} requires exactly one argument")]
    OneArgument(&'static str),
    /// `ENV` and `LABEL` need pairs.
    #[error("{0} must have two arguments")]
    TwoArguments(&'static str),
    /// A word of `ENV` or `LABEL` is not a pair.
    #[error("Syntax error - can't find = in {0:?}. Must be of the form: name=value")]
    NoPair(String),
    /// A name is empty.
    #[error("{0} names can not be blank")]
    BlankName(&'static str),
    /// A quote is not closed, or a `${` is not.
    #[error("unexpected end of statement while looking for matching {0}")]
    Unclosed(&'static str),
    /// A substitution is of an unknown kind.
    #[error("unsupported modifier in substitution {0:?}")]
    Substitution(String),
    /// A port is not one.
    #[error("invalid containerPort: {0}")]
    Port(String),
    /// A signal is not one.
    #[error("invalid signal: {0}")]
    Signal(String),
    /// An `ONBUILD` trigger that is not allowed.
    #[error("{0}")]
    Trigger(&'static str),
    /// A health check is malformed.
    #[error("{0}")]
    Healthcheck(String),
}

impl fault::Fault for ChangeError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::InvalidParameter
    }
}

/// Applies the instructions in order.
///
/// # Errors
/// [`ChangeError`] at the first instruction that cannot be applied; `config` is then half changed.
pub fn apply(config: &mut RunConfig, changes: &[String]) -> Result<(), ChangeError> {
    let mut cmd_given = false;
    for line in logical_lines(changes) {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        let rest = rest.trim();
        match name.to_ascii_uppercase().as_str() {
            "CMD" => {
                config.cmd = Some(command(config, rest));
                cmd_given = true;
            }
            "ENTRYPOINT" => {
                config.entrypoint = Some(command(config, rest)).filter(|words| !words.is_empty());
                // The image's own arguments were for another program.
                if !cmd_given {
                    config.cmd = None;
                }
            }
            "ENV" => env(config, rest)?,
            "EXPOSE" => expose(config, rest)?,
            "HEALTHCHECK" => healthcheck(config, rest)?,
            "LABEL" => {
                for (key, value) in pairs("LABEL", rest, &config.env)? {
                    config.labels.insert(key, value);
                }
            }
            "ONBUILD" => onbuild(config, rest)?,
            "STOPSIGNAL" => {
                let signal = one("STOPSIGNAL", &expand(rest, &config.env)?)?;
                check_signal(&signal)?;
                config.stop_signal = signal;
            }
            "USER" => config.user = one("USER", &expand(rest, &config.env)?)?,
            "VOLUME" => volume(config, rest)?,
            "WORKDIR" => {
                let directory = one("WORKDIR", &expand(rest, &config.env)?)?;
                config.working_dir = join(&config.working_dir, &directory);
            }
            _ => return Err(ChangeError::Instruction(name.to_ascii_lowercase())),
        }
    }
    Ok(())
}

/// One instruction per item: comments and blank lines are gone, continued lines are joined.
fn logical_lines(changes: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for part in changes.iter().flat_map(|change| change.split('\n')) {
        if part.trim_start().starts_with('#') || part.trim().is_empty() {
            continue;
        }
        match part.trim_end().strip_suffix('\\') {
            Some(part) => line.push_str(part),
            None => {
                line.push_str(part);
                lines.push(std::mem::take(&mut line).trim().to_owned());
            }
        }
    }
    if !line.trim().is_empty() {
        lines.push(line.trim().to_owned());
    }
    lines
}

/// The exec form is a JSON list of strings; everything else is a line for the shell.
fn command(config: &RunConfig, text: &str) -> Vec<String> {
    if text.starts_with('[')
        && let Ok(words) = serde_json::from_str(text)
    {
        return words;
    }
    let mut words = match config.shell.as_slice() {
        [] => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        shell => shell.to_vec(),
    };
    words.push(text.to_owned());
    words
}

fn env(config: &mut RunConfig, rest: &str) -> Result<(), ChangeError> {
    for (key, value) in pairs("ENV", rest, &config.env)? {
        let prefix = format!("{key}=");
        let line = format!("{prefix}{value}");
        match config.env.iter_mut().find(|old| old.starts_with(&prefix)) {
            Some(old) => *old = line,
            None => config.env.push(line),
        }
    }
    Ok(())
}

fn expose(config: &mut RunConfig, rest: &str) -> Result<(), ChangeError> {
    if rest.is_empty() {
        return Err(ChangeError::NoArgument("EXPOSE"));
    }
    for word in split(&expand(rest, &config.env)?)? {
        let refuse = || ChangeError::Port(word.clone());
        let (range, protocol) = word.split_once('/').unwrap_or((&word, "tcp"));
        // `host:container` is taken, and the host's part left out, as Docker does.
        let range = range.rsplit(':').next().unwrap_or(range);
        let protocol = protocol.to_ascii_lowercase();
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
        let (low, high) = (port(low).ok_or_else(refuse)?, port(high).ok_or_else(refuse)?);
        if low > high || !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
            return Err(refuse());
        }
        for port in low..=high {
            config
                .exposed_ports
                .insert(format!("{port}/{protocol}"), Empty {});
        }
    }
    Ok(())
}

fn volume(config: &mut RunConfig, rest: &str) -> Result<(), ChangeError> {
    let volumes: Vec<String> = match serde_json::from_str(rest) {
        Ok(words) if rest.starts_with('[') => words,
        _ => split(&expand(rest, &config.env)?)?,
    };
    if volumes.is_empty() {
        return Err(ChangeError::NoArgument("VOLUME"));
    }
    for volume in volumes {
        if volume.trim().is_empty() {
            return Err(ChangeError::BlankName("VOLUME"));
        }
        config.volumes.insert(volume.trim().to_owned(), Empty {});
    }
    Ok(())
}

fn onbuild(config: &mut RunConfig, rest: &str) -> Result<(), ChangeError> {
    let trigger = rest
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    match trigger.as_str() {
        "" => Err(ChangeError::NoArgument("ONBUILD")),
        "ONBUILD" => Err(ChangeError::Trigger(
            "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        )),
        "FROM" => Err(ChangeError::Trigger("FROM isn't allowed as an ONBUILD trigger")),
        "MAINTAINER" => Err(ChangeError::Trigger(
            "MAINTAINER isn't allowed as an ONBUILD trigger",
        )),
        _ => {
            config.on_build.push(rest.to_owned());
            Ok(())
        }
    }
}

fn healthcheck(config: &mut RunConfig, rest: &str) -> Result<(), ChangeError> {
    let mut check = Healthcheck::default();
    let mut rest = rest;
    while rest.starts_with("--") {
        let (flag, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        healthcheck_flag(&mut check, flag)?;
        rest = after.trim_start();
    }
    let (kind, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let argument = argument.trim();
    match kind.to_ascii_uppercase().as_str() {
        "" => return Err(ChangeError::NoArgument("HEALTHCHECK")),
        "NONE" if argument.is_empty() => check.test = vec!["NONE".to_owned()],
        "NONE" => {
            return Err(ChangeError::Healthcheck(
                "HEALTHCHECK NONE takes no arguments".to_owned(),
            ));
        }
        "CMD" if argument.is_empty() => {
            return Err(ChangeError::Healthcheck(
                "missing command after HEALTHCHECK CMD".to_owned(),
            ));
        }
        "CMD" => {
            check.test = match serde_json::from_str::<Vec<String>>(argument) {
                Ok(words) => std::iter::once("CMD".to_owned()).chain(words).collect(),
                Err(_) => vec!["CMD-SHELL".to_owned(), argument.to_owned()],
            };
        }
        other => {
            let text = format!("unknown type {other:?} in HEALTHCHECK (try CMD)");
            return Err(ChangeError::Healthcheck(text));
        }
    }
    config.healthcheck = Some(check);
    Ok(())
}

fn healthcheck_flag(check: &mut Healthcheck, flag: &str) -> Result<(), ChangeError> {
    let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
    let refuse = |why: &str| {
        Err(ChangeError::Healthcheck(format!(
            "HEALTHCHECK: {name}: {why} {value:?}"
        )))
    };
    if name == "--retries" {
        match value.parse() {
            Ok(retries) if retries >= 0 => check.retries = retries,
            _ => return refuse("invalid number"),
        }
        return Ok(());
    }
    let field = match name {
        "--interval" => &mut check.interval,
        "--timeout" => &mut check.timeout,
        "--start-period" => &mut check.start_period,
        "--start-interval" => &mut check.start_interval,
        _ => {
            return Err(ChangeError::Healthcheck(format!(
                "unknown flag: {}",
                name.trim_start_matches('-')
            )));
        }
    };
    match oci::duration::parse(value) {
        // Docker refuses what is shorter than a millisecond, except 0 («inherit»).
        Some(nanos) if nanos == 0 || nanos >= 1_000_000 => *field = nanos,
        _ => return refuse("invalid duration"),
    }
    Ok(())
}

/// Whether a text names a signal.
///
/// # Errors
/// [`ChangeError::Signal`].
pub fn check_signal(signal: &str) -> Result<(), ChangeError> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let upper = signal.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = match signal.parse::<u32>() {
        Ok(number) => (1..=64).contains(&number),
        Err(_) => NAMES.contains(&name) || name.starts_with("RTMIN") || name.starts_with("RTMAX"),
    };
    if known {
        Ok(())
    } else {
        Err(ChangeError::Signal(signal.to_owned()))
    }
}

fn one(instruction: &'static str, text: &str) -> Result<String, ChangeError> {
    let words = split(text)?;
    match <[String; 1]>::try_from(words) {
        Ok([word]) => Ok(word),
        // A path with blanks is one argument.
        Err(words) if words.len() > 1 && instruction == "WORKDIR" => Ok(words.join(" ")),
        Err(_) => Err(ChangeError::OneArgument(instruction)),
    }
}

/// A path relative to another one, cleaned.
fn join(base: &str, path: &str) -> String {
    let whole = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{base}/{path}")
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests;
