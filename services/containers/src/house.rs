//! What all containers share: settings, the services they are made of, the directory, the rows.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use api_types::container::HostConfig;
use cgroups::{Cgroup, Layout};
use durable::{Commit, Scope, Table, volatile};
use monitor::plan::ExitRecord;

use crate::cell::Cell;
use crate::directory::Directory;
use crate::exec::Execs;
use crate::filters::Filters;
use crate::machine::RestartPolicy;
use crate::record::Record;
use crate::service::Parts;
use crate::settings::Settings;
use crate::{Error, spec};

/// Shared by all actors.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) settings: Settings,
    pub(crate) parts: Parts,
    pub(crate) directory: Directory<Cell>,
    pub(crate) execs: Execs,
    pub(crate) filters: Filters,
    pub(crate) layout: Layout,
    /// How many processors the machine has.
    pub(crate) cpus: usize,
    /// The machine's memory nodes, as the kernel lists them: `0-1`.
    pub(crate) memory_nodes: String,
    pub(crate) apparmor: spec::AppArmor,
    pub(crate) rows: Table<Record>,
    pub(crate) tables: Scope,
    pub(crate) holds: Mutex<HashMap<String, Holds>>,
}

/// What a container keeps from being deleted.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    pub(crate) image: Option<images::Hold>,
    #[expect(dead_code, reason = "kept for what its end means")]
    pub(crate) volumes: Vec<volumes::Hold>,
}

impl House {
    /// Where the durable files of a container are: log, hosts, exit record.
    pub(crate) fn data_dir(&self, id: &str) -> PathBuf {
        self.settings.data_root.join("containers").join(id)
    }

    /// Where the files of a run are: the monitor's socket and state.
    pub(crate) fn state_dir(&self, id: &str) -> PathBuf {
        self.settings.exec_root.join("containers").join(id)
    }

    /// The record as it was when it last changed in this boot; for `--rm` the only one.
    pub(crate) fn record_file(&self, id: &str) -> PathBuf {
        self.records_dir().join(format!("{id}.json"))
    }

    pub(crate) fn records_dir(&self) -> PathBuf {
        self.settings.exec_root.join("records")
    }

    /// Where the monitor leaves the exit record.
    pub(crate) fn exit_file(&self, record: &Record) -> PathBuf {
        if record.host_config.auto_remove {
            self.state_dir(&record.id).join("exit.json")
        } else {
            self.data_dir(&record.id).join("exit.json")
        }
    }

    pub(crate) fn read_exit(&self, record: &Record) -> Option<ExitRecord> {
        volatile::read(&self.exit_file(record)).ok().flatten()
    }

    /// Writes a record so that it survives a kill of the daemon; the commit says when it survives a power loss.
    /// A container with `--rm` does not outlive the boot and has no row.
    pub(crate) fn write(&self, record: &Record) -> Result<Option<Commit>, Error> {
        self.write_volatile(record)?;
        if record.host_config.auto_remove {
            return Ok(None);
        }
        Ok(Some(
            self.tables
                .transaction()
                .put(&self.rows, &record.id, record)
                .commit(),
        ))
    }

    /// Writes what changes often and may be lost with the boot.
    pub(crate) fn write_volatile(&self, record: &Record) -> Result<(), Error> {
        volatile::write(&self.record_file(&record.id), record).map_err(Error::part)
    }

    /// Freezes or thaws all processes of a container; blocks until they are.
    pub(crate) fn freeze(&self, record: &Record, freeze: bool) -> Result<(), cgroups::Error> {
        let cgroup = self.cgroup(record)?;
        if freeze { cgroup.freeze() } else { cgroup.thaw() }
    }

    pub(crate) fn cgroup(&self, record: &Record) -> Result<Cgroup, cgroups::Error> {
        Cgroup::open(&self.layout, &spec::cgroup_path(record, &self.settings))
    }

    /// Tells the world that something happened to a container.
    pub(crate) fn event(&self, record: &Record, action: &str, more: &[(&str, String)]) {
        let mut attributes: BTreeMap<String, String> = record.config.labels.clone().unwrap_or_default();
        attributes.insert("name".into(), record.name.clone());
        attributes.insert("image".into(), record.config.image.clone());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.parts
            .events
            .publish(events::Kind::Container, action, &record.id, attributes);
    }

    fn holds(&self) -> std::sync::MutexGuard<'_, HashMap<String, Holds>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a container needs until [`House::release_holds`].
    pub(crate) fn keep_holds(&self, id: &str, holds: Holds) {
        self.holds().insert(id.to_owned(), holds);
    }

    pub(crate) fn release_holds(&self, id: &str) {
        let released = self.holds().remove(id);
        drop(released);
    }

    /// Says whether the container runs: then its image cannot be deleted even by force.
    pub(crate) fn mark_use(&self, id: &str, how: images::Use) {
        if let Some(hold) = self.holds().get(id).and_then(|holds| holds.image.as_ref()) {
            hold.set_use(how);
        }
    }

    /// Finds a container, with its latest view.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Cell>, Error> {
        self.directory.find(name)
    }
}

/// The restart policy of a container; an unknown name was refused at create.
pub(crate) fn policy(host: &HostConfig) -> RestartPolicy {
    let most = u32::try_from(host.restart_policy.maximum_retry_count).unwrap_or(0);
    match host.restart_policy.name.as_str() {
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure(most),
        _ => RestartPolicy::No,
    }
}
