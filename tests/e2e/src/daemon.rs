//! A daemon with everything of its own.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{LONGEST, Leftovers, binaries, clients, image};

/// How a daemon is started.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// More flags of `dhowd`.
    pub flags: Vec<String>,
    /// Content of its `daemon.json`.
    pub config: Option<serde_json::Value>,
    /// More of its environment (`DHOW_CRASH_AT`).
    pub environment: Vec<(String, String)>,
}

/// A running daemon; dropping it removes its containers, ends it and checks that nothing is left behind.
#[derive(Debug)]
pub struct Daemon {
    folder: TempDir,
    settings: Settings,
    environment: Mutex<Vec<(String, String)>>,
    child: Mutex<Option<Child>>,
}

/// A daemon with the usual settings; `None`, with a line that says so, where the test cannot run.
pub fn daemon() -> Option<Daemon> {
    daemon_with(Settings::default())
}

/// A daemon with settings of the test's own.
pub fn daemon_with(settings: Settings) -> Option<Daemon> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return None;
    }
    let program = binaries().join("dhowd");
    if !program.exists() {
        println!(
            "skipped: {} is not built (cargo xtask build --test-profile)",
            program.display()
        );
        return None;
    }
    // Short, because a socket's path has at most 107 bytes.
    let folder = tempfile::Builder::new()
        .prefix("dhow-e2e-")
        .tempdir_in("/tmp")
        .expect("temporary folder");
    let daemon = Daemon {
        folder,
        environment: Mutex::new(settings.environment.clone()),
        settings,
        child: Mutex::new(None),
    };
    fs::create_dir(daemon.folder().join("client-config")).expect("folder");
    daemon.start();
    Some(daemon)
}

/// A daemon with the image `busybox` that the tests of one program share: what it costs to start one is most of what a
/// small test costs on an emulated machine. Names of containers must be each test's own, and no test may end it.
///
/// # Panics
/// As [`daemon`] and [`Daemon::load_busybox`].
pub fn shared_daemon() -> Option<Arc<Daemon>> {
    static SHARED: Mutex<Weak<Daemon>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return Some(running);
    }
    // The last test that lets go of it ends it; one that comes later gets another.
    let new = Arc::new(daemon()?);
    new.load_busybox();
    *shared = Arc::downgrade(&new);
    Some(new)
}

