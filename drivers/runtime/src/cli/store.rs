//! What the command line remembers of a container: `<root>/<id>/state.json`, `config.json` and `start.fifo`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cgroups::systemd::{Bus, Unit};
use cgroups::{Cgroup, Layout};
use linux::process::ProcessId;
use oci::runtime::{Spec, State, Status};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::CliError;

/// A container as it was created.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    /// Id.
    pub(super) id: String,
    /// Number of the init on the host.
    pub(super) pid: i32,
    /// Its start time, so that a later process with the number is not taken for it.
    pub(super) start_time: u64,
    /// Absolute path of the bundle.
    pub(super) bundle: String,
    /// Absolute path of the root file system.
    pub(super) rootfs: String,
    /// When it was created.
    pub(super) created: String,
    /// Path of its cgroup as the spec gives it, or what stands for an empty one; empty when there is none.
    pub(super) cgroup: String,
    /// Its maker's own groups, when the path counts from them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) own_groups: BTreeMap<String, String>,
    /// The unit, when systemd has made the cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<UnitRecord>,
    /// User id of its maker.
    #[serde(default)]
    pub(super) uid: u32,
    /// Network devices that were moved in, by their names inside, with those on the host.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) net_devices: BTreeMap<String, String>,
    /// Directory of its resctrl group, if it was made for this container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resctrl: Option<crate::resctrl::Made>,
}

/// What `state` and `list` show, in the order of runc: there are scripts that look for it line by line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    oci_version: &'static str,
    id: String,
    pid: i32,
    status: Status,
    bundle: String,
    rootfs: String,
    created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    owner: String,
}

/// A unit of systemd.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct UnitRecord {
    /// Its name.
    name: String,
    /// Where its systemd is reached.
    address: String,
    /// Whether that is the one of a user.
    user: bool,
}

impl From<&Unit> for UnitRecord {
    fn from(unit: &Unit) -> Self {
        Self {
            name: unit.name.clone(),
            address: unit.bus.address.clone(),
            user: unit.bus.user,
        }
    }
}

impl From<&UnitRecord> for Unit {
    fn from(record: &UnitRecord) -> Self {
        Self {
            bus: Bus {
                address: record.address.clone(),
                user: record.user,
            },
            name: record.name.clone(),
        }
    }
}

/// The directory of all containers: `--root`, or where such things belong to the user.
pub(super) fn root(given: Option<&str>, rootless: bool) -> String {
    match (given, std::env::var("XDG_RUNTIME_DIR")) {
        (Some(given), _) => given.to_owned(),
        (None, Ok(own)) if rootless && !own.is_empty() => format!("{own}/dhow-runtime"),
        _ => "/run/dhow-runtime".to_owned(),
    }
}

/// The directory of all containers.
#[derive(Debug)]
pub(super) struct Store(PathBuf);

impl Store {
    pub(super) fn new(root: &str) -> Self {
        Self(PathBuf::from(root))
    }

    pub(super) fn directory(&self, id: &str) -> PathBuf {
        self.0.join(id)
    }

    /// Takes an id: makes its directory.
    pub(super) fn claim(&self, id: &str) -> Result<PathBuf, CliError> {
        check_id(id)?;
        let private = |path: &Path, recursive| {
            std::fs::DirBuilder::new()
                .mode(0o711)
                .recursive(recursive)
                .create(path)
        };
        private(&self.0, true).map_err(CliError::file(format!("mkdir {}", self.0.display())))?;
        let directory = self.directory(id);
        match private(&directory, false) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(CliError::Exists),
            other => other
                .map(|()| directory.clone())
                .map_err(CliError::file(format!("mkdir {}", directory.display()))),
        }
    }

    /// Where the network namespace of a container that has devices of the host is kept, so that they can come back.
    pub(super) fn network_namespace(&self, id: &str) -> PathBuf {
        self.directory(id).join("network")
    }

    /// Makes the file that a created container waits at, open for reading and writing so that it never ends.
    pub(super) fn make_fifo(&self, id: &str) -> Result<OwnedFd, CliError> {
        use rustix::fs::{CWD, Mode, OFlags};
        let path = self.directory(id).join("start.fifo");
        let fail = || CliError::file(format!("mkfifo {}", path.display()));
        rustix::fs::mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).map_err(|errno| fail()(errno.into()))?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| fail()(errno.into()))
    }

    /// Writes the record and the spec.
    pub(super) fn save(&self, record: &Record, spec: &Spec) -> Result<(), CliError> {
        let directory = self.directory(&record.id);
        let json = |path: &Path, source| CliError::Json {
            path: path.display().to_string(),
            source,
        };
        for (name, text) in [
            ("config.json", serde_json::to_vec(spec)),
            ("state.json", serde_json::to_vec(record)),
        ] {
            let path = directory.join(name);
            let text = text.map_err(|source| json(&path, source))?;
            let temporary = directory.join(format!(".{name}"));
            let written = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)
                .and_then(|mut file| file.write_all(&text))
                .and_then(|()| std::fs::rename(&temporary, &path));
            written.map_err(CliError::file(format!("write {}", path.display())))?;
        }
        Ok(())
    }

    /// The container with this id.
    pub(super) fn load(&self, id: &str) -> Result<Record, CliError> {
        check_id(id)?;
        read_json(&self.directory(id).join("state.json"))?.ok_or(CliError::Missing)
    }

    /// The spec that it was created from.
    pub(super) fn spec(&self, id: &str) -> Result<Spec, CliError> {
        read_json(&self.directory(id).join("config.json"))?.ok_or(CliError::Missing)
    }

    /// All ids, sorted.
    pub(super) fn ids(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut ids: Vec<String> = entries
            .filter(|entry| entry.path().join("state.json").exists())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        ids.sort();
        ids
    }

    /// Forgets a container.
    pub(super) fn forget(&self, id: &str) -> Result<(), CliError> {
        let directory = self.directory(id);
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(CliError::file(format!("remove {}", directory.display()))),
        }
    }

    /// Where in its life a container is.
    pub(super) fn status(&self, record: &Record) -> Status {
        self.status_and_cgroup(record).0
    }

    /// The same, with its cgroup where that had to be opened.
    pub(super) fn status_and_cgroup(&self, record: &Record) -> (Status, Option<Cgroup>) {
        if !record.process().is_some_and(|process| process.is_alive()) {
            return (Status::Stopped, None);
        }
        if self.directory(&record.id).join("start.fifo").exists() {
            return (Status::Created, None);
        }
        let cgroup = record.cgroup().ok();
        let frozen = cgroup
            .as_ref()
            .is_some_and(|cgroup| cgroup.is_frozen().unwrap_or(false));
        let status = if frozen { Status::Paused } else { Status::Running };
        (status, cgroup)
    }
}

