//! The engines: how each is started with roots of its own, called, and ended.

mod podman;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// An engine that can be called.
pub(super) struct Engine {
    /// `dhow`, `docker` or `podman`.
    pub(super) name: String,
    /// What the table calls it: name and version.
    pub(super) title: String,
    program: PathBuf,
    leading: Vec<String>,
    environment: Vec<(String, String)>,
    /// The daemon, in a network and mount namespace of its own; for an engine without one, whoever keeps its namespaces.
    daemon: Child,
    folder: PathBuf,
    cgroup: String,
}

impl Engine {
    pub(super) fn start(name: &str, binaries: &Path, work: &Path) -> Result<Engine> {
        let folder = work.join(name);
        fs::create_dir_all(&folder)?;
        let cgroup = format!("/dhow-bench-{}-{name}", std::process::id());
        let mut engine = match name {
            "dhow" => Engine::with_daemon(
                name,
                binaries.join("dhow"),
                &binaries.join("dhowd"),
                folder,
                cgroup,
            ),
            "docker" => {
                let client = find("docker").context("no docker command")?;
                let daemon = find("dockerd").context("no dockerd (package docker.io)")?;
                Engine::with_daemon(name, client, &daemon, folder, cgroup)
            }
            "podman" => podman::start(folder, cgroup),
            other => bail!("unknown engine {other:?}"),
        }?;
        engine.title = engine.version()?;
        Ok(engine)
    }

    fn with_daemon(
        name: &str,
        client: PathBuf,
        daemon: &Path,
        folder: PathBuf,
        cgroup: String,
    ) -> Result<Engine> {
        let socket = folder.join("engine.sock");
        let log = fs::File::create(folder.join("log"))?;
        let config = folder.join("daemon.json");
        fs::write(&config, "{}")?;
        let exec_root = folder.join("exec");
        fs::create_dir_all(&exec_root)?;
        // As /run is on most machines: what need not outlive a reboot is in memory.
        let mut command = isolated("ip link set lo up; mount -t tmpfs tmpfs \"$1\" && shift && exec \"$@\"");
        command
            .arg(&exec_root)
            .arg(daemon)
            .arg("--exec-root")
            .arg(&exec_root);
        command.args(["--host", &format!("unix://{}", socket.display())]);
        command.args(["--cgroup-parent", &cgroup]);
        for (flag, part) in [("data-root", "data"), ("pidfile", "pid")] {
            command.arg(format!("--{flag}")).arg(folder.join(part));
        }
        command.arg("--config-file").arg(config);
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let pair = |name: &str, value: String| (name.to_owned(), value);
        let environment = vec![
            pair("DOCKER_HOST", format!("unix://{}", socket.display())),
            pair("DOCKER_CONFIG", folder.join("client").display().to_string()),
            // Debian has no buildx, and docker's command would look for it.
            pair("DOCKER_BUILDKIT", "0".to_owned()),
        ];
        // From here on its drop ends the daemon.
        let mut engine = Engine {
            name: name.to_owned(),
            title: String::new(),
            program: client,
            leading: Vec::new(),
            environment,
            daemon: child,
            folder,
            cgroup,
        };
        engine.await_answer()?;
        Ok(engine)
    }

    fn await_answer(&mut self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.command(&["version"]).output()?.status.success() {
            if let Some(status) = self.daemon.try_wait()? {
                let text = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("ended: {status}: {}", text.lines().last().unwrap_or_default());
            }
            ensure!(Instant::now() < end, "the daemon does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The client with these arguments.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.leading);
        let (verb, rest) = arguments.split_first().unwrap_or((&"", &[]));
        command.arg(verb);
        if self.name == "podman" && ["run", "create"].contains(verb) {
            command.args(["--cgroup-parent", &self.cgroup]);
        }
        command
            .args(rest)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs the client, which must succeed; what it printed.
    pub(super) fn ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output()?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("{} {}: {}", self.name, arguments.join(" "), errors.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// How long the client takes.
    pub(super) fn time(&self, arguments: &[&str]) -> Result<Duration> {
        let start = Instant::now();
        self.ok(arguments)?;
        Ok(start.elapsed())
    }

    fn version(&self) -> Result<String> {
        let of = |side: &str| self.ok(&["version", "--format", &format!("{{{{.{side}.Version}}}}")]);
        Ok(match self.name.as_str() {
            "podman" => format!("podman {}", of("Client")?),
            "docker" => format!("docker {} (command {})", of("Server")?, of("Client")?),
            name => format!("{name} {}", of("Server")?),
        })
    }

    /// Removes all containers.
    pub(super) fn clear(&self) {
        let Ok(list) = self.ok(&["ps", "--all", "--quiet"]) else {
            return;
        };
        let ids: Vec<&str> = list.split_whitespace().collect();
        let remove: &[&str] = match self.name.as_str() {
            // Else it waits ten seconds for each.
            "podman" => &["rm", "--force", "--time", "0", "--volumes"],
            _ => &["rm", "--force", "--volumes"],
        };
        for part in ids.chunks(50) {
            if let Err(error) = self.ok(&[remove, part].concat()) {
                println!("  not cleared: {error:#}");
            }
        }
    }

    /// Everything that the engine keeps.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.clear();
        let pid = self.daemon.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let end = Instant::now() + Duration::from_secs(20);
        while matches!(self.daemon.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = self.daemon.kill();
                let _ = self.daemon.wait();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        remove_cgroups(self.cgroup.trim_start_matches('/'));
        if self.name == "podman" {
            podman::remove_leftovers();
        }
    }
}

/// A shell in a network and a mount namespace of its own: no rule, bridge or mount of one engine can disturb the others
/// or the machine.
fn isolated(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--net",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        script,
        "sh",
    ]);
    command
}

/// Removes the groups of this name, and those below them, from all hierarchies.
fn remove_cgroups(name: &str) {
    for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        remove_group(&hierarchy.path().join(name));
    }
    remove_group(&Path::new("/sys/fs/cgroup").join(name));
}

fn remove_group(group: &Path) {
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    // A group with processes in it stays, and so does whoever put them there.
    let _ = fs::remove_dir(group);
}

/// A program on the PATH or where Debian has daemons.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]).map(PathBuf::from);
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
