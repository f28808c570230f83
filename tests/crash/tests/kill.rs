//! SIGKILL at every named point: the daemon comes back, what it lists is usable, and nothing is left behind.
#![allow(clippy::print_stdout)] // what a test has to say goes to its log

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, OnceLock};

use e2e::{Client, Daemon, LONGEST, Leftovers, clients, daemon, tree, until};

/// How many daemons live at a time.
const SIDE_BY_SIDE: usize = 3;

#[test]
fn a_kill_at_any_point_loses_nothing_that_was_promised_and_leaves_nothing_behind() {
    let points = crash::points();
    assert!(points.len() >= 40, "all crash points were found: {points:?}");
    // While working on one place: only the points whose names begin so.
    let only = std::env::var("DHOW_CRASH_ONLY").unwrap_or_default();
    let wanted = points.into_iter().filter(|point| point.starts_with(&only));
    let queue = Mutex::new(wanted);
    let failures = Mutex::new(Vec::new());
    let next = || queue.lock().expect("queue").next();
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(point) = next() {
                    if catch_unwind(AssertUnwindSafe(|| kill_at(&point))).is_err() {
                        failures.lock().expect("failures").push(point);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("failures");
    assert!(
        failures.is_empty(),
        "what went wrong is told above: {failures:#?}"
    );
}

/// What there is of a daemon that nobody has used yet.
#[derive(Debug, PartialEq, Eq)]
struct Empty {
    data: BTreeSet<PathBuf>,
    exec: BTreeSet<PathBuf>,
    firewall: BTreeSet<String>,
}

impl Empty {
    fn of(daemon: &Daemon) -> Empty {
        let left = Leftovers::of(daemon);
        let firewall = left.firewall();
        // The default bridge belongs to the daemon, which may choose another name when other daemons come and go.
        let users = |line: &String| !line.contains(&format!("\"{}\"", left.bridge()));
        let mut data = tree(&daemon.data_root());
        // Rolling copy of the tables, written some time after the first change.
        data.remove(std::path::Path::new("state.json"));
        Empty {
            data,
            exec: tree(&daemon.exec_root()),
            firewall: firewall
                .lines()
                .map(|line| line.trim().to_owned())
                .filter(users)
                .collect(),
        }
    }

    fn more_than(&self, before: &Empty) -> Vec<String> {
        let paths = |now: &BTreeSet<PathBuf>, then: &BTreeSet<PathBuf>| -> Vec<String> {
            now.difference(then)
                .map(|path| path.display().to_string())
                .collect()
        };
        let mut more = paths(&self.data, &before.data);
        more.extend(paths(&self.exec, &before.exec));
        more.extend(self.firewall.difference(&before.firewall).cloned());
        more
    }
}

/// One life of everything: each command is one that the next ones build on, and in the end nothing is there any more.
///
/// Covers pull, push, create, start, exec, stop, restart, rm, load, tag, commit, build, squash, rmi, networks and volumes, named and
/// anonymous.
const STORY: [&str; 32] = [
    "pull --quiet REGISTRY/busybox",
    "push --quiet REGISTRY/busybox",
    "rmi REGISTRY/busybox",
    "load --quiet --input busybox.tar",
    "tag busybox second",
    "volume create named",
    "network create net",
    "create --name one --network net -v named:/named -v /anonymous busybox sleep 1000",
    "start one",
    "exec one sh -c true",
    "stop --time 0 one",
    "start one",
    "commit one made",
    "rm --force --volumes one",
    "run --rm busybox true",
    "run --detach --name two --rm busybox sleep 1000",
    "rm --force two",
    "run --name three made true",
    "rm --volumes three",
    "build --quiet --tag piped - < context/Dockerfile",
    "rmi piped",
    "build --quiet --tag built context",
    "image squash built squashed",
    "rmi squashed",
    "rmi built",
    "rmi made",
    "network rm net",
    "volume rm named",
    "rmi second busybox",
    "run --rm --pull always --quiet REGISTRY/busybox true",
    "rmi REGISTRY/busybox",
    "builder prune --all --force",
];

/// Tells the story until the daemon dies; whether it did.
fn tell_until_death(docker: &Client, daemon: &Daemon) -> bool {
    STORY.iter().any(|line| {
        let output = tell(docker, daemon, line);
        // The command may end a moment before the daemon that was killed behind its reply.
        let died = daemon.ended().is_some()
            || output.code != 0 && {
                wait_for_end(daemon);
                true
            };
        assert!(died || output.code == 0, "{line}: {output:?}");
        died
    })
}

/// A command that failed must have failed because the daemon died.
fn wait_for_end(daemon: &Daemon) {
    until("the end of the daemon, because of which a command failed", || {
        daemon.ended().is_some()
    });
}

/// One registry for all daemons: what they push is what they pulled.
fn registry() -> &'static fake_registry::Registry {
    static REGISTRY: OnceLock<fake_registry::Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let registry = fake_registry::Registry::start();
        e2e::image::busybox_at(&registry, "busybox");
        registry
    })
}

