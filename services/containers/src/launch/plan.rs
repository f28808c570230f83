//! The monitor's plan, and the start of the monitor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::mount::recipe::Recipe;
use log_drivers::Attributes;
use monitor::Spawned;
use monitor::plan::{CopyUp, Fd, Plan, Port, Stdio, UserLookup};
use networks::Endpoint;
use volumes::Source;

use super::{files, network};
use crate::house::House;
use crate::record::{MountSpec, Record};
use crate::spec::{self, Device, Inputs, Joined, Resolved};
use crate::{Error, links};

/// The user's mounts of one run.
#[derive(Debug)]
pub(crate) struct Mounts {
    pub(crate) resolved: Vec<Resolved>,
    copy_ups: Vec<CopyUp>,
}

/// Finds the files behind the mounts; makes host directories that `-v` asks for.
///
/// # Errors
/// A host path that does not exist, a volume that is gone.
pub(crate) async fn resolve_mounts(house: &House, record: &Record) -> Result<Mounts, Error> {
    let mut mounts = Mounts {
        resolved: Vec::new(),
        copy_ups: Vec::new(),
    };
    for spec in &record.mounts {
        let mut spec = spec.clone();
        let source = match spec.kind.as_str() {
            "tmpfs" => None,
            "volume" => Some(volume(house, &spec)?),
            _ => Some(Source::Bind {
                path: bind(&mut spec)?,
                options: Vec::new(),
            }),
        };
        if let Some(Source::Bind { path, .. }) = &source
            && spec.kind == "volume"
            && !spec.no_copy
        {
            mounts.copy_ups.push(CopyUp {
                destination: PathBuf::from(&spec.destination),
                host_path: path.clone(),
            });
        }
        mounts.resolved.push(Resolved { spec, source });
    }
    Ok(mounts)
}

fn volume(house: &House, spec: &MountSpec) -> Result<Source, Error> {
    let source = house.parts.volumes.source(&spec.name).map_err(Error::part)?;
    match source {
        Source::Bind { path, options } if !spec.subpath.is_empty() => Ok(Source::Bind {
            path: subpath(&path, &spec.subpath)?,
            options,
        }),
        other if spec.subpath.is_empty() => Ok(other),
        _ => Err(Error::NotAvailable(format!(
            "a subpath of volume {}, which is a mount of its own,",
            spec.name
        ))),
    }
}

/// A path inside a volume, which must not lead out of it.
fn subpath(volume: &Path, below: &str) -> Result<PathBuf, Error> {
    let wrong = || {
        Error::Invalid(format!(
            "cannot access path {}: invalid volume subpath",
            volume.join(below).display()
        ))
    };
    let path = std::fs::canonicalize(volume.join(below.trim_start_matches('/'))).map_err(|_| wrong())?;
    let root = std::fs::canonicalize(volume).map_err(|_| wrong())?;
    if path.starts_with(&root) {
        Ok(path)
    } else {
        Err(wrong())
    }
}

fn bind(spec: &mut MountSpec) -> Result<PathBuf, Error> {
    let path = PathBuf::from(&spec.source);
    if !path.exists() {
        if !spec.make_source {
            return Err(Error::Invalid(format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {}",
                spec.source
            )));
        }
        std::fs::create_dir_all(&path).map_err(|source| Error::File {
            action: "create the source of a bind mount",
            path: path.clone(),
            source,
        })?;
    }
    match crate::mounts::check_propagation(&spec.source, &spec.propagation) {
        Err(_) if spec.propagation_is_ours => spec.propagation = "rprivate".into(),
        checked => checked?,
    }
    Ok(path)
}

/// The log of a container, as its monitor writes it and as the daemon reads it.
///
/// # Errors
/// A driver or option that is not known.
pub(crate) fn log_config(house: &House, record: &Record) -> Result<log_drivers::Config, Error> {
    let own = &record.host_config.log_config;
    let (driver, options) = (own.kind.as_str(), own.config.clone().unwrap_or_default());
    let path = match driver {
        "local" => house
            .data_dir(&record.id)
            .join("local-logs")
            .join("container.log"),
        _ => house.data_dir(&record.id).join(format!("{}-json.log", record.id)),
    };
    let about = Attributes {
        labels: record.config.labels.as_ref(),
        env: record.config.env.as_deref().unwrap_or_default(),
        id: &record.id,
        name: &record.name,
        image_id: &record.image_id,
        image_name: &record.config.image,
        daemon_name: "docker",
    };
    log_drivers::Config::from_options(driver, &options, path, &about).map_err(Error::part)
}

