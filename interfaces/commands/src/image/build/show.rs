//! What a build tells, on the screen.

use std::time::{Duration, Instant};

use api_types::progress::Message;
use client::Reply;

use super::screen::Screen;
use super::steps::Steps;
use crate::failure::Failure;
use crate::flags::Parsed;
use crate::image::transfer::{Output, Picture, canonical};
use crate::{console, image, streams};

/// A line is longer than this only if something is wrong.
const LINE_LIMIT: usize = 32 << 20;

/// The picture is drawn anew no more often than this: it is to be read.
const PAUSE: Duration = Duration::from_millis(150);

/// What dhow's daemon says besides, where it is asked to.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Told {
    /// The state in front of the step that failed.
    pub(super) failed_step: Option<super::debug::State>,
    /// The images of all stages.
    pub(super) stages: Vec<String>,
}

/// `--progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Plain,
    Quiet,
    RawJson,
    /// The steps, drawn in their place on the terminal that is standard error.
    Tty,
}

impl Progress {
    pub(super) fn of(args: &Parsed) -> Result<Self, Failure> {
        let wanted = match args.text("progress") {
            // As buildx has it.
            "" | "auto" => std::env::var("BUILDKIT_PROGRESS").unwrap_or_default(),
            other => other.to_owned(),
        };
        match wanted.as_str() {
            _ if args.on("quiet") => Ok(Self::Quiet),
            "" | "auto" if streams::is_terminal(2) && can_draw(args) => Ok(Self::Tty),
            "" | "auto" | "plain" => Ok(Self::Plain),
            "tty" if args.on("explain") => Err(Failure::new(
                "--explain is told in lines, which --progress=tty does not show: use --progress=plain",
            )),
            "tty" if streams::is_terminal(2) => Ok(Self::Tty),
            "tty" => Err(Failure::new(
                "failed to get console: provided file is not a console",
            )),
            "quiet" => Ok(Self::Quiet),
            "rawjson" => Ok(Self::RawJson),
            other => Err(Failure::new(format!(
                "invalid progress mode {other}: must be auto, plain, quiet, rawjson or tty"
            ))),
        }
    }
}

/// Whether the terminal knows how to draw over lines, and the build is told in steps.
fn can_draw(args: &Parsed) -> bool {
    !args.on("explain") && std::env::var("TERM").is_ok_and(|name| !["", "dumb"].contains(&name.as_str()))
}

/// Shows the stream to its end; answers the image's id, which is said to get these names.
/// With `aside` on standard error, because something else goes to standard output.
pub(super) async fn show(
    reply: Reply,
    progress: Progress,
    aside: bool,
    names: &[String],
    told: &mut Told,
) -> Result<String, Failure> {
    let output = if aside { Output::Error } else { Output::Out };
    let mut shown = Shown {
        id: String::new(),
        text: String::new(),
        output,
        pulls: Picture::of(output),
        drawing: (progress == Progress::Tty).then(Drawing::begin),
    };
    let outcome = shown.read(reply, progress, told).await;
    if let Some(drawing) = shown.drawing {
        drawing.end(outcome.is_ok().then_some(&shown.id), names);
    }
    outcome?;
    if progress == Progress::Quiet {
        output.print(&shown.text);
    }
    Ok(shown.id)
}

struct Shown {
    id: String,
    /// What is printed at the end of a quiet build.
    text: String,
    output: Output,
    /// What is pulled for the build.
    pulls: Picture,
    drawing: Option<Drawing>,
}

