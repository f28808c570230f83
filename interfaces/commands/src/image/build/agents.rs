//! `--ssh [default|ID[=SOCKET|KEY[,KEY…]]]`: steps ask the user's ssh agents, or one that has the keys.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::{Client, Hijacked};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::keys::KeyAgent;
use crate::failure::Failure;

/// An agent and where it listens.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) id: String,
    socket: PathBuf,
    /// The agent of the build's own that listens there.
    _own: Option<Arc<KeyAgent>>,
}

/// Reads the flags; `environment` is what SSH_AUTH_SOCK says.
pub(super) fn parse(list: &[String], environment: Option<&str>) -> Result<Vec<Agent>, Failure> {
    let mut agents: Vec<Agent> = Vec::new();
    for text in list {
        let (id, socket) = match text.split_once('=') {
            Some((id, socket)) if !socket.is_empty() => (id, socket),
            _ => {
                let missing = || {
                    Failure::new(format!(
                        "invalid empty ssh agent socket for {text}: make sure SSH_AUTH_SOCK is set"
                    ))
                };
                (text.trim_end_matches('='), environment.ok_or_else(missing)?)
            }
        };
        let id = if id.is_empty() { "default" } else { id };
        if agents.iter().any(|agent| agent.id == id) {
            return Err(Failure::new(format!("duplicate ssh agent {id}")));
        }
        let keys: Vec<&Path> = socket.split(',').map(Path::new).collect();
        for path in &keys {
            std::fs::metadata(path)
                .map_err(|error| Failure::new(format!("--ssh {text}: {}: {error}", path.display())))?;
        }
        let is_socket =
            |path: &&Path| std::fs::metadata(path).is_ok_and(|about| about.file_type().is_socket());
        let own = match keys.iter().filter(|path| is_socket(path)).count() {
            0 => Some(Arc::new(KeyAgent::start(&keys)?)),
            _ if keys.len() == 1 => None,
            _ => return Err(Failure::new(format!("--ssh {text}: only single socket allowed"))),
        };
        let socket = own.as_ref().map_or(keys[0], |own| own.socket()).to_owned();
        agents.push(Agent {
            id: id.to_owned(),
            socket,
            _own: own,
        });
    }
    Ok(agents)
}

/// Has a connection open for each agent as long as this is polled; it never ends.
pub(super) async fn offer(client: &Client, build: &str, agents: &[Agent]) {
    join_all(agents.iter().map(|agent| keep_offering(client, build, agent))).await;
    std::future::pending().await
}

async fn keep_offering(client: &Client, build: &str, agent: &Agent) {
    // The build is over, or never was, when there are no connections any more: it says so itself.
    while let Ok(connection) = client.build_agent(build, &agent.id).await {
        let (sender, taken) = oneshot::channel();
        let socket = agent.socket.clone();
        std::thread::spawn(move || serve(connection, &socket, sender));
        if taken.await.is_err() {
            return;
        }
    }
}

/// Waits for the first question, and carries all between the step and the agent.
fn serve(connection: Hijacked, socket: &std::path::Path, taken: oneshot::Sender<()>) {
    let (mut questions, mut answers) = connection.split();
    let mut first = [0; 4096];
    let count = match questions.read(&mut first) {
        Ok(count @ 1..) => count,
        _ => return,
    };
    let _ = taken.send(());
    let Ok(mut agent) = UnixStream::connect(socket) else {
        return;
    };
    let Ok(mut said) = agent.try_clone() else { return };
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut said, &mut answers);
        answers.finish();
    });
    if agent.write_all(&first[..count]).is_ok() {
        let _ = std::io::copy(&mut questions, &mut agent);
    }
    let _ = agent.shutdown(Shutdown::Write);
    let _ = back.join();
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn agents_are_sockets_and_named_once() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let _listener = UnixListener::bind(&socket).unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "").unwrap();
        let read = |list: &[String]| {
            let agents = parse(list, socket.to_str()).map_err(|failure| failure.message)?;
            Ok::<_, String>(agents.into_iter().map(|agent| agent.id).collect::<Vec<_>>())
        };
        let named = format!("other={}", socket.display());
        assert_eq!(
            read(&["default".to_owned(), named.clone()]).unwrap(),
            ["default", "other"]
        );
        assert_eq!(read(&[String::new()]).unwrap(), ["default"]);
        assert!(read(&[named.clone(), named]).unwrap_err().contains("duplicate"));
        let both = format!("default={},{}", file.display(), socket.display());
        assert!(read(&[both]).unwrap_err().contains("only single socket"));
        assert!(
            parse(&["default".to_owned()], None)
                .unwrap_err()
                .message
                .contains("SSH_AUTH_SOCK")
        );
        assert!(read(&["a=/nonexistent".to_owned()]).is_err());
    }
}
