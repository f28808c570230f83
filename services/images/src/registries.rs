//! How this service speaks to registries: settings that may change while it runs, and what is shared by all transfers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use distribution::Settings;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// Docker's default.
const DOWNLOADS: usize = 3;
/// Docker's default.
const UPLOADS: usize = 5;

/// Registries, and how many layers travel at once.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Where registries are, and how they are spoken to.
    pub settings: Settings,
    /// Layers that come at once; 0 for the default.
    pub downloads: usize,
    /// Layers that go at once; 0 for the default.
    pub uploads: usize,
}

#[derive(Debug)]
pub(crate) struct Registries {
    now: RwLock<Now>,
    /// Who fetches what now: the second one waits, and finds it here.
    busy: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

#[derive(Clone, Debug)]
struct Now {
    settings: Arc<Settings>,
    downloads: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
}

impl Default for Registries {
    fn default() -> Self {
        let settings = Settings::new(concat!("dhow/", env!("CARGO_PKG_VERSION")));
        Self {
            now: RwLock::new(Now::new(RegistryOptions {
                settings,
                downloads: 0,
                uploads: 0,
            })),
            busy: Mutex::default(),
        }
    }
}

impl Now {
    fn new(options: RegistryOptions) -> Self {
        let or = |number: usize, default| if number == 0 { default } else { number };
        Self {
            settings: Arc::new(options.settings),
            downloads: Arc::new(Semaphore::new(or(options.downloads, DOWNLOADS))),
            uploads: Arc::new(Semaphore::new(or(options.uploads, UPLOADS))),
        }
    }
}

impl Registries {
    /// From now on; what is under way goes on as it began.
    pub(crate) fn set(&self, options: RegistryOptions) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Now::new(options);
    }

    fn now(&self) -> Now {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.now().settings
    }

    /// Leave for one layer to come.
    pub(crate) async fn download(&self) -> Option<OwnedSemaphorePermit> {
        self.now().downloads.acquire_owned().await.ok()
    }

    /// Leave for one layer to go.
    pub(crate) async fn upload(&self) -> Option<OwnedSemaphorePermit> {
        self.now().uploads.acquire_owned().await.ok()
    }

    /// Alone with `what` until the value is dropped.
    pub(crate) async fn alone(&self, what: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.retain(|_, lock| lock.strong_count() > 0);
            match busy.get(what).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::default();
                    busy.insert(what.to_owned(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }

    /// Whether somebody is at `what` now.
    pub(crate) fn is_busy(&self, what: &str) -> bool {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.get(what).is_some_and(|lock| lock.strong_count() > 0)
    }
}
