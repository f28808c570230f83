//! The steps of a build as a picture: a line for each with its time, below those that run the last that they said; what is over
//! is folded. Pure: what happens and what time it is comes in, lines come out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use api_types::progress::StepEvent;

use super::screen::{Line, Look, harmless};
use crate::units;

/// Lines below a step that runs.
const TAIL: usize = 6;
/// Lines of a step that are kept, to be shown if it fails.
const KEPT: usize = 100;
/// Bytes of a line that are kept; what is behind them fits on no screen.
const LONGEST: usize = 4096;

/// All steps that were heard of.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// In the order in which they began.
    steps: Vec<Step>,
    warnings: Vec<String>,
    ended: Option<Duration>,
    failed: bool,
}

#[derive(Debug, Default)]
struct Step {
    number: usize,
    name: String,
    began: Duration,
    ended: Option<Duration>,
    cached: bool,
    error: String,
    /// What its program wrote, and what is not a whole line yet.
    said: VecDeque<String>,
    pending: String,
    /// What is on its way, by its name.
    transfers: BTreeMap<String, String>,
    /// What stays below it when it is over.
    notes: Vec<String>,
}

impl Steps {
    /// Whether there is anything to show.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Something happened, so long after the beginning.
    pub(super) fn take(&mut self, event: StepEvent, now: Duration) {
        let step = match event {
            StepEvent::Started { step: number, name } => {
                return self.steps.push(Step {
                    number,
                    name: harmless(&name.replace('\n', " ")),
                    began: now,
                    ..Step::default()
                });
            }
            StepEvent::Warning { text } => return self.warnings.push(harmless(&text)),
            StepEvent::Cached { step }
            | StepEvent::Output { step, .. }
            | StepEvent::Transfer { step, .. }
            | StepEvent::Ended { step, .. } => step,
        };
        let Some(step) = self.steps.iter_mut().rfind(|known| known.number == step) else {
            return;
        };
        match event {
            StepEvent::Cached { .. } => step.cached = true,
            StepEvent::Output { text, .. } => step.hear(&text),
            StepEvent::Transfer {
                name, current, total, ..
            } => step.transfer(&name, current, total),
            StepEvent::Ended { error, .. } => (step.ended, step.error) = (Some(now), error),
            StepEvent::Started { .. } | StepEvent::Warning { .. } => {}
        }
    }

    /// The build ended well, with this image and these names.
    pub(super) fn finish(&mut self, id: &str, names: &[String], now: Duration) {
        let mut notes = vec![format!("writing image {}", harmless(id))];
        notes.extend(names.iter().map(|name| format!("naming to {}", harmless(name))));
        self.steps.push(Step {
            name: "exporting to image".to_owned(),
            began: now,
            ended: Some(now),
            notes,
            ..Step::default()
        });
        self.ended = Some(now);
    }

    /// The build failed.
    pub(super) fn fail(&mut self, now: Duration) {
        (self.ended, self.failed) = (Some(now), true);
    }

    /// The picture: all of it when the build is over, else what fits into so many rows.
    pub(super) fn picture(&self, now: Duration, rows: usize) -> Vec<Line> {
        let over = self.steps.iter().filter(|step| step.ended.is_some()).count();
        let end = match (self.ended, self.failed) {
            (None, _) => "",
            (Some(_), false) => " FINISHED",
            (Some(_), true) => " ERROR",
        };
        let time = seconds(self.ended.unwrap_or(now));
        let count = format!("({over}/{})", self.steps.len());
        let mut lines = vec![Line::new(
            Look::Normal,
            format!("[+] Building {time} {count}{end}"),
            "",
        )];
        let room = rows.saturating_sub(1);
        let running = |step: &&Step| step.ended.is_none();
        let of_running = |tail| -> usize {
            let steps = self.steps.iter().filter(running);
            steps.map(|step| step.lines(now, tail).len()).sum()
        };
        let tail = match self.ended {
            Some(_) => 0,
            None => (0..=TAIL)
                .rev()
                .find(|tail| of_running(*tail) <= room)
                .unwrap_or(0),
        };
        let limit = if self.ended.is_some() { usize::MAX } else { room };
        // Those that run come first, then the ones that ended last; all stay in their order.
        let mut left = limit.saturating_sub(of_running(tail));
        let mut shown: Vec<Vec<Line>> = Vec::new();
        for step in self.steps.iter().rev() {
            let lines = step.lines(self.ended.unwrap_or(now), tail);
            if self.ended.is_none() && step.ended.is_some() {
                if lines.len() > left {
                    continue;
                }
                left -= lines.len();
            }
            shown.push(lines);
        }
        let body: Vec<Line> = shown.into_iter().rev().flatten().collect();
        let skipped = body.len().saturating_sub(limit);
        lines.extend(body.into_iter().skip(skipped));
        lines
    }

