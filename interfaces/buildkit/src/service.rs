//! The service: what HTTP hands over, and builds that docker's command asks for.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use builds::{BuildRequest, Builds};
use fault::{Fault, Kind};
use hyper::HeaderMap;
use images::Images;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::agents::Agents;
use crate::board::Board;
use crate::bridge::Forwards;
use crate::contexts::Waiting;
use crate::export::Exporter;
use crate::grpc::{Code, Status};
use crate::job::{Files, Job, Workshop, failed};
use crate::session::{Introduction, Sessions};
use crate::sync::Kept;
use crate::trace::Trace;

/// Lines that may wait for a client of `POST /build`; then the build waits too.
const LINES: usize = 64;
/// Archives that may wait for their builds.
const UPLOADS: usize = 64;
/// How long a build waits for its archive, and how long what it told is kept for those who ask after its end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// BuildKit's protocol for one daemon.
#[derive(Debug)]
pub struct BuildKit {
    pub(crate) images: Arc<Images>,
    pub(crate) workshop: Workshop,
    pub(crate) sessions: Sessions,
    pub(crate) forwards: Forwards,
    pub(crate) forward_opened: Notify,
    boards: Mutex<HashMap<String, Arc<Board>>>,
    new_board: Notify,
    uploads: Mutex<HashMap<String, Upload>>,
    uploaded: Notify,
    pub(crate) waiting: Waiting,
    pub(crate) agents: Arc<Agents>,
}

/// A build that docker's command asks for.
pub struct Order {
    /// What to build. Names for the image stand in its `tags`; its `remote` says where the context is: `client-session`;
    /// empty for the body; `upload-request` for an archive that comes in a request of its own; or a URL.
    pub request: BuildRequest,
    /// The client's session.
    pub session: String,
    /// The archive of a context that is nowhere else.
    pub body: Box<dyn Read + Send>,
    /// What becomes of the result, each by kind and attributes; the image is kept if there is nothing.
    pub outputs: Vec<(String, BTreeMap<String, String>)>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Order");
        shown
            .field("session", &self.session)
            .field("remote", &self.request.remote);
        shown.field("outputs", &self.outputs).finish_non_exhaustive()
    }
}

/// What a client of `POST /build` is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// An encoded `moby.buildkit.v1.StatusResponse`.
    Trace(Vec<u8>),
    /// The id of the image; the build ended well.
    Image(String),
    /// The build failed.
    Error(String),
}

/// An archive on its way to a build.
struct Upload {
    body: Box<dyn Read + Send>,
    _read: oneshot::Sender<()>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

impl Read for Upload {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.body.read(buffer)
    }
}

/// A request that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct Refused(#[from] Status);

impl Fault for Refused {
    fn kind(&self) -> Kind {
        match self.0.code {
            Code::InvalidArgument => Kind::InvalidParameter,
            Code::NotFound => Kind::NotFound,
            Code::AlreadyExists => Kind::Conflict,
            Code::Unimplemented => Kind::NotImplemented,
            _ => Kind::System,
        }
    }
}

