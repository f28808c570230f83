//! `--secret id=NAME[,src=FILE][,env=VARIABLE]`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::failure::Failure;

/// BuildKit's bound for one secret.
const LONGEST: usize = 500 * 1024;
/// All secrets travel in one header.
const TOGETHER: usize = 128 * 1024;

/// The text of the header that carries the secrets; empty without any.
pub(super) fn header(list: &[String]) -> Result<String, Failure> {
    let mut secrets = BTreeMap::new();
    for text in list {
        let (id, value) = read(text)?;
        secrets.insert(id, STANDARD.encode(value));
    }
    if secrets.is_empty() {
        return Ok(String::new());
    }
    let json = serde_json::to_vec(&secrets).map_err(|error| Failure::new(error.to_string()))?;
    let header = STANDARD.encode(json);
    if header.len() > TOGETHER {
        return Err(Failure::new(
            "the secrets are too large together: 64 KiB is the most",
        ));
    }
    Ok(header)
}

fn read(text: &str) -> Result<(String, Vec<u8>), Failure> {
    let (mut id, mut source, mut variable, mut kind) = ("", None, None, "");
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) => id = value,
            Some(("src" | "source", value)) => source = Some(value),
            Some(("env", value)) => variable = Some(value),
            Some(("type", value @ ("file" | "env"))) => kind = value,
            Some((key, value)) => {
                return Err(Failure::new(format!(
                    "invalid secret {text:?}: unexpected key '{key}={value}'"
                )));
            }
            None => {
                return Err(Failure::new(format!(
                    "invalid secret {text:?}: field '{field}' must be a key=value pair"
                )));
            }
        }
    }
    if id.is_empty() {
        return Err(Failure::new(format!("invalid secret {text:?}: an id is needed")));
    }
    // `type=env` takes src for the variable's name, and the id if there is none.
    let variable = variable.or_else(|| (kind == "env").then(|| source.unwrap_or(id)));
    let value = match (variable, source) {
        (Some(name), _) => std::env::var(name)
            .map_err(|_| Failure::new(format!("secret {id}: the variable {name} is not set")))?
            .into_bytes(),
        (None, source) => {
            let path = source.unwrap_or(id);
            std::fs::read(path).map_err(|error| Failure::new(format!("secret {id}: open {path}: {error}")))?
        }
    };
    if value.len() > LONGEST {
        return Err(Failure::new(format!("secret {id}: {LONGEST} bytes is the most")));
    }
    Ok((id.to_owned(), value))
}
