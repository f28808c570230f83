//! BuildKit's protocol: Debian's docker command with `DOCKER_BUILDKIT=1`, the generated client, and buildx where it is.
#![allow(clippy::print_stdout)] // what a test has to say goes to its log

#[path = "buildkit/control.rs"]
mod control;
#[path = "buildkit/docker.rs"]
mod docker;
#[path = "buildkit/session.rs"]
mod session;
#[path = "buildkit/ways.rs"]
mod ways;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{Client, Daemon, Output, clients};

/// The docker command that has BuildKit's client inside: 18.09 to 20.10. Later ones need the buildx plug-in.
fn with_buildkit_inside(daemon: &Daemon) -> Option<Client> {
    let found = clients(daemon).into_iter().find(|client| {
        let version = client.name.strip_prefix("docker ").unwrap_or_default();
        ["18.09", "19.", "20."]
            .iter()
            .any(|known| version.starts_with(known))
    });
    if found.is_none() {
        println!("skipped: no docker command of version 18.09 to 20.10 here");
    }
    found
}

/// Builds with BuildKit and plain progress.
fn build(client: &Client, context: &Path, arguments: &[&str]) -> Output {
    build_from(client, &context.display().to_string(), arguments, None)
}

fn build_from(client: &Client, context: &str, arguments: &[&str], input: Option<&[u8]>) -> Output {
    let words = ["build", "--progress", "plain"].iter().chain(arguments);
    let words: Vec<String> = words
        .map(|word| (*word).to_owned())
        .chain([context.to_owned()])
        .collect();
    let mut command = client.command(&words);
    command.env("DOCKER_BUILDKIT", "1");
    run(command, input)
}

/// Runs a command to its end, at most as long as anything may take.
fn run(mut command: Command, input: Option<&[u8]>) -> Output {
    let folder = tempfile::tempdir().expect("folder");
    let file = |name: &str| fs::File::create(folder.path().join(name)).expect("file");
    command.stdout(file("out")).stderr(file("err"));
    if let Some(input) = input {
        fs::write(folder.path().join("in"), input).expect("file");
        command.stdin(fs::File::open(folder.path().join("in")).expect("file"));
    } else {
        command.stdin(Stdio::null());
    }
    let mut child = command.spawn().expect("starting the client");
    let end = std::time::Instant::now() + e2e::LONGEST;
    let status = loop {
        if let Some(status) = child.try_wait().expect("waiting for the client") {
            break status;
        }
        if std::time::Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            let said = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
            panic!("{command:?} hung: {} {}", said("out"), said("err"));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    Output::of(&std::process::Output {
        status,
        stdout: fs::read(folder.path().join("out")).expect("file"),
        stderr: fs::read(folder.path().join("err")).expect("file"),
    })
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        fs::write(path, text).expect("file");
    }
    folder
}
