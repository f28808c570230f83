//! The engines: how each is started with roots of its own, called, and ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// An engine that can be called.
pub(super) struct Engine {
    /// `dhow`, `docker` or `podman`.
    pub(super) name: String,
    program: PathBuf,
    leading: Vec<String>,
    environment: Vec<(String, String)>,
    /// The daemon, in a network and mount namespace of its own.
    daemon: Option<Child>,
    folder: PathBuf,
}

impl Engine {
    pub(super) fn start(name: &str, binaries: &Path, work: &Path) -> Result<Engine> {
        let folder = work.join(name);
        fs::create_dir_all(&folder)?;
        match name {
            "dhow" => Engine::with_daemon(name, binaries.join("dhow"), &binaries.join("dhowd"), folder, &[]),
            "docker" => {
                let client = find("docker").context("no docker command")?;
                let daemon = find("dockerd").context("no dockerd (package docker.io)")?;
                Engine::with_daemon(name, client, &daemon, folder, &[])
            }
            "podman" => {
                let program = find("podman").context("no podman (package podman)")?;
                let path = |part: &str| folder.join(part).display().to_string();
                let leading = [
                    "--root",
                    &path("root"),
                    "--runroot",
                    &path("run"),
                    "--cgroup-manager",
                    "cgroupfs",
                ];
                let leading = leading
                    .into_iter()
                    .chain(["--runtime", "crun", "--events-backend", "file"]);
                let leading = leading.map(str::to_owned).collect();
                let engine = Engine {
                    name: name.to_owned(),
                    program,
                    leading,
                    environment: Vec::new(),
                    daemon: None,
                    folder,
                };
                engine.ok(&["info"])?;
                Ok(engine)
            }
            other => bail!("unknown engine {other:?}"),
        }
    }

    fn with_daemon(
        name: &str,
        client: PathBuf,
        daemon: &Path,
        folder: PathBuf,
        flags: &[&str],
    ) -> Result<Engine> {
        let socket = folder.join("engine.sock");
        let log = fs::File::create(folder.join("log"))?;
        let config = folder.join("daemon.json");
        fs::write(&config, "{}")?;
        // A network of its own: no rule and no bridge of one engine can disturb the others or the machine.
        let mut command = Command::new("unshare");
        command.args([
            "--net",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            "ip link set lo up; exec \"$@\"",
            "sh",
        ]);
        command
            .arg(daemon)
            .arg("--host")
            .arg(format!("unix://{}", socket.display()));
        command
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"));
        command
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .arg("--config-file")
            .arg(config)
            .args(flags);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let end = Instant::now() + Duration::from_secs(30);
        let environment = vec![
            ("DOCKER_HOST".to_owned(), format!("unix://{}", socket.display())),
            (
                "DOCKER_CONFIG".to_owned(),
                folder.join("client").display().to_string(),
            ),
        ];
        loop {
            if let Some(status) = child.try_wait()? {
                let text = fs::read_to_string(folder.join("log")).unwrap_or_default();
                bail!(
                    "{} ended: {status}: {}",
                    daemon.display(),
                    text.lines().last().unwrap_or_default()
                );
            }
            let asked = Command::new(&client)
                .arg("version")
                .envs(environment.iter().cloned())
                .output()?;
            if asked.status.success() {
                break;
            }
            ensure!(Instant::now() < end, "{} does not answer", daemon.display());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Engine {
            name: name.to_owned(),
            program: client,
            leading: Vec::new(),
            environment,
            daemon: Some(child),
            folder,
        })
    }

    /// The client with these arguments.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.leading)
            .args(arguments)
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

    pub(super) fn version(&self) -> String {
        let format = ["version", "--format", "{{.Server.Version}}"];
        let format = if self.name == "podman" {
            ["version", "--format", "{{.Client.Version}}"]
        } else {
            format
        };
        self.ok(&format).unwrap_or_else(|_| "unknown version".to_owned())
    }

    /// Removes all containers.
    pub(super) fn clear(&self) {
        let Ok(list) = self.ok(&["ps", "--all", "--quiet"]) else {
            return;
        };
        let ids: Vec<&str> = list.split_whitespace().collect();
        for part in ids.chunks(50) {
            let _ = self.ok(&[&["rm", "--force", "--volumes"], part].concat());
        }
    }

    /// Its daemon's processes, with those that serve it (docker's containerd).
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.clear();
        let Some(mut child) = self.daemon.take() else {
            return;
        };
        let _ = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status();
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A program on the PATH or where Debian has daemons.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]).map(PathBuf::from);
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
