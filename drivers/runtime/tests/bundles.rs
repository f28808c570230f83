//! Containers made for real: what is seen inside, what attacks come to, and what errors say.
//!
//! Needs root and a static busybox; says that it was skipped otherwise. Runs without the usual harness, because only a
//! program with one thread may make containers.

// A program of its own: it reports on stderr.
#![allow(clippy::print_stderr)]

#[path = "bundles/attacks.rs"]
mod attacks;
#[path = "bundles/bundle.rs"]
mod bundle;
#[path = "bundles/features.rs"]
mod features;
#[path = "bundles/inside.rs"]
mod inside;
#[path = "bundles/life.rs"]
mod life;

fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    if !rustix::process::geteuid().is_root() || bundle::busybox().is_none() {
        eprintln!("skipped: needs root and a static busybox (apt-get install busybox-static)");
        return;
    }
    let tests: Vec<(&str, fn())> = [inside::TESTS, features::TESTS, attacks::TESTS, life::TESTS].concat();
    let mut passed = 0;
    let mut failed = Vec::new();
    for (name, test) in tests {
        if filter
            .as_ref()
            .is_none_or(|filter| name.contains(filter.as_str()))
        {
            eprintln!("test {name}");
            match std::panic::catch_unwind(test) {
                Ok(()) => passed += 1,
                Err(_) => failed.push(name),
            }
        }
    }
    // The usual harness' words, by which results are counted.
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    eprintln!("\nfailures:");
    failed.iter().for_each(|name| eprintln!("    {name}"));
    eprintln!(
        "\ntest result: {verdict}. {passed} passed; {} failed; 0 ignored",
        failed.len()
    );
    assert!(failed.is_empty(), "failed: {failed:?}");
}
