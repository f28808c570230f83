//! The registry: what it is made of, and the way of a request to its handler.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use durable::{DirLock, LockError, StoreError};
use fault::{Fault, Kind};
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::sync::{Mutex, RwLock};

use crate::access_log::Journal;
use crate::auth::{AuthError, Guard, Identity};
use crate::claims::Claims;
use crate::config::{Config, GarbageCollection};
use crate::content::{Content, Disk};
use crate::error::{Code, Failure};
use crate::manifests::Cache;
use crate::metrics::Metrics;
use crate::monitoring::Noted;
use crate::notify::Notifier;
use crate::policy::Policy;
use crate::query::Query;
use crate::reply::{self, Outcome, Reply};
use crate::route::Route;
use crate::state::State;
use crate::sweep::Touched;
use crate::tls::{Shown, TlsError};
use crate::uploads::Sessions;
use crate::upstreams::{UpstreamError, Upstreams};

/// Repositories that change share this many locks.
const SHARDS: usize = 64;

/// A registry could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another registry has the folder.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The tables cannot be read.
    #[error(transparent)]
    Tables(#[from] StoreError),
    /// The content cannot be reached.
    #[error(transparent)]
    Content(#[from] blobs::BlobError),
    /// Who may come in cannot be found out.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The access log cannot be written.
    #[error("open the access log: {0}")]
    Log(#[source] std::io::Error),
    /// Encryption cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Another registry is configured in a way that cannot be.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

impl Fault for OpenError {
    fn kind(&self) -> Kind {
        match self {
            Self::Lock(error) => error.kind(),
            Self::Tables(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::Auth(error) => error.kind(),
            Self::Log(_) => Kind::System,
            Self::Tls(error) => error.kind(),
            Self::Upstream(error) => error.kind(),
        }
    }
}

/// A registry over one folder.
pub struct Registry {
    pub(crate) state: State,
    pub(crate) content: Box<dyn Content>,
    pub(crate) claims: Claims,
    pub(crate) sessions: Sessions,
    pub(crate) cache: Cache,
    pub(crate) settings: GarbageCollection,
    pub(crate) touched: Touched,
    pub(crate) opened: Instant,
    pub(crate) sweeping: Mutex<()>,
    pub(crate) guard: Guard,
    pub(crate) policy: Policy,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) journal: Option<Journal>,
    pub(crate) notifier: Notifier,
    pub(crate) tls: Option<Shown>,
    pub(crate) upstreams: Upstreams,
    locks: Vec<RwLock<()>>,
    _lock: DirLock,
}

/// A request, taken apart.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Incoming,
    pub(crate) identity: Identity,
    pub(crate) secure: bool,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Whether it came encrypted.
    pub(crate) secure: bool,
}

/// Whose repository it is that was answered for (distribution-spec, "Registry Proxying").
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
/// How requests that lead nowhere are counted: the place in `metrics::KINDS`.
const OTHER: usize = 8;

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Reads the certificate and its key again; nothing happens without TLS. Blocks.
    ///
    /// # Errors
    /// [`TlsError`]; then connections get the certificate that was read before.
    pub fn renew_certificate(&self) -> Result<(), TlsError> {
        self.tls.as_ref().map_or(Ok(()), Shown::renew)
    }

    /// Whether the files of the certificate and its key have changed since they were read. Blocks.
    pub fn certificate_is_outdated(&self) -> bool {
        self.tls.as_ref().is_some_and(Shown::is_outdated)
    }

    /// Opens the registry in its folder, which is made where needed and belongs to it alone.
    ///
    /// Call it within the runtime: notifications are sent by tasks.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(config: &Config) -> Result<Arc<Self>, OpenError> {
        let lock = DirLock::acquire(&config.root)?;
        let metrics = Arc::new(Metrics::default());
        let tls = config.tls.as_ref();
        let tls = tls.map(|tls| Shown::open(tls, &config.root, &config.listen));
        Ok(Arc::new(Self {
            guard: Guard::new(config, &config.root)?,
            policy: Policy {
                immutable: config.immutable_tags.clone(),
                quotas: config.quotas.clone(),
                retention: config.retention.clone(),
            },
            journal: Journal::open(&config.access_log).map_err(OpenError::Log)?,
            notifier: Notifier::start(&config.notifications, Arc::clone(&metrics)),
            metrics,
            tls: tls.transpose()?,
            upstreams: Upstreams::new(&config.upstreams)?,
            state: State::open(&config.root)?,
            content: Box::new(Disk::open(&config.root)?),
            claims: Claims::default(),
            sessions: Sessions::open(&config.root)?,
            cache: Cache::default(),
            settings: config.garbage_collection.clone(),
            touched: Touched::new(),
            opened: Instant::now(),
            sweeping: Mutex::default(),
            locks: (0..SHARDS).map(|_| RwLock::default()).collect(),
            _lock: lock,
        }))
    }

    /// The lock of a repository: shared by pushes of manifests, exclusive for what must see all of them or none.
    pub(crate) fn lock_of(&self, name: &str) -> &RwLock<()> {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let shard = usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0);
        &self.locks[shard]
    }

    /// Answers one request.
    pub(crate) async fn handle(self: &Arc<Self>, request: Request<Incoming>, peer: Peer) -> Reply {
        let (parts, body) = request.into_parts();
        let wanted = self.journal.is_some() || !self.notifier.is_empty();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let noted = Noted::new(&parts.method, path, &parts.headers, peer, wanted);
        let call = Call {
            method: parts.method,
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            headers: parts.headers,
            body,
            identity: Identity::Anonymous,
            secure: peer.secure,
        };
        let mut identity = Identity::Anonymous;
        let mut kind = OTHER;
        let outcome = self
            .admit(parts.uri.path(), call, &noted, &mut identity, &mut kind)
            .await;
        let mut reply = outcome.unwrap_or_else(reply::failure);
        reply.headers_mut().insert(
            HeaderName::from_static("docker-distribution-api-version"),
            HeaderValue::from_static("registry/2.0"),
        );
        self.note(&noted, kind, &identity, &reply);
        reply
    }

    /// Finds out what is asked and by whom, and whether they may.
    async fn admit(
        self: &Arc<Self>,
        path: &str,
        mut call: Call,
        noted: &Noted,
        identity: &mut Identity,
        kind: &mut usize,
    ) -> Outcome {
        let reads = matches!(call.method, Method::GET | Method::HEAD);
        let mut route = Route::parse(path)?;
        if reads {
            route = self.redirect(route, call.query.get("ns"));
        }
        *kind = route.kind();
        match route {
            Route::Health => return self.health().await,
            Route::Token => return self.token(call).await,
            _ => {}
        }
        *identity = self.guard.identify(&call.headers, call.secure).await?;
        let needs = route.needs(&call.method, &call.query);
        self.guard.check(identity, &needs, &call.headers, call.secure)?;
        if needs.is_empty() && *identity == Identity::Anonymous {
            return Err(self.guard.challenge(&call.headers, call.secure, None, None));
        }
        call.identity = identity.clone();
        let cached = route.repository().filter(|name| self.is_cached(name));
        if let Some(name) = cached.filter(|_| !reads && call.method != Method::DELETE) {
            return Err(Failure::new(
                Code::Unsupported,
                "this repository is filled from another registry",
            )
            .about(name));
        }
        let namespace = cached.and_then(|_| HeaderValue::from_str(call.query.get("ns")?).ok());
        let told = (!self.notifier.is_empty()).then(|| (route.clone(), call.query.get("mount").is_some()));
        let mut reply = self.dispatch(route, call).await?;
        if let Some(namespace) = namespace {
            reply.headers_mut().insert(NAMESPACE, namespace);
        }
        if let Some((route, mounts)) = told {
            self.tell(noted, &route, mounts, identity, &reply);
        }
        Ok(reply)
    }

    async fn dispatch(self: &Arc<Self>, route: Route, call: Call) -> Outcome {
        let method = call.method.clone();
        match (route, &method) {
            (Route::Base, &Method::GET | &Method::HEAD) => Ok(reply::whole("application/json", "{}")),
            (Route::Metrics, &Method::GET) => Ok(self.metrics_text()),
            (Route::Catalog, &Method::GET) => self.catalog(&call),
            (Route::Tags(name), &Method::GET) => self.tag_list(&name, &call),
            (Route::Referrers(name, subject), &Method::GET) => {
                self.referrer_list(&name, &subject, &call).await
            }
            (Route::Manifest(name, reference), &Method::GET | &Method::HEAD) => {
                self.bring_manifest(&name, &reference).await?;
                self.get_manifest(&name, &reference, &call).await
            }
            (Route::Manifest(name, reference), &Method::PUT) => {
                self.put_manifest(name, reference, call).await
            }
            (Route::Manifest(name, reference), &Method::DELETE) => {
                self.delete_manifest(name, reference).await
            }
            (Route::Blob(name, digest), &Method::GET | &Method::HEAD) => {
                self.get_blob(&name, &digest, &call).await
            }
            (Route::Blob(name, digest), &Method::DELETE) => self.delete_blob(&name, &digest).await,
            (Route::Uploads(name), &Method::POST) => self.start_upload(name, call).await,
            (Route::Upload(name, id), &Method::GET | &Method::HEAD) => self.upload_status(&name, &id).await,
            (Route::Upload(name, id), &Method::PATCH) => self.append_upload(&name, &id, call).await,
            (Route::Upload(name, id), &Method::PUT) => self.finish_upload(name, &id, call).await,
            (Route::Upload(name, id), &Method::DELETE) => self.cancel_upload(&name, &id).await,
            (route, _) => Err(Failure::new(Code::Unsupported, "this method is not served here")
                .with_header(ALLOW, HeaderValue::from_static(allowed(&route)))),
        }
    }

    /// An unknown repository is told apart from an unknown thing in it.
    pub(crate) fn unknown(&self, name: &str, code: Code, what: &str) -> Failure {
        if self.state.has_repository(name) {
            return Failure::new(code, format!("{what} unknown"));
        }
        Failure::new(Code::NameUnknown, "repository name not known to registry")
            .with_status(StatusCode::NOT_FOUND)
            .about(name)
    }
}

fn allowed(route: &Route) -> &'static str {
    match route {
        Route::Token => "GET, POST",
        Route::Base
        | Route::Catalog
        | Route::Tags(_)
        | Route::Referrers(..)
        | Route::Health
        | Route::Metrics => "GET",
        Route::Manifest(..) => "GET, HEAD, PUT, DELETE",
        Route::Blob(..) => "GET, HEAD, DELETE",
        Route::Uploads(_) => "POST",
        Route::Upload(..) => "GET, PATCH, PUT, DELETE",
    }
}
