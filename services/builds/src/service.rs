//! The service: starting, cancelling and sweeping builds.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use api_types::progress::Message;
use containers::Containers;
use dockerfile::Dockerfile;
use events::Events;
use images::{Hold, Image, Images, SquashOptions};
use tokio::sync::Notify;

use crate::context::Source;
use crate::contexts::Contexts;
use crate::copy::Digests;
use crate::engine::{Engine, State, remove_containers};
use crate::plan::Plan;
use crate::progress::{Progress, ProgressSender, line};
use crate::stage::{Built, short};
use crate::step::Caches;
use crate::turns::Turns;
use crate::{BuildError, BuildRequest, Needs, check};

/// What the service needs to open.
#[derive(Debug)]
pub struct OpenOptions {
    /// The data root; builds and their caches are kept in `builds` below it.
    pub data_root: PathBuf,
    /// The exec root; secrets of running builds are kept in `builds` below it.
    pub exec_root: PathBuf,
    /// Where it tells what happens.
    pub events: Arc<Events>,
    /// Where images come from and go to.
    pub images: Arc<Images>,
    /// Where RUN runs.
    pub containers: Arc<Containers>,
}

/// A build that ended well.
#[derive(Debug)]
pub struct Finished {
    /// The image.
    pub image: Image,
    /// Keeps it until whoever asked for it has seen to it.
    _hold: Hold,
}

/// All builds of one daemon.
#[derive(Debug)]
pub struct Builds {
    root: PathBuf,
    /// Volatile files by id of the build.
    volatile: PathBuf,
    pub(crate) events: Arc<Events>,
    pub(crate) images: Arc<Images>,
    containers: Arc<Containers>,
    pub(crate) caches: Arc<Caches>,
    digests: Arc<Digests>,
    turns: Arc<Turns>,
    /// Those that run, by the name that the client gave.
    running: Mutex<HashMap<String, Arc<Notify>>>,
}

impl Builds {
    /// Opens the service and removes what builds of a daemon that was killed have left.
    ///
    /// # Errors
    /// Its directory cannot be made.
    pub async fn open(options: OpenOptions) -> Result<Arc<Self>, BuildError> {
        let root = options.data_root.join("builds");
        let caches = root.join("cache");
        for path in [
            root.join("running"),
            caches.clone(),
            caches.with_extension("used"),
        ] {
            std::fs::create_dir_all(&path).map_err(crate::error::file("create", &path))?;
        }
        let volatile = options.exec_root.join("builds");
        std::fs::create_dir_all(&volatile).map_err(crate::error::file("create", &volatile))?;
        let builds = Arc::new(Self {
            root,
            volatile,
            events: options.events,
            images: options.images,
            containers: options.containers,
            caches: Arc::new(Caches::new(caches)),
            digests: Arc::default(),
            turns: Arc::default(),
            running: Mutex::default(),
        });
        builds.sweep().await;
        Ok(builds)
    }