impl BuildKit {
    /// Opens it; copies of clients' directories are kept below the data root until the machine starts anew.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(
        data_root: &Path,
        new_boot: bool,
        builds: Arc<Builds>,
        images: Arc<Images>,
    ) -> std::io::Result<Arc<Self>> {
        let kept = Arc::new(Kept::open(data_root.join("builds").join("contexts"), new_boot)?);
        Ok(Arc::new(Self {
            images,
            workshop: Workshop { builds, kept },
            sessions: Sessions::default(),
            forwards: Forwards::default(),
            forward_opened: Notify::new(),
            boards: Mutex::default(),
            new_board: Notify::new(),
            uploads: Mutex::default(),
            uploaded: Notify::new(),
            waiting: Waiting::default(),
            agents: Arc::default(),
        }))
    }

    /// Whether a session may begin with these headers.
    ///
    /// # Errors
    /// It has no id.
    pub fn check_session(headers: &HeaderMap) -> Result<(), Refused> {
        Ok(Introduction::read(headers).map(drop)?)
    }

    /// Keeps a session (`POST /session`) until its connection closes.
    pub async fn session<T>(&self, headers: &HeaderMap, connection: T)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let outcome = match Introduction::read(headers) {
            Ok(introduction) => self.sessions.run(introduction, connection).await,
            Err(status) => Err(status),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "a BuildKit session");
        }
    }

    /// Answers the calls of a connection (`POST /grpc`) until it closes.
    pub async fn grpc<T>(self: Arc<Self>, connection: T)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        crate::control::serve(self, connection).await;
    }

    /// Builds for docker's command. The build ends when nobody reads its lines any more.
    pub fn build(self: &Arc<Self>, order: Order) -> mpsc::Receiver<Line> {
        let (sender, receiver) = mpsc::channel(LINES);
        let kit = Arc::clone(self);
        tokio::spawn(async move {
            let board = Arc::new(Board::default());
            let mut reader = board.read();
            let told = async {
                while let Some(message) = reader.next().await {
                    if sender.send(Line::Trace(message.encode_to_vec())).await.is_err() {
                        return;
                    }
                }
            };
            let built = async {
                let mut trace = Trace::new(Arc::clone(&board), &format!("{:032x}", rand::random::<u128>()));
                let outcome = kit.order(order, &mut trace).await;
                board.close();
                outcome
            };
            let work = async { tokio::join!(built, told).0 };
            let outcome = tokio::select! {
                outcome = work => outcome,
                () = sender.closed() => return,
            };
            let line = match outcome {
                Ok(id) => Line::Image(id),
                Err(status) => Line::Error(format!("failed to solve: {}", status.message)),
            };
            let _ = sender.send(line).await;
        });
        receiver
    }

    async fn order(&self, order: Order, trace: &mut Trace) -> Result<String, Status> {
        let Order {
            mut request,
            session,
            body,
            outputs,
        } = order;
        // docker 20.10 never ends when its build fails before its session is there.
        let found = match session.is_empty() {
            true => None,
            false => Some(self.sessions.get(&session).await?),
        };
        request.check().map_err(|error| failed(&error))?;
        let tags = std::mem::take(&mut request.tags);
        let exporters = Exporter::read_all(&outputs, tags)?;
        let remote = std::mem::take(&mut request.remote);
        let files = match remote.as_str() {
            "" => Files::Archive(body),
            "upload-request" => Files::Archive(Box::new(self.take_upload(&request.build_id).await?)),
            "client-session" => Files::Client {
                context: "context".to_owned(),
                dockerfile: "dockerfile".to_owned(),
            },
            _ => {
                request.remote = remote;
                Files::Elsewhere
            }
        };
        let job = Job {
            request,
            session: found.clone(),
            files,
            locals: Vec::new(),
        };
        let finished = self.workshop.run(job, trace).await?;
        let Some(finished) = finished else {
            return Ok(String::new());
        };
        self.export(&exporters, &finished.image, found.as_deref(), trace)
            .await?;
        Ok(finished.image.id.to_string())
    }

    /// Gives a build (`POST /build?buildid=upload-request:ID`) its archive; ends when the build has read it, or never will.
    ///
    /// # Errors
    /// There are too many, or two for one build.
    pub async fn upload(&self, id: &str, body: Box<dyn Read + Send>) -> Result<(), Refused> {
        let (sender, read) = oneshot::channel();
        {
            let mut uploads = self.lock_uploads();
            if uploads.len() >= UPLOADS || uploads.contains_key(id) {
                let text =
                    format!("the archive of build {id} cannot be taken: there is one, or there are too many");
                return Err(Status::new(Code::AlreadyExists, text).into());
            }
            let upload = Upload { body, _read: sender };
            uploads.insert(id.to_owned(), upload);
        }
        self.uploaded.notify_waiters();
        let _forget = Forget { kit: self, id };
        // An error is what dropping the sender makes: the archive is not wanted any more.
        let _ = read.await;
        Ok(())
    }

    async fn take_upload(&self, id: &str) -> Result<Upload, Status> {
        let waiting = async {
            loop {
                let uploaded = self.uploaded.notified();
                tokio::pin!(uploaded);
                uploaded.as_mut().enable();
                let found = self.lock_uploads().remove(id);
                if let Some(upload) = found {
                    return upload;
                }
                uploaded.await;
            }
        };
        let missing = |_| Status::new(Code::NotFound, format!("the archive of build {id} did not come"));
        tokio::time::timeout(PATIENCE, waiting).await.map_err(missing)
    }

    /// Opens the notice board of a build.
    ///
    /// # Errors
    /// There is one already.
    pub(crate) fn open_board(self: &Arc<Self>, id: &str) -> Result<OpenBoard, Status> {
        let board = Arc::new(Board::default());
        {
            let mut boards = self.lock_boards();
            if boards.contains_key(id) {
                return Err(Status::new(Code::AlreadyExists, format!("job ID {id} exists")));
            }
            boards.insert(id.to_owned(), Arc::clone(&board));
        }
        self.new_board.notify_waiters();
        Ok(OpenBoard {
            kit: Arc::clone(self),
            id: id.to_owned(),
            board,
        })
    }

    /// The notice board of a build, as soon as there is one.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn board(&self, id: &str) -> Result<Arc<Board>, Status> {
        let waiting = async {
            loop {
                let opened = self.new_board.notified();
                tokio::pin!(opened);
                opened.as_mut().enable();
                if let Some(board) = self.lock_boards().get(id).cloned() {
                    return board;
                }
                opened.await;
            }
        };
        let missing = |_| Status::new(Code::NotFound, format!("no such job {id}"));
        tokio::time::timeout(PATIENCE, waiting).await.map_err(missing)
    }

    fn lock_uploads(&self) -> std::sync::MutexGuard<'_, HashMap<String, Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_boards(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Board>>> {
        self.boards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The board of a build that runs. It closes when this is dropped, and is forgotten a while later: who asks how a build went
/// may do so after its end.
pub(crate) struct OpenBoard {
    kit: Arc<BuildKit>,
    id: String,
    pub(crate) board: Arc<Board>,
}

impl Drop for OpenBoard {
    fn drop(&mut self) {
        self.board.close();
        let (kit, id) = (Arc::clone(&self.kit), std::mem::take(&mut self.id));
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            kit.lock_boards().remove(&id);
        });
    }
}

/// Takes an archive away that no build has wanted.
struct Forget<'a> {
    kit: &'a BuildKit,
    id: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.kit.lock_uploads().remove(self.id);
    }
}
