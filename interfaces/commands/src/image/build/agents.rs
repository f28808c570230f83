//! `--ssh [default|ID[=SOCKET]]`: steps ask the user's ssh agents.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use client::{Client, Hijacked};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::failure::Failure;

/// An agent and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agent {
    pub(super) id: String,
    socket: PathBuf,
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
        let is_socket = std::fs::metadata(socket).map(|about| about.file_type().is_socket());
        match is_socket {
            Ok(true) => {}
            Ok(false) => {
                return Err(Failure::new(format!(
                    "--ssh {text}: keys in files are not available in this version of dhow: add them to an agent with ssh-add"
                )));
            }
            Err(error) => return Err(Failure::new(format!("--ssh {text}: {socket}: {error}"))),
        }
        agents.push(Agent {
            id: id.to_owned(),
            socket: socket.into(),
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
        let key = format!("default={}", file.display());
        assert!(read(&[key]).unwrap_err().contains("keys in files"));
        assert!(
            parse(&["default".to_owned()], None)
                .unwrap_err()
                .message
                .contains("SSH_AUTH_SOCK")
        );
        assert!(read(&["a=/nonexistent".to_owned()]).is_err());
    }
}
