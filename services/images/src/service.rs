//! The service: opening, closing, and how its parts change together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use durable::{Scope, Table, Transaction};
use events::{Events, Kind};
use oci::digest::Digest;
use oci::image::ImageConfig;
use oci::reference::Reference;

use crate::container_layer::Container;
use crate::error::stream;
use crate::hold::Holder;
use crate::layers::{Layers, Pin};
use crate::origins::OriginRow;
use crate::registries::{Registries, RegistryOptions};
use crate::spool::Spools;
use crate::state::{Entry, ImageRow, NameRow, State, UseRow};
use crate::{Hold, Image, ImageError, Use};

/// All images of one daemon.
#[derive(Debug)]
pub struct Images {
    pub(crate) state: RwLock<State>,
    pub(crate) layers: Arc<Layers>,
    pub(crate) containers: Mutex<BTreeMap<String, Container>>,
    pub(crate) image_table: Table<ImageRow>,
    pub(crate) name_table: Table<NameRow>,
    pub(crate) origins: Table<OriginRow>,
    pub(crate) uses: Table<UseRow>,
    pub(crate) tables: Scope,
    pub(crate) events: Arc<Events>,
    pub(crate) data_root: PathBuf,
    pub(crate) registries: Registries,
    pub(crate) spools: Spools,
    pub(crate) storage: StorageOptions,
    /// Held while images and names change, so that what was checked is still true when it is written. Only blocking
    /// threads take it.
    changing: Mutex<()>,
    holds: AtomicU64,
    sync_planned: AtomicBool,
}

/// What the service needs to open.
#[derive(Debug)]
pub struct OpenOptions {
    /// The data root; layers are kept below it, in the driver's directory.
    pub data_root: PathBuf,
    /// The storage driver: `overlay` (or `overlay2`), `btrfs` or `vfs`; empty for the one that fits.
    pub driver: String,
    /// Its options.
    pub storage: StorageOptions,
    /// The service's own tables.
    pub tables: Scope,
    /// Where it tells what happens.
    pub events: Arc<Events>,
}

/// How large the writable layers of containers may grow, where the driver can limit them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageOptions {
    /// Bytes for those that ask for nothing.
    pub size: Option<u64>,
    /// Less than so many bytes may not be asked for.
    pub least: u64,
}

/// How long after a change the file system is synced: one sync serves many layers.
const SYNC_DELAY: Duration = Duration::from_secs(1);

impl Images {
    /// Opens the service and reads its tables; blocks. Nothing is deleted before [`Images::sweep`].
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn open(options: OpenOptions) -> Result<Arc<Self>, ImageError> {
        let boot_id = durable::volatile::boot_id().unwrap_or_default();
        let driver = storage_drivers::open(&options.driver, &options.data_root)?;
        if options.storage.size.is_some() && !driver.can_limit() {
            let driver = driver.name();
            return Err(storage_drivers::StorageError::NoLimit { driver }.into());
        }
        let layers = Layers::open(driver, &options.data_root, options.tables.clone(), boot_id)?;
        let images = Self {
            state: RwLock::default(),
            layers,
            containers: Mutex::default(),
            image_table: options.tables.table()?,
            name_table: options.tables.table()?,
            origins: options.tables.table()?,
            uses: options.tables.table()?,
            tables: options.tables,
            events: options.events,
            registries: Registries::default(),
            spools: Spools::open_folder(&options.data_root)?,
            data_root: options.data_root,
            storage: options.storage,
            changing: Mutex::default(),
            holds: AtomicU64::new(0),
            sync_planned: AtomicBool::new(false),
        };
        images.read_tables()?;
        Ok(Arc::new(images))
    }

    /// Fills the state. Images whose layers are gone, and names of images that are gone, are dropped.
    fn read_tables(&self) -> Result<(), ImageError> {
        let mut transaction = self.tables.transaction();
        let mut state = self.write();
        for (key, row) in self.image_table.all() {
            if self.adopt(&mut state, &key, &row).is_none() {
                tracing::error!(
                    image = key,
                    "image is dropped: it or one of its layers is damaged"
                );
                transaction = transaction.delete(&self.image_table, &key);
            }
        }
        for (key, row) in self.name_table.all() {
            match Reference::parse(&key) {
                Ok(name) if state.images.contains_key(&row.image) => state.add_name(name, &row.image),
                _ => transaction = transaction.delete(&self.name_table, &key),
            }
        }
        let is_known = |key: &str| key.parse().is_ok_and(|id: Digest| state.images.contains_key(&id));
        for (key, _) in self.origins.all() {
            if !is_known(&key) {
                transaction = transaction.delete(&self.origins, &key);
            }
        }
        for (key, _) in self.uses.all() {
            if !is_known(&key) {
                transaction = transaction.delete(&self.uses, &key);
            }
        }
        drop(state);
        Ok(transaction.commit().wait()?)
    }

    /// Takes an image over from its row; nothing when the row is damaged or a layer is gone.
    fn adopt(&self, state: &mut State, key: &str, row: &ImageRow) -> Option<()> {
        let id: Digest = key.parse().ok()?;
        let config: ImageConfig = serde_json::from_str(&row.config).ok()?;
        let top = oci::chain_id::chain_ids(&config.rootfs.diff_ids).pop();
        let pin = match &top {
            None => None,
            Some(top) => Some(self.layers.pin(top)?),
        };
        let size = self.layers.chain_size(top.as_ref());
        state
            .images
            .insert(id, Entry::new(row.clone(), config, size, pin));
        Some(())
    }

