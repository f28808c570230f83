//! Archives of images in and out: load, save, import; and how progress is told. Bodies pass through with a few chunks in memory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::images::{
    ImageError, Images, ImportOptions, InputReader, LoadOptions, Progress, SaveOptions, input, output,
};
use api_types::progress::Message;
use bytes::Bytes;
use futures_util::stream::{self, unfold};
use futures_util::{Stream, StreamExt};
use http_body_util::BodyExt;
use tokio::sync::{mpsc, oneshot};

use super::platforms::{Platforms, asked, platform};
use super::registry;
use crate::body::RequestBody;
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Outcome};

/// Progress lines that may wait for a client before bars are left out.
const LINES: usize = 64;
/// A client that hears nothing for so long is told that we are there, and we learn whether it is.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// A request's body for a synchronous reader; a task feeds it until the reader is dropped.
pub(crate) fn reader(mut body: RequestBody) -> InputReader {
    let (sender, reader) = input();
    tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            match frame.map(|f| f.into_data()) {
                Ok(Ok(data)) => {
                    if !sender.send(data).await {
                        return;
                    }
                }
                Ok(Err(_trailers)) => {}
                Err(error) => {
                    return sender
                        .fail(io::Error::new(io::ErrorKind::ConnectionAborted, error))
                        .await;
                }
            }
        }
        sender.finish().await;
    });
    reader
}

/// Lines on their way to a client, counted, so that bars can be left out for one that does not read.
#[derive(Clone)]
struct Lines {
    sender: mpsc::UnboundedSender<Bytes>,
    waiting: Arc<AtomicUsize>,
}

impl Lines {
    /// Never waits: progress is told on threads of every kind. Facts are few; bars are many, and may be lost.
    fn send(&self, message: &Message) {
        let bar = message.progress_detail.as_ref().is_some_and(|d| d.current > 0);
        if bar && self.waiting.load(Ordering::Relaxed) >= LINES {
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // A client that is gone misses nothing.
        let _ = self.sender.send(encoded(message));
    }

    fn callback(&self) -> Progress {
        let lines = self.clone();
        Arc::new(move |message| lines.send(&message))
    }
}

/// Lines, and where they come out; it ends when the last clone is dropped.
fn lines() -> (Lines, mpsc::UnboundedReceiver<Bytes>, Arc<AtomicUsize>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&waiting);
    (Lines { sender, waiting }, receiver, counter)
}

/// The lines as a body. A client that has closed its side may still read: only what is written tells whether it is there.
/// JSON may begin with a space.
fn told_on(
    receiver: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
) -> impl Stream<Item = io::Result<Bytes>> {
    unfold((receiver, waiting), |(mut receiver, waiting)| async move {
        let line = match tokio::time::timeout(HEARTBEAT, receiver.recv()).await {
            Err(_) => Bytes::from_static(b" "),
            Ok(line) => {
                let line = line?;
                waiting.fetch_sub(1, Ordering::Relaxed);
                line
            }
        };
        Some((Ok(line), (receiver, waiting)))
    })
}

/// Does the work until its end, or until the client is gone. An error is the last line.
async fn unless_gone(lines: Lines, work: impl Future<Output = Result<(), ImageError>>) {
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = lines.sender.closed() => return,
    };
    if let Err(error) = outcome {
        lines.send(&Message::error(error.to_string()));
    }
}

/// `POST /images/load`. The reply begins with its first line, as Docker's does: clients that are to be told nothing but the
/// end (`quiet`) take the head for it and hang up.
pub(crate) async fn load(images: Arc<Images>, call: Call) -> Outcome {
    let options = LoadOptions {
        quiet: call.query.flag("quiet"),
        platforms: asked(&call, Platforms::several_since(48))?,
    };
    let (lines, mut receiver, waiting) = lines();
    let source = reader(call.body);
    let progress = lines.callback();
    tokio::spawn(unless_gone(lines, async move {
        images.load(source, options, progress).await.map(drop)
    }));
    let first = receiver.recv().await;
    if first.is_some() {
        waiting.fetch_sub(1, Ordering::Relaxed);
    }
    let rest = told_on(receiver, waiting);
    reply::stream("application/json", stream::iter(first.map(Ok)).chain(rest))
}

/// `POST /images/create`: import with `fromSrc`, pull with `fromImage`.
pub(crate) async fn create(images: Arc<Images>, call: Call) -> Outcome {
    if !call.query.text("fromImage").is_empty() {
        return registry::pull(images, call).await;
    }
    let options = import_options(&call)?;
    match call.query.text("fromSrc") {
        "-" => {}
        "" => return Err(Failure::bad("either fromImage or fromSrc must be given")),
        url => {
            let url = url.to_owned();
            return told(
                |progress| async move { images.import_url(&url, options, progress).await.map(drop) },
            )
            .await;
        }
    }
    let (lines, receiver, waiting) = lines();
    let source = reader(call.body);
    let progress = lines.callback();
    tokio::spawn(unless_gone(lines, async move {
        images.import(source, options, progress).await.map(drop)
    }));
    reply::stream("application/json", told_on(receiver, waiting))
}

