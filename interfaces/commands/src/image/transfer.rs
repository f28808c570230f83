//! The progress of pull and push: on a terminal one line per layer, drawn anew in its place; elsewhere one line per fact.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api_types::progress::Message;
use client::Reply;

use crate::failure::{Failure, Outcome};
use crate::{console, streams, units};

/// A line of progress is longer than this only if something is wrong.
const LINE_LIMIT: usize = 4 << 20;
/// The picture is drawn anew no more often than this: it is to be read.
const PAUSE: Duration = Duration::from_millis(150);

/// Where it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Standard output.
    Out,
    /// Standard error.
    Error,
}

impl Output {
    pub(crate) fn print(self, text: &str) {
        match self {
            Self::Out => console::print(text),
            Self::Error => console::error_text(text),
        }
    }
}

/// Shows a stream of progress; an error in it is the outcome.
pub(crate) async fn show(reply: Reply, quiet: bool, output: Output) -> Outcome {
    show_with(reply, quiet, output, |_| {}).await
}

/// The same, and gives what is told for programs (`aux`) to `told`.
pub(crate) async fn show_with(
    mut reply: Reply,
    quiet: bool,
    output: Output,
    mut told: impl FnMut(&serde_json::Value),
) -> Outcome {
    let mut picture = Picture::of(output);
    let mut pending = Vec::new();
    loop {
        let chunk = reply.chunk().await?;
        let ended = chunk.is_none();
        pending.extend_from_slice(&chunk.unwrap_or_default());
        if ended && !pending.is_empty() {
            pending.push(b'\n');
        }
        while let Some(end) = pending.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let message: Message = serde_json::from_slice(&line)
                .map_err(|e| Failure::new(format!("progress stream is broken: {e}")))?;
            if let Some(error) = failure(&message) {
                picture.draw();
                return Err(error);
            }
            if let Some(aux) = &message.aux {
                told(aux);
            }
            if !quiet {
                picture.take(message);
            }
        }
        if pending.len() > LINE_LIMIT {
            return Err(Failure::new("progress stream is broken"));
        }
        if ended {
            picture.draw();
            return Ok(());
        }
    }
}

fn failure(message: &Message) -> Option<Failure> {
    match (&message.error_detail, message.error.as_str()) {
        (Some(detail), _) => Some(Failure::new(detail.message.clone())),
        (None, "") => None,
        (None, text) => Some(Failure::new(text)),
    }
}

/// What is on the screen.
pub(crate) struct Picture {
    output: Output,
    terminal: bool,
    /// Ids in the order in which they came, with what is said of them.
    lines: Vec<(String, String)>,
    rates: BTreeMap<String, Rate>,
    /// Lines that were drawn, and can be drawn over.
    drawn: usize,
    last: Option<Instant>,
}

/// How fast something goes.
struct Rate {
    began: Instant,
    first: i64,
}

