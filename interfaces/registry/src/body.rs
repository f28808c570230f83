//! The bodies of replies: bytes at hand, a part of a file, or pieces from elsewhere.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use rustix::io::{Errno, ReadWriteFlags};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

/// How much of a file is read at a time.
const PIECE: usize = 128 << 10;

/// Any reply's body. An error in it cuts the connection, so that the client sees an unfinished body.
pub(crate) enum Body {
    /// Bytes at hand.
    Whole(Bytes),
    /// A part of a file.
    File(FilePart),
    /// So many bytes that somebody else sends.
    Pieces(Receiver<io::Result<Bytes>>, u64),
}

impl Body {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self::Whole(Bytes::new())
    }

    /// A part of a file; small ones are read at once.
    pub(crate) fn file(file: File, range: Range<u64>) -> Self {
        Self::File(FilePart {
            file: Arc::new(file),
            range,
            reading: None,
        })
    }

    fn left(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::File(part) => part.range.end - part.range.start,
            Self::Pieces(_, left) => *left,
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.left())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Self::Whole(bytes) => Ok(std::mem::take(bytes)),
            Self::File(part) if part.range.is_empty() => return Poll::Ready(None),
            Self::File(part) => ready!(part.poll_read(cx)),
            Self::Pieces(_, 0) => return Poll::Ready(None),
            Self::Pieces(pieces, left) => match ready!(pieces.poll_recv(cx)) {
                Some(Ok(piece)) if piece.len() as u64 <= *left => {
                    *left -= piece.len() as u64;
                    Ok(piece)
                }
                Some(Ok(_)) => Err(io::Error::other("more content than was announced")),
                Some(Err(error)) => Err(error),
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        };
        Poll::Ready(Some(piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

/// What is still to be sent of a file.
pub(crate) struct FilePart {
    file: Arc<File>,
    range: Range<u64>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FilePart {
    /// The bytes themselves if they are in memory already, so that head and body of a reply go out together.
    pub(crate) fn whole_if_cached(self) -> Body {
        let length = usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX);
        match read_cached(&self.file, self.range.start, length) {
            Ok(bytes) if bytes.len() == length => Body::Whole(bytes),
            _ => Body::File(self),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let outcome = if let Some(reading) = &mut self.reading {
            let outcome = ready!(Pin::new(reading).poll(cx));
            self.reading = None;
            outcome.map_err(io::Error::other).flatten()
        } else {
            let left = usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX);
            let length = left.min(PIECE);
            match read_cached(&self.file, self.range.start, length) {
                Ok(bytes) => Ok(bytes),
                // Not in memory: the disk is waited for on a thread that may wait.
                Err(Errno::AGAIN | Errno::OPNOTSUPP) => {
                    let (file, start) = (Arc::clone(&self.file), self.range.start);
                    self.reading = Some(tokio::task::spawn_blocking(move || {
                        let mut buffer = vec![0; length];
                        let read = file.read_at(&mut buffer, start)?;
                        buffer.truncate(read);
                        Ok(Bytes::from(buffer))
                    }));
                    return self.poll_read(cx);
                }
                Err(error) => Err(error.into()),
            }
        };
        let bytes = outcome?;
        if bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.range.start += bytes.len() as u64;
        Poll::Ready(Ok(bytes))
    }
}

/// Reads what is in the page cache (preadv2(2), RWF_NOWAIT).
fn read_cached(file: &File, start: u64, length: usize) -> Result<Bytes, Errno> {
    let mut buffer = vec![0; length];
    let mut slices = [io::IoSliceMut::new(&mut buffer)];
    let read = rustix::io::preadv2(file, &mut slices, start, ReadWriteFlags::NOWAIT)?;
    buffer.truncate(read);
    Ok(Bytes::from(buffer))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_part_of_a_file_is_sent_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        for range in [0..300_000, 5..5, 10..20, 131_071..262_145] {
            let body = Body::file(File::open(&path).unwrap(), range.clone());
            let sent = body.collect().await.unwrap().to_bytes();
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            assert!(sent == content[range]);
        }
        let beyond = Body::file(File::open(&path).unwrap(), 299_999..300_001);
        assert!(beyond.collect().await.is_err());
    }
}
