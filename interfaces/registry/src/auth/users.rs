//! The users: an htpasswd file with bcrypt hashes. It is read again when it changes.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use fault::{Fault, Kind};
use hyper::header::{HeaderValue, RETRY_AFTER};
use rand::RngExt as _;
use ring::hmac;
use tokio::sync::Semaphore;

use crate::error::{Code, Failure};

/// A password that was right is not hashed again for so long.
const REMEMBERED: Duration = Duration::from_secs(300);
/// As many are remembered.
const MOST_REMEMBERED: usize = 1024;
/// As many hashes are computed at a time: each takes a processor for a while.
const HASHES: usize = 2;
/// Whoever waits longer for one is sent away.
const PATIENCE: Duration = Duration::from_secs(15);

/// The users could not be read.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The file cannot be read.
    #[error("read the users {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A line is not `name:hash`.
    #[error("users {path}, line {line}: expected NAME:HASH with a bcrypt hash (htpasswd -B)")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
}

impl Fault for UsersError {
    fn kind(&self) -> Kind {
        Kind::InvalidParameter
    }
}

/// Who may log in.
#[derive(Debug)]
pub(crate) struct Users {
    path: PathBuf,
    known: Mutex<Known>,
    hashing: Arc<Semaphore>,
    /// Makes what is remembered useless elsewhere.
    salt: hmac::Key,
}

#[derive(Debug, Default)]
struct Known {
    hashes: HashMap<String, String>,
    stamp: Option<(SystemTime, u64)>,
    right: HashMap<[u8; 32], Instant>,
}

impl Users {
    pub(crate) fn open(path: &Path) -> Result<Self, UsersError> {
        let salt: [u8; 32] = rand::rng().random();
        let users = Self {
            path: path.to_owned(),
            known: Mutex::default(),
            hashing: Arc::new(Semaphore::new(HASHES)),
            salt: hmac::Key::new(hmac::HMAC_SHA256, &salt),
        };
        users.refresh()?;
        Ok(users)
    }

    /// Reads the file if it has changed.
    fn refresh(&self) -> Result<(), UsersError> {
        let read = |source| UsersError::Read {
            path: self.path.clone(),
            source,
        };
        let status = std::fs::metadata(&self.path).map_err(read)?;
        let stamp = Some((status.modified().map_err(read)?, status.len()));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.stamp == stamp {
            return Ok(());
        }
        let text = std::fs::read_to_string(&self.path).map_err(read)?;
        known.hashes = parse(&text).map_err(|line| UsersError::Line {
            path: self.path.clone(),
            line,
        })?;
        known.stamp = stamp;
        known.right.clear();
        Ok(())
    }

    /// Whether this is the user's password.
    pub(crate) async fn verify(&self, user: &str, password: &str) -> Result<bool, Failure> {
        if let Err(error) = self.refresh() {
            // Those who were known stay known until the file is mended.
            tracing::error!(%error, "the users are not read again");
        }
        let mut fingerprint = [0; 32];
        let tag = hmac::sign(&self.salt, format!("{}:{user}:{password}", user.len()).as_bytes());
        fingerprint.copy_from_slice(tag.as_ref());
        let hash = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known
                .right
                .get(&fingerprint)
                .is_some_and(|since| since.elapsed() < REMEMBERED)
            {
                return Ok(true);
            }
            known.hashes.get(user).cloned()
        };
        let Ok(Ok(turn)) = tokio::time::timeout(PATIENCE, Arc::clone(&self.hashing).acquire_owned()).await
        else {
            return Err(Failure::new(Code::TooManyRequests, "too many log-ins at a time")
                .with_header(RETRY_AFTER, HeaderValue::from_static("10")));
        };
        let password = password.to_owned();
        // A user that does not exist costs as much as one that does, so that nobody learns who exists.
        let exists = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        let right = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            bcrypt::verify(password, &hash).unwrap_or(false)
        });
        let right = right.await.unwrap_or(false) && exists;
        if right {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.right.len() >= MOST_REMEMBERED {
                known.right.clear();
            }
            known.right.insert(fingerprint, Instant::now());
        }
        Ok(right)
    }
}

/// A hash of no password that anybody has, with the cost that htpasswd uses by default.
const NOBODY: &str = "$2y$05$abcdefghijklmnopqrstuuNmdYyP3nBT2LAfG5eUZDwM8sTPyqF6O";

/// Name and hash of each line, or the number of the line that is none.
fn parse(text: &str) -> Result<HashMap<String, String>, usize> {
    let mut hashes = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (user, hash) = line.split_once(':').ok_or(number + 1)?;
        let bcrypt = ["$2a$", "$2b$", "$2x$", "$2y$"]
            .iter()
            .any(|start| hash.starts_with(start));
        if user.is_empty() || !bcrypt || hash.len() != 60 {
            return Err(number + 1);
        }
        hashes.insert(user.to_owned(), hash.to_owned());
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_user_is_right_and_the_file_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        let line = |user: &str, password: &str| format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap());
        std::fs::write(&path, line("alice", "secret")).unwrap();
        let users = Users::open(&path).unwrap();
        for (user, password, expected) in [
            ("alice", "secret", true),
            ("alice", "secret", true),
            ("alice", "Secret", false),
            ("bob", "secret", false),
            ("", "", false),
        ] {
            assert_eq!(users.verify(user, password).await.unwrap(), expected, "{user}");
        }
        std::fs::write(&path, line("alice", "other") + &line("bob", "secret")).unwrap();
        assert!(
            !users.verify("alice", "secret").await.unwrap(),
            "what was right is forgotten"
        );
        assert!(users.verify("bob", "secret").await.unwrap());
        std::fs::write(&path, "nonsense").unwrap();
        assert!(
            users.verify("bob", "secret").await.unwrap(),
            "a broken file changes nothing"
        );
    }

    #[test]
    fn lines_that_are_no_bcrypt_hash_are_named() {
        let hash = format!("$2y$05${}", "a".repeat(53));
        assert_eq!(parse(&format!("# people\n\na:{hash}\n")).unwrap().len(), 1);
        assert_eq!(parse(&format!("a:{hash}\nb:{{SHA}}x")), Err(2));
        assert_eq!(parse("a"), Err(1));
        assert_eq!(parse("a:$apr1$abc"), Err(1));
    }
}
