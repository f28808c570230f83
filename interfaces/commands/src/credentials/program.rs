//! `docker-credential-*` programs: a word as argument, JSON or an address on standard input.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::Login;
use crate::failure::{Failure, Outcome};
use crate::streams;

/// The name under which helpers keep identity tokens.
const TOKEN: &str = "<token>";
/// What helpers say when they know nothing.
const NOT_FOUND: &str = "credentials not found in native keychain";

fn ask(helper: &str, word: &str, input: &str) -> Result<Result<String, String>, Failure> {
    // The name comes from a file: it must not lead elsewhere.
    if helper.is_empty() || helper.contains(['/', '\0']) {
        return Err(Failure::new(format!(
            "error getting credentials: {helper:?} is no name of a helper"
        )));
    }
    let program = format!("docker-credential-{helper}");
    let failed = |error: std::io::Error| {
        Failure::new(format!(
            "error getting credentials - err: exec: {program:?}: {}",
            match error.kind() {
                std::io::ErrorKind::NotFound => "executable file not found in $PATH".to_owned(),
                _ => streams::cause(&error),
            }
        ))
    };
    let mut child = Command::new(&program)
        .arg(word)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take()
        && let Err(error) = stdin.write_all(input.as_bytes())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(failed(error));
    }
    let output = child.wait_with_output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(if output.status.success() {
        Ok(text)
    } else {
        Err(text)
    })
}

/// What the helper knows; empty if it knows nothing.
pub(super) fn get(helper: &str, server: &str) -> Result<Login, Failure> {
    let text = match ask(helper, "get", server)? {
        Ok(text) => text,
        Err(text) if text.contains(NOT_FOUND) => return Ok(Login::default()),
        Err(text) => {
            return Err(Failure::new(format!(
                "error getting credentials - err: exit status 1, out: `{text}`"
            )));
        }
    };
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        Failure::new(format!(
            "error getting credentials - docker-credential-{helper} does not answer with JSON: {error}"
        ))
    })?;
    let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let (user, secret) = (field("Username"), field("Secret"));
    Ok(if user == TOKEN {
        Login {
            token: secret,
            ..Login::default()
        }
    } else {
        Login {
            user,
            password: secret,
            ..Login::default()
        }
    })
}

/// The servers that the helper knows something of.
pub(super) fn list(helper: &str) -> Result<Vec<String>, Failure> {
    let text = ask(helper, "list", "")?.map_err(|text| {
        Failure::new(format!(
            "error listing credentials - err: exit status 1, out: `{text}`"
        ))
    })?;
    let servers: BTreeMap<String, String> = serde_json::from_str(&text).map_err(|error| {
        Failure::new(format!(
            "error listing credentials - docker-credential-{helper} does not answer with JSON: {error}"
        ))
    })?;
    Ok(servers.into_keys().collect())
}

pub(super) fn store(helper: &str, login: &Login) -> Outcome {
    let (user, secret) = match login.token.as_str() {
        "" => (login.user.as_str(), login.password.as_str()),
        token => (TOKEN, token),
    };
    let json = json!({"ServerURL": login.server, "Username": user, "Secret": secret}).to_string();
    ask(helper, "store", &json)?.map(drop).map_err(|text| {
        Failure::new(format!(
            "Error saving credentials: error storing credentials - err: exit status 1, out: `{text}`"
        ))
    })
}

pub(super) fn erase(helper: &str, server: &str) -> Outcome {
    match ask(helper, "erase", server)? {
        Err(text) if !text.contains(NOT_FOUND) => Err(Failure::new(format!(
            "error erasing credentials - err: exit status 1, out: `{text}`"
        ))),
        _ => Ok(()),
    }
}
