//! Columns, as Go's `text/tabwriter` makes them: at least ten wide, three spaces between.

const MINIMUM: usize = 10;
const GAP: usize = 3;

/// Lines with tabs between their cells become aligned columns.
pub(crate) fn align(text: &str) -> String {
    columns(text, MINIMUM, GAP)
}

/// The same with another least width and gap.
pub(crate) fn columns(text: &str, minimum: usize, gap: usize) -> String {
    let mut lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    // What follows the last line break is a line only if there is something.
    let ends = lines
        .last()
        .is_some_and(|last| last.len() == 1 && last[0].is_empty());
    if ends {
        lines.pop();
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut writer = Writer {
        lines: &lines,
        minimum,
        gap,
        out: &mut out,
        widths: Vec::new(),
    };
    writer.block(0, lines.len());
    if !ends && out.ends_with('\n') {
        out.pop();
    }
    out
}

struct Writer<'a> {
    lines: &'a [Vec<&'a str>],
    minimum: usize,
    gap: usize,
    out: &'a mut String,
    widths: Vec<usize>,
}

impl Writer<'_> {
    /// Lines `from..to`, whose first columns have the widths known so far. A column is a run of lines that have a cell
    /// there which a tab ends.
    fn block(&mut self, mut from: usize, to: usize) {
        let column = self.widths.len();
        let has = |line: &Vec<&str>| line.len() > column + 1;
        let mut at = from;
        while at < to {
            if !has(&self.lines[at]) {
                at += 1;
                continue;
            }
            self.write(from, at);
            from = at;
            let mut width = self.minimum;
            while at < to && has(&self.lines[at]) {
                width = width.max(self.lines[at][column].chars().count() + self.gap);
                at += 1;
            }
            self.widths.push(width);
            self.block(from, at);
            self.widths.pop();
            from = at;
        }
        self.write(from, to);
    }

    fn write(&mut self, from: usize, to: usize) {
        for line in &self.lines[from..to] {
            for (i, cell) in line.iter().enumerate() {
                self.out.push_str(cell);
                if let Some(width) = self.widths.get(i) {
                    let missing = width.saturating_sub(cell.chars().count());
                    self.out.extend(std::iter::repeat_n(' ', missing));
                }
            }
            self.out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_ten_wide_or_three_more_than_their_widest_cell() {
        let text = "CONTAINER ID\tIMAGE\tPORTS\tNAMES\n0123456789ab\tbusybox\t\tweb\n";
        assert_eq!(
            align(text),
            "CONTAINER ID   IMAGE     PORTS     NAMES\n0123456789ab   busybox             web\n"
        );
    }

    #[test]
    fn a_line_without_tabs_ends_a_column() {
        assert_eq!(
            align("a\tb\nlong line without tabs\nccccccccccccc\td\n"),
            "a         b\nlong line without tabs\nccccccccccccc   d\n"
        );
        assert_eq!(align(""), "");
    }
}
