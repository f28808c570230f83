//! ssh agents of `dhow build`, which has no session: it keeps connections open that wait for a step, one for each agent, and
//! opens another one when a step has taken it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use builds::{Answer, BuildError};
use distribution::Credentials;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::Notify;

use crate::service::{BuildKit, PATIENCE};

/// Connections of one build that may wait.
const MOST: usize = 64;

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Connections that wait, each with its agent's id, by the name of their build.
type Waiting = HashMap<String, VecDeque<(String, Box<dyn Connection>)>>;

/// The connections of all builds.
#[derive(Default)]
pub(crate) struct Agents {
    builds: Mutex<Waiting>,
    offered: Notify,
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Agents")
    }
}

impl Agents {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.builds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of a build that waits for a step; it is closed if there is no such build.
    fn offer(&self, build: &str, agent: &str, connection: Box<dyn Connection>) {
        if let Some(waiting) = self.lock().get_mut(build)
            && waiting.len() < MOST
        {
            waiting.push_back((agent.to_owned(), connection));
        }
        self.offered.notify_waiters();
    }

    fn take(&self, build: &str, agent: &str) -> Option<Box<dyn Connection>> {
        let mut builds = self.lock();
        let waiting = builds.get_mut(build)?;
        let at = waiting.iter().position(|(known, _)| known == agent)?;
        waiting.remove(at).map(|(_, connection)| connection)
    }
}

/// The agents that the client of one build offers.
#[derive(Debug)]
struct Offered {
    agents: Arc<Agents>,
    build: String,
    ids: Vec<String>,
}

impl Drop for Offered {
    fn drop(&mut self) {
        self.agents.lock().remove(&self.build);
    }
}

impl builds::Client for Offered {
    fn secret(&self, _id: String) -> Answer<'_, Option<Vec<u8>>> {
        // They have come with the request.
        Box::pin(async { Ok(None) })
    }

    fn has_agent(&self, id: String) -> Answer<'_, bool> {
        Box::pin(async move { Ok(self.ids.contains(&id)) })
    }

    fn forward_agent(&self, id: String, mut connection: UnixStream) -> Answer<'_, ()> {
        Box::pin(async move {
            let waiting = async {
                loop {
                    let offered = self.agents.offered.notified();
                    tokio::pin!(offered);
                    offered.as_mut().enable();
                    if let Some(client) = self.agents.take(&self.build, &id) {
                        return client;
                    }
                    offered.await;
                }
            };
            let failed = |problem: String| BuildError::Client {
                what: format!("ssh agent {id}"),
                problem,
            };
            let client = tokio::time::timeout(PATIENCE, waiting).await;
            let mut client = client.map_err(|_| failed("it opens no connection".to_owned()))?;
            let copied = tokio::io::copy_bidirectional(&mut connection, &mut client).await;
            copied.map(drop).map_err(|error| failed(error.to_string()))
        })
    }

    fn credentials(&self, _domain: String) -> Answer<'_, Credentials> {
        Box::pin(async { Ok(Credentials::Anonymous) })
    }
}

impl BuildKit {
    /// The client of a build that offers these agents by connections of their own; nothing without any, or if there is a
    /// build of that name that does.
    pub fn agents_of(&self, build: &str, ids: Vec<String>) -> Option<Arc<dyn builds::Client>> {
        if ids.is_empty() || build.is_empty() {
            return None;
        }
        let mut builds = self.agents.lock();
        if builds.contains_key(build) {
            return None;
        }
        builds.insert(build.to_owned(), VecDeque::new());
        Some(Arc::new(Offered {
            agents: Arc::clone(&self.agents),
            build: build.to_owned(),
            ids,
        }))
    }

    /// A connection to an agent of a build's client, which waits for a step.
    pub fn offer_agent<T>(&self, build: &str, agent: &str, connection: T)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.agents.offer(build, agent, Box::new(connection));
    }
}