    /// Every running build has a directory, named by the id that its containers are named by too.
    async fn sweep(&self) {
        let path = self.root.join("running");
        for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
            let Ok(id) = entry.file_name().into_string() else {
                continue;
            };
            remove_containers(&self.containers, &id, &Default::default()).await;
            self.remove_directory(&id).await;
        }
    }

    async fn remove_directory(&self, id: &str) {
        let (running, volatile) = (self.root.join("running"), self.volatile.join(id));
        let name = id.to_owned();
        let removing = tokio::task::spawn_blocking(move || {
            match std::fs::remove_dir_all(volatile) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let parent = std::fs::File::open(running)?;
            archive::remove_tree(std::os::fd::AsFd::as_fd(&parent), name.as_bytes())
                .map_err(std::io::Error::from)
        });
        if let Ok(Err(error)) = removing.await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, build = id, "the directory of a build is not removed; the next start will try again");
        }
    }

    /// Builds an image and tells of it, until it is done or nobody listens any more. Nothing is left behind but the
    /// images of its steps.
    ///
    /// # Errors
    /// [`BuildError`]; the caller tells it.
    pub async fn build(
        self: &Arc<Self>,
        request: BuildRequest,
        source: Source,
        progress: ProgressSender,
    ) -> Result<Option<Finished>, BuildError> {
        let id: String = rand::random::<[u8; 8]>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let cancel = Arc::new(Notify::new());
        let name = if request.build_id.is_empty() {
            id.clone()
        } else {
            request.build_id.clone()
        };
        self.lock().insert(name.clone(), Arc::clone(&cancel));
        let listener = progress.clone();
        let outcome = self.build_in_directory(&id, request, source, &progress, async move {
            tokio::select! {
                () = listener.closed() => {}
                () = cancel.notified() => {}
            }
        });
        let outcome = outcome.await;
        self.lock().remove(&name);
        self.remove_directory(&id).await;
        outcome
    }

    async fn build_in_directory(
        self: &Arc<Self>,
        id: &str,
        request: BuildRequest,
        source: Source,
        progress: &ProgressSender,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Option<Finished>, BuildError> {
        tokio::pin!(cancelled);
        let directory = self.root.join("running").join(id);
        let contexts = Contexts::parse(&request.contexts)?.with(&request.directories);
        let received = self.receive(&request, source, &directory, contexts, cancelled.as_mut());
        let (mut context, contexts) = received.await?;
        let _guard = context.guard.take();
        context.dockerfile = context.included()?;
        let file = Dockerfile::parse(&context.dockerfile)?;
        let warnings = check::check(&file, &request, &context)?;
        if request.check {
            return check::tell(&context, &request, &warnings, progress)
                .await
                .map(|()| None);
        }
        let epoch = epoch(&request)?;
        if request.squash && epoch.is_some() {
            return Err(BuildError::Parameter(
                "squash and SOURCE_DATE_EPOCH exclude each other: a squashed image has the time of its making".to_owned(),
            ));
        }
        let plan = Plan::new(file, &request, &contexts, epoch)?;
        let parts = plan.needed.len();
        let cache_from = request.cache_from.iter();
        let cache_from = cache_from
            .filter_map(|name| self.images.resolve(name).ok())
            .collect();
        let engine = Arc::new(Engine {
            images: Arc::clone(&self.images),
            containers: Arc::clone(&self.containers),
            progress: Progress::new(progress.clone(), parts, request.quiet),
            context: context.root,
            context_path: context.path,
            contexts,
            directory,
            volatile: self.volatile.join(id),
            id: id.to_owned(),
            epoch,
            caches: Arc::clone(&self.caches),
            digests: Arc::clone(&self.digests),
            turns: Arc::clone(&self.turns),
            state: State::new(&plan, cache_from),
            plan,
            request,
        });
        let built = tokio::select! {
            built = self.finish(&engine, progress) => built,
            () = &mut cancelled => Err(BuildError::Cancelled),
        };
        engine.progress.finish().await;
        engine.close().await;
        built
    }

    /// Builds, names the image and says so.
    async fn finish(
        &self,
        engine: &Arc<Engine>,
        progress: &ProgressSender,
    ) -> Result<Option<Finished>, BuildError> {
        global_steps(engine).await;
        let built = engine.run().await?;
        engine.progress.finish().await;
        let unused = engine.unconsumed();
        if !unused.is_empty() {
            let text = format!("One or more build-args [{}] were not consumed", unused.join(" "));
            engine.progress.warning(text).await;
        }
        let image = match engine.request.squash {
            true => squashed(engine, &built).await?,
            false => built.image.clone(),
        };
        if engine.request.tell_stages {
            let stages = engine.stage_images();
            let aux = Some(serde_json::json!({ "Stages": stages }));
            progress
                .send(Message {
                    aux,
                    ..Message::default()
                })
                .await;
        }
        let Some(image) = &image else {
            return Err(BuildError::Instruction(
                "No image was generated. Is your Dockerfile empty?".to_owned(),
            ));
        };
        progress
            .send(Message {
                aux: Some(serde_json::json!({ "ID": image.id.to_string() })),
                ..Message::default()
            })
            .await;
        engine
            .progress
            .text(0, format!("Successfully built {}\n", short(image)))
            .await;
        let mut seen = Vec::new();
        for tag in &engine.request.tags {
            let named = crate::request::tag(tag)?.familiar();
            if !seen.contains(&named) {
                self.images
                    .tag(&image.id.to_string(), tag, "")
                    .await
                    .map_err(BuildError::part)?;
                engine
                    .progress
                    .text(0, format!("Successfully tagged {named}\n"))
                    .await;
                seen.push(named);
            }
        }
        if engine.request.quiet {
            progress.send(line(format!("{}\n", image.id))).await;
        }
        Ok(Some(Finished {
            _hold: engine.hold(image)?,
            image: image.clone(),
        }))
    }

    /// Which files of its context a build can want, found out before they are sent. A base that is not here yet, or that
    /// has triggers, may want any.
    ///
    /// # Errors
    /// The Dockerfile cannot be read.
    pub fn needs(&self, dockerfile: &str, request: &BuildRequest) -> Result<Needs, BuildError> {
        if dockerfile::include::may_include(dockerfile) {
            return Ok(Needs::All);
        }
        let contexts = Contexts::parse(&request.contexts)?.with(&request.directories);
        let plan = Plan::new(
            Dockerfile::parse(dockerfile)?,
            request,
            &contexts,
            epoch(request)?,
        )?;
        let has_triggers = |name: &str| match self.images.resolve(name) {
            Ok(image) => !image.config.config.on_build.is_empty(),
            Err(_) => true,
        };
        Ok(crate::needs::of(&plan, request.pull, has_triggers))
    }

    /// Ends a build by the name that its client gave; one that is not running is fine.
    pub fn cancel(&self, name: &str) {
        if let Some(cancel) = self.lock().get(name) {
            cancel.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of the files below a path; links are not followed.
pub fn size_of(path: &std::path::Path) -> u64 {
    let mut open = vec![path.to_owned()];
    let mut size = 0;
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(about) if about.is_dir() => open.push(entry.path()),
                Ok(about) => size += about.len(),
                Err(_) => {}
            }
        }
    }
    size
}

