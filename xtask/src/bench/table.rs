//! The table that goes into the README.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::engines::Engine;

/// All lines, with the engines as columns.
pub(super) struct Table {
    engines: Vec<String>,
    titles: Vec<String>,
    lines: Vec<Line>,
}

/// One work or size, by engine.
pub(super) struct Line {
    what: String,
    values: BTreeMap<String, f64>,
    show: fn(f64) -> String,
    aim: Option<Aim>,
}

/// What dhow's plan asks for.
#[derive(Clone, Copy)]
pub(super) enum Aim {
    /// So many times better than docker.
    Times(f64),
    /// No more than this, in seconds or bytes.
    Most(f64),
}

impl Line {
    /// Seconds.
    pub(super) fn times(what: &str, values: BTreeMap<String, f64>) -> Line {
        Line::new(what, values, duration)
    }

    /// Bytes.
    pub(super) fn bytes(what: &str, values: BTreeMap<String, f64>) -> Line {
        Line::new(what, values, megabytes)
    }

    fn new(what: &str, values: BTreeMap<String, f64>, show: fn(f64) -> String) -> Line {
        Line {
            what: what.to_owned(),
            values,
            show,
            aim: None,
        }
    }

    pub(super) fn aim(mut self, aim: Option<Aim>) -> Line {
        self.aim = aim;
        self
    }

    /// How many times better dhow is than `other`.
    fn ratio(&self, other: &str) -> Option<f64> {
        let (own, other) = (self.values.get("dhow")?, self.values.get(other)?);
        (*own > 0.0).then(|| other / own)
    }

    /// What is missing to the aim.
    fn shortfall(&self) -> Option<String> {
        match self.aim? {
            Aim::Times(aim) => {
                let ratio = self.ratio("docker").filter(|ratio| *ratio < aim)?;
                Some(format!("{}: × {ratio:.1}, asked × {aim}", self.what))
            }
            Aim::Most(aim) => {
                let own = self.values.get("dhow").filter(|own| **own > aim)?;
                let show = self.show;
                Some(format!("{}: {}, asked {}", self.what, show(*own), show(aim)))
            }
        }
    }
}

impl Table {
    pub(super) fn new(engines: &[Engine]) -> Table {
        Table {
            engines: engines.iter().map(|engine| engine.name.clone()).collect(),
            titles: engines.iter().map(|engine| engine.title.clone()).collect(),
            lines: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, line: Line) {
        self.lines.push(line);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers: Vec<&String> = self.engines.iter().filter(|name| *name != "dhow").collect();
        write!(f, "| work |")?;
        self.titles.iter().try_for_each(|title| write!(f, " {title} |"))?;
        peers.iter().try_for_each(|peer| write!(f, " × {peer} |"))?;
        writeln!(f, "\n|---|{}", "---|".repeat(self.titles.len() + peers.len()))?;
        for line in &self.lines {
            write!(f, "| {} |", line.what)?;
            for engine in &self.engines {
                let value = line.values.get(engine).map(|value| (line.show)(*value));
                write!(f, " {} |", value.as_deref().unwrap_or("–"))?;
            }
            for peer in &peers {
                let ratio = line.ratio(peer).map(|ratio| format!("{ratio:.1}"));
                write!(f, " {} |", ratio.as_deref().unwrap_or("–"))?;
            }
            writeln!(f)?;
        }
        let missing: Vec<String> = self.lines.iter().filter_map(Line::shortfall).collect();
        if missing.is_empty() {
            writeln!(f, "\nNothing is behind the plan.")
        } else {
            writeln!(f, "\nBehind the plan:\n- {}", missing.join("\n- "))
        }
    }
}

pub(super) fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

fn megabytes(bytes: f64) -> String {
    match bytes / 1e6 {
        mb if mb < 10.0 => format!("{mb:.2} MB"),
        mb => format!("{mb:.1} MB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(line: Line) -> String {
        let engines = ["dhow", "docker", "podman"].map(str::to_owned).to_vec();
        let table = Table {
            titles: engines.clone(),
            engines,
            lines: vec![line],
        };
        table.to_string()
    }

    fn values() -> BTreeMap<String, f64> {
        BTreeMap::from([("dhow".to_owned(), 0.008), ("docker".to_owned(), 0.2)])
    }

    #[test]
    fn the_table_compares_with_each_peer() {
        let text = table(Line::times("run", values()).aim(Some(Aim::Times(25.0))));
        assert!(
            text.contains("| run | 8.0 ms | 200 ms | – | 25.0 | – |"),
            "{text}"
        );
        assert!(text.contains("Nothing is behind"), "{text}");
    }

    #[test]
    fn what_is_behind_the_plan_is_named() {
        let text = table(Line::times("run", values()).aim(Some(Aim::Times(26.0))));
        assert!(text.contains("- run: × 25.0, asked × 26"), "{text}");
        let text = table(Line::times("run", values()).aim(Some(Aim::Most(0.005))));
        assert!(text.contains("- run: 8.0 ms, asked 5.0 ms"), "{text}");
    }
}
