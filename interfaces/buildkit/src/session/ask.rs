//! What a build asks its client for while it runs: secrets, ssh agents, credentials.

use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::filesync::v1::{CredentialsRequest, CredentialsResponse};
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use builds::{Answer, BuildError, Client};
use distribution::Credentials;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::Session;
use crate::grpc::{Code, Status};

const GET_SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CHECK_AGENT: &str = "/moby.sshforward.v1.SSH/CheckAgent";
const FORWARD_AGENT: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";

/// The longest secret, in bytes (BuildKit's limit).
const LONGEST_SECRET: usize = 500 << 10;
/// Bytes of an agent's talk that travel in one message.
const CHUNK: usize = 32 << 10;

/// What docker.io is called where credentials are kept (Docker's command knows it by this name).
const DOCKER_IO: (&str, &str) = ("docker.io", "registry-1.docker.io");

fn asked(what: &str) -> impl FnOnce(Status) -> BuildError + '_ {
    move |status| BuildError::Client {
        what: what.to_owned(),
        problem: status.message,
    }
}

impl Client for Session {
    fn secret(&self, id: String) -> Answer<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            let Some(channel) = self.offers(GET_SECRET) else {
                return Ok(None);
            };
            let request = GetSecretRequest {
                id: id.clone(),
                ..GetSecretRequest::default()
            };
            let what = format!("secret {id}");
            match channel.unary::<_, GetSecretResponse>(GET_SECRET, &request).await {
                Ok(response) if response.data.len() > LONGEST_SECRET => {
                    let status = Status::new(
                        Code::ResourceExhausted,
                        format!("it is longer than {LONGEST_SECRET} bytes"),
                    );
                    Err(asked(&what)(status))
                }
                Ok(response) => Ok(Some(response.data)),
                Err(status) if status.code == Code::NotFound => Ok(None),
                Err(status) => Err(asked(&what)(status)),
            }
        })
    }

    fn has_agent(&self, id: String) -> Answer<'_, bool> {
        Box::pin(async move {
            let Some(channel) = self.offers(CHECK_AGENT) else {
                return Ok(false);
            };
            let request = CheckAgentRequest { id: id.clone() };
            match channel
                .unary::<_, CheckAgentResponse>(CHECK_AGENT, &request)
                .await
            {
                Ok(_) => Ok(true),
                // A client says in words of its own that it has none with this id.
                Err(status) if matches!(status.code, Code::NotFound | Code::Unknown) => Ok(false),
                Err(status) => Err(asked(&format!("ssh agent {id}"))(status)),
            }
        })
    }

    fn forward_agent(&self, id: String, connection: UnixStream) -> Answer<'_, ()> {
        Box::pin(async move {
            let what = format!("ssh agent {id}");
            let metadata = [("buildkit.ssh.id".to_owned(), id)];
            let channel = self.call(FORWARD_AGENT).map_err(asked(&what))?;
            let (questions, mut answers) = channel
                .duplex::<BytesMessage, BytesMessage>(FORWARD_AGENT, &metadata)
                .map_err(asked(&what))?;
            let (mut read, mut write) = connection.into_split();
            let out = async move {
                let mut buffer = vec![0; CHUNK];
                while let Ok(count @ 1..) = read.read(&mut buffer).await {
                    let data = buffer[..count].to_vec();
                    if !questions.send(&BytesMessage { data }).await {
                        return;
                    }
                }
            };
            let back = async move {
                while let Some(message) = answers.next().await? {
                    write.write_all(&message.data).await.map_err(Status::broken)?;
                }
                write.shutdown().await.map_err(Status::broken)
            };
            // The agent's last words count: what the program sends may end before them.
            let ((), outcome) = tokio::join!(out, back);
            outcome.map_err(asked(&what))
        })
    }

    fn credentials(&self, domain: String) -> Answer<'_, Credentials> {
        Box::pin(async move {
            let Some(channel) = self.offers(CREDENTIALS) else {
                return Ok(Credentials::Anonymous);
            };
            let host = match domain == DOCKER_IO.0 {
                true => DOCKER_IO.1.to_owned(),
                false => domain.clone(),
            };
            let request = CredentialsRequest { host };
            let response: CredentialsResponse = channel
                .unary(CREDENTIALS, &request)
                .await
                .map_err(asked(&format!("credentials of {domain}")))?;
            Ok(match (response.username, response.secret) {
                (_, secret) if secret.is_empty() => Credentials::Anonymous,
                (user, token) if user.is_empty() => Credentials::IdentityToken(token),
                (user, password) => Credentials::Password { user, password },
            })
        })
    }
}