/// `--squash`: the image with one layer above what its last FROM brought.
async fn squashed(engine: &Engine, built: &Built) -> Result<Option<Image>, BuildError> {
    let Some(image) = &built.image else {
        return Ok(None);
    };
    let since = built.base.as_ref().filter(|base| !base.chain_ids.is_empty());
    let options = SquashOptions {
        since: since.map(|base| base.id.to_string()),
        reference: None,
    };
    let squashed = engine.images.squash(&image.id.to_string(), options).await;
    squashed.map(Some).map_err(BuildError::part)
}

/// ARGs in front of the first FROM are steps too.
async fn global_steps(engine: &Arc<Engine>) {
    let steps = engine.plan.steps();
    let nodes = engine.plan.file.tree.nodes.iter();
    let args = nodes.take_while(|node| node.keyword.eq_ignore_ascii_case("ARG"));
    let mut step = 0;
    for node in args {
        step += 1;
        engine
            .progress
            .text(0, format!("Step {step}/{steps} : {}", node.text))
            .await;
        engine.progress.text(0, "\n").await;
    }
}

fn epoch(request: &BuildRequest) -> Result<Option<i64>, BuildError> {
    let given = request.build_args.get("SOURCE_DATE_EPOCH").cloned().flatten();
    match given.filter(|text| !text.is_empty()) {
        None => Ok(request.epoch),
        Some(text) => match text.parse::<i64>() {
            Ok(seconds) if jiff::Timestamp::from_second(seconds).is_ok() => Ok(Some(seconds)),
            _ => Err(BuildError::Parameter(format!(
                "invalid SOURCE_DATE_EPOCH: {text}"
            ))),
        },
    }
}
