//! What a client does for its build while it runs: secrets, agents and credentials that are asked for only when a step
//! wants them. The services of a BuildKit session stand behind it; this crate knows nothing of that protocol.

use std::fmt::Debug;
use std::future::Future;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use distribution::Credentials;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::BuildError;
use crate::error::file;

/// What a client answers, later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, BuildError>> + Send + 'a>>;

/// A client that is asked while its build runs.
pub trait Client: Debug + Send + Sync {
    /// The secret with this id, nothing if the client has none.
    fn secret(&self, id: String) -> Answer<'_, Option<Vec<u8>>>;

    /// Whether the client has an ssh agent with this id.
    fn has_agent(&self, id: String) -> Answer<'_, bool>;

    /// Speaks with the client's agent on behalf of this connection until either side closes it.
    fn forward_agent(&self, id: String, connection: UnixStream) -> Answer<'_, ()>;

    /// How the registry with this domain is asked.
    fn credentials(&self, domain: String) -> Answer<'_, Credentials>;
}

/// Connections that one step may have to its agent at the same time; more wait.
const CONNECTIONS: usize = 16;

/// A socket for one step whose connections end at the client's agent. Nothing of it is left when it is dropped.
#[derive(Debug)]
pub(crate) struct AgentSocket {
    _serving: JoinSet<()>,
}

impl AgentSocket {
    /// Listens at a path of the host for the agent with this id.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub(crate) fn bind(
        client: Arc<dyn Client>,
        id: String,
        path: &Path,
        mode: u32,
        owner: (u32, u32),
    ) -> Result<Self, BuildError> {
        let listener = UnixListener::bind(path).map_err(file("listen at", path))?;
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).map_err(file("chmod", path))?;
        chown(path, Some(owner.0), Some(owner.1)).map_err(file("chown", path))?;
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, client, id));
        Ok(Self { _serving: serving })
    }
}

async fn serve(listener: UnixListener, client: Arc<dyn Client>, id: String) {
    let mut open = JoinSet::new();
    loop {
        if open.len() >= CONNECTIONS {
            open.join_next().await;
        }
        let Ok((connection, _)) = listener.accept().await else {
            return;
        };
        while open.try_join_next().is_some() {}
        let (client, id) = (Arc::clone(&client), id.clone());
        open.spawn(async move {
            if let Err(error) = client.forward_agent(id, connection).await {
                tracing::debug!(%error, "a connection to a client's ssh agent");
            }
        });
    }
}
