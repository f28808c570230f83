//! [`App`]: which daemon a command talks to, and the user's settings.

use std::cell::OnceCell;
use std::path::PathBuf;

use client::{Client, Endpoint};
use serde_json::value::RawValue;

use crate::context;
use crate::failure::Failure;
use crate::flags::Parsed;
use crate::template::Value;

/// Version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Commit it was built from, if the build said so.
pub(crate) const BUILD: &str = match option_env!("DHOW_COMMIT") {
    Some(build) => build,
    None => "unknown",
};

/// What every command needs to know.
pub(crate) struct App {
    /// The command as it was called, such as `dhow container run`.
    pub(crate) path: String,
    /// Directory of the settings (`~/.docker`).
    pub(crate) config_dir: PathBuf,
    /// `--debug`.
    pub(crate) debug: bool,
    host: Option<String>,
    context: Option<String>,
    tls: bool,
    settings: OnceCell<Value>,
    client: OnceCell<Client>,
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

impl App {
    /// Reads the flags before the command and the environment.
    pub(crate) fn new(globals: &Parsed, path: &str) -> Result<Self, Failure> {
        let config_dir = match globals.text("config") {
            "" => match env("DOCKER_CONFIG") {
                Some(dir) => dir.into(),
                None => PathBuf::from(env("HOME").unwrap_or_else(|| "/root".to_owned())).join(".docker"),
            },
            dir => dir.into(),
        };
        let hosts = globals.all("host");
        if hosts.len() > 1 {
            return Err(Failure::new("Specify only one -H"));
        }
        let context = Some(globals.text("context").to_owned()).filter(|c| !c.is_empty());
        if context.is_some() && !hosts.is_empty() {
            return Err(Failure::new(
                "conflicting options: cannot specify both --host and --context",
            ));
        }
        let tls = ["tls", "tlsverify"].iter().any(|f| globals.on(f))
            || ["tlscacert", "tlscert", "tlskey"].iter().any(|f| globals.has(f))
            || env("DOCKER_TLS_VERIFY").is_some()
            || env("DOCKER_TLS").is_some();
        Ok(Self {
            path: path.to_owned(),
            config_dir,
            debug: globals.on("debug"),
            host: hosts.into_iter().next(),
            context,
            tls,
            settings: OnceCell::new(),
            client: OnceCell::new(),
        })
    }

    /// `config.json`; an empty map if there is none.
    pub(crate) fn settings(&self) -> &Value {
        self.settings.get_or_init(|| {
            let path = self.config_dir.join("config.json");
            match std::fs::read(&path) {
                Ok(text) => Value::from_json(&text).unwrap_or_else(|e| {
                    crate::console::error(format!(
                        "WARNING: Error loading config file: {}: {e}",
                        path.display()
                    ));
                    Value::Nil
                }),
                Err(_) => Value::Nil,
            }
        })
    }

    /// `--format`, or the setting of that name.
    pub(crate) fn format<'a>(&'a self, given: &'a str, setting: &str) -> &'a str {
        if given.is_empty() {
            self.settings().str_at(setting)
        } else {
            given
        }
    }

    /// The context in force: `--context`, none if `DOCKER_HOST` is set, `DOCKER_CONTEXT`, the setting.
    pub(crate) fn context_name(&self) -> String {
        if let Some(name) = &self.context {
            return name.clone();
        }
        if self.host.is_some() || env("DOCKER_HOST").is_some() {
            return context::DEFAULT.to_owned();
        }
        if let Some(name) = env("DOCKER_CONTEXT") {
            return name;
        }
        match self.settings().str_at("currentContext") {
            "" => context::DEFAULT.to_owned(),
            name => name.to_owned(),
        }
    }

    /// The address of the daemon.
    pub(crate) fn host(&self) -> Result<String, Failure> {
        if let Some(host) = &self.host {
            return Ok(host.clone());
        }
        let name = self.context_name();
        if name != context::DEFAULT {
            return context::host_of(self, &name);
        }
        Ok(env("DOCKER_HOST").unwrap_or_else(|| client::DEFAULT_HOST.to_owned()))
    }

    /// The client for that daemon.
    pub(crate) fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        if self.tls {
            return Err(Failure::new(
                "TLS connections to a daemon are not available in this version of dhow",
            ));
        }
        let unresolved = |why: String| {
            Failure::new(format!(
                "Failed to initialize: unable to resolve docker endpoint: {why}"
            ))
        };
        let host = self.host().map_err(|f| unresolved(f.message))?;
        let endpoint =
            Endpoint::parse(&host).map_err(|_| unresolved(format!("invalid bind address format: {host}")))?;
        let pinned = match env("DOCKER_API_VERSION") {
            Some(text) => Some(text.trim_start_matches('v').parse().map_err(|_| {
                Failure::new(format!(
                    "invalid API version ({text}): must be formatted <major>.<minor>"
                ))
            })?),
            None => None,
        };
        let headers = self
            .settings()
            .get("HttpHeaders")
            .map(|h| {
                h.members()
                    .iter()
                    .map(|(k, v)| (k.to_string(), v.printed()))
                    .collect()
            })
            .unwrap_or_default();
        let agent = format!("Dhow-Client/{VERSION} (linux)");
        Ok(self
            .client
            .get_or_init(|| Client::new(endpoint, pinned, agent, headers)))
    }

    /// `docker: ` in front of an error, and a hint behind it, as `run` and `create` have them.
    pub(crate) fn usage_error(&self, message: impl AsRef<str>, code: i32) -> Failure {
        Failure::new(format!(
            "dhow: {}\n\nRun '{} --help' for more information",
            message.as_ref(),
            self.path
        ))
        .code(code)
    }

    /// A reply that is a list, split into its items.
    pub(crate) fn json_items(bytes: &[u8]) -> Result<Vec<&RawValue>, Failure> {
        serde_json::from_slice(bytes).map_err(|e| Failure::new(format!("unexpected reply: {e}")))
    }

    /// A reply as a value.
    pub(crate) fn json(bytes: &[u8]) -> Result<Value, Failure> {
        Value::from_json(bytes).map_err(|e| Failure::new(format!("unexpected reply: {e}")))
    }
}
