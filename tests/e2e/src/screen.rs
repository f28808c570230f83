//! A small model of a terminal, which shows what a person would see: enough of xterm's control sequences for programs that draw lines
//! over each other, and refuses the others. A narrower window breaks lines into more rows, as VTE, kitty and tmux do.

/// A terminal's window, and what has scrolled out of it.
#[derive(Debug)]
pub struct Screen {
    height: usize,
    width: usize,
    /// All rows, those that have scrolled out first.
    rows: Vec<Row>,
    /// The cursor's row among them, and its column.
    cursor: (usize, usize),
    cursor_hidden: bool,
    /// A sequence or character that has not come to its end.
    pending: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
struct Row {
    text: Vec<char>,
    /// The line goes on in the next row.
    goes_on: bool,
}

impl Screen {
    /// An empty window.
    pub fn new(height: usize, width: usize) -> Self {
        Self {
            height,
            width,
            rows: vec![Row::default()],
            cursor: (0, 0),
            cursor_hidden: false,
            pending: Vec::new(),
        }
    }

    /// All lines, without the spaces behind them and without the empty ones at the end.
    pub fn text(&self) -> Vec<String> {
        let line = |row: &Row| row.text.iter().collect::<String>().trim_end().to_owned();
        let mut lines: Vec<String> = self.rows.iter().map(line).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    /// Whether the cursor can be seen.
    pub fn cursor_shown(&self) -> bool {
        !self.cursor_hidden
    }

    /// The window gets another size. Lines are broken anew, and the cursor stays at its character.
    pub fn resize(&mut self, height: usize, width: usize) {
        let (at_row, at_column) = self.cursor;
        let (mut rows, mut line): (Vec<Row>, Vec<char>) = (Vec::new(), Vec::new());
        for (number, row) in self.rows.iter().enumerate() {
            let before = line.len();
            line.extend(&row.text);
            if number == at_row {
                let column = before + at_column;
                self.cursor = (rows.len() + column / width, column % width);
            }
            if !row.goes_on {
                let parts = line.chunks(width).map(<[char]>::to_vec);
                let mut parts: Vec<Row> = parts.map(|text| Row { text, goes_on: true }).collect();
                match parts.last_mut() {
                    Some(last) => last.goes_on = false,
                    None => parts.push(Row::default()),
                }
                rows.append(&mut parts);
                line.clear();
            }
        }
        (self.rows, self.height, self.width) = (rows, height, width);
        self.reach(self.cursor.0);
    }

    /// What a program writes.
    ///
    /// # Panics
    /// At a sequence that the model does not know.
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.pending.push(*byte);
            let whole = match self.pending.as_slice() {
                [0x1b] | [0x1b, b'['] => false,
                [0x1b, b'[', .., last] => (b'@'..=b'~').contains(last),
                text => std::str::from_utf8(text).is_ok() || text.len() >= 4,
            };
            if whole {
                let pending = std::mem::take(&mut self.pending);
                let text = String::from_utf8_lossy(&pending);
                match text.strip_prefix("\x1b[") {
                    Some(sequence) => self.sequence(sequence),
                    None => text.chars().for_each(|c| self.character(c)),
                }
            }
        }
    }

    fn character(&mut self, c: char) {
        let (row, column) = self.cursor;
        match c {
            '\r' => self.cursor.1 = 0,
            '\n' => self.reach(row + 1),
            '\x08' => self.cursor.1 = column.saturating_sub(1),
            c if c.is_control() => panic!("the model does not know {c:?}"),
            c => {
                if column == self.width {
                    self.rows[row].goes_on = true;
                    self.reach(row + 1);
                    self.cursor.1 = 0;
                }
                let (row, column) = self.cursor;
                let text = &mut self.rows[row].text;
                text.resize(text.len().max(column + 1), ' ');
                text[column] = c;
                self.cursor.1 += 1;
            }
        }
    }

    /// The cursor goes to this row, which is made if it is not there.
    fn reach(&mut self, row: usize) {
        let rows = self.rows.len().max(row + 1);
        self.rows.resize(rows, Row::default());
        self.cursor.0 = row;
    }

    fn sequence(&mut self, sequence: &str) {
        let (numbers, kind) = sequence.split_at(sequence.len() - 1);
        let count = numbers.parse().unwrap_or(1);
        let (row, column) = self.cursor;
        // The rows above the window are out of reach.
        let top = self.rows.len().saturating_sub(self.height);
        match (kind, numbers) {
            ("A", _) => self.cursor.0 = row.saturating_sub(count).max(top),
            ("B", _) => self.cursor.0 = (row + count).min(self.rows.len() - 1),
            ("K", "" | "0") => {
                self.rows[row].text.truncate(column);
                self.rows[row].goes_on = false;
            }
            ("K", "2") => self.rows[row] = Row::default(),
            ("J", "" | "0") => {
                self.rows[row].text.truncate(column);
                self.rows[row].goes_on = false;
                for below in &mut self.rows[row + 1..] {
                    *below = Row::default();
                }
            }
            ("h", "?25") => self.cursor_hidden = false,
            ("l", "?25") => self.cursor_hidden = true,
            ("m", _) => {}
            _ => panic!("the model does not know {sequence:?}"),
        }
    }
}
