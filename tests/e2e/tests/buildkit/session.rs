//! The generated client: a connection to `/grpc`, and a session that offers files, secrets and archives.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::filesync::packet::file_sync_server::{FileSync, FileSyncServer};
use bollard_buildkit_proto::moby::filesync::v1::BytesMessage as SentBytes;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::{FileSend, FileSendServer};
use bollard_buildkit_proto::moby::upload::v1::BytesMessage as UploadBytes;
use bollard_buildkit_proto::moby::upload::v1::upload_server::{Upload, UploadServer};
use futures_util::Stream;
use futures_util::stream::{self, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Request, Response, Status, Streaming};

/// Messages of a call.
pub(crate) type Messages<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// What a session offers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    /// Files of each directory, in the order of a walk.
    pub(crate) files: HashMap<String, Vec<(Stat, Vec<u8>)>>,
    pub(crate) secrets: HashMap<String, Vec<u8>>,
    /// Archives by path.
    pub(crate) uploads: HashMap<String, Vec<u8>>,
    /// Contents that were asked for, by path.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    /// What came back.
    pub(crate) received: Arc<Mutex<Vec<u8>>>,
}

/// A file as the client tells it.
pub(crate) fn file(path: &str, content: &str) -> (Stat, Vec<u8>) {
    let stat = Stat {
        path: path.to_owned(),
        mode: 0o644,
        size: content.len() as i64,
        mod_time: 1_600_000_000_000_000_001,
        ..Stat::default()
    };
    (stat, content.as_bytes().to_vec())
}

/// Sends a request with `Upgrade: h2c`; the connection behind the answer.
async fn upgraded(socket: &Path, path: &str, headers: &str) -> io::Result<UnixStream> {
    let mut connection = UnixStream::connect(socket).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n{headers}\r\n"
    );
    connection.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(connection.read_u8().await?);
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 101 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    Ok(connection)
}

#[derive(Clone, Debug)]
struct Connect(PathBuf);

impl Service<Uri> for Connect {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move { upgraded(&path, "/grpc", "").await.map(TokioIo::new) })
    }
}

/// A connection to the services of the daemon.
pub(crate) async fn services(socket: &Path) -> Channel {
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint
        .connect_with_connector(Connect(socket.to_owned()))
        .await
        .expect("/grpc")
}

/// A session; its connection closes when it is dropped.
pub(crate) struct Session(std::os::unix::net::UnixStream);

impl Drop for Session {
    fn drop(&mut self) {
        // The daemon may have closed it first.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

/// Opens a session that offers this.
pub(crate) async fn open(socket: &Path, id: &str, shared_key: &str, offer: Offer) -> Session {
    let methods = [
        "/moby.filesync.v1.FileSync/DiffCopy",
        "/moby.filesync.v1.FileSend/DiffCopy",
        "/moby.buildkit.secrets.v1.Secrets/GetSecret",
        "/moby.upload.v1.Upload/Pull",
    ];
    let mut headers =
        format!("X-Docker-Expose-Session-Uuid: {id}\r\nX-Docker-Expose-Session-Sharedkey: {shared_key}\r\n");
    for method in methods {
        headers.push_str(&format!("X-Docker-Expose-Session-Grpc-Method: {method}\r\n"));
    }
    let connection = upgraded(socket, "/session", &headers).await.expect("/session");
    let connection = connection.into_std().expect("a socket");
    let session = Session(connection.try_clone().expect("a socket"));
    let connection = UnixStream::from_std(connection).expect("a socket");
    let incoming = stream::once(async { Ok::<_, io::Error>(connection) }).chain(stream::pending());
    let server = Server::builder()
        .add_service(FileSyncServer::new(offer.clone()))
        .add_service(FileSendServer::new(offer.clone()))
        .add_service(SecretsServer::new(offer.clone()))
        .add_service(UploadServer::new(offer));
    tokio::spawn(async move { server.serve_with_incoming(incoming).await.expect("the session") });
    session
}

fn messages<M: Send + 'static>(receiver: mpsc::Receiver<Result<M, Status>>) -> Messages<M> {
    Box::pin(stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    }))
}

