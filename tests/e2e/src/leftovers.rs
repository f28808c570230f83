//! What a daemon could leave behind on the machine, told apart from other daemons' by its folder and its tag.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Daemon, clients};

/// The names by which one daemon's things are known; taken while it runs.
#[derive(Clone, Debug)]
pub struct Leftovers {
    folder: String,
    tag: String,
    bridge: String,
}

impl Leftovers {
    /// Of this daemon, which must be running.
    pub fn of(daemon: &Daemon) -> Leftovers {
        let format = "{{index .Options \"com.docker.network.bridge.name\"}}";
        let client = clients(daemon).into_iter().next();
        let bridge = client.map(|client| {
            client
                .run(["network", "inspect", "--format", format, "bridge"])
                .stdout
        });
        Leftovers {
            folder: daemon.folder().to_string_lossy().into_owned(),
            tag: daemon.tag(),
            bridge: bridge.unwrap_or_default().trim().to_owned(),
        }
    }

    /// What containers, networks and volumes of users have left: with all of them removed, nothing.
    pub fn of_users(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let ours = mounts.lines().filter(|line| line.contains(&self.folder));
        found.extend(ours.map(|line| format!("mount: {line}")));
        for entry in fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&format!("v{}", self.tag)) || name.starts_with(&format!("b{}-", self.tag)) {
                found.push(format!("link: {name}"));
            }
        }
        for group in self.cgroups() {
            let children = fs::read_dir(&group).into_iter().flatten().flatten();
            let children = children.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            found.extend(children.map(|entry| format!("cgroup: {}", entry.path().display())));
        }
        found.extend(
            self.processes("dhowd")
                .into_iter()
                .map(|line| format!("process: {line}")),
        );
        found
    }

    /// Panics if there is anything of an ended daemon but what stays by design. What is on its way out, such as a helper
    /// that outlives the daemon for a moment, has a minute to go.
    ///
    /// # Panics
    /// When something is left.
    pub fn assert_none(&self) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let mut found = self.of_users();
            let processes = self.processes("").into_iter();
            found.extend(processes.map(|line| format!("process: {line}")));
            if found.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "left behind: {found:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The default bridge, the firewall table and the empty parent cgroups outlive a daemon as docker's do; a test's shall not.
    pub fn remove_what_stays_by_design(&self) {
        let quiet = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let _ = command.status();
        };
        if !self.bridge.is_empty() {
            quiet("ip", &["link", "delete", &self.bridge]);
        }
        quiet("nft", &["delete", "table", "inet", &format!("dhow-{}", self.tag)]);
        for group in self.cgroups() {
            let _ = fs::remove_dir(group);
        }
    }

    /// The daemon's firewall table without what changes by itself: counters and handles.
    pub fn firewall(&self) -> String {
        let table = format!("dhow-{}", self.tag);
        let output = Command::new("nft")
            .args(["--stateless", "list", "table", "inet", &table])
            .output();
        output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
    }

    /// Name of its default bridge.
    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    /// The parent of its containers in every hierarchy.
    fn cgroups(&self) -> Vec<PathBuf> {
        let name = format!("dhow-{}", self.tag);
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(root)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let parents = std::iter::once(root.to_owned())
            .chain(hierarchies)
            .map(|path| path.join(&name));
        parents.filter(|path| path.is_dir()).collect()
    }

    /// Command lines that name the folder, other than our own and those of this program.
    fn processes(&self, but: &str) -> BTreeSet<String> {
        let own = std::process::id().to_string();
        let mut found = BTreeSet::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == own || !name.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let program = line.split(' ').next().unwrap_or_default();
            if line.contains(&self.folder) && (but.is_empty() || !program.ends_with(but)) {
                found.insert(format!("{name}: {line}"));
            }
        }
        found
    }
}

/// Every path below a folder, relative to it: what is on a daemon's disk.
pub fn tree(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(path.clone());
            }
            found.insert(path.strip_prefix(root).unwrap_or(&path).to_owned());
        }
    }
    found
}
