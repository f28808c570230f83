//! Where the layers of a pulled image came from: other registries, asked at most once in a push whether they are there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use distribution::access::{Access, Intent};
use distribution::{Credentials, Settings};
use oci::reference::Reference;
use tokio::sync::Mutex;

/// What is only a matter of bytes that are the same must not hold a push up for long: a registry that is not there, or
/// breaks off, is asked so often, …
const ATTEMPTS: u32 = 2;
/// … and waited for so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The repositories of other registries, by their canonical names.
pub(super) struct Origins {
    settings: Arc<Settings>,
    found: Mutex<HashMap<String, Vec<Access>>>,
}

impl Origins {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        let mut settings = Settings::clone(&settings);
        let limits = &mut settings.limits;
        limits.attempts = limits.attempts.min(ATTEMPTS);
        limits.connect = limits.connect.min(PATIENCE);
        limits.answer = limits.answer.min(PATIENCE);
        limits.stall = limits.stall.min(PATIENCE);
        Self {
            settings: Arc::new(settings),
            found: Mutex::default(),
        }
    }

    /// The places of a repository that answer, mirrors first. Whoever pushes has shown credentials for another registry:
    /// here nobody is asked who needs some.
    pub(super) async fn places(&self, repository: &str) -> Vec<Access> {
        let mut found = self.found.lock().await;
        if let Some(known) = found.get(repository) {
            return known.clone();
        }
        let mut there = Vec::new();
        for place in self.all(repository) {
            match place.ping().await {
                Ok(()) => there.push(place),
                Err(error) => tracing::debug!(%error, repository, "layers cannot be relayed from there"),
            }
        }
        found.insert(repository.to_owned(), there.clone());
        there
    }

    fn all(&self, repository: &str) -> Vec<Access> {
        let Ok(name) = Reference::parse_normalized(repository) else {
            return Vec::new();
        };
        let places = Access::places(&self.settings, &Credentials::Anonymous, &name, Intent::Pull);
        places.unwrap_or_default()
    }
}
