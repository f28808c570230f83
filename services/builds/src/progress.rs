//! What a build tells: the lines of the classic builder, in the order of the Dockerfile although stages run in parallel,
//! or its steps as they happen, for those who draw them themselves.

use api_types::progress::{Message, StepEvent};
use tokio::sync::{Mutex, mpsc};

/// Lines that may wait for a client; then the build waits too.
const LINES: usize = 256;
/// Bytes that a stage may have told before its turn comes.
const HELD: usize = 16 << 20;

/// The receiving end.
pub type ProgressReceiver = mpsc::Receiver<Message>;

/// The sending end of a build's stream.
#[derive(Clone, Debug)]
pub struct ProgressSender(To);

#[derive(Clone, Debug)]
enum To {
    Lines(mpsc::Sender<Message>),
    Steps(mpsc::Sender<StepEvent>),
    /// The steps in messages, among those that are for programs.
    StepMessages(mpsc::Sender<Message>),
}

/// A stream of the classic builder's lines for one build.
pub fn progress() -> (ProgressSender, ProgressReceiver) {
    let (sender, receiver) = mpsc::channel(LINES);
    (ProgressSender(To::Lines(sender)), receiver)
}

/// A stream of messages in which the steps come as [`StepEvent`]s instead of lines, for one build.
pub fn step_messages() -> (ProgressSender, ProgressReceiver) {
    let (sender, receiver) = mpsc::channel(LINES);
    (ProgressSender(To::StepMessages(sender)), receiver)
}

/// A stream of what happens to the steps of one build.
pub fn step_events() -> (ProgressSender, mpsc::Receiver<StepEvent>) {
    let (sender, receiver) = mpsc::channel(LINES);
    (ProgressSender(To::Steps(sender)), receiver)
}

impl ProgressSender {
    /// Ends when nobody listens any more.
    pub async fn closed(&self) {
        match &self.0 {
            To::Lines(sender) | To::StepMessages(sender) => sender.closed().await,
            To::Steps(sender) => sender.closed().await,
        }
    }

    fn tells_steps(&self) -> bool {
        !matches!(self.0, To::Lines(_))
    }

    /// Sends a line; a client that is gone misses nothing, and one that wants steps wants no lines.
    pub async fn send(&self, message: Message) {
        if let To::Lines(sender) | To::StepMessages(sender) = &self.0 {
            let _ = sender.send(message).await;
        }
    }

