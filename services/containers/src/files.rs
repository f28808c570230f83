//! Files of a container, from outside: `cp`, `export`. A helper process does the work inside the container's own
//! tree, so that links resolve there and nothing is mounted on the host.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use api_types::container::PathStat;
use monitor::plan::{Fd, FilesOperation, FilesPlan, Tree};
use monitor::protocol::{FilesFailure, FilesReport};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::cell::{Cell, Lease, View};
use crate::house::House;
use crate::link::Link;
use crate::requests::PutArchive;
use crate::{Error, launch, spec};

mod input;

use input::Input;

/// How much of a stream is passed on at once.
const CHUNK: usize = 128 << 10;

/// Capacity of the pipe between daemon and helper: each finds work to do while the other one runs.
const PIPE: usize = 1 << 20;

/// A running operation. A stopped container cannot be started while it lasts: its root file system must not be
/// mounted twice.
#[derive(Debug)]
struct Operation {
    link: Link,
    container: String,
    path: String,
    _lease: Option<Lease>,
}

/// A tar stream out of a container.
#[derive(Debug)]
pub struct TarStream {
    operation: Operation,
    pipe: pipe::Receiver,
    stat: Option<PathStat>,
    over: bool,
}

/// A tar stream into a container, plain or compressed in any way that [`blobs::decompress`] undoes.
#[derive(Debug)]
pub struct TarSink {
    operation: Operation,
    input: Input,
}

impl Operation {
    async fn begin(
        house: &Arc<House>,
        cell: &Arc<Cell>,
        operation: FilesOperation,
        stream: Option<BorrowedFd<'_>>,
    ) -> Result<Self, Error> {
        let path = match &operation {
            FilesOperation::Stat { path }
            | FilesOperation::Get { path }
            | FilesOperation::Put { path, .. } => path.to_string_lossy().into_owned(),
            FilesOperation::Export => String::new(),
        };
        let (tree, init, lease) = tree(house, cell).await?;
        let plan = FilesPlan {
            tree,
            operation,
            stream: stream.map(|_| Fd(u32::from(init.is_some()))),
        };
        let fds: Vec<BorrowedFd<'_>> = init.as_ref().map(AsFd::as_fd).into_iter().chain(stream).collect();
        let spawned = monitor::spawn_files(house.parts.runtime.as_fd(), &plan, &fds).map_err(Error::part)?;
        tokio::spawn(launch::reap(spawned.pidfd));
        let link = Link::new(spawned.control).map_err(Error::part)?;
        Ok(Self {
            link,
            container: cell.view().record.name.clone(),
            path,
            _lease: lease,
        })
    }

    /// The next report; a failure as an error.
    async fn report(&self) -> Result<FilesReport, Error> {
        match self.link.receive::<FilesReport>().await {
            Ok(received) => match received.message {
                FilesReport::Failed { kind, message } => Err(self.failure(kind, message)),
                report => Ok(report),
            },
            Err(error) => Err(Error::Monitor {
                container: self.container.clone(),
                problem: format!("did not finish a file operation: {error}"),
            }),
        }
    }

    fn failure(&self, kind: FilesFailure, message: String) -> Error {
        match kind {
            FilesFailure::NotFound => Error::NoSuchPath {
                path: self.path.clone(),
                container: self.container.clone(),
            },
            FilesFailure::Invalid => Error::Invalid(message),
            FilesFailure::ReadOnly => Error::Forbidden(message),
            FilesFailure::System => Error::System {
                action: "file operation",
                source: std::io::Error::other(message),
            },
        }
    }

    async fn done(&self) -> Result<(), Error> {
        loop {
            if self.report().await? == FilesReport::Done {
                return Ok(());
            }
        }
    }
}

/// The tree of a container as it is now: its namespace while it runs, its layers under a lease else.
async fn tree(house: &Arc<House>, cell: &Arc<Cell>) -> Result<(Tree, Option<OwnedFd>, Option<Lease>), Error> {
    loop {
        let view = cell.view();
        if view.phase.has_process()
            && let Some(init) = open_init(&view)
        {
            return Ok((Tree::Running { init: Fd(0) }, Some(init), None));
        }
        let lease = cell.lease().await?;
        if cell.view().phase.has_process() {
            // It was started in the meantime.
            continue;
        }
        let mounts = launch::resolve_mounts(house, &view.record).await?;
        let generated = launch::generated_before(house, &view.record);
        let tree = Tree::Stopped {
            rootfs: house
                .parts
                .images
                .container_recipe(&view.record.id)
                .map_err(Error::part)?,
            mounts: spec::lasting_mounts(&mounts.resolved, &generated, &view.record),
            read_only: view.record.host_config.readonly_rootfs,
            working_dir: Some(view.record.config.working_dir.as_str())
                .filter(|path| !path.is_empty() && view.record.run.started.is_none())
                .map(PathBuf::from),
        };
        return Ok((tree, None, Some(lease)));
    }
}

fn open_init(view: &View) -> Option<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(view.record.run.pid)?;
    linux::process::pidfd_open(pid).ok()
}

