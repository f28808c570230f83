//! `RUN --mount`: files of the context, of stages and images, caches, secrets and memory for one step.

use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api_types::container::{Mount as HostMount, TmpfsOptions};
use dockerfile::instruction::{Run, Script};
use dockerfile::mount::{Kind, Mount};

use crate::BuildError;
use crate::client::AgentSocket;
use crate::copy::{self, Given, Job, Ready, Root, resolve};
use crate::error::file;
use crate::stage::Stage;
use crate::step::caches::Lock;

/// Where scripts in here-documents that begin with `#!` stand.
pub(super) const SCRIPTS: &str = "/dev/pipes";

/// The mounts of one step; what they need goes when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Mounted {
    mounts: Vec<HostMount>,
    variables: Vec<String>,
    pub(super) keys: Vec<String>,
    /// Paths that the engine has to make in the image, the highest first.
    places: Vec<String>,
    scratch: Vec<PathBuf>,
    agents: Vec<AgentSocket>,
    pub(super) locks: Vec<Lock>,
}

impl Mounted {
    pub(super) fn mounts(&self) -> &[HostMount] {
        &self.mounts
    }

    /// Variables that hold secrets.
    pub(super) fn variables(&self) -> &[String] {
        &self.variables
    }

    /// What the cache has to know of the mounts.
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

    pub(super) fn places(&self) -> &[String] {
        &self.places
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for path in &self.scratch {
            // What stays goes with the build's directory.
            let _ = if path.is_dir() {
                std::fs::remove_dir_all(path)
            } else {
                std::fs::remove_file(path)
            };
        }
    }
}

/// Makes the mounts of a step ready.
pub(super) async fn prepare(stage: &mut Stage, run: &Run) -> Result<Mounted, BuildError> {
    let mut mounted = Mounted::default();
    if let Some(Script::File { name, content }) = run.script() {
        mounted.script(stage, &name, &content)?;
    }
    for text in &run.mounts {
        let mount = Mount::parse(text).map_err(|error| BuildError::Instruction(error.to_string()))?;
        mounted.keys.push(format!("--mount={text}"));
        match mount.kind {
            Kind::Bind => mounted.bind(stage, &mount).await?,
            Kind::Cache => mounted.cache(stage, &mount).await?,
            Kind::Tmpfs => mounted.tmpfs(stage, &mount),
            Kind::Secret => mounted.secret(stage, &mount).await?,
            Kind::Ssh => mounted.ssh(stage, &mount).await?,
        }
    }
    let root = stage.engine.root(stage.image.as_ref()).await?;
    mounted.find_places(root.as_deref())?;
    Ok(mounted)
}

impl Mounted {
    pub(super) fn add(&mut self, source: &Path, target: String, read_only: bool) {
        self.mounts.push(HostMount {
            kind: "bind".to_owned(),
            source: source.to_string_lossy().into_owned(),
            target,
            read_only,
            ..HostMount::default()
        });
    }

    pub(super) fn scratch(&mut self, stage: &Stage, what: &str) -> PathBuf {
        let path = stage
            .engine
            .directory
            .join(format!("{what}-{}", stage.engine.number()));
        self.scratch.push(path.clone());
        path
    }

