//! The command line, made from the table of keys.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::keys::{KEYS, Key, Kind, State};
use api_types::size::parse_size;

/// What the command line said.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    /// `--config-file`.
    pub(crate) config_file: Option<PathBuf>,
    /// `--validate`.
    pub(crate) validate: bool,
    /// All flags that are keys too, as the file would have them.
    pub(crate) given: Map<String, Value>,
}

fn command() -> Command {
    // «… version 1.2.3, build 0123456»: what scripts take apart that ask dockerd for its version.
    let version = format!(
        "version {}, build {}",
        env!("CARGO_PKG_VERSION"),
        option_env!("DHOW_COMMIT").unwrap_or("unknown")
    );
    let mut command = Command::new("dhowd")
        .display_name("Dhow")
        .about("A container engine that speaks the Docker Engine API.")
        .version(version)
        .disable_version_flag(true)
        .arg(
            Arg::new("version")
                .short('v')
                .long("version")
                .action(ArgAction::Version)
                .help("Print the version and quit"),
        )
        .arg(
            Arg::new("config-file")
                .long("config-file")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Configuration file [default: /etc/dhow/daemon.json]"),
        )
        .arg(
            Arg::new("validate")
                .long("validate")
                .action(ArgAction::SetTrue)
                .help("Validate the configuration and quit"),
        );
    for key in keys() {
        let mut arg = Arg::new(key.name)
            .long(key.flag)
            .help(key.help)
            .hide(key.state != State::Acts);
        if let Some(short) = key.short {
            arg = arg.short(short);
        }
        arg = match key.kind {
            // `--x` and `--x=false` as in Go's flags.
            Kind::Switch => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(clap::value_parser!(bool)),
            Kind::Number => arg
                .value_parser(clap::value_parser!(i64))
                .allow_negative_numbers(true),
            Kind::Text => arg,
            Kind::Size => arg.value_parser(|t: &str| parse_size(t).ok_or("not a size such as 64m")),
            _ => arg.action(ArgAction::Append),
        };
        command = command.arg(arg);
    }
    command
}

fn keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|k| k.kind != Kind::FileOnly)
}

/// Parses the command line.
///
/// # Errors
/// Also `--help` and `--version`, which clap prints.
pub(crate) fn parse<A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
) -> Result<Flags, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let mut given = Map::new();
    for key in keys() {
        if let Some(value) = value(key, &matches)? {
            given.insert(key.name.to_owned(), value);
        }
    }
    Ok(Flags {
        config_file: matches.get_one("config-file").cloned(),
        validate: matches.get_flag("validate"),
        given,
    })
}

fn value(key: &Key, matches: &ArgMatches) -> Result<Option<Value>, clap::Error> {
    let name = key.name;
    let list = || {
        matches
            .get_many::<String>(name)
            .map(|v| v.map(String::as_str).collect::<Vec<_>>())
    };
    let bad = |text: &str| {
        clap::Error::raw(
            clap::error::ErrorKind::InvalidValue,
            format!("invalid value {text:?} for --{}\n", key.flag),
        )
    };
    let entries = |make: fn(&str) -> Option<(String, Value)>| -> Result<Option<Value>, clap::Error> {
        let Some(list) = list() else { return Ok(None) };
        let map = list
            .into_iter()
            .map(|t| make(t).ok_or_else(|| bad(t)))
            .collect::<Result<Map<_, _>, _>>()?;
        Ok(Some(Value::Object(map)))
    };
    match key.kind {
        Kind::Switch => Ok(matches.get_one::<bool>(name).map(|b| json!(b))),
        Kind::Number | Kind::Size => Ok(matches.get_one::<i64>(name).map(|n| json!(n))),
        Kind::Text => Ok(matches.get_one::<String>(name).map(|t| json!(t))),
        Kind::List => Ok(list().map(|l| json!(l))),
        Kind::Map => entries(|t| t.split_once('=').map(|(k, v)| (k.to_owned(), json!(v)))),
        Kind::Ulimits => entries(ulimit),
        Kind::Runtimes => entries(runtime),
        Kind::Pools => {
            let Some(list) = list() else { return Ok(None) };
            let pools: Vec<_> = list
                .into_iter()
                .map(|t| pool(t).ok_or_else(|| bad(t)))
                .collect::<Result<_, _>>()?;
            Ok(Some(Value::Array(pools)))
        }
        Kind::FileOnly => Ok(None),
    }
}

/// `nofile=1024:2048` or `nofile=1024`.
fn ulimit(text: &str) -> Option<(String, Value)> {
    let (name, limits) = text.split_once('=')?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard): (i64, i64) = (soft.parse().ok()?, hard.parse().ok()?);
    Some((
        name.to_owned(),
        json!({ "Name": name, "Soft": soft, "Hard": hard }),
    ))
}

/// `runc=/usr/sbin/runc`.
fn runtime(text: &str) -> Option<(String, Value)> {
    let (name, path) = text.split_once('=')?;
    (!name.is_empty() && !path.is_empty()).then(|| (name.to_owned(), json!({ "path": path })))
}

/// `base=10.0.0.0/8,size=24`.
fn pool(text: &str) -> Option<Value> {
    let (mut base, mut size) = (None, None);
    for (key, value) in text
        .split(',')
        .map(|p| p.split_once('='))
        .collect::<Option<Vec<_>>>()?
    {
        match key.trim() {
            "base" => base = Some(value.trim()),
            "size" => size = Some(value.trim().parse::<u8>().ok()?),
            _ => return None,
        }
    }
    Some(json!({ "base": base?, "size": size? }))
}
