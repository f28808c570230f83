//! The daemon, the registry, and what everybody who works in the soak test needs of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use e2e::{Client, Daemon, Leftovers, Output, clients, daemon, tree, until};

use super::measure;

pub(super) struct House {
    pub(super) daemon: Daemon,
    pub(super) docker: Client,
    registry: conformance::Server,
    /// Odd while the daemon is dead; grows with every death and every return.
    deaths: AtomicU64,
    /// Names of containers whose monitor was killed.
    struck: Mutex<BTreeSet<String>>,
    problems: Mutex<Vec<String>>,
    /// Stories told to their end, and disturbed ones.
    told: Mutex<BTreeMap<&'static str, (u64, u64)>>,
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Somebody was killed meanwhile: that is no failure.
    Disturbed,
    /// Nobody was.
    Wrong(String),
}

/// What there is of a daemon that nobody has used yet.
pub(super) struct Empty {
    disk: BTreeSet<PathBuf>,
    firewall: BTreeSet<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl House {
    pub(super) fn open() -> Option<House> {
        let daemon = daemon()?;
        let registry = conformance::server()?;
        let docker = clients(&daemon).into_iter().find(Client::is_dhow)?;
        Some(House {
            daemon,
            docker,
            registry,
            deaths: AtomicU64::new(0),
            struck: Mutex::default(),
            problems: Mutex::default(),
            told: Mutex::default(),
        })
    }

    /// Runs a command that may fail only if somebody was killed.
    pub(super) fn run(&self, words: &[&str]) -> Result<Output, Trouble> {
        let before = self.deaths.load(Ordering::SeqCst);
        let output = self.docker.run(words);
        let after = self.deaths.load(Ordering::SeqCst);
        let struck = lock(&self.struck)
            .iter()
            .any(|name| words.contains(&name.as_str()));
        match output.code {
            0 => Ok(output),
            _ if before != after || before % 2 == 1 || struck => Err(Trouble::Disturbed),
            _ => Err(Trouble::Wrong(format!("{words:?}: {output:?}"))),
        }
    }

    /// The same, its standard output without the last line feed.
    pub(super) fn text(&self, words: &[&str]) -> Result<String, Trouble> {
        let output = self.run(words)?;
        Ok(output.stdout.trim_end_matches('\n').to_owned())
    }

    /// Removes something, whatever happens meanwhile.
    pub(super) fn away(&self, words: &[&str]) {
        let mut last = String::new();
        let mut gone = || match self.docker.run(words) {
            output if output.code == 0 => true,
            output => {
                let nothing = ["No such", "not found", "no such"];
                last = output.stderr;
                nothing.iter().any(|text| last.contains(text))
            }
        };
        let end = std::time::Instant::now() + e2e::LONGEST * 2;
        while !gone() {
            if std::time::Instant::now() > end {
                self.wrong(format!("{words:?} does not succeed: {last}"));
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }

    /// A name below the registry.
    pub(super) fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.address())
    }

    pub(super) fn registry_mb(&self) -> f64 {
        measure::memory_mb(self.registry.pid())
    }

    /// SIGKILL for the daemon, and a new start.
    pub(super) fn kill_daemon(&self) {
        self.deaths.fetch_add(1, Ordering::SeqCst);
        self.daemon.kill_and_restart();
        self.deaths.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether the daemon runs, as far as we know.
    pub(super) fn is_alive(&self) -> bool {
        self.deaths.load(Ordering::SeqCst).is_multiple_of(2)
    }

    /// From now on this container's commands may fail.
    pub(super) fn mark_struck(&self, name: &str) {
        lock(&self.struck).insert(name.to_owned());
    }

    pub(super) fn is_struck(&self, name: &str) -> bool {
        lock(&self.struck).contains(name)
    }

    pub(super) fn wrong(&self, problem: String) {
        println!("WRONG   {problem}");
        lock(&self.problems).push(problem);
    }

    pub(super) fn take_problems(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.problems))
    }

    /// Runs something; a panic in it is a problem.
    pub(super) fn guarded(&self, who: &str, work: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            self.wrong(format!("{who}: {}", text.unwrap_or("panicked")));
        }
    }

    pub(super) fn count(&self, story: &'static str, whole: bool) {
        let mut told = lock(&self.told);
        let (done, disturbed) = told.entry(story).or_default();
        *if whole { done } else { disturbed } += 1;
    }

    /// What has happened so far.
    pub(super) fn progress(&self) -> String {
        let told = lock(&self.told);
        let stories: Vec<String> = told
            .iter()
            .map(|(story, (done, disturbed))| format!("{story} {done}+{disturbed}"))
            .collect();
        format!(
            "{} deaths of the daemon, {} of monitors; told+disturbed: {}",
            self.deaths.load(Ordering::SeqCst) / 2,
            lock(&self.struck).len(),
            stories.join(", ")
        )
    }

    /// What there is now, before anything has been loaded.
    pub(super) fn empty(&self) -> Empty {
        let left = Leftovers::of(&self.daemon);
        let (data, exec) = (self.daemon.data_root(), self.daemon.exec_root());
        let mut disk: BTreeSet<PathBuf> = [&data, &exec]
            .into_iter()
            .flat_map(|root| tree(root).into_iter().map(move |path| root.join(path)))
            .collect();
        // Rolling copies of the tables and of older events: they come with the first changes, and stay.
        disk.remove(&data.join("state.json"));
        disk.remove(&data.join("events.jsonl.1"));
        // The default bridge may be chosen anew.
        let users = |line: &&str| !line.contains(&format!("\"{}\"", left.bridge()));
        let firewall = left.firewall();
        let firewall = firewall
            .lines()
            .map(str::trim)
            .filter(users)
            .map(str::to_owned)
            .collect();
        Empty { disk, firewall }
    }

    /// With everything removed there must be nothing that was not there in the beginning.
    pub(super) fn assert_like(&self, before: &Empty) {
        for id in self.docker.ok(["ps", "--all", "--quiet"]).lines() {
            self.wrong(format!("a container that no story has left: {id}"));
            self.away(&["rm", "--force", "--volumes", id]);
        }
        for (noun, list) in [("volume", "--quiet"), ("network", "--filter=type=custom")] {
            let names = self.docker.ok([noun, "ls", list, "--format", "{{.Name}}"]);
            for name in names.lines() {
                self.wrong(format!("a {noun} that no story has left: {name}"));
            }
        }
        let format = "{{.Repository}}:{{.Tag}}";
        let images = self.docker.ok(["image", "ls", "--all", "--format", format]);
        // The steps of a build are kept for the next one; a build that was disturbed leaves them without a name.
        let known = ["busybox:latest", "<none>:<none>"];
        for name in images.lines().filter(|name| !known.contains(name)) {
            self.wrong(format!("an image that no story has left: {name}"));
        }
        self.docker.ok(["image", "prune", "--all", "--force"]);
        let mut more = Vec::new();
        let left = Leftovers::of(&self.daemon);
        let nothing_left = || {
            let now = self.empty();
            more = left.of_users();
            more.extend(
                now.disk
                    .difference(&before.disk)
                    .map(|path| path.display().to_string()),
            );
            more.extend(now.firewall.difference(&before.firewall).cloned());
            more.is_empty()
        };
        let waited = catch_unwind(AssertUnwindSafe(|| until("an empty house", nothing_left)));
        if waited.is_err() {
            for path in fs::read_dir(self.daemon.folder()).into_iter().flatten().flatten() {
                println!("in the folder: {}", path.path().display());
            }
            more.truncate(40);
            self.wrong(format!("left behind: {more:#?}"));
        }
    }
}