    async fn event(&self, event: StepEvent) {
        match &self.0 {
            To::Lines(_) => {}
            To::Steps(sender) => {
                let _ = sender.send(event).await;
            }
            To::StepMessages(sender) => {
                let _ = sender.send(Message::step(&event)).await;
            }
        }
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
    /// The step that runs now, for those who hear of steps.
    step: Option<usize>,
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

    /// A step of a part begins, and the one before is over. One without a name to show is told as a line only.
    pub(crate) async fn step(&self, part: usize, step: usize, line: String, name: Option<String>) {
        self.text(part, line).await;
        // The line's end is a message of its own, as in Docker.
        self.text(part, "\n").await;
        self.step_over(part, "").await;
        // Whoever reads lines is told none of a step's events.
        if let (Some(name), true) = (name, self.sender.tells_steps()) {
            if let Some(part) = self.turns.lock().await.parts.get_mut(part) {
                part.step = Some(step);
            }
            self.sender.event(StepEvent::Started { step, name }).await;
        }
    }

    async fn running(&self, part: usize) -> Option<usize> {
        self.turns.lock().await.parts.get(part)?.step
    }

    async fn step_over(&self, part: usize, error: &str) {
        let step = match self.turns.lock().await.parts.get_mut(part) {
            Some(part) => part.step.take(),
            None => None,
        };
        if let Some(step) = step {
            let error = error.to_owned();
            self.sender.event(StepEvent::Ended { step, error }).await;
        }
    }

    /// The present step of a part was in the cache.
    pub(crate) async fn cached(&self, part: usize) {
        if let Some(step) = self.running(part).await {
            self.sender.event(StepEvent::Cached { step }).await;
        }
    }

    /// What the program of a part's step wrote; lines show its errors in red, as Docker does.
    pub(crate) async fn output(&self, part: usize, text: String, is_error: bool) {
        if let Some(step) = self.running(part).await {
            return (self.sender.event(StepEvent::Output { step, is_error, text })).await;
        }
        let text = if is_error {
            format!("\u{1b}[91m{text}\u{1b}[0m")
        } else {
            text
        };
        self.text(part, text).await;
    }

    /// Something is odd.
    pub(crate) async fn warning(&self, text: String) {
        self.text(0, format!("[Warning] {text}\n")).await;
        self.sender.event(StepEvent::Warning { text }).await;
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
        if self.sender.tells_steps() {
            return match message.aux {
                Some(_) => self.sender.send(message).await,
                None => self.transfer(part, message).await,
            };
        }
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

    /// The line of a pull, for those who hear of steps.
    async fn transfer(&self, part: usize, message: Message) {
        let Some(step) = self.running(part).await else {
            return;
        };
        if message.id.is_empty() || message.status.is_empty() {
            return;
        }
        let detail = message.progress_detail.unwrap_or_default();
        let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
        let event = StepEvent::Transfer {
            step,
            name: format!("{}: {}", message.id, message.status),
            current: bytes(detail.current),
            total: bytes(detail.total),
        };
        self.sender.event(event).await;
    }

    /// A part has told everything; its last step failed if there is an error.
    pub(crate) async fn done(&self, part: usize, error: &str) {
        self.step_over(part, error).await;
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
    async fn a_step_begins_may_be_cached_and_ends_when_the_next_one_begins() {
        let (sender, mut receiver) = step_events();
        let progress = Progress::new(sender, 1, false);
        progress
            .step(0, 1, "Step 1/3 : FROM a".into(), Some("[1/2] FROM a".into()))
            .await;
        progress.step(0, 2, "Step 2/3 : ENV a=b".into(), None).await;
        progress.output(0, "nobody's".into(), false).await;
        progress
            .step(0, 3, "Step 3/3 : RUN x".into(), Some("[2/2] RUN x".into()))
            .await;
        progress.cached(0).await;
        progress.output(0, "text".into(), true).await;
        progress.done(0, "broken").await;
        drop(progress);
        let mut told = Vec::new();
        while let Some(event) = receiver.recv().await {
            told.push(event);
        }
        let started = |step, name: &str| StepEvent::Started {
            step,
            name: name.into(),
        };
        let ended = |step, error: &str| StepEvent::Ended {
            step,
            error: error.into(),
        };
        let output = StepEvent::Output {
            step: 3,
            is_error: true,
            text: "text".into(),
        };
        let cached = StepEvent::Cached { step: 3 };
        let all = [
            started(1, "[1/2] FROM a"),
            ended(1, ""),
            started(3, "[2/2] RUN x"),
            cached,
            output,
            ended(3, "broken"),
        ];
        assert_eq!(told, all);
    }

    #[tokio::test]
    async fn what_a_program_writes_is_a_line_or_an_event() {
        let (lines, mut receiver) = progress();
        let progress = Progress::new(lines, 1, false);
        progress
            .step(
                0,
                1,
                "Step 1/1 : RUN x".to_owned(),
                Some("[1/1] RUN x".to_owned()),
            )
            .await;
        progress.output(0, "said".to_owned(), false).await;
        drop(progress);
        let mut told = String::new();
        while let Some(message) = receiver.recv().await {
            told.push_str(&message.stream);
        }
        assert_eq!(told, "Step 1/1 : RUN x\nsaid");

        let (steps, mut receiver) = step_events();
        let progress = Progress::new(steps, 1, false);
        progress
            .step(0, 1, String::new(), Some("[1/1] RUN x".to_owned()))
            .await;
        progress.output(0, "said".to_owned(), false).await;
        assert!(matches!(
            receiver.recv().await,
            Some(StepEvent::Started { step: 1, .. })
        ));
        assert!(matches!(
            receiver.recv().await,
            Some(StepEvent::Output { step: 1, .. })
        ));
    }

    #[tokio::test]
    async fn parts_are_told_in_their_order_whichever_is_done_first() {
        let (sender, mut receiver) = progress();
        let progress = Progress::new(sender, 3, false);
        progress.text(1, "b1").await;
        progress.done(1, "").await;
        progress.text(2, "c1").await;
        progress.text(0, "a1").await;
        progress.done(0, "").await;
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
