//! [`Client`]: connections to one daemon, and the API version agreed on with it.

use std::cell::{Cell, RefCell};

use api_types::ApiVersion;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;

use crate::call::{Body, Call, WireBody};
use crate::stream::Stream;
use crate::{ClientError, Endpoint};

/// The newest version that this client speaks.
pub const NEWEST: ApiVersion = ApiVersion::new(1, 50);
/// What a daemon speaks that does not say.
const UNSAID: ApiVersion = ApiVersion::new(1, 24);
/// An idle connection is kept for the next call; more than this few never help a command.
const IDLE_LIMIT: usize = 4;

/// One daemon, seen from outside. It is made for one thread (tokio's current-thread runtime).
pub struct Client {
    endpoint: Endpoint,
    agent: String,
    headers: Vec<(String, String)>,
    version: Cell<Option<ApiVersion>>,
    idle: RefCell<Vec<SendRequest<WireBody>>>,
}

impl Client {
    /// A client for the daemon at `endpoint`. Nothing is sent yet. With `pinned` that API version is used without
    /// asking the daemon; `headers` go with every request.
    pub fn new(
        endpoint: Endpoint,
        pinned: Option<ApiVersion>,
        agent: impl Into<String>,
        headers: Vec<(String, String)>,
    ) -> Self {
        Self {
            endpoint,
            agent: agent.into(),
            headers,
            version: Cell::new(pinned),
            idle: RefCell::default(),
        }
    }

    /// Where the daemon is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn user_agent(&self) -> &str {
        &self.agent
    }

    pub(crate) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The version agreed on: the daemon's newest, or this client's if that is older.
    ///
    /// # Errors
    /// The daemon cannot be reached.
    pub async fn version(&self) -> Result<ApiVersion, ClientError> {
        match self.version.get() {
            Some(version) => Ok(version),
            None => Ok(self.ping().await?.version.min(NEWEST)),
        }
    }

    /// The version, if it is agreed on already.
    pub(crate) fn known_version(&self) -> Option<ApiVersion> {
        self.version.get()
    }

    pub(crate) fn learn_version(&self, said: Option<ApiVersion>) -> ApiVersion {
        let said = said.unwrap_or(UNSAID);
        if self.version.get().is_none() {
            self.version.set(Some(said.min(NEWEST)));
        }
        said
    }

    /// Fails unless the daemon speaks at least `needs`; `what` names the flag or command in the message.
    ///
    /// # Errors
    /// [`ClientError::TooOld`], or the daemon cannot be reached.
    pub async fn require(&self, needs: ApiVersion, what: &str) -> Result<(), ClientError> {
        let has = self.version().await?;
        if has < needs {
            return Err(ClientError::TooOld {
                what: what.to_owned(),
                needs,
                has,
            });
        }
        Ok(())
    }

    /// A `GET` request; `path` begins with a slash and has no version.
    pub fn get(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::GET, path)
    }

    /// A `HEAD` request.
    pub fn head(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::HEAD, path)
    }

    /// A `POST` request.
    pub fn post(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::POST, path)
    }

    /// A `PUT` request.
    pub fn put(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::PUT, path)
    }

    /// A `DELETE` request.
    pub fn delete(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::DELETE, path)
    }

    /// Keeps a connection whose reply has been read to its end.
    pub(crate) async fn give_back(&self, mut sender: SendRequest<WireBody>) {
        if sender.ready().await.is_ok() {
            let mut idle = self.idle.borrow_mut();
            if idle.len() < IDLE_LIMIT {
                idle.push(sender);
            }
        }
    }

    async fn connect(&self, method: &'static str, path: &str) -> Result<SendRequest<WireBody>, ClientError> {
        let stream = Stream::open(&self.endpoint).await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|source| ClientError::Broken {
                    method,
                    path: path.to_owned(),
                    source,
                })?;
        // Its errors reach whoever waits for the reply.
        tokio::spawn(async move { drop(connection.with_upgrades().await) });
        Ok(sender)
    }

    /// Sends a request on an idle connection if there is one, else on a new one. A connection that the daemon has
    /// closed meanwhile gives the unsent request back; a question that was sent while the daemon closed is asked again.
    pub(crate) async fn exchange(
        &self,
        mut request: Request<WireBody>,
        fresh: bool,
        method: &'static str,
        path: &str,
    ) -> Result<(Response<Incoming>, SendRequest<WireBody>), ClientError> {
        loop {
            let kept = if fresh { None } else { self.idle.borrow_mut().pop() };
            let reused = kept.is_some();
            let mut sender = match kept {
                Some(sender) if sender.is_closed() => continue,
                Some(sender) => sender,
                None => self.connect(method, path).await?,
            };
            let question = question(&request).filter(|_| reused);
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut failed) => match failed.take_message().or(question) {
                    Some(again) if reused => request = again,
                    _ => {
                        return Err(ClientError::Broken {
                            method,
                            path: path.to_owned(),
                            source: failed.into_error(),
                        });
                    }
                },
            }
        }
    }
}

/// The same request once more, if it changes nothing however often it is sent (RFC 9110, section 9.2.2).
fn question(request: &Request<WireBody>) -> Option<Request<WireBody>> {
    let is_question =
        matches!(*request.method(), Method::GET | Method::HEAD) && request.body().is_end_stream();
    is_question.then(|| {
        let mut same = Request::new(Body::Empty.wire());
        *same.method_mut() = request.method().clone();
        *same.uri_mut() = request.uri().clone();
        *same.headers_mut() = request.headers().clone();
        same
    })
}