    fn script(&mut self, stage: &Stage, name: &str, content: &str) -> Result<(), BuildError> {
        let path = self.scratch(stage, "script");
        std::fs::write(&path, content).map_err(file("write", &path))?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).map_err(file("chmod", &path))?;
        self.keys
            .push(format!("--script={}", oci::digest::Digest::sha256(content)));
        self.add(&path, format!("{SCRIPTS}/{name}"), true);
        Ok(())
    }

    /// Files of the context, a stage or an image. They are copied, so that nothing of the host or of an image can be
    /// reached or changed through them; only a read-only part of the context is lent as it is.
    async fn bind(&mut self, stage: &mut Stage, mount: &Mount) -> Result<(), BuildError> {
        let source = mount.source.clone().unwrap_or_else(|| "/".to_owned());
        let read_only = mount.read_only.unwrap_or(true);
        let target = absolute(stage, mount.target.as_deref().unwrap_or_default());
        let root = match &mount.from {
            Some(from) => stage.files_of(from).await?,
            None => Arc::clone(&stage.engine.context),
        };
        let ready = found(stage, &root, &source).await?;
        self.keys.push(ready.hash.clone());
        if mount.from.is_none() && read_only {
            // Without links in it the path leads nowhere else on the host either.
            let place = resolve(Some(&root), &source).map_err(BuildError::Instruction)?;
            self.add(&stage.engine.context_path.join(place.path), target, true);
            return Ok(());
        }
        let path = self.scratch(stage, "mount");
        copied(ready, &path).await?;
        self.add(&path.join("copy"), target, read_only);
        Ok(())
    }

    fn tmpfs(&mut self, stage: &Stage, mount: &Mount) {
        let size = mount
            .size
            .and_then(|size| i64::try_from(size).ok())
            .unwrap_or_default();
        self.mounts.push(HostMount {
            kind: "tmpfs".to_owned(),
            target: absolute(stage, mount.target.as_deref().unwrap_or_default()),
            tmpfs_options: (size > 0).then(|| TmpfsOptions {
                size_bytes: size,
                ..TmpfsOptions::default()
            }),
            ..HostMount::default()
        });
    }

    /// A path outside of all that outlives the step.
    fn volatile(&mut self, stage: &Stage, what: &str) -> Result<PathBuf, BuildError> {
        let folder = &stage.engine.volatile;
        std::fs::create_dir_all(folder).map_err(file("create", folder))?;
        let path = folder.join(format!("{what}-{}", stage.engine.number()));
        self.scratch.push(path.clone());
        Ok(path)
    }

    /// A socket whose connections end at the client's agent, and the variable that names it.
    async fn ssh(&mut self, stage: &Stage, mount: &Mount) -> Result<(), BuildError> {
        let id = mount.id.clone().unwrap_or_else(|| "default".to_owned());
        let client = match &stage.engine.request.client {
            Some(client) if client.has_agent(id.clone()).await? => client,
            _ if mount.required => {
                return Err(BuildError::Instruction(format!(
                    "unset ssh forward key {id}: the client offers no such agent"
                )));
            }
            _ => return Ok(()),
        };
        let path = self.volatile(stage, "agent")?;
        let owner = (mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
        let mode = mount.mode.unwrap_or(0o600);
        self.agents
            .push(AgentSocket::bind(Arc::clone(client), id, &path, mode, owner)?);
        let target = match &mount.target {
            Some(target) => absolute(stage, target),
            None => format!("/run/buildkit/ssh_agent.{}", self.agents.len() - 1),
        };
        if self.agents.len() == 1 {
            self.variables.push(format!("SSH_AUTH_SOCK={target}"));
        }
        self.add(&path, target, false);
        Ok(())
    }

    /// A secret is in a file that only this step sees; it is in no layer, history or cache.
    async fn secret(&mut self, stage: &Stage, mount: &Mount) -> Result<(), BuildError> {
        let from_target = mount
            .target
            .as_deref()
            .and_then(|target| target.rsplit('/').next());
        let id = mount.id.as_deref().or(from_target).unwrap_or_default().to_owned();
        if id.is_empty() {
            return Err(BuildError::Instruction(
                "a secret needs an id or a target".to_owned(),
            ));
        }
        let request = &stage.engine.request;
        let known = request.secrets.iter().find(|secret| secret.id == id);
        let value = match (known, &request.client) {
            (Some(secret), _) => Some(secret.value.clone()),
            (None, Some(client)) => client.secret(id.clone()).await?,
            (None, None) => None,
        };
        let Some(value) = value else {
            return match mount.required {
                true => Err(BuildError::Instruction(format!("secret {id}: not found"))),
                false => Ok(()),
            };
        };
        if let Some(name) = &mount.env {
            let value = String::from_utf8(value.clone()).map_err(|_| {
                BuildError::Instruction(format!("secret {id}: not text, which a variable must be"))
            })?;
            self.variables.push(format!("{name}={value}"));
            if mount.target.is_none() {
                return Ok(());
            }
        }
        let path = self.volatile(stage, "secret")?;
        std::fs::write(&path, value).map_err(file("write", &path))?;
        let mode = mount.mode.unwrap_or(0o400);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).map_err(file("chmod", &path))?;
        chown(&path, Some(mount.uid.unwrap_or(0)), Some(mount.gid.unwrap_or(0)))
            .map_err(file("chown", &path))?;
        let target = match &mount.target {
            Some(target) => absolute(stage, target),
            None => format!("/run/secrets/{id}"),
        };
        self.add(&path, target, true);
        Ok(())
    }

    /// The places of mounts that the image does not have: made for the step, and not part of its layer.
    fn find_places(&mut self, root: Option<&Root>) -> Result<(), BuildError> {
        let mut places = std::collections::BTreeSet::new();
        for mount in &self.mounts {
            let place = resolve(root, &mount.target).map_err(BuildError::Instruction)?;
            let ends = place
                .path
                .match_indices('/')
                .map(|(end, _)| end)
                .chain([place.path.len()]);
            for path in ends.map(|end| &place.path[..end]).filter(|path| !path.is_empty()) {
                let known = resolve(root, &format!("/{path}")).map_err(BuildError::Instruction)?;
                if known.is_directory.is_none() {
                    places.insert(path.to_owned());
                }
            }
        }
        self.places = places.into_iter().collect();
        Ok(())
    }
}

/// The files at a path of a tree, found and hashed.
pub(super) async fn found(stage: &Stage, root: &Arc<Root>, source: &str) -> Result<Ready, BuildError> {
    let job = Job {
        name: "RUN --mount",
        into: None,
        sources: vec![Given::written(root, source)],
        heredocs: Vec::new(),
        destination: "/copy".to_owned(),
        workdir: "/".to_owned(),
        chown: None,
        chmod: None,
        parents: false,
        exclude: Vec::new(),
        link: false,
        keep_owner: true,
        epoch: None,
        digests: Arc::clone(&stage.engine.digests),
    };
    let ready = tokio::task::spawn_blocking(move || job.prepare());
    ready.await.map_err(|error| BuildError::task(&error))?
}

/// Copies such files into a directory that is made for them; they are called `copy` there.
pub(super) async fn copied(ready: Ready, path: &Path) -> Result<(), BuildError> {
    let unpacked = path.to_owned();
    let copying = tokio::task::spawn_blocking(move || {
        std::fs::create_dir(&unpacked)?;
        let directory = std::fs::File::open(&unpacked)?;
        let archive = unpacked.join("tar");
        ready.write(&mut std::io::BufWriter::new(std::fs::File::create(&archive)?))?;
        let source = std::io::BufReader::new(std::fs::File::open(&archive)?);
        std::fs::remove_file(&archive)?;
        archive::unpack(source, directory.as_fd(), archive::UnpackOptions::default())
            .map_err(std::io::Error::other)
    });
    let copied = copying.await.map_err(|error| BuildError::task(&error))?;
    copied.map(drop).map_err(file("copy files to mount to", path))
}

pub(super) fn absolute(stage: &Stage, path: &str) -> String {
    copy::shown(&stage.config.config.working_dir, path)
        .trim_end_matches('/')
        .to_owned()
}
