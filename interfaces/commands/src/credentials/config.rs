//! `config.json`, read and written as docker does it.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Login, program};
use crate::failure::{Failure, Outcome};
use crate::streams;

/// The user's settings, with all keys.
pub(crate) struct ConfigFile {
    path: PathBuf,
    keys: Map<String, Value>,
}

impl ConfigFile {
    /// Reads it; no file is an empty one.
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        // A link is followed, so that a file kept elsewhere stays there.
        let named = folder.join("config.json");
        let path = named.canonicalize().unwrap_or(named);
        let failed =
            |why: String| Failure::new(format!("error loading config file: {}: {why}", path.display()));
        let keys = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
            Err(error) => return Err(failed(streams::cause(&error))),
            Ok(text) if text.iter().all(u8::is_ascii_whitespace) => Map::new(),
            Ok(text) => serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?,
        };
        Ok(Self { path, keys })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the program that keeps a registry's secrets, without `docker-credential-`.
    pub(crate) fn helper(&self, server: &str) -> Option<String> {
        let own = self.keys.get("credHelpers").and_then(|helpers| {
            let host = super::server_key(server);
            let bare = host
                .trim_start_matches("https://")
                .split('/')
                .next()
                .unwrap_or_default();
            helpers.get(server).or_else(|| helpers.get(bare))
        });
        let name = own.or_else(|| self.keys.get("credsStore"))?.as_str()?;
        Some(name.to_owned()).filter(|name| !name.is_empty())
    }

    /// The registries that something is said of here, and what the helper for all knows.
    pub(super) fn servers(&self) -> Result<Vec<String>, Failure> {
        let named = ["auths", "credHelpers"].into_iter();
        let named = named.filter_map(|key| self.keys.get(key)?.as_object());
        let mut servers: Vec<String> = named
            .flat_map(Map::keys)
            .map(|key| super::server_key(key))
            .collect();
        let store = self.keys.get("credsStore").and_then(Value::as_str);
        if let Some(helper) = store.filter(|name| !name.is_empty()) {
            servers.extend(program::list(helper)?.iter().map(|key| super::server_key(key)));
        }
        Ok(servers)
    }

    /// What stands here about a registry in clear text.
    pub(crate) fn login(&self, server: &str) -> Option<Login> {
        let (_, entry) = self.entry(server)?;
        let text = |key: &str| {
            entry
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let mut login = Login {
            user: text("username"),
            password: text("password"),
            server: server.to_owned(),
            token: text("identitytoken"),
        };
        if let Some(pair) = STANDARD
            .decode(text("auth"))
            .ok()
            .and_then(|b| String::from_utf8(b).ok())
            && let Some((user, password)) = pair.split_once(':')
        {
            login.user = user.to_owned();
            login.password = password.trim_end_matches('\0').to_owned();
        }
        Some(login).filter(|login| !login.is_empty())
    }

    /// Entries are found by the host, too: old files name registries by URL.
    fn entry(&self, server: &str) -> Option<(&String, &Value)> {
        let all = self.keys.get("auths")?.as_object()?;
        all.get_key_value(server).or_else(|| {
            all.iter()
                .find(|(key, _)| super::server_key(key) == super::server_key(server))
        })
    }

    pub(crate) fn set(&mut self, login: &Login) {
        let mut entry = Map::new();
        let password = if login.token.is_empty() {
            login.password.as_str()
        } else {
            ""
        };
        entry.insert(
            "auth".to_owned(),
            STANDARD.encode(format!("{}:{password}", login.user)).into(),
        );
        if !login.token.is_empty() {
            entry.insert("identitytoken".to_owned(), login.token.clone().into());
        }
        self.put(&login.server, Value::Object(entry));
    }

    pub(crate) fn set_empty(&mut self, server: &str) {
        self.put(server, json!({}));
    }

    fn put(&mut self, server: &str, entry: Value) {
        self.remove(server);
        let auths = self.keys.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(server.to_owned(), entry);
        }
    }

    /// Takes an entry away; whether there was one.
    pub(crate) fn remove(&mut self, server: &str) -> bool {
        let Some(key) = self.entry(server).map(|(key, _)| key.clone()) else {
            return false;
        };
        let auths = self.keys.get_mut("auths").and_then(Value::as_object_mut);
        auths.is_some_and(|auths| auths.remove(&key).is_some())
    }

    /// Replaces the file as a whole, readable for its owner alone.
    pub(crate) fn write(&self) -> Outcome {
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut out = serde_json::Serializer::with_formatter(&mut text, formatter);
        serde::Serialize::serialize(&self.keys, &mut out).map_err(|error| Failure::new(error.to_string()))?;
        write_private(&self.path, &text)
    }
}

/// Replaces a file as a whole; nobody but its owner may read it, from the beginning.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Outcome {
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |error: std::io::Error| {
        Failure::new(format!(
            "cannot write {}: {}",
            path.display(),
            streams::cause(&error)
        ))
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    if !folder.exists() {
        use std::os::unix::fs::DirBuilderExt as _;
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder);
        made.map_err(failed)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|error| {
            let _ = std::fs::remove_file(&temporary);
            failed(error)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, ConfigFile) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        let file = ConfigFile::read(folder.path()).unwrap();
        (folder, file)
    }

    #[test]
    fn what_docker_wrote_is_read_and_what_it_does_not_concern_stays() {
        let (folder, mut file) = file(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpwOnE="},"http://reg:5000/v1/":{"auth":"eDp5"},"t":{"auth":"dTo=","identitytoken":"i"}},"psFormat":"x","new":{"a":[1]}}"#,
        );
        let hub = file.login(super::super::HUB).unwrap();
        assert_eq!((hub.user.as_str(), hub.password.as_str()), ("u", "p:q"));
        assert_eq!(file.login("reg:5000").unwrap().password, "y");
        assert_eq!(file.login("t").unwrap().token, "i");
        assert!(file.login("other").is_none());
        let login = Login {
            user: "a".to_owned(),
            password: "b".to_owned(),
            server: "reg:5000".to_owned(),
            token: String::new(),
        };
        file.set(&login);
        assert!(file.remove("t") && !file.remove("t"));
        file.write().unwrap();
        let text = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["auths"]["reg:5000"]["auth"], "YTpi");
        assert_eq!(value["auths"].as_object().unwrap().len(), 2);
        assert_eq!(
            (&value["psFormat"], &value["new"]["a"][0]),
            (&json!("x"), &json!(1))
        );
        assert!(text.contains("\n\t\"auths\""), "{text}");
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(file.path()).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn helpers_are_found_for_one_and_for_all() {
        let (_folder, file) = file(
            r#"{"credsStore":"all","credHelpers":{"reg:5000":"one","docker.io":"no","index.docker.io":"hub"}}"#,
        );
        assert_eq!(file.helper("reg:5000").as_deref(), Some("one"));
        assert_eq!(file.helper("other").as_deref(), Some("all"));
        assert_eq!(file.helper(super::super::HUB).as_deref(), Some("hub"));
    }

    #[test]
    fn a_broken_file_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "{").unwrap();
        let Err(failure) = ConfigFile::read(folder.path()) else {
            panic!("broken")
        };
        assert!(failure.message.contains("config.json"), "{}", failure.message);
    }
}
