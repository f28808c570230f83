//! Every seed, and every input by which a fuzzer has once broken something.

use std::fs;
use std::path::Path;

use fuzz::{TARGETS, find};

/// Whether the target takes it.
fn holds(target: &fuzz::Target, input: &[u8]) -> bool {
    std::panic::catch_unwind(|| (target.run)(input)).is_ok()
}

#[test]
fn no_seed_breaks_its_target() {
    let mut broken = Vec::new();
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has seeds", target.name);
        for (number, seed) in seeds.iter().enumerate() {
            if !holds(&target, seed) {
                broken.push(format!("seed {number} of {}", target.name));
            }
            // And what is left of it when it is cut off.
            for length in (0..seed.len()).step_by(seed.len() / 16 + 1) {
                if !holds(&target, &seed[..length]) {
                    broken.push(format!(
                        "the first {length} bytes of seed {number} of {}",
                        target.name
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn what_was_found_once_stays_mended() {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("found");
    for folder in fs::read_dir(&found).into_iter().flatten().flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        let target = find(&name).unwrap_or_else(|| panic!("no target is called {name}"));
        for file in fs::read_dir(folder.path()).expect("a folder").flatten() {
            let input = fs::read(file.path()).expect("an input");
            assert!(holds(target, &input), "{}", file.path().display());
        }
    }
}

#[test]
fn targets_have_names_of_their_own() {
    for target in TARGETS {
        assert!(std::ptr::eq(
            find(target.name).expect("a target"),
            find(target.name).expect("a target")
        ));
        let same = TARGETS.iter().filter(|other| other.name == target.name).count();
        assert_eq!(same, 1, "{}", target.name);
        assert!(!target.about.is_empty() && target.longest > 0, "{}", target.name);
    }
}
