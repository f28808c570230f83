//! `build`: through `dhow` and through real docker commands, against what Docker's reference says.
#![allow(clippy::print_stdout)] // a test that cannot run says so

#[path = "build/corpus.rs"]
mod corpus;
#[path = "build/drawn.rs"]
mod drawn;
#[path = "build/hostile.rs"]
mod hostile;
#[path = "build/kept.rs"]
mod kept;
#[path = "build/more.rs"]
mod more;
#[path = "build/peers.rs"]
mod peers;
#[path = "build/pulls.rs"]
mod pulls;
#[path = "build/real.rs"]
mod real;
#[path = "build/results.rs"]
mod results;
#[path = "build/servers.rs"]
mod servers;
#[path = "build/sources.rs"]
mod sources;
#[path = "build/ways.rs"]
mod ways;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use e2e::{Client, Output};

/// Builds `context`, or what stands on standard input.
fn build(client: &Client, context: &Path, arguments: &[&str], input: Option<&str>) -> Output {
    let arguments = ["build"].iter().chain(arguments).map(|word| (*word).to_owned());
    let place = if input.is_some() {
        "-".to_owned()
    } else {
        context.display().to_string()
    };
    let arguments: Vec<String> = arguments.chain([place]).collect();
    match input {
        Some(text) => client.run_with(&arguments, text.as_bytes()),
        None => client.run(&arguments),
    }
}

/// What stays of a build's output when ids and times are taken out.
fn without_ids(text: &str) -> Vec<String> {
    let is_id = |word: &str| word.len() == 12 && word.bytes().all(|b| b.is_ascii_hexdigit());
    text.lines()
        .filter(|line| !line.starts_with("Sending build context"))
        .map(|line| {
            line.split(' ')
                .map(|word| if is_id(word) { "ID" } else { word })
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

/// A context with files of every kind.
fn context() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path();
    for name in ["dir/sub", "tree/a/b", "other"] {
        fs::create_dir_all(path.join(name)).expect("folder");
    }
    let files = [
        ("a.txt", 0o644),
        ("b.txt", 0o600),
        ("run.sh", 0o755),
        ("dir/x", 0o644),
        ("dir/sub/y", 0o640),
        ("tree/a/b/c.txt", 0o644),
        ("other/z.log", 0o644),
        ("with space", 0o644),
    ];
    for (name, mode) in files {
        fs::write(path.join(name), format!("{name}\n")).expect("file");
        fs::set_permissions(path.join(name), PermissionsExt::from_mode(mode)).expect("chmod");
    }
    symlink("a.txt", path.join("link")).expect("link");
    symlink("../a.txt", path.join("dir/up")).expect("link");
    symlink("/etc/shadow", path.join("evil")).expect("link");
    folder
}