    /// How registries are spoken to from now on.
    pub fn set_registries(&self, options: RegistryOptions) {
        self.registries.set(options);
    }

    /// Removes what a crash left: layers without image or container, half-made ones. Call it when the containers have
    /// given back their layers ([`Images::adopt_container_layer`]) and holds.
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn sweep(self: &Arc<Self>) -> Result<(), ImageError> {
        self.blocking(|images| {
            let containers: BTreeSet<String> = images.lock_containers().keys().cloned().collect();
            images.spools.sweep(false, |_| true);
            images.layers.sweep(&containers)
        })
        .await
    }

    /// Writes what is still unsynced to disk; call it before the daemon ends.
    pub async fn shutdown(self: &Arc<Self>) {
        let synced = self.blocking(|images| Ok(images.layers.driver().sync()?)).await;
        if let Err(error) = synced {
            tracing::warn!(%error, "layers are not synced");
        }
    }

    /// Syncs the layers soon, on a thread of the blocking pool.
    pub(crate) fn plan_sync(self: &Arc<Self>) {
        if self.sync_planned.swap(true, Ordering::AcqRel) {
            return;
        }
        let images = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(SYNC_DELAY).await;
            let Some(images) = images.upgrade() else { return };
            images.sync_planned.store(false, Ordering::Release);
            images.shutdown().await;
        });
    }

    /// Keeps an image from being deleted; `owner` is the label that error texts show: `container 0123456789ab`.
    ///
    /// # Errors
    /// [`ImageError::NotFound`].
    pub fn hold(self: &Arc<Self>, id: &Digest, owner: &str, how: Use) -> Result<Hold, ImageError> {
        let number = self.holds.fetch_add(1, Ordering::Relaxed);
        let mut state = self.write();
        let entry = state
            .images
            .get_mut(id)
            .ok_or_else(|| ImageError::NotFound(id.to_string()))?;
        let label = owner.to_owned();
        entry.holders.insert(number, Holder { label, how });
        Ok(Hold::new(Arc::clone(self), id.clone(), number))
    }

    /// Makes an image whose layers are registered, and gives it names. Returns whether it is new.
    ///
    /// The rows of its layers, its own and those of its names become durable together.
    pub(crate) fn put(
        &self,
        config_json: &str,
        parent: Option<Digest>,
        pin: Option<Pin>,
        names: &[Reference],
    ) -> Result<(Image, bool), ImageError> {
        let id = Digest::sha256(config_json);
        let config: ImageConfig =
            serde_json::from_str(config_json).map_err(|source| ImageError::Document {
                path: id.to_string(),
                source,
            })?;
        let _changing = self.lock_changes();
        let old = self.read().images.get(&id).map(|entry| entry.row.clone());
        let is_new = old.is_none();
        let mut row = old.unwrap_or_else(|| ImageRow {
            config: config_json.to_owned(),
            parent: parent.filter(|parent| self.read().images.contains_key(parent)),
            last_tagged: None,
        });
        if !names.is_empty() {
            row.last_tagged = Some(now());
        }
        let mut transaction = self.layers.rows(self.tables.transaction(), pin.as_ref());
        transaction = transaction.put(&self.image_table, &id.to_string(), &row);
        transaction = self.name_rows(transaction, &id, names);
        transaction = transaction.put(&self.uses, &id.to_string(), &UseRow { last: now() });
        durable::crash_point("images.put.begun");
        transaction.commit().wait()?;
        durable::crash_point("images.put.recorded");
        self.layers.recorded(pin.as_ref());

        let size = self.layers.chain_size(pin.as_ref().map(Pin::chain));
        let mut state = self.write();
        let entry = state.images.entry(id.clone());
        let entry = entry.or_insert_with(|| Entry::new(row.clone(), config, size, pin));
        entry.row = row;
        for name in names {
            state.add_name(name.clone(), &id);
        }
        let image = state.snapshot(&id);
        drop(state);
        let image = image.ok_or_else(|| ImageError::NotFound(id.to_string()))?;
        Ok((image, is_new))
    }

    pub(crate) fn name_rows(
        &self,
        mut transaction: Transaction,
        id: &Digest,
        names: &[Reference],
    ) -> Transaction {
        for name in names {
            let row = NameRow { image: id.clone() };
            transaction = transaction.put(&self.name_table, &name.to_string(), &row);
        }
        transaction
    }

    /// Tells what happened to an image; Docker adds its labels and a name to the attributes.
    pub(crate) fn tell(&self, action: &str, image: &Image, name: &str) {
        let mut attributes = image.config.config.labels.clone();
        if !name.is_empty() {
            attributes.insert("name".to_owned(), name.to_owned());
        }
        self.events
            .publish(Kind::Image, action, &image.id.to_string(), attributes);
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock_changes(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock_containers(&self) -> MutexGuard<'_, BTreeMap<String, Container>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, ImageError> + Send + 'static,
    ) -> Result<T, ImageError> {
        let images = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&images)).await {
            Ok(done) => done,
            Err(error) if error.is_panic() => Err(stream("work on images")(std::io::Error::other(error))),
            Err(_) => Err(ImageError::ShuttingDown),
        }
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        // The images are forgotten, not deleted.
        self.layers.close();
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
