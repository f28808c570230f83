//! What can be done with volumes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use api_types::Filters;
use api_types::volume::{PruneReport, UsageData};
use durable::{Row, Scope, Table};
use events::{Events, Kind};
use serde::{Deserialize, Serialize};
use volume_drivers::{Driver, Local, Options, Source, VolumeDriverError};

use crate::hold::{Hold, Holds};
use crate::{ANONYMOUS_LABEL, VolumeError, usage};

/// All volumes of one daemon.
#[derive(Debug)]
pub struct Volumes {
    table: Table<VolumeRow>,
    tables: Scope,
    drivers: BTreeMap<String, Arc<dyn Driver>>,
    holds: Arc<Holds>,
    events: Arc<Events>,
    /// Held while volumes are made or removed, so that no name is made and removed at once. Only blocking threads
    /// take it.
    changing: Mutex<()>,
}

/// What the service needs to open.
#[derive(Debug)]
pub struct OpenOptions {
    /// The data root; local volumes are in `volumes` below it.
    pub data_root: PathBuf,
    /// The service's own tables.
    pub tables: Scope,
    /// Where it tells what happens.
    pub events: Arc<Events>,
}

/// How to make a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// Its name; empty for an anonymous one.
    pub name: String,
    /// The driver; empty for `local`.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume as it was when it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// The driver that keeps it.
    pub driver: String,
    /// `local` or `global`.
    pub scope: &'static str,
    /// Where its files are on the host.
    pub mountpoint: PathBuf,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// When it was made, seconds since 1970.
    pub created: i64,
}

impl Volume {
    /// Whether its name was generated.
    pub fn is_anonymous(&self) -> bool {
        self.labels.contains_key(ANONYMOUS_LABEL)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct VolumeRow {
    driver: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    options: Options,
    created: i64,
}

impl Row for VolumeRow {
    const TABLE: &'static str = "volumes";
    const VERSION: u32 = 1;
}

impl Volumes {
    /// Opens the service, finishes what a crash left undone and takes in directories that have no row (their data
    /// may be precious). Blocks.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn open(options: OpenOptions) -> Result<Arc<Self>, VolumeError> {
        let sweep = |source| VolumeError::Sweep {
            driver: "local".to_owned(),
            source,
        };
        let local = Local::open(&options.data_root).map_err(sweep)?;
        let table = options.tables.table().map_err(|source| VolumeError::Store {
            operation: "open",
            name: "all".to_owned(),
            source,
        })?;
        let driver: Arc<dyn Driver> = Arc::new(local);
        let volumes = Self {
            table,
            tables: options.tables,
            drivers: BTreeMap::from([(driver.name().to_owned(), driver)]),
            holds: Arc::default(),
            events: options.events,
            changing: Mutex::default(),
        };
        volumes.recover()?;
        Ok(Arc::new(volumes))
    }

    fn recover(&self) -> Result<(), VolumeError> {
        for (name, row) in self.table.all() {
            // A row without its directory: killed between the two, or a directory lost with the power.
            if let Some(driver) = self.drivers.get(&row.driver) {
                driver.create(&name).map_err(driver_error("create", &name))?;
            }
        }
        for (driver_name, driver) in &self.drivers {
            let found = driver.sweep().map_err(|source| VolumeError::Sweep {
                driver: driver_name.clone(),
                source,
            })?;
            for name in found.into_iter().filter(|name| !self.table.contains(name)) {
                let row = VolumeRow {
                    driver: driver_name.clone(),
                    labels: BTreeMap::new(),
                    options: Options::new(),
                    created: created(&driver.mountpoint(&name)),
                };
                let commit = self.tables.transaction().put(&self.table, &name, &row).commit();
                commit.wait().map_err(store_error("create", &name))?;
            }
        }
        Ok(())
    }

    /// The volume with this name.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`].
    pub fn inspect(&self, name: &str) -> Result<Volume, VolumeError> {
        match self.table.get(name) {
            Some(row) => Ok(self.snapshot(name, &row)),
            None => Err(VolumeError::NotFound(name.to_owned())),
        }
    }

    /// The volumes that pass the filters (`dangling`, `driver`, `label`, `label!`, `name`), by name.
    ///
    /// # Errors
    /// [`VolumeError::Filter`].
    pub fn list(&self, filters: &Filters) -> Result<Vec<Volume>, VolumeError> {
        let known = ["dangling", "driver", "label", "label!", "name"];
        filters.accept_only(&known).map_err(VolumeError::Filter)?;
        let dangling = match filters.contains("dangling") {
            true => Some(filters.flag("dangling", false).map_err(VolumeError::Filter)?),
            false => None,
        };
        let passes = |volume: &Volume| {
            let mut names = filters.values("name").peekable();
            (names.peek().is_none() || names.any(|part| volume.name.contains(part)))
                && filters.exact("driver", &volume.driver)
                && filters.matches_map("label", &volume.labels)
                && filters.matches_no_pair("label!", &volume.labels)
                && dangling.is_none_or(|wanted| self.holds.owners(&volume.name).is_empty() == wanted)
        };
        let volumes = self
            .table
            .all()
            .into_iter()
            .map(|(name, row)| self.snapshot(&name, &row));
        Ok(volumes.filter(passes).collect())
    }

    /// Makes a volume; if one of that name is there already with the same driver, that one is returned as it is.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub async fn create(self: &Arc<Self>, options: CreateOptions) -> Result<Volume, VolumeError> {
        self.blocking(move |volumes| {
            let _changing = volumes.lock();
            volumes.create_now(options)
        })
        .await
    }

