//! What a build tells, on the screen.

use api_types::progress::Message;
use client::Reply;

use crate::failure::Failure;
use crate::flags::Parsed;
use crate::image::transfer::{Output, Picture};

/// A line is longer than this only if something is wrong.
const LINE_LIMIT: usize = 32 << 20;

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
}

impl Progress {
    pub(super) fn of(args: &Parsed) -> Result<Self, Failure> {
        match args.text("progress") {
            _ if args.on("quiet") => Ok(Self::Quiet),
            "" | "auto" | "plain" => Ok(Self::Plain),
            "quiet" => Ok(Self::Quiet),
            "rawjson" => Ok(Self::RawJson),
            other => Err(Failure::new(format!(
                "invalid progress mode {other}: must be auto, plain, quiet or rawjson"
            ))),
        }
    }
}

/// Shows the stream to its end; answers the image's id.
/// With `aside` on standard error, because something else goes to standard output.
pub(super) async fn show(
    mut reply: Reply,
    progress: Progress,
    aside: bool,
    told: &mut Told,
) -> Result<String, Failure> {
    let output = if aside { Output::Error } else { Output::Out };
    let mut shown = Shown {
        id: String::new(),
        text: String::new(),
        output,
        pulls: Picture::of(output),
    };
    let mut pending = Vec::new();
    while let Some(chunk) = reply.chunk().await? {
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            shown.line(&line, progress, told)?;
        }
        if pending.len() > LINE_LIMIT {
            return Err(Failure::new("the build's stream is broken"));
        }
    }
    shown.line(&pending, progress, told)?;
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
}

impl Shown {
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
        }
        Ok(())
    }
}