fn packet(kind: PacketType, id: u32, data: Vec<u8>) -> Result<Packet, Status> {
    Ok(Packet {
        r#type: kind.into(),
        id,
        data,
        ..Packet::default()
    })
}

#[tonic::async_trait]
impl FileSync for Offer {
    type DiffCopyStream = Messages<Packet>;
    type TarStreamStream = Messages<Packet>;

    /// fsutil's sender.
    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Messages<Packet>>, Status> {
        let name = request
            .metadata()
            .get("dir-name")
            .and_then(|name| name.to_str().ok());
        let name = name.unwrap_or_default().to_owned();
        let wanted: Vec<String> = request
            .metadata()
            .get_all("followpaths")
            .iter()
            .filter_map(|path| path.to_str().ok().map(str::to_owned))
            .collect();
        let files = self.files.get(&name).cloned();
        let files = files.ok_or_else(|| Status::not_found(format!("no directory {name}")))?;
        let is_wanted = |path: &str| {
            wanted.is_empty()
                || wanted
                    .iter()
                    .any(|wanted| path == wanted || path.starts_with(&format!("{wanted}/")))
        };
        let files: Vec<_> = files
            .into_iter()
            .filter(|(stat, _)| is_wanted(&stat.path))
            .collect();
        let asked = Arc::clone(&self.asked);
        let mut asks = request.into_inner();
        let (sender, receiver) = mpsc::channel(8);
        tokio::spawn(async move {
            for (stat, _) in &files {
                let told = Packet {
                    stat: Some(stat.clone()),
                    ..Packet::default()
                };
                if sender.send(Ok(told)).await.is_err() {
                    return;
                }
            }
            let _ = sender.send(Ok(Packet::default())).await;
            while let Ok(Some(ask)) = asks.message().await {
                if ask.r#type() == PacketType::PacketFin {
                    let _ = sender.send(packet(PacketType::PacketFin, 0, Vec::new())).await;
                    return;
                }
                let (stat, content) = &files[ask.id as usize];
                asked.lock().expect("lock").push(stat.path.clone());
                for chunk in content.chunks(1000) {
                    let _ = sender
                        .send(packet(PacketType::PacketData, ask.id, chunk.to_vec()))
                        .await;
                }
                let _ = sender
                    .send(packet(PacketType::PacketData, ask.id, Vec::new()))
                    .await;
            }
        });
        Ok(Response::new(messages(receiver)))
    }

    async fn tar_stream(&self, _: Request<Streaming<Packet>>) -> Result<Response<Messages<Packet>>, Status> {
        Err(Status::unimplemented("archives"))
    }
}

#[tonic::async_trait]
impl FileSend for Offer {
    type DiffCopyStream = Messages<SentBytes>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<SentBytes>>,
    ) -> Result<Response<Messages<SentBytes>>, Status> {
        let received = Arc::clone(&self.received);
        let mut bytes = request.into_inner();
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok(Some(message)) = bytes.message().await {
                received.lock().expect("lock").extend(message.data);
            }
            drop(sender);
        });
        Ok(Response::new(messages(receiver)))
    }
}

#[tonic::async_trait]
impl Secrets for Offer {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let secret = self.secrets.get(&request.get_ref().id).cloned();
        let data = secret.ok_or_else(|| Status::not_found("no such secret"))?;
        Ok(Response::new(GetSecretResponse { data }))
    }
}

#[tonic::async_trait]
impl Upload for Offer {
    type PullStream = Messages<UploadBytes>;

    async fn pull(
        &self,
        request: Request<Streaming<UploadBytes>>,
    ) -> Result<Response<Messages<UploadBytes>>, Status> {
        let path = request
            .metadata()
            .get("urlpath")
            .and_then(|path| path.to_str().ok());
        let archive = self.uploads.get(path.unwrap_or_default()).cloned();
        let archive = archive.ok_or_else(|| Status::not_found("no such archive"))?;
        let chunks: Vec<_> = archive
            .chunks(1000)
            .map(|data| Ok(UploadBytes { data: data.to_vec() }))
            .collect();
        Ok(Response::new(Box::pin(stream::iter(chunks))))
    }
}
