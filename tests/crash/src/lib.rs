//! The daemon, and the registry, killed at every crash point that the sources name: `crash_point("service.operation.step")`.
//!
//! [`points`] reads the names from the sources, so that a new point is tested from the moment it is written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every crash point of the daemon.
///
/// # Panics
/// When the sources cannot be read.
pub fn points() -> BTreeSet<String> {
    let all = all_points().into_iter();
    all.filter(|point| !is_of_registry(point)).collect()
}

/// Every crash point of the registry.
///
/// # Panics
/// When the sources cannot be read.
pub fn registry_points() -> BTreeSet<String> {
    all_points().into_iter().filter(is_of_registry).collect()
}

#[expect(clippy::ptr_arg, reason = "a filter of strings gets them by reference")]
fn is_of_registry(point: &String) -> bool {
    point.starts_with("registry.")
}

/// Every crash point named in the sources of this workspace, tests apart.
fn all_points() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let floors = ["foundation", "kernel", "drivers", "services", "interfaces", "bin"];
    let mut open: Vec<PathBuf> = floors.map(|floor| root.join(floor)).into();
    let mut points = BTreeSet::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("sources").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("tests") {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let calls = text.split("crash_point(\"").skip(1);
                points.extend(calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }
    points
}
