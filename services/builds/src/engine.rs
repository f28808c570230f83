//! One running build: what its stages share.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use containers::{Containers, RemoveRequest};
use images::{BuiltLayer, FindFile, Hold, Image, Images, Use, WriteArchive};
use oci::digest::Digest;
use tokio::sync::{OnceCell, RwLock};
use tokio::task::JoinSet;

use crate::bases::Bases;
use crate::contexts::Contexts;
use crate::copy::{self, Root};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::stage::{self, Built};
use crate::{BuildError, BuildRequest};

/// One running build.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) images: Arc<Images>,
    pub(crate) containers: Arc<Containers>,
    pub(crate) request: BuildRequest,
    pub(crate) plan: Plan,
    pub(crate) progress: Progress,
    /// The files that the client sent.
    pub(crate) context: Arc<Root>,
    /// Where they are on the host.
    pub(crate) context_path: PathBuf,
    /// `--build-context`.
    pub(crate) contexts: Contexts,
    /// The build's own directory, swept with it.
    pub(crate) directory: PathBuf,
    /// The same for what must not reach the disk.
    pub(crate) volatile: PathBuf,
    /// Its id; the names of its containers begin with it.
    pub(crate) id: String,
    pub(crate) epoch: Option<i64>,
    /// Directories of `--mount=type=cache`.
    pub(crate) caches: Arc<crate::step::Caches>,
    /// Steps that builds are making now.
    pub(crate) turns: Arc<crate::turns::Turns>,
    /// Files that earlier builds have hashed.
    pub(crate) digests: Arc<copy::Digests>,
    pub(crate) state: State,
}

/// What changes while a build runs.
#[derive(Debug)]
pub(crate) struct State {
    /// Images of `--cache-from` that are here.
    pub(crate) cache_from: Vec<Image>,
    pub(crate) bases: Bases,
    stages: Vec<OnceCell<Arc<Built>>>,
    /// Build arguments that somebody wanted.
    consumed: Mutex<BTreeSet<String>>,
    next: AtomicUsize,
    failed: AtomicBool,
    first: Mutex<Option<BuildError>>,
    /// Held for reading while a container is made; true when no more may be.
    closed: RwLock<bool>,
    /// Containers that stay when the build is over.
    kept: Mutex<BTreeSet<String>>,
    roots: Mutex<HashMap<Digest, Arc<Root>>>,
}

impl State {
    pub(crate) fn new(plan: &Plan, cache_from: Vec<Image>) -> Self {
        Self {
            cache_from,
            bases: Bases::default(),
            stages: plan.file.stages.iter().map(|_| OnceCell::new()).collect(),
            consumed: Mutex::new(plan.used.clone()),
            next: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            first: Mutex::default(),
            closed: RwLock::new(false),
            kept: Mutex::default(),
            roots: Mutex::default(),
        }
    }
}

/// What the names of containers of builds begin with.
pub(crate) fn container_prefix(id: &str) -> String {
    format!("build_{id}_")
}

impl Engine {
    /// Builds the target and all that it needs, as much of it at once as can be.
    pub(crate) async fn run(self: &Arc<Self>) -> Result<Arc<Built>, BuildError> {
        let mut running = JoinSet::new();
        for index in self.plan.needed.clone() {
            let engine = Arc::clone(self);
            running.spawn(async move { (index, engine.stage(index).await) });
        }
        let mut target = None;
        while let Some(joined) = running.join_next().await {
            match joined {
                Ok((index, Ok(built))) if index == self.plan.target => target = Some(built),
                Ok((_, Ok(_))) => {}
                Ok((_, Err(error))) => return Err(self.take_first().unwrap_or(error)),
                Err(error) => return Err(BuildError::task(&error)),
            }
        }
        target.ok_or(BuildError::Cancelled)
    }

    /// A stage, built when it is first asked for. Stages only ask for earlier ones, so nobody waits in a circle.
    pub(crate) async fn stage(self: &Arc<Self>, index: usize) -> Result<Arc<Built>, BuildError> {
        let cell = self.state.stages.get(index).ok_or_else(|| BuildError::NoFrom {
            from: index.to_string(),
            problem: "index out of bounds",
        })?;
        let build = || async {
            if self.state.failed.load(Ordering::Acquire) {
                return Err(BuildError::Cancelled);
            }
            let built: Result<Built, BuildError> = Box::pin(stage::build(self, index)).await;
            let error = built
                .as_ref()
                .err()
                .map(BuildError::step_message)
                .unwrap_or_default();
            self.progress.done(self.part(index), &error).await;
            built.map(Arc::new).map_err(|error| self.fail(error))
        };
        cell.get_or_try_init(build).await.cloned()
    }

    /// The ids of the last images of all stages that were built, the target's last.
    pub(crate) fn stage_images(&self) -> Vec<String> {
        let built = self.state.stages.iter().filter_map(|cell| cell.get());
        let images = built.filter_map(|built| Some(built.image.as_ref()?.id.to_string()));
        images.collect()
    }

    /// The place of a stage in the stream; a stage that only a trigger asked for is told with the target.
    pub(crate) fn part(&self, index: usize) -> usize {
        let position = self.plan.needed.iter().position(|needed| *needed == index);
        position.unwrap_or(self.plan.needed.len().saturating_sub(1))
    }