    /// What is said below the picture of a build that is over: the last words of the steps that failed, and warnings.
    pub(super) fn epilogue(&self) -> String {
        let mut text = String::new();
        for step in self.steps.iter().filter(|step| !step.error.is_empty()) {
            text.push_str(&format!("------\n > {}:\n", step.name));
            for line in step.said.iter().chain(Some(&step.pending)) {
                let line = harmless(line);
                if !line.is_empty() {
                    text.push_str(&format!("{line}\n"));
                }
            }
            text.push_str("------\n");
        }
        if let count @ 1.. = self.warnings.len() {
            let plural = if count == 1 { "" } else { "s" };
            text.push_str(&format!("\n {count} warning{plural} found:\n"));
            for warning in &self.warnings {
                text.push_str(&format!(" - {warning}\n"));
            }
        }
        text
    }
}

impl Step {
    fn hear(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            let room = LONGEST.saturating_sub(self.pending.len());
            // A bar that is drawn over with carriage returns is as long as its last state.
            match piece.rfind('\r').filter(|at| piece[*at..].trim_end().len() > 1) {
                Some(at) => piece[at + 1..].clone_into(&mut self.pending),
                None => self.pending.push_str(&piece[..piece.floor_char_boundary(room)]),
            }
            if piece.ends_with('\n') {
                let line = std::mem::take(&mut self.pending);
                self.said.push_back(line.trim_end().to_owned());
                if self.said.len() > KEPT {
                    self.said.pop_front();
                }
            }
        }
    }

    fn transfer(&mut self, name: &str, current: u64, total: u64) {
        let (what, status) = name.split_once(": ").unwrap_or((name, ""));
        let sizes = match (current, total) {
            (0, 0) => String::new(),
            (_, 0) => format!(" {}", units::decimal3(current as f64)),
            _ => format!(
                " {} / {}",
                units::decimal3(current as f64),
                units::decimal3(total as f64)
            ),
        };
        let said = harmless(&format!("{what} {status}{sizes}"));
        self.transfers.insert(what.to_owned(), said);
    }

    fn lines(&self, now: Duration, tail: usize) -> Vec<Line> {
        let time = seconds(self.ended.unwrap_or(now).saturating_sub(self.began));
        let (look, mark) = match (self.ended, self.error.is_empty(), self.cached) {
            (Some(_), false, _) => (Look::Failed, "ERROR "),
            (Some(_), true, true) => (Look::Done, "CACHED "),
            (Some(_), true, false) => (Look::Done, ""),
            (None, _, true) => (Look::Normal, "CACHED "),
            (None, _, false) => (Look::Normal, ""),
        };
        let mut lines = vec![Line::new(look, format!(" => {mark}{}", self.name), time)];
        for note in &self.notes {
            lines.push(Line::new(look, format!(" => => {note}"), ""));
        }
        if self.ended.is_some() {
            return lines;
        }
        let below = |text: &String| Line::new(Look::Normal, format!(" => => {text}"), "");
        lines.extend(self.transfers.values().rev().take(tail).rev().map(below));
        let last = harmless(&self.pending);
        let said = self.said.iter().map(|line| harmless(line));
        let said: Vec<String> = said.chain(Some(last)).filter(|line| !line.is_empty()).collect();
        let first = said.len().saturating_sub(tail);
        let below = |text: &String| Line::new(Look::Normal, format!(" => => # {text}"), "");
        lines.extend(said[first..].iter().map(below));
        lines.truncate(1 + self.notes.len() + tail);
        lines
    }
}

/// `12.3s`.
fn seconds(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    format!("{}.{}s", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests;
