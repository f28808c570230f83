//! Read, hash and consume a stream on three threads.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use oci::digest::{Digest, Digester};

/// What passed through [`hash_while`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed<T> {
    /// The SHA-256 of every byte of the source.
    pub digest: Digest,
    /// How many bytes that were.
    pub size: u64,
    /// What the consumer returned.
    pub value: T,
}

/// The size of a buffer; small enough that the pieces stay in the processor's cache from one thread to the next.
const PIECE: usize = 256 << 10;
/// How many buffers may wait for the slowest thread.
const QUEUE: usize = 8;
/// Sources up to this size are not worth a thread.
const SMALL: usize = 64 << 10;

type Piece = Arc<Vec<u8>>;

/// Reads `source` on a thread of its own (so that decompression runs there), hashes on a second, while `consume` works
/// on the calling thread with the same buffers. When `consume` returns without having read everything, the rest is
/// read and hashed nevertheless. Memory: at most some twenty buffers of 256 KiB; small sources need no thread.
///
/// ```
/// let hashed = blobs::hash_while(&b"hello"[..], |stream| {
///     let mut text = String::new();
///     std::io::Read::read_to_string(stream, &mut text).map(|_| text)
/// }).unwrap();
/// assert_eq!((hashed.size, hashed.value.unwrap().as_str()), (5, "hello"));
/// ```
///
/// # Errors
/// What `source` failed with, if `consume` did not see it; what it saw is in its own result.
pub fn hash_while<T>(
    mut source: impl Read + Send,
    consume: impl FnOnce(&mut dyn BufRead) -> T,
) -> io::Result<Hashed<T>> {
    let mut head = Vec::with_capacity(SMALL);
    (&mut source).take(SMALL as u64).read_to_end(&mut head)?;
    if head.len() < SMALL {
        let value = consume(&mut &head[..]);
        return Ok(Hashed {
            digest: Digest::sha256(&head),
            size: head.len() as u64,
            value,
        });
    }
    let (to_hasher, hasher_end) = sync_channel::<Piece>(QUEUE);
    let (to_consumer, consumer_end) = sync_channel::<io::Result<Piece>>(QUEUE);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || read_all(head, source, to_hasher, &to_consumer));
        let hasher = scope.spawn(move || hash_all(hasher_end));
        let mut stream = Stream {
            pieces: consumer_end,
            present: Arc::default(),
            done: 0,
            failed: false,
        };
        let value = consume(&mut stream);
        // Consumed or not, everything is hashed: the reader must not wait for us any more.
        let unseen = stream.drain();
        let finished = |_| io::Error::other("a thread of the pipeline panicked");
        reader.join().map_err(finished)?;
        let (digest, size) = hasher.join().map_err(finished)?;
        match unseen {
            Some(error) => Err(error),
            None => Ok(Hashed { digest, size, value }),
        }
    })
}

fn read_all(
    head: Vec<u8>,
    mut source: impl Read,
    to_hasher: SyncSender<Piece>,
    to_consumer: &SyncSender<io::Result<Piece>>,
) {
    let send =
        |piece: Piece| to_hasher.send(Arc::clone(&piece)).is_ok() && to_consumer.send(Ok(piece)).is_ok();
    if !send(Arc::new(head)) {
        return;
    }
    let mut pool = Pool::default();
    loop {
        let mut piece = pool.free();
        // Nobody else has a free piece.
        let Some(bytes) = Arc::get_mut(&mut piece) else {
            continue;
        };
        let result = fill(&mut source, bytes);
        if !bytes.is_empty() {
            pool.0.push(Arc::clone(&piece));
            if !send(piece) {
                return;
            }
        }
        match result {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                let _ = to_consumer.send(Err(error));
                return;
            }
        }
    }
}

/// Fills `bytes` up to a whole piece; false at the end of the source.
fn fill(source: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.resize(PIECE, 0);
    let mut filled = 0;
    let result = loop {
        match source.read(&mut bytes[filled..]) {
            Ok(0) => break Ok(filled == PIECE),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
        if filled == PIECE {
            break Ok(true);
        }
    };
    bytes.truncate(filled);
    result
}

/// Buffers that are used again when both other threads have let go of them: fresh memory would have to be cleared by
/// the kernel each time.
#[derive(Default)]
struct Pool(Vec<Piece>);

impl Pool {
    fn free(&mut self) -> Piece {
        match self.0.iter_mut().position(|piece| Arc::get_mut(piece).is_some()) {
            Some(place) => self.0.swap_remove(place),
            None => Arc::default(),
        }
    }
}

fn hash_all(pieces: Receiver<Piece>) -> (Digest, u64) {
    let (mut digester, mut size) = (Digester::sha256(), 0);
    for piece in pieces {
        digester.update(&piece);
        size += piece.len() as u64;
    }
    (digester.finish(), size)
}

/// The consumer's end.
struct Stream {
    pieces: Receiver<io::Result<Piece>>,
    present: Piece,
    done: usize,
    failed: bool,
}

impl Stream {
    /// Lets the rest pass; the failure of the source, if nobody has seen it.
    fn drain(self) -> Option<io::Error> {
        self.pieces.into_iter().find_map(Result::err)
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.done == self.present.len() {
            match self.pieces.recv() {
                Ok(Ok(piece)) => (self.present, self.done) = (piece, 0),
                Ok(Err(error)) => {
                    self.failed = true;
                    return Err(error);
                }
                // A failed source has no end.
                Err(_) if self.failed => return Err(io::Error::other("the source failed before")),
                Err(_) => return Ok(&[]),
            }
        }
        Ok(&self.present[self.done..])
    }

    fn consume(&mut self, amount: usize) {
        self.done += amount;
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let length = piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&piece[..length]);
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n * 31 % 251) as u8).collect()
    }

    #[test]
    fn the_consumer_sees_every_byte_and_the_digest_is_of_them() {
        for length in [0, 1, SMALL - 1, SMALL, SMALL + 1, 3 * PIECE + 5] {
            let source = bytes(length);
            let hashed = hash_while(&source[..], |stream| {
                let mut seen = Vec::new();
                stream.read_to_end(&mut seen).unwrap();
                seen
            })
            .unwrap();
            assert!(hashed.value == source);
            assert_eq!(
                (hashed.size, hashed.digest),
                (length as u64, Digest::sha256(&source))
            );
        }
    }

    #[test]
    fn a_consumer_that_stops_early_does_not_stop_the_digest() {
        let source = bytes(20 * PIECE);
        let hashed = hash_while(&source[..], |stream| stream.fill_buf().unwrap().len()).unwrap();
        assert_eq!(hashed.digest, Digest::sha256(&source));
    }

    /// Fails after its bytes.
    struct Broken(usize);

    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(self.0);
            self.0 -= length;
            if length == 0 {
                Err(io::Error::other("cable cut"))
            } else {
                Ok(length)
            }
        }
    }

    #[test]
    fn a_failing_source_fails_whoever_sees_it_first() {
        for length in [10, 2 * PIECE, 20 * PIECE] {
            let unseen = hash_while(Broken(length), |_| ());
            assert_eq!(unseen.unwrap_err().to_string(), "cable cut");
        }
        let seen = hash_while(Broken(2 * PIECE), |stream| {
            let mut all = Vec::new();
            let first = stream.read_to_end(&mut all).unwrap_err().to_string();
            (first, stream.fill_buf().is_err())
        });
        assert_eq!(seen.unwrap().value, ("cable cut".to_owned(), true));
    }
}
