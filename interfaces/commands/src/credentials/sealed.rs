//! Our own file of secrets: each is sealed with XChaCha20-Poly1305, with a key in a file of its own.
//!
//! Both files are readable for their owner alone. This keeps a secret out of copies, backups and screens that show one
//! of the two files; whoever may read both, as the same user or as root, can open it. A helper that uses the desktop's key
//! ring protects more.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use serde_json::{Map, Value, json};

use super::Login;
use super::config::write_private;
use crate::failure::{Failure, Outcome};
use crate::streams;

const KEY: usize = 32;
const NONCE: usize = 24;

fn secrets(folder: &Path) -> PathBuf {
    folder.join("dhow-credentials.json")
}

fn key_file(folder: &Path) -> PathBuf {
    folder.join("dhow-credentials.key")
}

fn read(folder: &Path) -> Result<Map<String, Value>, Failure> {
    let path = secrets(folder);
    match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(Failure::new(format!(
            "cannot read {}: {}",
            path.display(),
            streams::cause(&error)
        ))),
        Ok(text) => serde_json::from_slice(&text).map_err(|error| {
            Failure::new(format!(
                "{} is damaged: {error}; log in again after removing it",
                path.display()
            ))
        }),
    }
}

/// The cipher with the user's key; with `make`, a key is made where there is none.
fn cipher(folder: &Path, make: bool) -> Result<Option<XChaCha20Poly1305>, Failure> {
    let path = key_file(folder);
    let key = match std::fs::read(&path) {
        Ok(key) if key.len() == KEY => key,
        Ok(_) => {
            return Err(Failure::new(format!(
                "{} is damaged: it does not have {KEY} bytes; remove it and log in again",
                path.display()
            )));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && make => {
            let key = random::<KEY>()?;
            write_private(&path, &key)?;
            key.to_vec()
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::new(format!(
                "cannot read {}: {}",
                path.display(),
                streams::cause(&error)
            )));
        }
    };
    let key = Key::try_from(key.as_slice()).map_err(|_| Failure::new("the key has the wrong length"))?;
    Ok(Some(XChaCha20Poly1305::new(&key)))
}

fn random<const N: usize>() -> Result<[u8; N], Failure> {
    use std::io::Read as _;
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| Failure::new(format!("cannot read /dev/urandom: {}", streams::cause(&error))))?;
    Ok(bytes)
}

/// The registries that there are secrets of.
pub(super) fn servers(folder: &Path) -> Result<Vec<String>, Failure> {
    Ok(read(folder)?.into_iter().map(|(server, _)| server).collect())
}

pub(super) fn get(folder: &Path, server: &str) -> Result<Option<Login>, Failure> {
    let all = read(folder)?;
    let Some(entry) = all.get(server) else {
        return Ok(None);
    };
    let damaged = || {
        Failure::new(format!(
            "the login for {server} in {} cannot be opened with the key in {}; log in again",
            secrets(folder).display(),
            key_file(folder).display()
        ))
    };
    let Some(cipher) = cipher(folder, false)? else {
        return Err(damaged());
    };
    let bytes = |name: &str| entry[name].as_str().and_then(|text| STANDARD.decode(text).ok());
    let (nonce, sealed) = bytes("nonce").zip(bytes("sealed")).ok_or_else(damaged)?;
    let nonce = XNonce::try_from(nonce.as_slice()).map_err(|_| damaged())?;
    let payload = Payload {
        msg: &sealed,
        aad: server.as_bytes(),
    };
    let text = cipher.decrypt(&nonce, payload).map_err(|_| damaged())?;
    let value: Value = serde_json::from_slice(&text).map_err(|_| damaged())?;
    let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    Ok(Some(Login {
        user: field("username"),
        password: field("password"),
        server: server.to_owned(),
        token: field("identitytoken"),
    }))
}

pub(super) fn store(folder: &Path, login: &Login) -> Outcome {
    let mut all = read(folder)?;
    let Some(cipher) = cipher(folder, true)? else {
        return Err(Failure::new("no key"));
    };
    let nonce = random::<NONCE>()?;
    let text = serde_json::to_vec(login).map_err(|error| Failure::new(error.to_string()))?;
    // The registry's name is sealed with it, so that nobody can send one's secret to another.
    let payload = Payload {
        msg: &text,
        aad: login.server.as_bytes(),
    };
    let sealed = cipher
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| Failure::new("the login cannot be sealed"))?;
    let entry = json!({"nonce": STANDARD.encode(nonce), "sealed": STANDARD.encode(sealed)});
    all.insert(login.server.clone(), entry);
    write(folder, &all)
}

pub(super) fn erase(folder: &Path, server: &str) -> Result<bool, Failure> {
    let mut all = read(folder)?;
    if all.remove(server).is_none() {
        return Ok(false);
    }
    write(folder, &all)?;
    Ok(true)
}

fn write(folder: &Path, all: &Map<String, Value>) -> Outcome {
    let text = serde_json::to_vec_pretty(all).map_err(|error| Failure::new(error.to_string()))?;
    write_private(&secrets(folder), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_sealed_opened_and_bound_to_its_registry() {
        let folder = tempfile::tempdir().unwrap();
        let login = Login {
            user: "u".to_owned(),
            password: "very secret".to_owned(),
            server: "reg:5000".to_owned(),
            token: String::new(),
        };
        assert!(get(folder.path(), "reg:5000").unwrap().is_none());
        store(folder.path(), &login).unwrap();
        let text = std::fs::read_to_string(secrets(folder.path())).unwrap();
        assert!(!text.contains("very secret") && !text.contains(&STANDARD.encode("very secret")));
        assert!(get(folder.path(), "reg:5000").unwrap() == Some(login));
        std::fs::write(secrets(folder.path()), text.replace("reg:5000", "evil:5000")).unwrap();
        assert!(get(folder.path(), "evil:5000").is_err());
        std::fs::write(secrets(folder.path()), &text).unwrap();
        std::fs::write(key_file(folder.path()), [0; KEY]).unwrap();
        assert!(get(folder.path(), "reg:5000").is_err());
        assert!(erase(folder.path(), "reg:5000").unwrap() && !erase(folder.path(), "reg:5000").unwrap());
    }
}
