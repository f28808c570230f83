//! The table that goes into the README.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::engines::Engine;

/// All lines, with the engines as columns.
pub(super) struct Table {
    engines: Vec<String>,
    titles: Vec<String>,
    /// What each is compared with is called.
    names: Vec<String>,
    lines: Vec<Line>,
}

/// One work or size, by engine.
pub(super) struct Line {
    what: String,
    values: BTreeMap<String, f64>,
    show: fn(f64) -> String,
    aims: Vec<Aim>,
}

/// What dhow's plan asks for.
#[derive(Clone, Copy)]
pub(super) enum Aim {
    /// So many times better than docker.
    Times(f64),
    /// So many times better than podman.
    TimesPodman(f64),
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
            aims: Vec::new(),
        }
    }

    pub(super) fn aim(mut self, aim: impl IntoIterator<Item = Aim>) -> Line {
        self.aims.extend(aim);
        self
    }

    /// How many times better dhow is than `other`.
    fn ratio(&self, other: &str) -> Option<f64> {
        let (own, other) = (self.values.get("dhow")?, self.values.get(other)?);
        (*own > 0.0).then(|| other / own)
    }

    fn shortfalls(&self) -> Vec<String> {
        let short = self.aims.iter().filter_map(|aim| self.shortfall(*aim));
        short.collect()
    }

    /// What is missing to an aim.
    fn shortfall(&self, aim: Aim) -> Option<String> {
        let short = |peer, aim| {
            let ratio = self.ratio(peer).filter(|ratio| *ratio < aim)?;
            Some(format!("{}: × {ratio:.1}, asked × {aim}", self.what))
        };
        match aim {
            Aim::Times(aim) => short("docker", aim),
            Aim::TimesPodman(aim) => short("podman", aim),
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
        let names: Vec<String> = engines.iter().map(|engine| engine.name.clone()).collect();
        Table {
            engines: names.clone(),
            titles: engines.iter().map(|engine| engine.title.clone()).collect(),
            names,
            lines: Vec::new(),
        }
    }

    /// The OCI runtimes, each in the column of the engine that uses it.
    pub(super) fn of_runtimes(runtimes: &[super::runtimes::Runtime]) -> Table {
        Table {
            engines: runtimes.iter().map(|runtime| runtime.column.to_owned()).collect(),
            titles: runtimes.iter().map(super::runtimes::Runtime::title).collect(),
            names: runtimes.iter().map(super::runtimes::Runtime::name).collect(),
            lines: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, line: Line) {
        self.lines.push(line);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let both = self.engines.iter().zip(&self.names);
        let (peers, names): (Vec<&String>, Vec<&String>) =
            both.filter(|(column, _)| *column != "dhow").unzip();
        write!(f, "| work |")?;
        self.titles.iter().try_for_each(|title| write!(f, " {title} |"))?;
        names.iter().try_for_each(|name| write!(f, " × {name} |"))?;
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
        let missing: Vec<String> = self.lines.iter().flat_map(Line::shortfalls).collect();
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
            names: engines.clone(),
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
        let podman = BTreeMap::from([("dhow".to_owned(), 0.003), ("podman".to_owned(), 0.006)]);
        let aims = [Aim::Times(9.0), Aim::TimesPodman(2.5)];
        let text = table(Line::times("exec", podman).aim(aims));
        assert!(text.contains("- exec: × 2.0, asked × 2.5"), "{text}");
        let text = table(Line::times("run", values()).aim(Some(Aim::Most(0.005))));
        assert!(text.contains("- run: 8.0 ms, asked 5.0 ms"), "{text}");
    }
}
