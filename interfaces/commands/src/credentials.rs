//! Names and passwords of registries: where docker keeps them, and where we do.
//!
//! Looked for in docker's order: a helper for this registry (`credHelpers`), the helper for all (`credsStore`), then
//! `config.json` itself, where docker keeps them in clear text; and last our own [sealed] file, which is where `login`
//! puts them unless there is a helper or `--plain` is given. `config.json` is changed only where it must be, and every key
//! that we do not know stays.

mod config;
mod program;
mod sealed;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde::Serialize;

use crate::app::App;
use crate::console;
use crate::failure::Failure;

pub(crate) use config::{ConfigFile, write_private};

/// How docker's files name Docker Hub.
pub(crate) const HUB: &str = "https://index.docker.io/v1/";

/// What is known of one registry.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Login {
    #[serde(rename = "username", skip_serializing_if = "String::is_empty")]
    pub(crate) user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) password: String,
    #[serde(rename = "serveraddress", skip_serializing_if = "String::is_empty")]
    pub(crate) server: String,
    /// A token that stands for name and password.
    #[serde(rename = "identitytoken", skip_serializing_if = "String::is_empty")]
    pub(crate) token: String,
}

impl Login {
    pub(crate) fn is_empty(&self) -> bool {
        self.password.is_empty() && self.token.is_empty()
    }

    /// As the daemon wants it in `X-Registry-Auth`.
    pub(crate) fn header(&self) -> String {
        URL_SAFE.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Where a login was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a helper's care.
    Helper,
    /// In our sealed file.
    Sealed,
    /// In clear text in this file.
    Plain(String),
}

/// The registry of an image's name, as docker's files name it.
pub(crate) fn server_of(image: &str) -> String {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => server_key(first),
        _ => HUB.to_owned(),
    }
}

/// What a person gives to `login`, as docker's files name it.
pub(crate) fn server_key(given: &str) -> String {
    let bare = given.trim_start_matches("https://").trim_start_matches("http://");
    let host = bare.split('/').next().unwrap_or_default();
    match host {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB.to_owned(),
        host => host.to_owned(),
    }
}

/// What is known of a registry; empty if nothing is.
pub(crate) fn find(app: &App, server: &str) -> Result<Login, Failure> {
    let file = ConfigFile::read(&app.config_dir)?;
    let mut login = match file.helper(server) {
        Some(name) => program::get(&name, server)?,
        None => match file.login(server) {
            Some(login) => login,
            None => sealed::get(&app.config_dir, server)?.unwrap_or_default(),
        },
    };
    server.clone_into(&mut login.server);
    Ok(login)
}

/// The header for whatever is asked of the registry of `image`; empty if nothing is known.
pub(crate) fn header_for(app: &App, image: &str) -> Result<String, Failure> {
    let login = find(app, &server_of(image))?;
    Ok(if login.is_empty() {
        String::new()
    } else {
        login.header()
    })
}

/// The header `X-Registry-Config` of a build, which may pull from any registry; empty if nothing is known. What cannot be
/// read is told and left out: the build may not need it.
pub(crate) fn header_for_all(app: &App) -> String {
    let told = |failure: Failure| console::error(format!("WARNING: {}", failure.message));
    let from_config = ConfigFile::read(&app.config_dir).and_then(|file| file.servers());
    let mut servers = BTreeSet::new();
    for found in [from_config, sealed::servers(&app.config_dir)] {
        match found {
            Ok(found) => servers.extend(found),
            Err(failure) => told(failure),
        }
    }
    let mut logins = BTreeMap::new();
    for server in servers {
        match find(app, &server) {
            Ok(login) if login.is_empty() => {}
            Ok(login) => _ = logins.insert(server, login),
            Err(failure) => told(failure),
        }
    }
    if logins.is_empty() {
        return String::new();
    }
    URL_SAFE.encode(serde_json::to_vec(&logins).unwrap_or_default())
}

/// Keeps a login.
pub(crate) fn store(app: &App, login: &Login, plain: bool) -> Result<Place, Failure> {
    let mut file = ConfigFile::read(&app.config_dir)?;
    if let Some(name) = file.helper(&login.server) {
        program::store(&name, login)?;
        // An empty entry tells docker's other commands that there is something.
        file.set_empty(&login.server);
        file.write()?;
        return Ok(Place::Helper);
    }
    if plain {
        file.set(login);
        sealed::erase(&app.config_dir, &login.server)?;
        file.write()?;
        return Ok(Place::Plain(file.path().display().to_string()));
    }
    sealed::store(&app.config_dir, login)?;
    // What was there in clear text is not wanted there any more.
    if file.remove(&login.server) {
        file.write()?;
    }
    Ok(Place::Sealed)
}

/// Forgets a login; whether there was one.
pub(crate) fn erase(app: &App, server: &str) -> Result<bool, Failure> {
    let mut file = ConfigFile::read(&app.config_dir)?;
    let mut known = sealed::erase(&app.config_dir, server)?;
    if let Some(name) = file.helper(server) {
        known |= program::get(&name, server).is_ok_and(|login| !login.is_empty());
        program::erase(&name, server)?;
    }
    if file.remove(server) {
        known = true;
        file.write()?;
    }
    Ok(known)
}

/// Whether only what is signed may be used: `--disable-content-trust`, else `DOCKER_CONTENT_TRUST`.
pub(crate) fn trust_demanded(args: &crate::flags::Parsed) -> bool {
    if args.has("disable-content-trust") {
        return !args.on("disable-content-trust");
    }
    std::env::var("DOCKER_CONTENT_TRUST").is_ok_and(|v| !matches!(v.as_str(), "" | "0" | "false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_named_as_docker_names_them() {
        let check = |image: &str, expected: &str| assert_eq!(server_of(image), expected, "{image}");
        check("alpine", HUB);
        check("user/app:1", HUB);
        check("localhost/app", "localhost");
        check("reg.example:5000/app", "reg.example:5000");
        check("docker.io/library/alpine", HUB);
        assert_eq!(server_key("https://reg.example/v2/"), "reg.example");
        assert_eq!(server_key(""), HUB);
    }

    #[test]
    fn an_unknown_secret_is_no_header_and_a_known_one_is_dockers_json() {
        let login = Login {
            user: "u".to_owned(),
            password: "p".to_owned(),
            server: "s".to_owned(),
            token: String::new(),
        };
        let json = URL_SAFE.decode(login.header()).unwrap();
        assert_eq!(json, br#"{"username":"u","password":"p","serveraddress":"s"}"#);
        assert!(Login::default().is_empty());
    }
}
