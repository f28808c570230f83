//! A few lines at the bottom of a terminal that are drawn again and again in their place. Knows nothing of builds.

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// As the terminal is.
    Normal,
    /// What is over.
    Done,
    /// What failed.
    Failed,
}

/// A line of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) look: Look,
    /// What stands at the left; what does not fit is cut.
    pub(super) text: String,
    /// What stands at the right.
    pub(super) right: String,
}

impl Line {
    pub(super) fn new(look: Look, text: impl Into<String>, right: impl Into<String>) -> Self {
        let (text, right) = (text.into(), right.into());
        Self { look, text, right }
    }
}

/// The part of the terminal that is drawn over.
#[derive(Debug)]
pub(super) struct Screen {
    colours: bool,
    /// The widths of the lines that stand there.
    drawn: Vec<usize>,
}

impl Screen {
    pub(super) fn new(colours: bool) -> Self {
        Self {
            colours,
            drawn: Vec::new(),
        }
    }

    /// What is written to put these lines in the place of those before, on a terminal of `rows` and `columns`.
    ///
    /// A terminal that became narrower has broken the old lines into more rows (those that cut them instead, such as xterm, lose as many
    /// rows above). What has scrolled out of the window cannot be drawn over.
    pub(super) fn draw(&mut self, lines: &[Line], rows: usize, columns: usize) -> String {
        let mut out = self.begin(rows, columns);
        for line in lines {
            // The last column stays free: what stands there puts some terminals into the next row.
            let text = laid_out(line, columns.saturating_sub(1));
            self.drawn.push(width(&text));
            out.push_str(&match (line.look, self.colours) {
                (Look::Done, true) => format!("\x1b[34m{text}\x1b[0m"),
                (Look::Failed, true) => format!("\x1b[31m{text}\x1b[0m"),
                _ => text,
            });
            out.push_str("\x1b[K\n");
        }
        out.push_str("\x1b[J\x1b[?25h");
        out
    }

    /// What is written to take the lines away.
    pub(super) fn clear(&mut self, rows: usize, columns: usize) -> String {
        match self.drawn.is_empty() {
            true => String::new(),
            false => self.draw(&[], rows, columns),
        }
    }

    fn begin(&mut self, rows: usize, columns: usize) -> String {
        let broken = |width: usize| width.div_ceil(columns.max(1)).max(1);
        let above: usize = self.drawn.drain(..).map(broken).sum();
        let up = match above.min(rows.saturating_sub(1)) {
            0 => String::new(),
            count => format!("\x1b[{count}A"),
        };
        // No cursor that jumps about.
        format!("\x1b[?25l\r{up}")
    }
}

/// A line in exactly so many columns, if something stands at its right; at most so many else.
fn laid_out(line: &Line, columns: usize) -> String {
    let right = width(&line.right);
    if right == 0 {
        return cut(&line.text, columns);
    }
    // Where there is no room for both, the text says more.
    let Some(room) = columns.checked_sub(right + 1).filter(|room| *room >= 8) else {
        return cut(&line.text, columns);
    };
    let text = cut(&line.text, room);
    let gap = columns - width(&text) - right;
    format!("{text}{}{}", " ".repeat(gap), line.right)
}

/// The beginning of a text that has room in so many columns; dots show that something is missing.
fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let dots = &"..."[..columns.min(3)];
    let mut room = columns - dots.len();
    let fits = |c: &char| {
        let taken = columns_of(*c);
        let fits = taken <= room;
        room = room.saturating_sub(taken);
        fits
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push_str(dots);
    short
}

/// Columns that a text takes.
fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Columns that a character takes: the ranges of wcwidth(3), coarsely; where terminals differ it is the larger number.
fn columns_of(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x231a..=0x231b | 0x23e9..=0x23f3 | 0x2600..=0x27bf | 0x2b1b..=0x2b55 => 2,
        0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 => 2,
        0xffe0..=0xffe6 | 0x1f000..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// What a program wrote as one line that moves no cursor: without control characters and sequences (ECMA-48), and of what
/// was written over with a carriage return only the last.
pub(super) fn harmless(text: &str) -> String {
    let text = text.trim_end_matches('\r');
    let text = text.rsplit('\r').next().unwrap_or_default();
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => match chars.next() {
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    let end = chars.find(|c| ['\x07', '\x1b', '\u{9c}'].contains(c));
                    if end == Some('\x1b') {
                        chars.next();
                    }
                }
                Some('(' | ')' | '#' | '%') => drop(chars.next()),
                _ => {}
            },
            '\t' => out.push_str("    "),
            c if c.is_control() => {}
            // Marks that turn the direction of writing around.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
#[path = "../../../../../tests/e2e/src/screen.rs"]
#[allow(dead_code, unreachable_pub)]
mod model;

#[cfg(test)]
mod tests;