impl Record {
    /// The init, if the number makes sense.
    pub(super) fn process(&self) -> Option<ProcessId> {
        Pid::from_raw(self.pid).map(|pid| ProcessId {
            pid,
            start_time: self.start_time,
        })
    }

    /// It for eyes and scripts; `owner` as the verb has it.
    pub(super) fn shown(
        &self,
        status: Status,
        annotations: BTreeMap<String, String>,
        owner: String,
    ) -> Shown {
        Shown {
            oci_version: oci::runtime::VERSION,
            id: self.id.clone(),
            pid: if status == Status::Stopped { 0 } else { self.pid },
            status,
            bundle: self.bundle.clone(),
            rootfs: self.rootfs.clone(),
            created: self.created.clone(),
            annotations,
            owner,
        }
    }

    /// Name of the user who made it, or the number where it has none.
    pub(super) fn owner(&self) -> String {
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let named = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(self.uid)).then(|| name.to_owned())
        });
        named.unwrap_or_else(|| self.uid.to_string())
    }

    /// What a path of a cgroup counts from: nothing of the caller's, or the caller's own groups.
    pub(super) fn origin_of(cgroup: &str) -> Result<BTreeMap<String, String>, CliError> {
        if cgroup.is_empty() || cgroup.starts_with('/') {
            return Ok(BTreeMap::new());
        }
        Ok(Layout::detect()?.own_groups())
    }

    /// Its cgroup.
    pub(super) fn cgroup(&self) -> Result<Cgroup, CliError> {
        if self.cgroup.is_empty() {
            let text = format!(
                "container {} has no cgroup: it was created without the right to make one",
                self.id
            );
            return Err(CliError::State(text));
        }
        let mut layout = Layout::detect()?;
        layout.stand_in(&self.own_groups);
        let cgroup = Cgroup::open(&layout, &self.cgroup)?;
        Ok(match &self.unit {
            Some(unit) => cgroup.of_unit(unit.into()),
            None => cgroup,
        })
    }

    /// A descriptor of the init, if it lives.
    pub(super) fn open(&self) -> Option<(Pid, OwnedFd)> {
        let process = self.process()?;
        let fd = linux::process::pidfd_open(process.pid).ok()?;
        // Looked at after opening: the number cannot be given away while the descriptor holds the process.
        process.exists().then_some((process.pid, fd))
    }

    /// The state as the runtime-spec defines it.
    pub(super) fn state(&self, status: Status, spec: &Spec) -> State {
        State {
            oci_version: oci::runtime::VERSION.to_owned(),
            id: self.id.clone(),
            status,
            pid: (status != Status::Stopped).then_some(self.pid),
            bundle: self.bundle.clone(),
            annotations: spec.annotations.clone(),
        }
    }
}

/// Reads JSON; `None` when the file is not there.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, CliError> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(CliError::file(format!("read {}", path.display())))?,
    };
    parse_json(&path.display().to_string(), &text).map(Some)
}

/// Reads JSON; what is wrong is told by the property that has it.
pub(super) fn parse_json<T: serde::de::DeserializeOwned>(path: &str, text: &[u8]) -> Result<T, CliError> {
    serde_json::from_slice(text).map_err(|source| {
        let field = super::field::at(text, source.line(), source.column());
        let path = path.to_owned();
        if source.is_data() && !field.is_empty() {
            CliError::Field { path, field, source }
        } else {
            CliError::Json { path, source }
        }
    })
}

fn check_id(id: &str) -> Result<(), CliError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    if id.is_empty() || id == "." || id == ".." || !id.chars().all(allowed) || id.len() > 1024 {
        return Err(CliError::Usage(format!("invalid container ID format: {id:?}")));
    }
    Ok(())
}