fn tell(docker: &Client, daemon: &Daemon, line: &str) -> e2e::Output {
    let registry = registry().address().to_string();
    let line = line.replace("REGISTRY", &registry);
    let (line, input) = match line.split_once(" < ") {
        Some((line, file)) => (
            line,
            File::open(daemon.folder().join(file)).expect("input").into(),
        ),
        None => (line.as_str(), Stdio::null()),
    };
    let mut command = docker.command(line.split(' '));
    command.current_dir(daemon.folder()).stdin(input);
    e2e::Output::of(&command.output().expect("starting the client"))
}

fn kill_at(point: &str) {
    let Some(daemon) = daemon() else { return };
    let docker = clients(&daemon).into_iter().next().expect("a client");
    e2e::image::busybox(&daemon.folder().join("busybox.tar"));
    let context = daemon.folder().join("context");
    std::fs::create_dir(&context).expect("folder");
    std::fs::write(
        context.join("Dockerfile"),
        "FROM busybox\nCOPY Dockerfile /copied\nRUN touch /made\n",
    )
    .expect("Dockerfile");
    let empty = Empty::of(&daemon);
    daemon.stop();

    daemon.set_environment(&[("DHOW_CRASH_AT", point)]);
    let died = daemon.try_start().is_err_and(|status| status.signal() == Some(9))
        || tell_until_death(&docker, &daemon);
    assert!(
        died,
        "{point} was never reached: add to the story what leads there"
    );

    daemon.set_environment(&[]);
    daemon.start();
    if point.starts_with("containers.remove.") {
        // A removal with `--volumes` is finished with the volumes, or has not begun.
        let idle = docker.ok(["volume", "ls", "--quiet", "--filter", "dangling=true"]);
        let kept: Vec<&str> = idle.lines().filter(|name| *name != "named").collect();
        assert!(
            kept.is_empty(),
            "anonymous volumes outlive their container: {kept:?}"
        );
    }
    everything_listed_is_usable(&docker, point);
    remove_everything(&docker);
    // And life goes on, with the same names.
    for line in STORY {
        let output = tell(&docker, &daemon, line);
        assert_eq!(output.code, 0, "after {point}: {line}: {output:?}");
    }
    let left = || {
        let mut left = Leftovers::of(&daemon).of_users();
        left.extend(Empty::of(&daemon).more_than(&empty));
        left
    };
    // What runs behind a reply (a monitor that ends, the last line of an exit) has a moment.
    let patience = std::time::Instant::now() + LONGEST;
    while !left().is_empty() && std::time::Instant::now() < patience {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let left = left();
    assert!(left.is_empty(), "left behind by a kill at {point}: {left:#?}");
    println!("{point}: ok");
}

fn everything_listed_is_usable(docker: &Client, point: &str) {
    for image in lines(docker, "image ls --quiet --no-trunc") {
        docker.ok(["run", "--rm", "--network", "none", image.as_str(), "true"]);
    }
    for name in lines(docker, "volume ls --quiet") {
        docker.ok([
            "run",
            "--rm",
            "--network",
            "none",
            "-v",
            &format!("{name}:/v"),
            "busybox",
            "touch",
            "/v/file",
        ]);
    }
    for id in lines(docker, "ps --all --quiet --no-trunc") {
        let state = docker.ok(["inspect", "--format", "{{.State.Status}}", &id]);
        assert!(
            ["created", "running", "exited"].contains(&state.as_str()),
            "{point}: {state}"
        );
        // One that ended while the daemon was away is said to run until its exit record has been read.
        let runs = state == "running" && docker.run(["exec", &id, "true"]).code == 0;
        if !runs {
            let ended = || docker.ok(["inspect", "--format", "{{.State.Running}}", &id]) == "false";
            until("the end of a container in which nothing can be run", ended);
            docker.ok(["start", &id]);
        }
        docker.ok(["stop", "--time", "0", &id]);
    }
    for name in lines(docker, "network ls --quiet --filter type=custom") {
        docker.ok([
            "run",
            "--rm",
            "--network",
            &name,
            "busybox",
            "ip",
            "link",
            "show",
            "eth0",
        ]);
    }
}

fn remove_everything(docker: &Client) {
    for id in lines(docker, "ps --all --quiet --no-trunc") {
        // `--rm` may come first.
        let output = docker.run(["rm", "--force", "--volumes", &id]);
        assert!(
            output.code == 0 || output.stderr.contains("No such container"),
            "{output:?}"
        );
    }
    let all = [
        ("network ls --quiet --filter type=custom", "network"),
        ("volume ls --quiet", "volume"),
    ];
    for (list, noun) in all {
        for name in lines(docker, list) {
            docker.ok([noun, "rm", &name]);
        }
    }
    // What builds have kept for the next one.
    docker.ok(["builder", "prune", "--all", "--force"]);
    // Newest first, so that children go before their parents.
    let mut images = lines(docker, "image ls --quiet --no-trunc");
    images.dedup();
    for id in images {
        docker.ok(["rmi", "--force", &id]);
    }
}

fn lines(docker: &Client, command: &str) -> Vec<String> {
    docker.ok(command.split(' ')).lines().map(str::to_owned).collect()
}
