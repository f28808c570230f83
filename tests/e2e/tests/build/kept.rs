//! What builds keep for the next one: copies of contexts, files by link, steps that others are making, cache mounts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use e2e::{Client, Daemon, clients, daemon, http};

use super::build;

fn dhow(daemon: &Daemon) -> Client {
    let found = clients(daemon).into_iter().find(Client::is_dhow);
    found.expect("dhow is among the clients")
}

/// The files of the only kept copy, by name.
fn kept(daemon: &Daemon) -> PathBuf {
    let contexts = daemon.data_root().join("builds/contexts");
    let mut copies = fs::read_dir(contexts).expect("copies");
    let copy = copies.next().expect("one").expect("entry").path();
    assert!(copies.next().is_none(), "one copy");
    copy.join("tree")
}

fn inode(path: &Path) -> u64 {
    path.metadata().expect("metadata").ino()
}

#[test]
fn only_changed_files_are_sent_again_and_every_change_is_seen() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let dhow = dhow(&daemon);
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path();
    fs::create_dir_all(path.join("d")).expect("folder");
    for name in ["a", "b", "d/c", "gone", "ignored"] {
        fs::write(path.join(name), format!("{name} 1\n")).expect("file");
    }
    let text = "FROM busybox\nCOPY . /x\nRUN cd /x; find . -type f | sort | while read f; do echo $f $(cat $f); done\n";
    fs::write(path.join("Dockerfile"), text).expect("file");
    fs::write(path.join(".dockerignore"), "ignored\nDockerfile\n.dockerignore\n").expect("file");
    let first = build(&dhow, path, &["-t", "kept"], None);
    assert_eq!(first.code, 0, "{first:?}");
    assert!(
        first
            .stdout
            .contains("./a a 1\n./b b 1\n./d/c d/c 1\n./gone gone 1\n"),
        "{first:?}"
    );
    let copy = kept(&daemon);
    let (a, b) = (inode(&copy.join("a")), inode(&copy.join("b")));
    assert!(!copy.join("ignored").exists());

    let second = build(&dhow, path, &[], None);
    assert_eq!(
        second.stdout.matches(" ---> Using cache").count(),
        2,
        "{second:?}"
    );

    // As long as before, and its time is set back.
    let time = path
        .join("b")
        .metadata()
        .expect("metadata")
        .modified()
        .expect("time");
    fs::write(path.join("b"), "b 2\n").expect("file");
    let file = fs::File::options()
        .write(true)
        .open(path.join("b"))
        .expect("file");
    file.set_modified(time).expect("time");
    fs::remove_file(path.join("gone")).expect("remove");
    fs::write(path.join("d/new"), "new\n").expect("file");
    let third = build(&dhow, path, &[], None);
    assert!(
        third
            .stdout
            .contains("./a a 1\n./b b 2\n./d/c d/c 1\n./d/new new\n"),
        "{third:?}"
    );
    assert_eq!(kept(&daemon), copy);
    assert_eq!(inode(&copy.join("a")), a, "it was not sent again");
    assert_ne!(inode(&copy.join("b")), b);

    // A layer has the files of the copy by links, and nothing that a container does changes the copy.
    let links = copy.join("a").metadata().expect("metadata").nlink();
    assert!(links > 1, "{links} links");
    dhow.ok([
        "run",
        "--rm",
        "kept",
        "sh",
        "-c",
        "echo changed > /x/a && chmod 777 /x/b",
    ]);
    assert_eq!(fs::read_to_string(copy.join("a")).expect("file"), "a 1\n");
    assert_eq!(dhow.ok(["run", "--rm", "kept", "cat", "/x/a"]), "a 1");
    dhow.ok(["builder", "prune", "--force"]);
    assert!(!copy.exists());
    assert_eq!(
        dhow.ok(["run", "--rm", "kept", "cat", "/x/a"]),
        "a 1",
        "the layer has its own name for it"
    );
    let fourth = build(&dhow, path, &[], None);
    assert_eq!(
        fourth.stdout.matches(" ---> Using cache").count(),
        2,
        "{fourth:?}"
    );
}

