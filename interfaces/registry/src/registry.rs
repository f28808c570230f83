//! The registry: what it is made of, and the way of a request to its handler.

use std::sync::Arc;
use std::time::Instant;

use durable::{DirLock, LockError, StoreError};
use fault::{Fault, Kind};
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::sync::{Mutex, RwLock};

use crate::claims::Claims;
use crate::config::{Config, GarbageCollection};
use crate::content::{Content, Disk};
use crate::error::{Code, Failure};
use crate::manifests::Cache;
use crate::query::Query;
use crate::reply::{self, Outcome, Reply};
use crate::route::Route;
use crate::state::State;
use crate::sweep::Touched;
use crate::uploads::Sessions;

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
}

impl Fault for OpenError {
    fn kind(&self) -> Kind {
        match self {
            Self::Lock(error) => error.kind(),
            Self::Tables(error) => error.kind(),
            Self::Content(error) => error.kind(),
        }
    }
}

/// A registry over one folder.
#[derive(Debug)]
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
}

impl Registry {
    /// Opens the registry in its folder, which is made where needed and belongs to it alone.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(config: &Config) -> Result<Arc<Self>, OpenError> {
        let lock = DirLock::acquire(&config.root)?;
        Ok(Arc::new(Self {
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
    pub(crate) async fn handle(self: &Arc<Self>, request: Request<Incoming>) -> Reply {
        let (parts, body) = request.into_parts();
        let call = Call {
            method: parts.method,
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            headers: parts.headers,
            body,
        };
        let mut reply = match self.dispatch(parts.uri.path(), call).await {
            Ok(reply) => reply,
            Err(failure) => reply::failure(failure),
        };
        reply.headers_mut().insert(
            HeaderName::from_static("docker-distribution-api-version"),
            HeaderValue::from_static("registry/2.0"),
        );
        reply
    }

    async fn dispatch(self: &Arc<Self>, path: &str, call: Call) -> Outcome {
        let route = Route::parse(path)?;
        let method = call.method.clone();
        match (route, &method) {
            (Route::Base, &Method::GET | &Method::HEAD) => Ok(reply::whole("application/json", "{}")),
            (Route::Catalog, &Method::GET) => self.catalog(&call),
            (Route::Tags(name), &Method::GET) => self.tag_list(&name, &call),
            (Route::Referrers(name, subject), &Method::GET) => {
                self.referrer_list(&name, &subject, &call).await
            }
            (Route::Manifest(name, reference), &Method::GET | &Method::HEAD) => {
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
        Route::Base | Route::Catalog | Route::Tags(_) | Route::Referrers(..) => "GET",
        Route::Manifest(..) => "GET, HEAD, PUT, DELETE",
        Route::Blob(..) => "GET, HEAD, DELETE",
        Route::Uploads(_) => "POST",
        Route::Upload(..) => "GET, PATCH, PUT, DELETE",
    }
}