    /// Keeps the first error; those that follow from it are not told.
    fn fail(&self, error: BuildError) -> BuildError {
        self.state.failed.store(true, Ordering::Release);
        let mut first = self.state.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
        BuildError::Cancelled
    }

    fn take_first(&self) -> Option<BuildError> {
        self.state
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// An image's hold for the time of the build.
    pub(crate) fn hold(&self, image: &Image) -> Result<Hold, BuildError> {
        let label = format!("build {}", self.id);
        self.images
            .hold(&image.id, &label, Use::Running)
            .map_err(BuildError::part)
    }

    /// The files of an image, read-only and mounted nowhere; nothing for an image without layers.
    pub(crate) async fn root(&self, image: Option<&Image>) -> Result<Option<Arc<Root>>, BuildError> {
        let Some(image) = image.filter(|image| !image.chain_ids.is_empty()) else {
            return Ok(None);
        };
        let top = image.chain_ids[image.chain_ids.len() - 1].clone();
        let roots = || self.state.roots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(root) = roots().get(&top) {
            return Ok(Some(Arc::clone(root)));
        }
        let recipe = self.images.image_recipe(&image.id).map_err(BuildError::part)?;
        let mounted = tokio::task::spawn_blocking(move || recipe.mount_detached()).await;
        let mounted = mounted.map_err(|error| BuildError::task(&error))?;
        let fd = mounted.map_err(|error| BuildError::Part {
            message: format!("mount the image before the step: {error}"),
            kind: fault::Kind::System,
        })?;
        let root = copy::root(fd);
        let mut roots = roots();
        if roots.len() >= MAX_ROOTS {
            roots.clear();
        }
        roots.insert(top, Arc::clone(&root));
        Ok(Some(root))
    }

    /// A layer above an image, of the archive that `write` writes.
    pub(crate) async fn layer(
        &self,
        below: Option<&Image>,
        write: WriteArchive,
        links: Option<FindFile>,
    ) -> Result<Option<BuiltLayer>, BuildError> {
        // Both ends of the pipe fail when the writing one does, and only that one knows why.
        let cause = Arc::new(OnceLock::new());
        let told = Arc::clone(&cause);
        let write: WriteArchive =
            Box::new(move |out| write(out).inspect_err(|error| _ = told.set(error.to_string())));
        let made = self
            .images
            .build_layer(below.map(|image| &image.id), write, links)
            .await;
        made.map_err(|error| match cause.get() {
            Some(cause) => BuildError::Instruction(cause.clone()),
            None => BuildError::part(error),
        })
    }

    /// Notes that a build argument was of use.
    pub(crate) fn consume(&self, name: &str) {
        let mut consumed = self.state.consumed.lock().unwrap_or_else(PoisonError::into_inner);
        consumed.insert(name.to_owned());
    }

    /// Build arguments that nobody declared.
    pub(crate) fn unconsumed(&self) -> Vec<String> {
        let consumed = self.state.consumed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |name: &str| {
            consumed.contains(name)
                || dockerfile::args::PREDEFINED.contains(&name)
                || dockerfile::args::PLATFORM.contains(&name)
                || name == "SOURCE_DATE_EPOCH"
        };
        self.request
            .build_args
            .keys()
            .filter(|name| !known(name))
            .cloned()
            .collect()
    }

    /// A number that this build has not given yet.
    pub(crate) fn number(&self) -> usize {
        self.state.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes a container. It is made to its end even if the build is cancelled meanwhile, so that it is known and removed.
    pub(crate) async fn create_container(
        self: &Arc<Self>,
        image: Image,
        request: api_types::container::CreateRequest,
    ) -> Result<String, BuildError> {
        let name = format!("{}{}", container_prefix(&self.id), self.number());
        let engine = Arc::clone(self);
        let making = tokio::spawn(async move {
            let closed = engine.state.closed.read().await;
            if *closed {
                return Err(BuildError::Cancelled);
            }
            engine
                .containers
                .create_from(&name, &image, request)
                .await
                .map_err(BuildError::part)
        });
        making.await.map_err(|error| BuildError::task(&error))?
    }

    /// Leaves a container to the user: that of a step that failed, or all with `--rm=false`.
    pub(crate) fn keep(&self, id: &str) {
        self.state
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.to_owned());
    }

    /// Ends the build: no more containers are made, and those that there are go.
    pub(crate) async fn close(&self) {
        *self.state.closed.write().await = true;
        if let Ok(mut roots) = self.state.roots.lock() {
            roots.clear();
        }
        let kept = self
            .state
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        remove_containers(&self.containers, &self.id, &kept).await;
    }
}

/// Images of one build that are mounted at the same time.
const MAX_ROOTS: usize = 16;

/// Removes the containers of a build but those that are kept.
pub(crate) async fn remove_containers(containers: &Containers, id: &str, kept: &BTreeSet<String>) {
    let prefix = container_prefix(id);
    for name in containers
        .names()
        .into_iter()
        .filter(|name| name.starts_with(&prefix))
    {
        if containers.resolve(&name).is_ok_and(|id| kept.contains(&id)) {
            continue;
        }
        let request = RemoveRequest {
            force: true,
            volumes: true,
        };
        if let Err(error) = containers.remove(&name, request).await {
            tracing::warn!(%error, container = name, "a container of a build is not removed");
        }
    }
}