#[test]
fn a_context_that_does_not_wait_is_refused() {
    let Some(daemon) = daemon() else { return };
    let reply = e2e::http::request(&daemon, "POST", "/build?kept=0123", None);
    assert_eq!(reply.status, 404, "{}", reply.text());
    assert!(
        reply.message().contains("no context 0123 waits"),
        "{}",
        reply.text()
    );
}

#[test]
fn identical_steps_of_builds_at_the_same_time_run_once() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let dhow = dhow(&daemon);
    let text = "FROM busybox\nRUN --mount=type=cache,target=/c echo run >> /c/log; sleep 1\nRUN --mount=type=cache,target=/c echo second >> /c/log; sleep 1\n";
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("Dockerfile"), text).expect("file");
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let build = || build(&dhow, folder.path(), &[], None);
        let running: Vec<_> = (0..4).map(|_| scope.spawn(build)).collect();
        running
            .into_iter()
            .map(|one| one.join().expect("build"))
            .collect()
    });
    assert!(outputs.iter().all(|output| output.code == 0), "{outputs:?}");
    let shown = "FROM busybox\nARG BUST\nRUN --mount=type=cache,target=/c cat /c/log\n";
    let log = build(&dhow, folder.path(), &[], Some(shown));
    let count = |word: &str| log.stdout.lines().filter(|line| *line == word).count();
    assert_eq!((count("run"), count("second")), (1, 1), "{log:?}");
}

#[test]
fn a_cache_may_begin_with_files_of_a_stage_and_prune_takes_what_is_asked_for() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let dhow = dhow(&daemon);
    let folder = tempfile::tempdir().expect("folder");
    let other =
        "FROM busybox\nRUN --mount=type=cache,target=/other head -c 100000 /dev/zero > /other/large\n";
    assert_eq!(build(&dhow, folder.path(), &[], Some(other)).code, 0);
    let text = "FROM busybox AS first\nRUN mkdir /seed && echo seed > /seed/file && chown -R 7:8 /seed\n\
        FROM busybox\nRUN --mount=type=cache,target=/c,from=first,source=/seed ls -ln /c; cat /c/file; echo more >> /c/file\n\
        RUN --mount=type=cache,target=/c,from=first,source=/seed cat /c/file\n";
    let made = build(&dhow, folder.path(), &[], Some(text));
    assert!(made.code == 0 && made.stdout.contains("seed\nmore\n"), "{made:?}");
    assert!(made.stdout.contains(" 7        8 "), "{made:?}");
    let refused = "FROM busybox\nRUN --mount=type=cache,target=/c,source=/x true\n";
    let output = build(&dhow, folder.path(), &[], Some(refused));
    assert!(
        output.code != 0 && output.stderr.contains("needs from="),
        "{output:?}"
    );

    let caches = || {
        fs::read_dir(daemon.data_root().join("builds/cache"))
            .expect("caches")
            .count()
    };
    assert_eq!(caches(), 2);
    let listed = http::get(&daemon, "/v1.51/system/df?type=build-cache");
    let mut mounts: Vec<_> = listed["BuildCache"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|record| record["Type"] == "exec.cachemount")
        .map(|record| {
            (
                record["Description"].as_str(),
                record["UsageCount"].as_i64(),
                record["InUse"].as_bool(),
            )
        })
        .collect();
    mounts.sort_unstable();
    let (both, once) = ("cached mount /c", "cached mount /other");
    assert_eq!(
        mounts,
        [
            (Some(both), Some(2), Some(false)),
            (Some(once), Some(1), Some(false))
        ],
        "{listed}"
    );
    dhow.ok(["builder", "prune", "--force", "--filter", "until=24h"]);
    dhow.ok(["builder", "prune", "--force", "--filter", "type=source.local"]);
    dhow.ok(["builder", "prune", "--force", "--keep-storage", "1gb"]);
    assert_eq!(
        caches(),
        2,
        "they were used just now, are of another type, and are small"
    );
    let text = dhow.ok(["builder", "prune", "--force", "--keep-storage", "50kb"]);
    assert!(
        caches() == 1 && text.contains("Total"),
        "the one used least lately goes: {text}"
    );
    let error = dhow.fails(1, ["builder", "prune", "--force", "--filter", "shared=true"]);
    assert!(error.contains("shared"), "{error}");
    dhow.ok(["builder", "prune", "--force", "--filter", "type=exec.cachemount"]);
    assert_eq!(caches(), 0);
}