impl Shown {
    async fn read(&mut self, mut reply: Reply, progress: Progress, told: &mut Told) -> Result<(), Failure> {
        let mut pending = Vec::new();
        loop {
            let chunk = match &mut self.drawing {
                None => reply.chunk().await?,
                Some(drawing) => tokio::select! {
                    chunk = reply.chunk() => chunk?,
                    () = tokio::time::sleep(PAUSE) => {
                        drawing.draw();
                        continue;
                    }
                },
            };
            let Some(chunk) = chunk else { break };
            pending.extend_from_slice(&chunk);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                self.line(&line, progress, told)?;
            }
            if pending.len() > LINE_LIMIT {
                return Err(Failure::new("the build's stream is broken"));
            }
        }
        self.line(&pending, progress, told)
    }

    fn line(&mut self, line: &[u8], progress: Progress, told: &mut Told) -> Result<(), Failure> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        if progress == Progress::RawJson {
            self.output
                .print(&format!("{}\n", String::from_utf8_lossy(line).trim_end()));
        }
        let message: Message = serde_json::from_slice(line)
            .map_err(|error| Failure::new(format!("the build's stream is broken: {error}")))?;
        if let Some(detail) = message.error_detail {
            let code = i32::try_from(detail.code).ok().filter(|code| *code != 0);
            return Err(Failure::new(detail.message).code(code.unwrap_or(1)));
        }
        if !message.error.is_empty() {
            return Err(Failure::new(message.error));
        }
        if let (Some(event), Some(drawing)) = (message.as_step(), &mut self.drawing) {
            drawing.steps.take(event, drawing.began.elapsed());
            drawing.draw_at_times();
            return Ok(());
        }
        if let Some(id) = message.aux.as_ref().and_then(|aux| aux["ID"].as_str()) {
            id.clone_into(&mut self.id);
        }
        if let Some(aux) = message.aux.as_ref().filter(|aux| aux["ID"].is_null()) {
            *told = serde_json::from_value(aux.clone()).unwrap_or_default();
            return Ok(());
        }
        match progress {
            Progress::Plain if message.stream.is_empty() => self.pulls.take(message),
            Progress::Plain => {
                self.pulls.end();
                self.output.print(&message.stream);
            }
            Progress::Quiet => self.text.push_str(&message.stream),
            Progress::RawJson => {}
            // What is no step: what `--check` says, or a daemon that tells lines only.
            Progress::Tty if message.stream.is_empty() => {}
            Progress::Tty => {
                if let Some(drawing) = &mut self.drawing {
                    drawing.clear();
                }
                self.output.print(&message.stream);
            }
        }
        Ok(())
    }
}

/// The picture of the steps on standard error.
struct Drawing {
    steps: Steps,
    screen: Screen,
    began: Instant,
    last: Instant,
}

impl Drawing {
    fn begin() -> Self {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            steps: Steps::default(),
            screen: Screen::new(colours),
            began: Instant::now(),
            last: Instant::now(),
        }
    }

    fn draw_at_times(&mut self) {
        if self.last.elapsed() >= PAUSE {
            self.draw();
        }
    }

    fn draw(&mut self) {
        self.last = Instant::now();
        if self.steps.is_empty() {
            return;
        }
        let (rows, columns) = size();
        // The last row stays free: the cursor is there.
        let lines = self.steps.picture(self.began.elapsed(), rows.saturating_sub(1));
        console::error_text(&self.screen.draw(&lines, rows, columns));
    }

    fn clear(&mut self) {
        let (rows, columns) = size();
        console::error_text(&self.screen.clear(rows, columns));
    }

    /// The last picture, which stays; with the image's id if the build ended well.
    fn end(mut self, id: Option<&String>, names: &[String]) {
        let now = self.began.elapsed();
        if self.steps.is_empty() && id.is_none_or(String::is_empty) {
            return;
        }
        match id {
            Some(id) => {
                let canonical = |name: &String| {
                    let (repository, tag) = image::split_name(name);
                    canonical(repository, if tag.is_empty() { "latest" } else { tag })
                };
                let names: Vec<String> = names.iter().map(canonical).collect();
                self.steps.finish(id, &names, now);
            }
            None => self.steps.fail(now),
        }
        self.draw();
        console::error_text(&self.steps.epilogue());
    }
}

/// Height and width of the terminal.
fn size() -> (usize, usize) {
    let or = |size: u16, usual| if size == 0 { usual } else { usize::from(size) };
    let (rows, columns) = streams::size_of(std::io::stderr());
    (or(rows, 24), or(columns, 80))
}
