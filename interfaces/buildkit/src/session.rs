//! Sessions: connections on which the daemon is the caller of the services that the client offers.
//!
//! A client opens one with `POST /session` or as a stream inside of another connection, and names it in the builds that
//! it asks for. It lives as long as its connection.

mod ask;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};

use crate::grpc::{Channel, Code, Status};

/// Sessions of one daemon at the same time.
const MOST: usize = 1024;
/// Services and methods that one session may name.
const MOST_METHODS: usize = 256;
/// A build may be asked for before its session is there; it waits this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a session is opened with.
#[derive(Debug)]
pub(crate) struct Introduction {
    id: String,
    shared_key: String,
    methods: BTreeSet<String>,
}

impl Introduction {
    /// Reads the headers that begin with `X-Docker-Expose-Session-`.
    ///
    /// # Errors
    /// There is no id.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Status> {
        let text = |name: &str| {
            let value = headers.get(format!("x-docker-expose-session-{name}"));
            let value = value.and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let id = text("uuid");
        if id.is_empty() {
            return Err(Status::new(
                Code::InvalidArgument,
                "a session needs the header X-Docker-Expose-Session-Uuid",
            ));
        }
        let methods = headers.get_all("x-docker-expose-session-grpc-method");
        let methods = methods.iter().filter_map(|value| value.to_str().ok().map(key));
        Ok(Self {
            id,
            shared_key: text("sharedkey"),
            methods: methods.take(MOST_METHODS).collect(),
        })
    }
}

/// What a method is known by: clients write it as in Go, in small letters, or with `_`.
fn key(method: &str) -> String {
    method.to_ascii_lowercase().replace('_', "")
}

/// A client that is there.
#[derive(Debug)]
pub(crate) struct Session {
    channel: Channel,
    shared_key: String,
    methods: BTreeSet<String>,
    /// Becomes true when the connection closes.
    gone: watch::Receiver<bool>,
}

impl Session {
    /// Does something for as long as the client is there.
    ///
    /// # Errors
    /// Its own, or that the client is gone.
    pub(crate) async fn unless_gone<T>(
        &self,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let mut gone = self.gone.clone();
        tokio::select! {
            biased;
            done = work => done,
            _ = gone.wait_for(|gone| *gone) => Err(Status::new(Code::Cancelled, "the client's session ended")),
        }
    }

    /// What this client's directories are known by from one build to the next; empty if it says nothing.
    pub(crate) fn shared_key(&self) -> &str {
        &self.shared_key
    }

    /// The connection, if the client said that it has this method.
    pub(crate) fn offers(&self, method: &str) -> Option<&Channel> {
        self.methods.contains(&key(method)).then_some(&self.channel)
    }

    /// The same, as an error that names what is missing.
    pub(crate) fn call(&self, method: &str) -> Result<&Channel, Status> {
        let missing = || Status::new(Code::Unimplemented, format!("the client does not offer {method}"));
        self.offers(method).ok_or_else(missing)
    }
}

/// All sessions of one daemon.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<String, Arc<Session>>>,
    changed: Notify,
}

impl Sessions {
    /// Keeps a session until its connection closes.
    ///
    /// # Errors
    /// Its id is taken, there are too many, or the client does not speak HTTP/2.
    pub(crate) async fn run<T>(&self, introduction: Introduction, connection: T) -> Result<(), Status>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (channel, driver) = Channel::open(connection).await?;
        let id = introduction.id;
        let gone = watch::Sender::new(false);
        {
            let mut open = self.lock();
            if open.len() >= MOST {
                return Err(Status::new(Code::ResourceExhausted, "too many sessions"));
            }
            if open.contains_key(&id) {
                return Err(Status::new(
                    Code::AlreadyExists,
                    format!("session {id} exists already"),
                ));
            }
            let session = Session {
                channel,
                shared_key: introduction.shared_key,
                methods: introduction.methods,
                gone: gone.subscribe(),
            };
            open.insert(id.clone(), Arc::new(session));
        }
        self.changed.notify_waiters();
        driver.await;
        self.lock().remove(&id);
        gone.send_replace(true);
        Ok(())
    }

    /// The session with this id, as soon as it is there.
    ///
    /// # Errors
    /// It does not come.
    pub(crate) async fn get(&self, id: &str) -> Result<Arc<Session>, Status> {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let found = self.lock().get(id).cloned();
                if let Some(session) = found.filter(|session| !session.channel.is_closed()) {
                    return session;
                }
                changed.await;
            }
        };
        let missing = |_| Status::new(Code::NotFound, format!("no active session for {id}"));
        tokio::time::timeout(PATIENCE, waiting).await.map_err(missing)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
