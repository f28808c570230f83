//! The store: one directory per context, named by the SHA-256 of its name, with a `meta.json`.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::DEFAULT;
use crate::app::App;
use crate::failure::Failure;
use crate::template::Value;

/// One context.
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) host: String,
}

/// Name of a context's directory.
fn id(name: &str) -> String {
    Sha256::digest(name.as_bytes())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

pub(super) fn meta_dir(app: &App, name: &str) -> PathBuf {
    app.config_dir.join("contexts/meta").join(id(name))
}

pub(super) fn tls_dir(app: &App, name: &str) -> PathBuf {
    app.config_dir.join("contexts/tls").join(id(name))
}

/// Names begin with a letter or digit; letters, digits and `_.+-` follow.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    if name.is_empty() {
        return Err(Failure::new("context name cannot be empty"));
    }
    if name == DEFAULT {
        return Err(Failure::new("\"default\" is a reserved context name"));
    }
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() > 1
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c));
    if good {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "context name {name:?} is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
        )))
    }
}

fn read(dir: &Path) -> Option<Stored> {
    let meta = Value::from_json(&fs::read(dir.join("meta.json")).ok()?).ok()?;
    Some(Stored {
        name: meta.str_at("Name").to_owned(),
        description: meta
            .at(&["Metadata", "Description"])
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        host: meta
            .at(&["Endpoints", "docker", "Host"])
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    })
}

fn not_found(name: &str, dir: &Path) -> String {
    format!(
        "context {name:?}: context not found: open {}: no such file or directory",
        dir.join("meta.json").display()
    )
}

/// A context by name; the default one too.
pub(super) fn load(app: &App, name: &str) -> Result<Stored, Failure> {
    if name == DEFAULT {
        return Ok(Stored {
            name: DEFAULT.to_owned(),
            description: String::new(),
            host: std::env::var("DOCKER_HOST")
                .ok()
                .filter(|h| !h.is_empty())
                .unwrap_or_else(|| client::DEFAULT_HOST.to_owned()),
        });
    }
    let dir = meta_dir(app, name);
    read(&dir).ok_or_else(|| Failure::new(not_found(name, &dir)))
}

/// All of them, by name.
pub(super) fn all(app: &App) -> Result<Vec<Stored>, Failure> {
    let mut list: Vec<Stored> = match fs::read_dir(app.config_dir.join("contexts/meta")) {
        Ok(entries) => entries.flatten().filter_map(|e| read(&e.path())).collect(),
        Err(_) => Vec::new(),
    };
    list.push(load(app, DEFAULT)?);
    list.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(list)
}

/// The address of a context's daemon.
pub(crate) fn host_of(app: &App, name: &str) -> Result<String, Failure> {
    Ok(load(app, name)?.host)
}

/// Writes a context; a reader sees the old one or the new one.
pub(super) fn save(app: &App, context: &Stored) -> Result<(), Failure> {
    let dir = meta_dir(app, &context.name);
    let mut metadata = serde_json::Map::new();
    if !context.description.is_empty() {
        metadata.insert("Description".to_owned(), context.description.clone().into());
    }
    let meta = serde_json::json!({
        "Name": context.name,
        "Metadata": metadata,
        "Endpoints": {"docker": {"Host": context.host, "SkipTLSVerify": false}},
    });
    write_file(&dir.join("meta.json"), meta.to_string().as_bytes())
}

/// Replaces a file as a whole, with its directory if need be.
pub(super) fn write_file(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let failed = |e: std::io::Error| {
        Failure::new(format!(
            "cannot write {}: {}",
            path.display(),
            crate::streams::cause(&e)
        ))
    };
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(failed)?;
    let temporary = dir.join(format!(".tmp-{}", std::process::id()));
    fs::write(&temporary, content).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)
}

/// The address in `--docker host=...`; what else may stand there is for TLS.
pub(super) fn docker_endpoint(values: &[String]) -> Result<Option<String>, Failure> {
    let mut host = None;
    for field in values.iter().flat_map(|v| v.split(',')) {
        match field.split_once('=') {
            Some(("host", value)) => {
                client::Endpoint::parse(value)?;
                host = Some(value.to_owned());
            }
            Some((key @ ("ca" | "cert" | "key" | "skip-tls-verify"), _)) => {
                return Err(Failure::new(format!(
                    "option {key} of --docker is not available in this version of dhow"
                )));
            }
            Some(("from", name)) => {
                return Err(Failure::new(format!(
                    "option from={name} of --docker is not available in this version of dhow"
                )));
            }
            _ => {
                return Err(Failure::new(format!(
                    "unrecognized config key: {}",
                    field.split('=').next().unwrap_or(field)
                )));
            }
        }
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_named_and_placed_as_docker_does_it() {
        assert_eq!(
            id("foo"),
            "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
        );
        assert!(check_name("my-host.1").is_ok());
        for name in ["", "default", "a", "-x", "a/b", "../x"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!(
            docker_endpoint(&["host=tcp://a:1".to_owned()]).unwrap().unwrap(),
            "tcp://a:1"
        );
        assert!(docker_endpoint(&["nope=1".to_owned()]).is_err());
    }
}
