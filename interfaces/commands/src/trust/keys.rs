//! Keys on this machine: `~/.docker/trust/sigstore/keys/NAME.key` and `NAME.pub`, ours; `signers.json`, whom we trust for
//! which repository.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use oci::reference::Reference;
use signatures::{PrivateKey, PublicKey};

use crate::app::App;
use crate::credentials::write_private;
use crate::failure::Failure;
use crate::{console, streams};

/// A file with a key is larger than this only by mistake.
const LIMIT: u64 = 64 << 10;
/// Where a passphrase may stand when nobody is there to be asked: docker's variables, and cosign's.
const VARIABLES: [&str; 3] = [
    "DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE",
    "DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE",
    "COSIGN_PASSWORD",
];

/// By repository (canonical): names of signers, and their public keys in PEM.
pub(super) type Signers = BTreeMap<String, BTreeMap<String, String>>;

pub(super) struct Keys {
    root: PathBuf,
}

pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(LIMIT).read_to_string(&mut text))
        .map_err(|error| {
            Failure::new(format!(
                "cannot read {}: {}",
                path.display(),
                streams::cause(&error)
            ))
        })?;
    Ok(text)
}

/// Names of keys and signers, as docker allows them.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    let mut characters = name.chars();
    let good = characters
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
    match good {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "key name \"{name}\" must start with lowercase alphanumeric characters and can include \"-\" or \"_\" after the first character"
        ))),
    }
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| Failure::new(format!("cannot read /dev/urandom: {}", streams::cause(&error))))?;
    Ok(bytes)
}

/// Asks for a passphrase, twice if it is a new one.
pub(super) fn passphrase(key: &str, new: bool) -> Result<String, Failure> {
    if let Some(known) = VARIABLES.iter().find_map(|name| std::env::var(name).ok()) {
        return Ok(known);
    }
    if !streams::is_terminal(0) {
        return Err(Failure::new(format!(
            "the passphrase of the key {key} is needed: there is no terminal to ask on, and {} is not set",
            VARIABLES[0]
        )));
    }
    let ask = |question: &str| {
        console::print(question);
        let secret = streams::without_echo(line)?;
        console::line("");
        Ok::<String, Failure>(secret)
    };
    if !new {
        return ask(&format!("Enter passphrase for {key} key: "));
    }
    let first = ask(&format!("Enter passphrase for new {key} key: "))?;
    if first.chars().count() < 8 {
        return Err(Failure::new(
            "Passphrase is too short. Please use a password manager to generate and store a good random passphrase.",
        ));
    }
    match ask(&format!("Repeat passphrase for new {key} key: "))? == first {
        true => Ok(first),
        false => Err(Failure::new("Passphrases do not match.")),
    }
}

fn line() -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::BufRead::read_line(&mut io::stdin().lock().take(LIMIT), &mut text);
    read.map_err(|error| Failure::new(format!("read the answer: {}", streams::cause(&error))))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

impl Keys {
    pub(super) fn of(app: &App) -> Self {
        Self {
            root: app.config_dir.join("trust/sigstore"),
        }
    }

    fn path(&self, name: &str, end: &str) -> PathBuf {
        self.root.join("keys").join(format!("{name}.{end}"))
    }

    /// Our own keys by name.
    pub(super) fn own(&self) -> Result<Vec<String>, Failure> {
        let folder = self.root.join("keys");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Failure::new(format!(
                    "cannot read {}: {}",
                    folder.display(),
                    streams::cause(&error)
                )));
            }
        };
        let name = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            Some(name.strip_suffix(".key")?.to_owned())
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(name)
            .filter(|name| check_name(name).is_ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Keeps a key of ours; there must be none of that name.
    pub(super) fn keep(&self, name: &str, sealed: &str, public: &PublicKey) -> Result<(), Failure> {
        let path = self.path(name, "key");
        if path.exists() {
            return Err(Failure::new(format!(
                "there is a key {name} already: {}",
                path.display()
            )));
        }
        write_private(&self.path(name, "pub"), public.to_pem().as_bytes())?;
        write_private(&path, sealed.as_bytes())
    }

    /// Opens a key of ours.
    pub(super) fn open(&self, name: &str) -> Result<PrivateKey, Failure> {
        let text = read(&self.path(name, "key"))?;
        let secret = passphrase(name, false)?;
        PrivateKey::from_pem(&text, secret.as_bytes())
            .map_err(|error| Failure::new(format!("key {name}: {error}")))
    }

    fn signers_path(&self) -> PathBuf {
        self.root.join("signers.json")
    }

    pub(super) fn signers(&self) -> Result<Signers, Failure> {
        let path = self.signers_path();
        if !path.exists() {
            return Ok(Signers::new());
        }
        let text = fs::read(&path).map_err(|error| {
            Failure::new(format!(
                "cannot read {}: {}",
                path.display(),
                streams::cause(&error)
            ))
        })?;
        serde_json::from_slice(&text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
    }

    pub(super) fn set_signers(&self, signers: &Signers) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(signers).map_err(|error| Failure::new(error.to_string()))?;
        write_private(&self.signers_path(), &text)
    }

    /// Public keys that are trusted for a repository: those of its signers, and our own.
    pub(super) fn known(&self, name: &Reference) -> Result<Vec<(String, PublicKey)>, Failure> {
        let mut known = Vec::new();
        for own in self.own()? {
            let path = self.path(&own, "pub");
            let key = PublicKey::from_pem(&read(&path)?)
                .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
            known.push((own, key));
        }
        let signers = self.signers()?;
        for (signer, text) in signers.get(&name.name()).into_iter().flatten() {
            let key = PublicKey::from_pem(text).map_err(|error| {
                Failure::new(format!("signer {signer} of {}: {error}", name.familiar_name()))
            })?;
            if !known.iter().any(|(_, other)| *other == key) {
                known.push((signer.clone(), key));
            }
        }
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keys_are_dockers() {
        for good in ["alice", "0-a_b"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "Alice", "-a", "a/b", "../a", "a.key"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
