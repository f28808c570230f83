//! Docker's history of the Engine API beside `docs/formats/engine-api.md`: every point since 1.24 is claimed by one row of
//! that page, and every row names tests that exist, or a part that is known not to be there.
#![allow(clippy::print_stdout)] // what a test has to say goes to its log

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The oldest version whose changes count.
const OLDEST: u32 = 24;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// `1.41` or `v1.41` at the beginning of a headline, as its second number.
fn minor(headline: &str) -> Option<u32> {
    let version = headline.trim_start_matches(['v', 'V']).strip_prefix("1.")?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// One point of the history: its version and its words, without marks of code type and line breaks.
struct Point {
    minor: u32,
    text: String,
}

/// A point begins with a star, or is a chapter of its own below a version; what follows belongs to it.
fn points(history: &str) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    let mut version = None;
    for line in history.lines() {
        if let Some(headline) = line.strip_prefix("## ") {
            version = minor(headline);
            continue;
        }
        let Some(minor) = version.filter(|minor| *minor >= OLDEST) else {
            continue;
        };
        if line.starts_with("* ") || line.starts_with("#### ") {
            let text = String::new();
            points.push(Point { minor, text });
        }
        let Some(point) = points.last_mut().filter(|point| point.minor == minor) else {
            continue;
        };
        for word in line.split_whitespace() {
            point.text.push_str(&word.replace('`', ""));
            point.text.push(' ');
        }
    }
    points
}

/// A row of the page.
#[derive(Debug)]
struct Row {
    minor: u32,
    change: String,
    /// What must stand in the point that it claims.
    pieces: Vec<String>,
    tests: Vec<String>,
    /// The part that is not there.
    part: String,
}

/// What stands in code type.
fn code(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rows(page: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut version = None;
    for line in page.lines() {
        if let Some(headline) = line.strip_prefix('#') {
            version = line
                .strip_prefix("### ")
                .and_then(minor)
                .filter(|_| headline.starts_with("## "));
            continue;
        }
        let (Some(minor), Some(cells)) = (version, line.strip_prefix("| ")) else {
            continue;
        };
        let cells: Vec<&str> = cells.trim_end_matches('|').split(" | ").map(str::trim).collect();
        let [change, answer] = cells[..] else {
            panic!("two columns, not: {line}")
        };
        if change == "change" || change.starts_with("---") {
            continue;
        }
        let tests = code(answer);
        let part = if tests.is_empty() { answer } else { "" };
        rows.push(Row {
            minor,
            change: change.to_owned(),
            pieces: code(change),
            tests,
            part: part.to_owned(),
        });
    }
    rows
}

/// The parts that the page says are not there: what is in bold type below its last headline.
fn absent_parts(page: &str) -> BTreeSet<&str> {
    let (_, list) = page.rsplit_once("\n## ").expect("a last chapter");
    list.split("**").skip(1).step_by(2).collect()
}

/// The names of all test functions below a folder.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    let entries = std::fs::read_dir(folder).expect("a folder of the tree");
    for entry in entries {
        let entry = entry.expect("an entry");
        let (path, name) = (entry.path(), entry.file_name());
        if name == "target" || name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // A link may lead round in a circle.
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            tests_below(&path, found);
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            let Some(text) = read(&path) else { continue };
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                let name = line.trim_start_matches("async ").strip_prefix("fn ");
                if let Some((name, _)) = name.and_then(|name| name.split_once('(')) {
                    if is_test {
                        found.insert(name.to_owned());
                    }
                    is_test = false;
                } else if line.starts_with("#[test") || line.starts_with("#[tokio::test") {
                    is_test = true;
                }
            }
        }
    }
}

fn page() -> String {
    read(&root().join("docs/formats/engine-api.md")).expect("the page")
}

#[test]
fn every_row_names_tests_of_the_tree_or_a_part_that_is_not_there() {
    let page = page();
    let (rows, parts) = (rows(&page), absent_parts(&page));
    assert!(rows.len() > 200, "{}", rows.len());
    let mut tests = BTreeSet::new();
    tests_below(&root(), &mut tests);
    for row in rows {
        let Row { minor, change, .. } = &row;
        assert!(!row.pieces.is_empty(), "1.{minor}, {change}: names nothing");
        if row.tests.is_empty() {
            assert!(
                parts.contains(row.part.as_str()),
                "1.{minor}, {change}: {:?} is no part",
                row.part
            );
        }
        for test in &row.tests {
            assert!(
                tests.contains(test),
                "1.{minor}, {change}: there is no test {test}"
            );
        }
    }
}

#[test]
fn every_change_of_the_api_since_1_24_is_answered_by_one_row() {
    let path = root().join("../shared/reference/docker-api/CHANGELOG.md");
    let Some(history) = read(&path) else {
        println!("skipped: {} is not here", path.display());
        return;
    };
    let (points, rows) = (points(&history), rows(&page()));
    assert!(points.len() > 300, "{}", points.len());
    let mut claimed: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for point in &points {
        let claims = |row: &&(usize, &Row)| {
            row.1.minor == point.minor
                && row
                    .1
                    .pieces
                    .iter()
                    .all(|piece| point.text.contains(piece.as_str()))
        };
        let numbered: Vec<(usize, &Row)> = rows.iter().enumerate().collect();
        let found: Vec<_> = numbered.iter().filter(claims).collect();
        for (number, _) in &found {
            claimed.entry(*number).or_default().push(&point.text);
        }
        if found.len() != 1 {
            let by: Vec<_> = found.iter().map(|(_, row)| &row.change).collect();
            wrong.push(format!("1.{}: claimed by {by:?}: {}", point.minor, point.text));
        }
    }
    for (number, row) in rows.iter().enumerate() {
        match claimed.get(&number).map_or(0, Vec::len) {
            0 => wrong.push(format!("1.{}: {} is about nothing", row.minor, row.change)),
            1 => {}
            _ if row.tests.is_empty() => {}
            n => wrong.push(format!("1.{}: {} is about {n} points", row.minor, row.change)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