impl Picture {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            output,
            terminal: streams::is_terminal(if output == Output::Out { 1 } else { 2 }),
            lines: Vec::new(),
            rates: BTreeMap::new(),
            drawn: 0,
            last: None,
        }
    }

    pub(crate) fn take(&mut self, message: Message) {
        let moving = message
            .progress_detail
            .as_ref()
            .is_some_and(|d| d.current > 0 || d.total > 0);
        let of_layer = !message.id.is_empty() && message.progress_detail.is_some();
        if !self.terminal {
            // A bar is for a screen; a line each would flood a log.
            if !moving && !message.status.is_empty() {
                self.output.print(&format!("{}\n", plain(&message)));
            }
            return;
        }
        if !of_layer && !moving {
            // A fact about the whole: what is above stays as it is, and new lines begin below.
            self.end();
            if !message.status.is_empty() {
                self.output.print(&format!("{}\n", plain(&message)));
            }
            return;
        }
        let text = match moving {
            true => self.moving(&message),
            false => message.status.clone(),
        };
        match self.lines.iter_mut().find(|(id, _)| *id == message.id) {
            Some((_, said)) => *said = text,
            None => self.lines.push((message.id.clone(), text)),
        }
        if self.last.is_none_or(|last| last.elapsed() >= PAUSE) {
            self.draw();
        }
    }

    /// What is there stays as it is.
    pub(crate) fn end(&mut self) {
        self.draw();
        (self.drawn, self.lines) = (0, Vec::new());
    }

    /// `Downloading  12.3MB/45.6MB  8.1MB/s  4s`.
    fn moving(&mut self, message: &Message) -> String {
        let detail = message.progress_detail.clone().unwrap_or_default();
        let key = format!("{} {}", message.id, message.status);
        let rate = self.rates.entry(key).or_insert_with(|| Rate {
            began: Instant::now(),
            first: detail.current,
        });
        let size = |bytes: f64| units::decimal3(bytes);
        let mut text = format!("{:<11}  {}", message.status, size(detail.current as f64));
        if detail.total > 0 {
            text.push_str(&format!("/{}", size(detail.total as f64)));
        }
        let seconds = rate.began.elapsed().as_secs_f64();
        let speed = (detail.current - rate.first) as f64 / seconds;
        // A rate over less than that is guessing.
        if seconds >= 1.0 && speed >= 1.0 && detail.current < detail.total {
            let left = (detail.total - detail.current) as f64 / speed;
            text.push_str(&format!("  {}/s  {left:.0}s", size(speed)));
        }
        text
    }

    fn draw(&mut self) {
        if !self.terminal {
            return;
        }
        let (rows, columns) = streams::size();
        let (rows, columns) = (usize::from(rows.max(2)), usize::from(columns.max(20)));
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        // What does not fit on the screen could not be drawn over.
        let room = rows - 1;
        let skipped = self.lines.len().saturating_sub(room);
        for (id, said) in &self.lines[skipped..] {
            let line = if id.is_empty() {
                said.clone()
            } else {
                format!("{id}: {said}")
            };
            let short: String = line.chars().take(columns - 1).collect();
            text.push_str(&format!("\r\x1b[2K{short}\n"));
        }
        self.drawn = self.lines.len() - skipped;
        self.last = Some(Instant::now());
        if !text.is_empty() {
            self.output.print(&text);
        }
    }
}

fn plain(message: &Message) -> String {
    match message.id.as_str() {
        "" => message.status.clone(),
        id => format!("{id}: {}", message.status),
    }
}

/// The repository and the tag that pull and push mean: with neither a tag nor `--all-tags` it is `latest`, which is said.
pub(crate) fn repository_and_tag(name: &str, all: bool, quiet: bool) -> Result<(&str, &str), Failure> {
    super::check_name(name).map_err(|error| Failure::new(error.to_string()))?;
    let (repository, tag) = super::split_name(name);
    if all && !tag.is_empty() {
        return Err(Failure::new("tag can't be used with --all-tags/-a"));
    }
    if all || !tag.is_empty() {
        return Ok((repository, tag));
    }
    if !quiet {
        console::line("Using default tag: latest");
    }
    Ok((repository, "latest"))
}

/// The name with its registry: what docker prints at the end.
pub(crate) fn canonical(repository: &str, tag: &str) -> String {
    let registry = |first: &str| first.contains(['.', ':']) || first == "localhost";
    let name = match repository.split_once('/') {
        Some((first, _)) if registry(first) => repository.to_owned(),
        Some(_) => format!("docker.io/{repository}"),
        None => format!("docker.io/library/{repository}"),
    };
    match tag {
        "" => name,
        digest if digest.contains(':') => format!("{name}@{digest}"),
        tag => format!("{name}:{tag}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_up_canonical() {
        assert_eq!(canonical("alpine", "latest"), "docker.io/library/alpine:latest");
        assert_eq!(canonical("a/b", ""), "docker.io/a/b");
        assert_eq!(canonical("host:5000/a", "sha256:1"), "host:5000/a@sha256:1");
    }
}
