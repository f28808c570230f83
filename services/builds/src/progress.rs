//! What a build tells: the lines of the classic builder, in the order of the Dockerfile although stages run in parallel.

use api_types::progress::Message;
use tokio::sync::{Mutex, mpsc};

/// Lines that may wait for a client; then the build waits too.
const LINES: usize = 256;
/// Bytes that a stage may have told before its turn comes.
const HELD: usize = 16 << 20;

/// The receiving end.
pub type ProgressReceiver = mpsc::Receiver<Message>;

/// The sending end of a build's stream.
#[derive(Clone, Debug)]
pub struct ProgressSender(mpsc::Sender<Message>);

/// A stream for one build.
pub fn progress() -> (ProgressSender, ProgressReceiver) {
    let (sender, receiver) = mpsc::channel(LINES);
    (ProgressSender(sender), receiver)
}

impl ProgressSender {
    /// Ends when nobody listens any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// Sends a line; a client that is gone misses nothing.
    pub async fn send(&self, message: Message) {
        let _ = self.0.send(message).await;
    }
}

/// The stream of a build whose parts run at the same time.
#[derive(Debug)]
pub(crate) struct Progress {
    sender: ProgressSender,
    quiet: bool,
    turns: Mutex<Turns>,
}

#[derive(Debug)]
struct Turns {
    current: usize,
    parts: Vec<Part>,
}

#[derive(Debug, Default)]
struct Part {
    held: Vec<Message>,
    bytes: usize,
    done: bool,
}

impl Progress {
    /// A stream of `parts` that are told one after the other.
    pub(crate) fn new(sender: ProgressSender, parts: usize, quiet: bool) -> Self {
        let parts = (0..parts).map(|_| Part::default()).collect();
        Self {
            sender,
            quiet,
            turns: Mutex::new(Turns { current: 0, parts }),
        }
    }

    /// Text of a part: at once when it is its turn, else later.
    pub(crate) async fn text(&self, part: usize, text: impl Into<String>) {
        let message = Message {
            stream: text.into(),
            ..Message::default()
        };
        self.message(part, message).await;
    }

    /// A line of any kind.
    pub(crate) async fn message(&self, part: usize, message: Message) {
        if self.quiet {
            return;
        }
        let mut turns = self.turns.lock().await;
        if part <= turns.current {
            self.sender.send(message).await;
            return;
        }
        // A bar is of no use later.
        if !message.progress.is_empty() {
            return;
        }
        if let Some(part) = turns.parts.get_mut(part) {
            part.bytes += message.stream.len() + message.status.len() + message.id.len();
            if part.bytes <= HELD {
                part.held.push(message);
            }
        }
    }

    /// A part has told everything.
    pub(crate) async fn done(&self, part: usize) {
        let mut turns = self.turns.lock().await;
        if let Some(part) = turns.parts.get_mut(part) {
            part.done = true;
        }
        while turns.parts.get(turns.current).is_some_and(|part| part.done) {
            turns.current += 1;
            let current = turns.current;
            let held = turns
                .parts
                .get_mut(current)
                .map(|part| std::mem::take(&mut part.held));
            for message in held.into_iter().flatten() {
                self.sender.send(message).await;
            }
        }
    }

    /// Tells everything that is held, whoever's turn it is: the build is over.
    pub(crate) async fn finish(&self) {
        let mut turns = self.turns.lock().await;
        turns.current = usize::MAX;
        let held: Vec<_> = turns
            .parts
            .iter_mut()
            .flat_map(|part| std::mem::take(&mut part.held))
            .collect();
        for message in held {
            self.sender.send(message).await;
        }
    }
}

/// Text as one line of the stream.
pub(crate) fn line(text: impl Into<String>) -> Message {
    Message {
        stream: text.into(),
        ..Message::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parts_are_told_in_their_order_whichever_is_done_first() {
        let (sender, mut receiver) = progress();
        let progress = Progress::new(sender, 3, false);
        progress.text(1, "b1").await;
        progress.done(1).await;
        progress.text(2, "c1").await;
        progress.text(0, "a1").await;
        progress.done(0).await;
        progress.text(2, "c2").await;
        progress.finish().await;
        drop(progress);
        let mut told = Vec::new();
        while let Some(message) = receiver.recv().await {
            told.push(message.stream);
        }
        assert_eq!(told, ["a1", "b1", "c1", "c2"]);
    }
}
