//! One build: its files are fetched from the client, then the house's builder makes it.

use std::sync::Arc;

use builds::{BuildError, BuildRequest, Builds, Directory, Finished, Needs, Source, step_events};
use dockerfile::ignore::{Ignore, patterns};

use crate::grpc::{Code, Status};
use crate::session::Session;
use crate::sync::{self, Kept, KeptTree, Wanted};
use crate::trace::Trace;
use crate::upload;

/// Entries that a client may send for a context, and for the directory of a Dockerfile.
const MOST: (usize, usize) = (1_000_000, 1_000);
/// A longer Dockerfile or `.dockerignore` is refused.
const LONGEST: u64 = 16 << 20;
const IGNORE: &str = ".dockerignore";

/// What is to be built, and where its files are.
pub(crate) struct Job {
    pub(crate) request: BuildRequest,
    /// Who has secrets, agents and credentials, and the files unless they are in an archive.
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) files: Files,
    /// Named contexts that the client has: their names, and those by which it offers them.
    pub(crate) locals: Vec<(String, String)>,
}

/// Where the files of a build are.
pub(crate) enum Files {
    /// With the client: the names by which it offers the context and the Dockerfile's directory.
    Client { context: String, dockerfile: String },
    /// An archive (or a Dockerfile alone) that the client offers under a path.
    Upload(String),
    /// Where the request's `remote` says.
    Elsewhere,
    /// In an archive.
    Archive(Box<dyn std::io::Read + Send>),
}

/// What a job works with.
#[derive(Clone, Debug)]
pub(crate) struct Workshop {
    pub(crate) builds: Arc<Builds>,
    pub(crate) kept: Arc<Kept>,
}

impl Workshop {
    /// Builds. When the future is dropped or the client goes away, the build is given up.
    ///
    /// # Errors
    /// Why it failed, in BuildKit's words where it has some.
    pub(crate) async fn run(&self, job: Job, trace: &mut Trace) -> Result<Option<Finished>, Status> {
        let Job {
            mut request,
            session,
            files,
            locals,
        } = job;
        let missing = || {
            Status::new(
                Code::InvalidArgument,
                "a build needs a session, which has its files",
            )
        };
        for (name, offered) in locals {
            let session = session.as_ref().ok_or_else(missing)?;
            let fetching = self.directory(session, &offered, trace);
            let directory = session.unless_gone(fetching).await?;
            request.directories.insert(name, directory);
        }
        let source = match files {
            Files::Archive(body) => Source::Archive(body),
            Files::Elsewhere => Source::Archive(Box::new(std::io::empty())),
            Files::Upload(path) => {
                let session = session.as_ref().ok_or_else(missing)?;
                Source::Archive(Box::new(upload::pull(session, &path)?))
            }
            Files::Client { context, dockerfile } => {
                let session = session.as_ref().ok_or_else(missing)?;
                let source = self.fetch(session, &context, &dockerfile, &request, trace);
                session.unless_gone(source).await?
            }
        };
        // Nobody who uses BuildKit looks for the container of a step that failed.
        request.force_remove = true;
        if let Some(session) = &session {
            request.client = Some(Arc::clone(session) as Arc<dyn builds::Client>);
        }
        let (sender, mut events) = step_events();
        let builds = Arc::clone(&self.builds);
        // The build sees to its own end: it must not be dropped, but it ends when nobody hears of it any more.
        let building = tokio::spawn(async move { builds.build(request, source, sender).await });
        let hearing = async {
            while let Some(event) = events.recv().await {
                trace.step(event).await;
            }
            Ok(())
        };
        let heard = match &session {
            Some(session) => session.unless_gone(hearing).await,
            None => hearing.await,
        };
        drop(events);
        let built = building.await.map_err(Status::broken)?;
        heard?;
        built.map_err(|error| failed(&error))
    }

