//! What a build tells, for any number of readers: whoever comes late reads it from the beginning, as far as it is kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bollard_buildkit_proto::moby::buildkit::v1::StatusResponse;
use prost::Message;
use tokio::sync::Notify;

/// Bytes of messages that are kept for those who come late.
const KEPT: usize = 2 << 20;
/// A reader may be this many messages behind; then the build waits for it.
const BEHIND: u64 = 512;

/// The notice board of one build.
#[derive(Debug, Default)]
pub(crate) struct Board {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    messages: VecDeque<Arc<StatusResponse>>,
    bytes: usize,
    /// The number of the first message that is kept.
    first: u64,
    /// The next message of each reader.
    readers: BTreeMap<u64, u64>,
    next_reader: u64,
    closed: bool,
}

impl Inner {
    fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    fn slowest(&self) -> Option<u64> {
        self.readers.values().min().copied()
    }
}

impl Board {
    /// Adds a message; waits while a reader is too far behind.
    pub(crate) async fn put(&self, message: StatusResponse) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut inner = self.lock();
                let room = inner
                    .slowest()
                    .is_none_or(|slowest| inner.end() - slowest < BEHIND);
                if room {
                    inner.bytes += message.encoded_len();
                    inner.messages.push_back(Arc::new(message));
                    forget(&mut inner);
                    break;
                }
            }
            changed.await;
        }
        self.changed.notify_waiters();
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_waiters();
    }

    /// Reads from the beginning.
    pub(crate) fn read(self: &Arc<Self>) -> Reader {
        let mut inner = self.lock();
        let id = inner.next_reader;
        inner.next_reader += 1;
        let first = inner.first;
        inner.readers.insert(id, first);
        Reader {
            board: Arc::clone(self),
            id,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops the oldest messages beyond what is kept, but none that a reader still has to read.
fn forget(inner: &mut Inner) {
    while inner.bytes > KEPT && inner.slowest().is_none_or(|slowest| slowest > inner.first) {
        let Some(message) = inner.messages.pop_front() else {
            return;
        };
        inner.bytes -= message.encoded_len();
        inner.first += 1;
    }
}

/// One reader of a board.
#[derive(Debug)]
pub(crate) struct Reader {
    board: Arc<Board>,
    id: u64,
}

impl Reader {
    /// The next message; nothing when the build is over and everything is read.
    pub(crate) async fn next(&mut self) -> Option<Arc<StatusResponse>> {
        loop {
            let changed = self.board.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut inner = self.board.lock();
                let at = inner.readers.get(&self.id).copied().unwrap_or(inner.first);
                let index = usize::try_from(at - inner.first).unwrap_or(usize::MAX);
                if let Some(message) = inner.messages.get(index).cloned() {
                    inner.readers.insert(self.id, at + 1);
                    drop(inner);
                    self.board.changed.notify_waiters();
                    return Some(message);
                }
                if inner.closed {
                    return None;
                }
            }
            changed.await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.board.lock().readers.remove(&self.id);
        self.board.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_buildkit_proto::moby::buildkit::v1::VertexLog;

    fn message(text: &str) -> StatusResponse {
        StatusResponse {
            logs: vec![VertexLog {
                msg: text.as_bytes().to_vec(),
                ..VertexLog::default()
            }],
            ..StatusResponse::default()
        }
    }

    #[tokio::test]
    async fn everybody_reads_everything_and_a_slow_reader_is_waited_for() {
        let board = Arc::new(Board::default());
        board.put(message("early")).await;
        let mut slow = board.read();
        let writing = tokio::spawn({
            let board = Arc::clone(&board);
            async move {
                for number in 0..2 * BEHIND {
                    board.put(message(&number.to_string())).await;
                }
                board.close();
            }
        });
        let mut read = 0;
        while let Some(message) = slow.next().await {
            if read == 0 {
                assert_eq!(message.logs[0].msg, b"early");
            }
            read += 1;
        }
        writing.await.unwrap();
        assert_eq!(read, 1 + 2 * BEHIND);
        assert_eq!(board.read().next().await.unwrap().logs[0].msg, b"early");
    }

    #[tokio::test]
    async fn what_nobody_reads_is_forgotten_in_the_end() {
        let board = Arc::new(Board::default());
        let long = "x".repeat(KEPT / 4);
        for _ in 0..20 {
            board.put(message(&long)).await;
        }
        board.close();
        let (mut reader, mut read) = (board.read(), 0);
        while reader.next().await.is_some() {
            read += 1;
        }
        assert!((1..=4).contains(&read), "{read}");
    }
}