impl Daemon {
    /// The temporary folder that holds its roots and its log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Value for `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Path of its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder().join("dhow.sock")
    }

    /// Its data root.
    pub fn data_root(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Its exec root.
    pub fn exec_root(&self) -> PathBuf {
        self.folder().join("exec")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("dhowd.log")).unwrap_or_default()
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.child
            .lock()
            .expect("lock")
            .as_ref()
            .expect("a running daemon")
            .id()
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// When it does not answer within [`LONGEST`], or ends.
    pub fn start(&self) {
        if let Err(status) = self.try_start() {
            panic!("dhowd ended: {status}\n{}", self.log());
        }
    }

    /// Starts it and waits until it answers, or has ended with this status.
    ///
    /// # Panics
    /// When it does neither within [`LONGEST`].
    pub fn try_start(&self) -> Result<(), ExitStatus> {
        let mut child = self.spawn();
        let end = Instant::now() + LONGEST;
        while !self.answers() {
            if let Some(status) = child.try_wait().expect("wait") {
                return Err(status);
            }
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                panic!("dhowd does not answer\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        *self.child.lock().expect("lock") = Some(child);
        Ok(())
    }

    /// Changes what the next start has in its environment besides our own.
    pub fn set_environment(&self, environment: &[(&str, &str)]) {
        let owned = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        *self.environment.lock().expect("lock") = owned.collect();
    }

    /// How it ended, if it did so by itself; from then on it can be started again.
    pub fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().expect("lock");
        let status = child.as_mut()?.try_wait().expect("wait")?;
        *child = None;
        Some(status)
    }

    /// The tag in the names of its links, cgroups and firewall table.
    pub fn tag(&self) -> String {
        durable::InstanceTag::of(&self.data_root()).as_str().to_owned()
    }

    fn spawn(&self) -> Child {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder().join("dhowd.log"))
            .expect("log");
        let config = self.folder().join("daemon.json");
        let content = self
            .settings
            .config
            .clone()
            .unwrap_or_else(|| serde_json::json!({}));
        fs::write(&config, content.to_string()).expect("daemon.json");
        let mut command = Command::new(binaries().join("dhowd"));
        command.arg("--host").arg(self.host());
        command
            .arg("--data-root")
            .arg(self.data_root())
            .arg("--exec-root")
            .arg(self.exec_root());
        command
            .arg("--config-file")
            .arg(config)
            .arg("--pidfile")
            .arg(self.folder().join("dhowd.pid"));
        if !content_names_bridge(&content)
            && !self
                .settings
                .flags
                .iter()
                .any(|flag| flag.starts_with("--bridge"))
        {
            command.arg("--bridge").arg(self.bridge());
        }
        command
            .args(&self.settings.flags)
            .envs(self.environment.lock().expect("lock").iter().cloned());
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log);
        command.spawn().expect("starting dhowd")
    }

    /// A default bridge that no other daemon of the machine would ever name, so that none removes another's.
    fn bridge(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.folder().hash(&mut hasher);
        format!("dht{:08x}", hasher.finish() & 0xffff_ffff)
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = UnixStream::connect(self.socket())?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: dhow\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        ask().is_ok_and(|text| text.starts_with("HTTP/1.") && text.contains(" 200 "))
    }

    /// Sends SIGKILL and waits for its end.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.lock().expect("lock").take() {
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }

    /// SIGKILL, then a new start on the same roots.
    pub fn kill_and_restart(&self) {
        self.kill();
        self.start();
    }

    /// SIGTERM; its exit code.
    ///
    /// # Panics
    /// When it has not ended within [`LONGEST`].
    pub fn stop(&self) -> i32 {
        let Some(mut child) = self.child.lock().expect("lock").take() else {
            return 0;
        };
        if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let end = Instant::now() + LONGEST;
        loop {
            if let Some(status) = child.try_wait().expect("wait") {
                return status.code().unwrap_or(-1);
            }
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                panic!("dhowd does not end on SIGTERM\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Loads the image `busybox`, made of Debian's busybox-static.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub fn load_busybox(&self) {
        let archive = self.folder().join("busybox.tar");
        if !archive.exists() {
            image::busybox(&archive);
        }
        let client = clients(self).into_iter().next().expect("a client");
        client.ok([
            "load".as_ref(),
            "--quiet".as_ref(),
            "--input".as_ref(),
            archive.as_os_str(),
        ]);
    }

    /// Removes all containers and user networks through the first client that there is.
    fn clear(&self) {
        let Some(client) = clients(self).into_iter().next() else {
            return;
        };
        let list = client.run(["ps", "--all", "--quiet", "--no-trunc"]).stdout;
        let ids: Vec<&str> = list.split_whitespace().collect();
        if !ids.is_empty() {
            client.run(["rm", "--force", "--volumes"].into_iter().chain(ids));
        }
        client.run(["network", "prune", "--force"]);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        if panicking {
            println!("--- the daemon's log\n{}---", self.log());
        }
        let running = self.child.lock().is_ok_and(|child| child.is_some());
        if !running {
            // A test left it dead: what is there belongs to its containers, so it must clean up itself.
            if panicking {
                return;
            }
            self.start();
        }
        self.clear();
        let left = Leftovers::of(self);
        let code = self.stop();
        left.remove_what_stays_by_design();
        if !panicking {
            assert_eq!(code, 0, "the daemon's exit code\n{}", self.log());
            left.assert_none();
        }
    }
}

fn content_names_bridge(content: &serde_json::Value) -> bool {
    content.get("bridge").is_some()
}
