//! What libFuzzer printed.

use std::time::Duration;

/// The end of one target's run.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Report {
    seconds: u64,
    /// Inputs tried.
    runs: u64,
    /// Edges of the program that were reached.
    edges: u64,
    /// Edges with how often, and comparisons with how near.
    features: u64,
    /// Inputs that reach something of their own, and their bytes.
    corpus: String,
    /// Why it ended too soon.
    pub(super) broken: Option<String>,
}

impl Report {
    /// Above the rows.
    pub(super) const HEAD: &'static str =
        "| target | seconds | runs | edges | features | corpus |\n| --- | ---: | ---: | ---: | ---: | ---: |";

    /// Reads lines as `#42 DONE   cov: 12 ft: 34 corp: 5/678b …`.
    pub(super) fn read(text: &str, took: Duration) -> Self {
        let mut report = Report {
            seconds: took.as_secs(),
            ..Report::default()
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let Some(run) = words.next().and_then(|word| word.strip_prefix('#')?.parse().ok()) else {
                continue;
            };
            while let Some(word) = words.next() {
                let mut number = || words.next().unwrap_or_default();
                match word {
                    "cov:" => report.edges = number().parse().unwrap_or_default(),
                    "ft:" => report.features = number().parse().unwrap_or_default(),
                    "corp:" => number().clone_into(&mut report.corpus),
                    _ => continue,
                }
                report.runs = run;
            }
        }
        // What a panic says stands behind the line that says where it was.
        let mut lines = text.lines();
        let place = lines.by_ref().find(|line| line.contains("panicked at "));
        let input = text
            .lines()
            .find_map(|line| line.split_once("Test unit written to "))
            .map(|(_, path)| path.trim());
        let other = text.lines().find(|line| line.contains("ERROR: libFuzzer: "));
        if let (Some(what), Some(input)) = (place.or(other), input) {
            let said = lines.next().filter(|_| place.is_some()).unwrap_or_default();
            report.broken = Some(format!("{} {} (input: {input})", what.trim(), said.trim()));
        }
        report
    }

    /// Its line of the table.
    pub(super) fn row(&self, name: &str) -> String {
        format!(
            "| {name} | {} | {} | {} | {} | {} |",
            self.seconds, self.runs, self.edges, self.features, self.corpus
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        let text = "INFO: seed\n#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0\n\
                    #900\tDONE   cov: 12 ft: 34 corp: 5/678b lim: 9 exec/s: 30\nDone 900 runs in 1 second(s)\n";
        let report = Report::read(text, Duration::from_secs(61));
        assert_eq!(report.row("x"), "| x | 61 | 900 | 12 | 34 | 5/678b |");
        assert_eq!(report.broken, None);
    }

    #[test]
    fn a_panic_is_told_with_its_input() {
        let text = "#2 INITED cov: 3 ft: 4 corp: 1/1b\n\nthread '<unnamed>' panicked at src/x.rs:2:9:\nfound it\n\
                    ==1== ERROR: libFuzzer: deadly signal\n\
                    artifact_prefix='f/'; Test unit written to f/crash-ab\n";
        let broken = Report::read(text, Duration::ZERO).broken.unwrap();
        assert!(
            broken.contains("src/x.rs:2:9: found it (input: f/crash-ab)"),
            "{broken}"
        );
        let text = "==1== ERROR: libFuzzer: timeout after 31 seconds\nTest unit written to f/timeout-ab\n";
        let broken = Report::read(text, Duration::ZERO).broken.unwrap();
        assert!(broken.contains("timeout after 31 seconds"), "{broken}");
    }
}