fn path_in_container(path: &str) -> Result<PathBuf, Error> {
    if path.is_empty() {
        return Err(Error::Invalid("missing parameter: path".into()));
    }
    // A relative path is meant from the root; a trailing `/.` means the content and must stay.
    Ok(PathBuf::from(if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }))
}

fn shown(stat: monitor::plan::PathStat) -> PathStat {
    PathStat {
        name: stat.name,
        size: stat.size,
        mode: stat.mode,
        mtime: stat.mtime.to_string(),
        link_target: stat.link_target,
    }
}

/// `HEAD /containers/{id}/archive`.
pub(crate) async fn stat(house: &Arc<House>, cell: &Arc<Cell>, path: &str) -> Result<PathStat, Error> {
    let operation = FilesOperation::Stat {
        path: path_in_container(path)?,
    };
    let operation = Operation::begin(house, cell, operation, None).await?;
    match operation.report().await? {
        FilesReport::Stat(stat) => Ok(shown(stat)),
        _ => Err(operation.failure(FilesFailure::System, "no stat was reported".into())),
    }
}

fn make_pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    let made = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let (read, write) = made.map_err(|errno| Error::System {
        action: "pipe2",
        source: errno.into(),
    })?;
    // The kernel may refuse more than 64 KiB; that only means more turns.
    let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE);
    Ok((read, write))
}

fn piped(source: std::io::Error) -> Error {
    Error::System {
        action: "pass on a tar stream",
        source,
    }
}

/// `GET /containers/{id}/archive`.
pub(crate) async fn get(house: &Arc<House>, cell: &Arc<Cell>, path: &str) -> Result<TarStream, Error> {
    let (read, write) = make_pipe()?;
    let operation = FilesOperation::Get {
        path: path_in_container(path)?,
    };
    let operation = Operation::begin(house, cell, operation, Some(write.as_fd())).await?;
    drop(write);
    house.event(&cell.view().record, "archive-path", &[("path", path.to_owned())]);
    let stat = match operation.report().await? {
        FilesReport::Stat(stat) => shown(stat),
        _ => return Err(operation.failure(FilesFailure::System, "no stat was reported".into())),
    };
    let pipe = pipe::Receiver::from_owned_fd(read).map_err(piped)?;
    Ok(TarStream {
        operation,
        pipe,
        stat: Some(stat),
        over: false,
    })
}

/// `GET /containers/{id}/export`.
pub(crate) async fn export(house: &Arc<House>, cell: &Arc<Cell>) -> Result<TarStream, Error> {
    let (read, write) = make_pipe()?;
    let operation = Operation::begin(house, cell, FilesOperation::Export, Some(write.as_fd())).await?;
    drop(write);
    house.event(&cell.view().record, "export", &[]);
    let pipe = pipe::Receiver::from_owned_fd(read).map_err(piped)?;
    Ok(TarStream {
        operation,
        pipe,
        stat: None,
        over: false,
    })
}

/// `PUT /containers/{id}/archive`.
pub(crate) async fn put(house: &Arc<House>, cell: &Arc<Cell>, request: PutArchive) -> Result<TarSink, Error> {
    let (read, write) = make_pipe()?;
    let operation = FilesOperation::Put {
        path: path_in_container(&request.path)?,
        no_overwrite_dir_non_dir: request.no_overwrite_dir_non_dir,
        // A container without a user leaves the archive's ids as they are.
        owner: Some(cell.view())
            .filter(|view| request.copy_uid_gid && !view.record.config.user.is_empty())
            .map(|view| launch::process_lookup(&view.record)),
    };
    let operation = Operation::begin(house, cell, operation, Some(read.as_fd())).await?;
    drop(read);
    house.event(&cell.view().record, "extract-to-dir", &[("path", request.path)]);
    let pipe = pipe::Sender::from_owned_fd(write).map_err(piped)?;
    Ok(TarSink {
        operation,
        input: Input::new(pipe),
    })
}

impl TarStream {
    /// The stat of the path, for `X-Docker-Container-Path-Stat`; `None` for an export.
    pub fn stat(&self) -> Option<&PathStat> {
        self.stat.as_ref()
    }

    /// The next bytes; `None` at the end; an error if the tar could not be completed.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, Error>> {
        if self.over {
            return None;
        }
        let mut chunk = Vec::with_capacity(CHUNK);
        match self.pipe.read_buf(&mut chunk).await {
            Ok(0) => {
                self.over = true;
                self.operation.done().await.err().map(Err)
            }
            Ok(_) => Some(Ok(chunk)),
            Err(error) => {
                self.over = true;
                Some(Err(piped(error)))
            }
        }
    }
}

impl TarSink {
    /// Passes bytes on.
    ///
    /// # Errors
    /// The operation has failed already; [`TarSink::finish`] says why.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.input.write(bytes).await.map_err(piped)
    }

    /// The end of the stream: what became of it.
    ///
    /// # Errors
    /// The path does not exist, the archive is malformed, the place is read-only.
    pub async fn finish(self) -> Result<(), Error> {
        let damage = self.input.finish().await.map_err(piped)?;
        let done = self.operation.done().await;
        // What the helper saw of a damaged stream is a shortened tar; the damage says more.
        damage.map_or(done, |problem| {
            Err(Error::Invalid(format!("decompress the archive: {problem}")))
        })
    }
}
