//! libFuzzer's program: the target is named by `DHOW_FUZZ_TARGET`; without one it lists all and ends.
//!
//! Before it starts it writes the seeds into the folder `DHOW_FUZZ_SEEDS`.
#![no_main]
#![allow(clippy::print_stdout)] // `cargo xtask fuzz --list`

use std::sync::OnceLock;

use fuzz::{TARGETS, Target, find};

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(init: choose(), |data: &[u8]| {
    if let Some(target) = CHOSEN.get() {
        (target.run)(data);
    }
});

fn choose() {
    let name = std::env::var("DHOW_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = find(&name) else {
        for target in TARGETS {
            println!("{}\t{}\t{}", target.name, target.longest, target.about);
        }
        std::process::exit(0);
    };
    if let Some(folder) = std::env::var_os("DHOW_FUZZ_SEEDS") {
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            let path = std::path::Path::new(&folder).join(format!("seed-{number}"));
            std::fs::write(path, seed).expect("a seed can be written");
        }
    }
    let _ = CHOSEN.set(target);
}
