//! Lines of progress in Docker's words.

use std::time::{Duration, Instant};

use api_types::progress::{Detail, Message};

use crate::load::Progress;

/// A bar is drawn anew no more often than this.
const PAUSE: Duration = Duration::from_millis(100);

/// A line about one layer.
pub(crate) fn layer_line(id: &str, status: &str) -> Message {
    Message {
        id: id.to_owned(),
        status: status.to_owned(),
        progress_detail: Some(Detail::default()),
        ..Message::default()
    }
}

/// A line about the whole.
pub(crate) fn line(status: impl Into<String>) -> Message {
    Message {
        status: status.into(),
        ..Message::default()
    }
}

/// How far something is, told now and then.
pub(crate) struct Bar {
    progress: Progress,
    id: String,
    status: &'static str,
    total: u64,
    last: Option<Instant>,
}

impl Bar {
    /// `total` is 0 where it is not known.
    pub(crate) fn new(progress: &Progress, id: &str, status: &'static str, total: u64) -> Self {
        Self {
            progress: Progress::clone(progress),
            id: id.to_owned(),
            status,
            total,
            last: None,
        }
    }

    /// So many bytes are done.
    pub(crate) fn at(&mut self, current: u64) {
        let due = self.last.is_none_or(|last| last.elapsed() >= PAUSE);
        if !due && current != self.total {
            return;
        }
        self.last = Some(Instant::now());
        let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
        (self.progress)(Message {
            id: self.id.clone(),
            status: self.status.to_owned(),
            progress: drawn(current, self.total),
            progress_detail: Some(Detail {
                current: signed(current),
                total: signed(self.total),
                ..Detail::default()
            }),
            ..Message::default()
        });
    }
}

/// The bar as text, for clients that do not draw their own.
fn drawn(current: u64, total: u64) -> String {
    if total == 0 || current > total {
        return size(current);
    }
    let filled = usize::try_from(current * 50 / total).unwrap_or(50);
    let head = if filled < 50 { ">" } else { "" };
    let space = " ".repeat(50 - filled - head.len());
    format!(
        "[{}{head}{space}]  {}/{}",
        "=".repeat(filled),
        size(current),
        size(total)
    )
}

/// `1.234MB`, as Docker writes it.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    // Four significant digits.
    let decimals = match value {
        v if v >= 1000.0 || unit == 0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_drawn_as_docker_draws_them() {
        let half = format!("[{}>{}]  50B/100B", "=".repeat(25), " ".repeat(24));
        assert_eq!(drawn(50, 100), half);
        assert_eq!(drawn(100, 100), format!("[{}]  100B/100B", "=".repeat(50)));
        assert_eq!(drawn(1_234_567, 0), "1.235MB");
        assert_eq!(drawn(5, 3), "5B");
        assert_eq!(size(12_300), "12.3kB");
    }
}