/// Whom the process runs as, to be looked up inside the image.
pub(crate) fn process_lookup(record: &Record) -> UserLookup {
    UserLookup {
        user: Some(record.config.user.clone()),
        group_add: record.host_config.group_add.clone().unwrap_or_default(),
    }
}

/// Builds the plan and starts the monitor. Blocks: writes files, spawns a process.
pub(super) fn spawn(
    house: &House,
    record: &Record,
    endpoints: &[Endpoint],
    joined: Joined,
    mounts: Mounts,
    netns: Option<OwnedFd>,
    sockets: Vec<network::Socket>,
) -> Result<Spawned, Error> {
    let state_dir = house.state_dir(&record.id);
    make_dir(&state_dir)?;
    durable::crash_point("containers.start.state-directory");
    let generated = files::write(house, record, endpoints)?;
    durable::crash_point("containers.start.files-written");
    let host = &record.host_config;
    let devices = devices(record)?;
    let linked = links::environment(house, record)?;
    let runtime = crate::runtime::of(house, record)?;
    let filter = match runtime {
        None => house.filters.of(record, &house.settings)?,
        Some(_) => crate::filters::described(record, &house.settings)?,
    };
    let spec = spec::build(&Inputs {
        record,
        linked: &linked,
        settings: &house.settings,
        mounts: &mounts.resolved,
        generated: &generated,
        joined: &joined,
        devices: &devices,
        filter: &filter,
        apparmor: house.apparmor,
    })?;
    let mut fds: Vec<BorrowedFd<'_>> = Vec::new();
    let mut inherit = |fd| {
        fds.push(fd);
        Fd(u32::try_from(fds.len() - 1).unwrap_or(u32::MAX))
    };
    let netns_index = netns.as_ref().map(|fd| inherit(fd.as_fd()));
    let filter_index = filter.file().map(|file| inherit(file.as_fd()));
    let ports = sockets
        .iter()
        .map(|socket| Port {
            protocol: socket.protocol,
            socket: inherit(socket.fd.as_fd()),
            target: socket.target,
        })
        .collect();
    let [rows, columns] = host.console_size;
    let plan = Plan {
        id: record.id.clone(),
        state_dir,
        exit_file: house.exit_file(record),
        spool_dir: house.data_dir(&record.id),
        spec,
        rootfs: rootfs(house, record)?,
        user: process_lookup(record),
        make_working_dir: true,
        copy_ups: mounts.copy_ups,
        stdio: Stdio {
            tty: record.config.tty,
            open_stdin: record.config.open_stdin,
            stdin_once: record.config.stdin_once,
            console_size: (rows > 0 && columns > 0).then(|| oci::runtime::ConsoleSize {
                height: rows.into(),
                width: columns.into(),
            }),
        },
        log: log_config(house, record)?,
        netns: netns_index,
        filter: filter_index,
        ports,
        init: host
            .init
            .unwrap_or(house.settings.init)
            .then(|| house.settings.init_path.clone()),
        runtime,
    };
    monitor::spawn(house.parts.runtime.as_fd(), &plan, &fds).map_err(Error::part)
}

/// How to mount the root file system. That of a container with `--rm` need not outlive a power loss: nothing in it is
/// synced, neither at the container's wish nor when it is unmounted (`volatile`).
fn rootfs(house: &House, record: &Record) -> Result<Recipe, Error> {
    let mut recipe = house
        .parts
        .images
        .container_recipe(&record.id)
        .map_err(Error::part)?;
    if record.host_config.auto_remove
        && let Recipe::Overlay {
            work: Some(work),
            options,
            ..
        } = &mut recipe
    {
        // Left by the last run to say that a power loss may have damaged the layer; none has happened in this boot.
        let mark = work.join("work/incompat");
        match std::fs::remove_dir_all(&mark) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::File {
                    action: "remove",
                    path: mark,
                    source,
                });
            }
            _ => options.push("volatile".into()),
        }
    }
    Ok(recipe)
}

fn devices(record: &Record) -> Result<Vec<Device>, Error> {
    if record.host_config.privileged {
        return Ok(spec::all_of_host());
    }
    let mut devices = Vec::new();
    for mapping in record.host_config.devices.iter().flatten() {
        devices.extend(spec::mapped(mapping)?);
    }
    Ok(devices)
}

/// Makes a directory that only root can enter.
pub(crate) fn make_dir(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|source| Error::File {
        action: "create",
        path: path.to_owned(),
        source,
    })
}
