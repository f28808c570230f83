//! Contexts of `dhow build`, which come in two requests: a list of files, then those that the kept copy does not have.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use builds::Source;

use crate::grpc::{Code, Status};
use crate::service::{BuildKit, PATIENCE, Refused};
use crate::sync::Listed;

/// What kept copies of listed contexts are named by, beside their clients' keys.
const NAME: &str = "listed";
/// Copies that may wait for their files.
const WAITING: usize = 64;

/// Copies that wait for their files, by the names that their clients were told.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<HashMap<String, Listed>>);

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Listed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BuildKit {
    /// Compares a client's list of files with the copy that is kept under its key; answers the name under which the copy
    /// waits a while for its files, and the numbers of the wanted ones.
    ///
    /// # Errors
    /// The list is broken, or too many copies wait.
    pub async fn list_context(
        self: &Arc<Self>,
        key: &str,
        list: impl Read + Send + 'static,
    ) -> Result<(String, Vec<u32>), Refused> {
        let (kept, key) = (Arc::clone(&self.workshop.kept), key.to_owned());
        let comparing = tokio::task::spawn_blocking(move || Listed::compare(kept.take(&key, NAME)?, list));
        let listed = comparing.await.map_err(Status::broken)??;
        let wanted = listed.wanted();
        let name = format!("{:032x}", rand::random::<u128>());
        {
            let mut waiting = self.waiting.lock();
            if waiting.len() >= WAITING {
                return Err(
                    Status::new(Code::ResourceExhausted, "too many contexts wait for their files").into(),
                );
            }
            waiting.insert(name.clone(), listed);
        }
        let (kit, forgotten) = (Arc::downgrade(self), name.clone());
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            if let Some(kit) = kit.upgrade() {
                kit.waiting.lock().remove(&forgotten);
            }
        });
        Ok((name, wanted))
    }

    /// The files of a context that waits, with those that are in an archive.
    ///
    /// # Errors
    /// No context of that name waits any more, or a file is missing.
    pub async fn listed_context(
        &self,
        name: &str,
        archive: impl Read + Send + 'static,
    ) -> Result<Source, Refused> {
        let listed = self.waiting.lock().remove(name);
        let listed = listed
            .ok_or_else(|| Status::new(Code::NotFound, format!("no context {name} waits for its files")))?;
        let receiving = tokio::task::spawn_blocking(move || listed.receive(archive));
        let kept = receiving.await.map_err(Status::broken)??;
        Ok(Source::Kept {
            path: kept.files(),
            guard: Box::new(kept),
        })
    }
}