fn import_options(call: &Call) -> Result<ImportOptions, Failure> {
    let (repository, tag) = (call.query.text("repo"), call.query.text("tag"));
    let platform = platform(call.version, call.query.text("platform"))?;
    if platform.as_ref().is_some_and(|platform| platform.os != "linux") {
        return Err(Failure::bad("operating system is not supported"));
    }
    Ok(ImportOptions {
        reference: if tag.is_empty() {
            repository.to_owned()
        } else {
            format!("{repository}:{tag}")
        },
        message: call.query.text("message").to_owned(),
        changes: call.query.all("changes").map(str::to_owned).collect(),
        platform,
    })
}

/// Runs `work` while its lines go to the client. A failure before the first line is the reply's status, as Docker has it;
/// later it is the last line. A client that goes away ends the work.
pub(crate) async fn told<W>(work: impl FnOnce(Progress) -> W) -> Outcome
where
    W: Future<Output = Result<(), ImageError>> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let lines = Lines {
        sender,
        waiting: Arc::clone(&waiting),
    };
    let work = work(lines.callback());
    let (failed, failure) = oneshot::channel();
    tokio::spawn(async move {
        let gone = lines.sender.clone();
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = gone.closed() => return,
        };
        // The one who waits for it is gone only with the client.
        let _ = failed.send(outcome);
    });
    let first = match receiver.recv().await {
        Some(line) => line,
        None => {
            if let Ok(Err(error)) = failure.await {
                return Err(error.into());
            }
            return reply::stream("application/json", stream::empty());
        }
    };
    waiting.fetch_sub(1, Ordering::Relaxed);
    let last = stream::once(failure).filter_map(|outcome| async move {
        let error = outcome.ok()?.err()?;
        Some(Ok(encoded(&Message::error(error.to_string()))))
    });
    reply::stream(
        "application/json",
        stream::iter([Ok(first)])
            .chain(told_on(receiver, waiting))
            .chain(last),
    )
}

/// A line as it goes over the wire.
fn encoded(message: &Message) -> Bytes {
    let mut text = serde_json::to_vec(message).unwrap_or_default();
    text.extend(b"\r\n");
    text.into()
}

/// `GET /images/{name}/get`.
pub(crate) async fn save(images: Arc<Images>, call: Call) -> Outcome {
    let name = call.name().to_owned();
    archive(images, vec![name], &call).await
}

/// `GET /images/get`.
pub(crate) async fn save_all(images: Arc<Images>, call: Call) -> Outcome {
    // Some clients join the names with commas, as Docker's form parser allows nowhere else.
    let names: Vec<_> = call
        .query
        .all("names")
        .filter(|n| !n.is_empty())
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        return Err(Failure::bad("at least one image must be named"));
    }
    archive(images, names, &call).await
}

/// Answers with an archive, or with an error if it fails before the first byte.
async fn archive(images: Arc<Images>, names: Vec<String>, call: &Call) -> Outcome {
    let options = SaveOptions {
        since: call
            .query
            .get("since")
            .filter(|s| !s.is_empty())
            .map(str::to_owned),
        platforms: asked(call, Platforms::several_since(48))?,
    };
    let (writer, chunks) = output();
    let saving = tokio::spawn(async move { images.save(names, options, writer).await });
    written(saving, chunks).await
}

/// `GET /images/{name}/files`: the file system of an image as an archive; Docker has it of containers only.
pub(crate) async fn files(images: Arc<Images>, call: Call) -> Outcome {
    let name = call.name().to_owned();
    let (writer, chunks) = output();
    let writing = tokio::spawn(async move { images.files(&name, writer).await });
    written(writing, chunks).await
}

/// Answers with what somebody writes, or with an error if it fails before the first byte.
async fn written(
    saving: tokio::task::JoinHandle<Result<(), ImageError>>,
    mut chunks: tokio::sync::mpsc::Receiver<io::Result<Vec<u8>>>,
) -> Outcome {
    let Some(first) = chunks.recv().await else {
        return match saving.await {
            Ok(Ok(())) => reply::stream("application/x-tar", stream::empty()),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(io::Error::other(error).into()),
        };
    };
    let rest = unfold(
        (Some(first), chunks, Some(saving)),
        |(first, mut chunks, mut saving)| async move {
            if let Some(first) = first {
                return Some((first.map(Bytes::from), (None, chunks, saving)));
            }
            if let Some(chunk) = chunks.recv().await {
                return Some((chunk.map(Bytes::from), (None, chunks, saving)));
            }
            // The writer is gone: was the archive finished? If not, the body is cut.
            let outcome = saving.take()?.await;
            let error = match outcome {
                Ok(Ok(())) => return None,
                Ok(Err(error)) => io::Error::other(error),
                Err(error) => io::Error::other(error),
            };
            Some((Err(error), (None, chunks, None)))
        },
    );
    reply::stream("application/x-tar", rest)
}