    /// Gets the Dockerfile, then what it needs.
    async fn fetch(
        &self,
        session: &Session,
        context: &str,
        directory: &str,
        request: &BuildRequest,
        trace: &Trace,
    ) -> Result<Source, Status> {
        let name = match request.dockerfile.as_str() {
            "" => "Dockerfile",
            name => name,
        };
        let task = trace
            .task(&format!("[internal] load build definition from {name}"))
            .await;
        let loaded = self.definition(session, directory, name).await;
        task.end(&loaded).await;
        let (text, own_rules) = loaded?;
        let task = trace.task("[internal] load .dockerignore").await;
        let rules = match own_rules {
            Some(rules) => Ok(Some(rules)),
            None => self.rules(session, context).await,
        };
        task.end(&rules).await;
        let rules = rules?.unwrap_or_default();
        let ignore = Ignore::parse(&rules).map_err(|error| Status::of(&error))?;
        let follow = match self
            .builds
            .needs(&text, request)
            .map_err(|error| failed(&error))?
        {
            Needs::All => Some(Vec::new()),
            Needs::Paths(paths) if paths.is_empty() => None,
            Needs::Paths(paths) => Some(paths),
        };
        let kept = if let Some(follow) = follow {
            let task = trace.task("[internal] load build context").await;
            let wanted = Wanted {
                name: context.to_owned(),
                exclude: patterns(&rules),
                follow,
                most: MOST.0,
            };
            let kept = self.take(session, context).await?;
            let received = sync::receive(session, &wanted, kept).await;
            if let Ok((_, stats)) = &received {
                task.done_with("transferring context:", stats.bytes).await;
            }
            task.end(&received).await;
            received?.0
        } else {
            let kept = self.kept.private()?;
            kept.make_empty()?;
            kept
        };
        Ok(Source::Directory {
            path: kept.files(),
            dockerfile: text,
            ignore: (!ignore.is_empty()).then_some(ignore),
            guard: Box::new(kept),
        })
    }

    /// A named context, whole but for what its own `.dockerignore` leaves out.
    async fn directory(&self, session: &Session, name: &str, trace: &Trace) -> Result<Directory, Status> {
        let rules = self.rules(session, name).await?.unwrap_or_default();
        let task = trace.task(&format!("[context {name}] load from client")).await;
        let wanted = Wanted {
            name: name.to_owned(),
            exclude: patterns(&rules),
            follow: Vec::new(),
            most: MOST.0,
        };
        let kept = self.take(session, name).await?;
        let received = sync::receive(session, &wanted, kept).await;
        if let Ok((_, stats)) = &received {
            task.done_with("transferring context:", stats.bytes).await;
        }
        task.end(&received).await;
        let kept = received?.0;
        Ok(Directory {
            path: kept.files(),
            guard: Arc::new(kept),
        })
    }

    async fn take(&self, session: &Session, name: &str) -> Result<KeptTree, Status> {
        let kept = Arc::clone(&self.kept);
        let (key, name) = (session.shared_key().to_owned(), name.to_owned());
        let taking = tokio::task::spawn_blocking(move || kept.take(&key, &name));
        taking.await.map_err(Status::broken)?
    }

    /// The Dockerfile, and the rules that belong to it alone.
    async fn definition(
        &self,
        session: &Session,
        directory: &str,
        name: &str,
    ) -> Result<(String, Option<String>), Status> {
        let own_rules = format!("{name}{IGNORE}");
        let small = (name == "Dockerfile").then(|| "dockerfile".to_owned());
        let mut follow = vec![name.to_owned(), own_rules.clone()];
        follow.extend(small.clone());
        let kept = self.few(session, directory, follow).await?;
        let missing = || {
            let text = format!("failed to read dockerfile: open {name}: no such file or directory");
            Status::new(Code::NotFound, text)
        };
        let text = match (kept.read(name, LONGEST)?, small) {
            (None, Some(small)) => kept.read(&small, LONGEST)?,
            (text, _) => text,
        };
        let text = text.ok_or_else(missing)?;
        Ok((text, kept.read(&own_rules, LONGEST)?))
    }

    /// The context's `.dockerignore`.
    async fn rules(&self, session: &Session, context: &str) -> Result<Option<String>, Status> {
        let kept = self.few(session, context, vec![IGNORE.to_owned()]).await?;
        kept.read(IGNORE, LONGEST)
    }

    /// A few files that are read and forgotten.
    async fn few(&self, session: &Session, name: &str, follow: Vec<String>) -> Result<KeptTree, Status> {
        let wanted = Wanted {
            name: name.to_owned(),
            exclude: Vec::new(),
            follow,
            most: MOST.1,
        };
        Ok(sync::receive(session, &wanted, self.kept.private()?).await?.0)
    }
}

/// An error of the builder.
pub(crate) fn failed(error: &BuildError) -> Status {
    let mut status = Status::of(error);
    status.message = error.step_message();
    status
}