    /// [`Volumes::create`] and [`Volumes::hold`] with nothing in between, for a container that is being made.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub async fn create_held(
        self: &Arc<Self>,
        options: CreateOptions,
        owner: &str,
    ) -> Result<(Volume, Hold), VolumeError> {
        let owner = owner.to_owned();
        self.blocking(move |volumes| {
            let _changing = volumes.lock();
            let volume = volumes.create_now(options)?;
            let hold = volumes.hold(&volume.name, &owner)?;
            Ok((volume, hold))
        })
        .await
    }

    fn create_now(&self, mut options: CreateOptions) -> Result<Volume, VolumeError> {
        if options.name.is_empty() {
            options.name = generated_name();
            options.labels.insert(ANONYMOUS_LABEL.to_owned(), String::new());
        }
        if options.driver.is_empty() {
            options.driver.push_str("local");
        }
        let name = options.name.as_str();
        if let Some(row) = self.table.get(name) {
            if row.driver != options.driver {
                return Err(VolumeError::OtherDriver {
                    name: name.to_owned(),
                    driver: row.driver.clone(),
                });
            }
            return Ok(self.snapshot(name, &row));
        }
        let driver = self.driver("create", name, &options.driver)?;
        let failed = driver_error("create", name);
        driver.validate(name, &options.options).map_err(&failed)?;
        let row = VolumeRow {
            driver: options.driver.clone(),
            labels: options.labels,
            options: options.options,
            created: now(),
        };
        driver.claim(name).map_err(&failed)?;
        durable::crash_point("volumes.create.claimed");
        let commit = self.tables.transaction().insert(&self.table, name, &row).commit();
        commit.wait().map_err(store_error("create", name))?;
        durable::crash_point("volumes.create.recorded");
        driver.create(name).map_err(&failed)?;
        durable::crash_point("volumes.create.made");
        self.tell("create", name, &row.driver);
        Ok(self.snapshot(name, &row))
    }

    /// Removes a volume with all it holds; with `force`, one that is not there is fine.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`], [`VolumeError::InUse`] (also with `force`).
    pub async fn remove(self: &Arc<Self>, name: &str, force: bool) -> Result<(), VolumeError> {
        let name = name.to_owned();
        self.blocking(move |volumes| {
            let _changing = volumes.lock();
            match volumes.remove_now(&name) {
                Err(VolumeError::NotFound(_)) if force => Ok(()),
                other => other,
            }
        })
        .await
    }

    fn remove_now(&self, name: &str) -> Result<(), VolumeError> {
        let row = (self.table.get(name)).ok_or_else(|| VolumeError::NotFound(name.to_owned()))?;
        let driver = self.driver("remove", name, &row.driver)?;
        let _removal = self
            .holds
            .begin_removal(name)
            .map_err(|owners| VolumeError::InUse {
                name: name.to_owned(),
                owners,
            })?;
        // The row goes first: a kill in between leaves a directory that is taken in again at the next start, so
        // that a name never stands for data that are half gone.
        durable::crash_point("volumes.remove.begun");
        let commit = self.tables.transaction().delete(&self.table, name).commit();
        commit.wait().map_err(store_error("remove", name))?;
        durable::crash_point("volumes.remove.forgotten");
        driver.remove(name).map_err(driver_error("remove", name))?;
        durable::crash_point("volumes.remove.removed");
        self.tell("destroy", name, &row.driver);
        Ok(())
    }

    /// Removes the volumes that nobody holds: anonymous ones, or all with the filter `all=true`; `label` and `label!`
    /// narrow it down.
    ///
    /// # Errors
    /// [`VolumeError::Filter`].
    pub async fn prune(self: &Arc<Self>, filters: &Filters) -> Result<PruneReport, VolumeError> {
        filters
            .accept_only(&["all", "label", "label!"])
            .map_err(VolumeError::Filter)?;
        let all = filters.flag("all", false).map_err(VolumeError::Filter)?;
        let filters = filters.clone();
        self.blocking(move |volumes| {
            let mut report = PruneReport::default();
            for (name, row) in volumes.table.all() {
                let wanted = (all || row.labels.contains_key(ANONYMOUS_LABEL))
                    && row.driver == "local"
                    && filters.matches_map("label", &row.labels)
                    && filters.matches_no_pair("label!", &row.labels);
                if !wanted || !volumes.holds.owners(&name).is_empty() {
                    continue;
                }
                let _changing = volumes.lock();
                let size = usage::size(&volumes.snapshot(&name, &row).mountpoint);
                match volumes.remove_now(&name) {
                    Ok(()) => {
                        report.volumes_deleted.push(name);
                        report.space_reclaimed += size;
                    }
                    // Somebody was faster, in either direction.
                    Err(VolumeError::NotFound(_) | VolumeError::InUse { .. }) => {}
                    Err(error) => tracing::warn!(%error, volume = name, "volume is not pruned"),
                }
            }
            let attributes = BTreeMap::from([("reclaimed".to_owned(), report.space_reclaimed.to_string())]);
            volumes.events.publish(Kind::Volume, "prune", "", attributes);
            Ok(report)
        })
        .await
    }

    /// Keeps a volume from being removed; `owner` is the id that error texts show.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`].
    pub fn hold(&self, name: &str, owner: &str) -> Result<Hold, VolumeError> {
        // Taken first and looked up afterwards: no removal can begin in between.
        match self.holds.take(name, owner) {
            Some(hold) if self.table.contains(name) => Ok(hold),
            _ => Err(VolumeError::NotFound(name.to_owned())),
        }
    }

    /// What to mount into a container that uses the volume. May ask a name server: not for the asynchronous threads.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`], [`VolumeError::Driver`].
    pub fn source(&self, name: &str) -> Result<Source, VolumeError> {
        let row = (self.table.get(name)).ok_or_else(|| VolumeError::NotFound(name.to_owned()))?;
        let driver = self.driver("mount", name, &row.driver)?;
        driver
            .source(name, &row.options)
            .map_err(driver_error("mount", name))
    }

    /// All volumes with their sizes and numbers of users, for `docker system df`.
    ///
    /// # Errors
    /// [`VolumeError::ShuttingDown`].
    pub async fn usage(self: &Arc<Self>) -> Result<Vec<(Volume, UsageData)>, VolumeError> {
        self.blocking(|volumes| {
            let measured = |volume: Volume| {
                let users = volumes.holds.owners(&volume.name).len();
                let usage = UsageData {
                    ref_count: i64::try_from(users).unwrap_or(i64::MAX),
                    size: i64::try_from(usage::size(&volume.mountpoint)).unwrap_or(i64::MAX),
                };
                (volume, usage)
            };
            let all = volumes.list(&Filters::default())?;
            Ok(all.into_iter().map(measured).collect())
        })
        .await
    }

    fn driver(&self, operation: &'static str, name: &str, driver: &str) -> Result<&dyn Driver, VolumeError> {
        let found = self.drivers.get(driver).map(|driver| &**driver);
        found.ok_or_else(|| VolumeError::NoDriver {
            operation,
            name: name.to_owned(),
            driver: driver.to_owned(),
        })
    }

    fn snapshot(&self, name: &str, row: &VolumeRow) -> Volume {
        let driver = self.drivers.get(&row.driver);
        Volume {
            name: name.to_owned(),
            driver: row.driver.clone(),
            scope: driver.map_or("local", |driver| driver.scope().name()),
            mountpoint: driver.map(|driver| driver.mountpoint(name)).unwrap_or_default(),
            labels: row.labels.clone(),
            options: row.options.clone(),
            created: row.created,
        }
    }

    /// Tells that a container begins to use a volume, or uses it no longer; `more` says how.
    pub fn tell_use(&self, action: &str, name: &str, driver: &str, more: BTreeMap<String, String>) {
        let mut attributes = more;
        attributes.insert("driver".to_owned(), driver.to_owned());
        self.events.publish(Kind::Volume, action, name, attributes);
    }

    fn tell(&self, action: &str, name: &str, driver: &str) {
        self.tell_use(action, name, driver, BTreeMap::new());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, VolumeError> + Send + 'static,
    ) -> Result<T, VolumeError> {
        let volumes = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&volumes)).await;
        done.unwrap_or(Err(VolumeError::ShuttingDown))
    }
}

fn driver_error(operation: &'static str, name: &str) -> impl Fn(VolumeDriverError) -> VolumeError {
    let name = name.to_owned();
    move |source| VolumeError::Driver {
        operation,
        name: name.clone(),
        source,
    }
}

fn store_error(operation: &'static str, name: &str) -> impl Fn(durable::StoreError) -> VolumeError {
    let name = name.to_owned();
    move |source| VolumeError::Store {
        operation,
        name: name.clone(),
        source,
    }
}

/// 64 hexadecimal digits, as Docker names anonymous volumes.
fn generated_name() -> String {
    let random: [u8; 32] = rand::random();
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now() -> i64 {
    seconds(std::time::SystemTime::now())
}

fn created(directory: &Path) -> i64 {
    let modified = directory.metadata().and_then(|metadata| metadata.modified());
    modified.map_or_else(|_| now(), seconds)
}

fn seconds(time: std::time::SystemTime) -> i64 {
    let since_1970 = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
