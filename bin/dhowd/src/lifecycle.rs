//! The daemon's life: locks, services, sockets, signals, end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use durable::DirLock;
use http_api::{Daemon, serve};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::config::{self, Flags, Settings};
use crate::listen::Sockets;
use crate::logging::Level;
use crate::notify::notify;
use crate::wiring::Services;
use crate::{facts, memory, runtime_file};

/// Threads at most for what blocks.
const BLOCKING: usize = 16;
/// Stack of each of them, in bytes.
const STACK: usize = 512 << 10;
/// Open requests get this long at the end.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// Containers get this long at the end, with live-restore off (Docker's default).
const SHUTDOWN_TIMEOUT: i64 = 15;

/// Runs the daemon until it is told to stop.
pub(crate) fn run(flags: &Flags, mut settings: Settings, level: &Level) -> Result<()> {
    prepare(&settings.data_root)?;
    prepare(&settings.exec_root)?;
    let _data = DirLock::acquire(&settings.data_root).context("take the data root")?;
    let _exec = DirLock::acquire(&settings.exec_root).context("take the exec root")?;
    // What is derived from the path must not depend on how it is written.
    settings.data_root = settings.data_root.canonicalize().context("find the data root")?;
    let boot = durable::volatile::boot_id().context("read the boot id")?;
    let new_boot = !durable::volatile::open_root(&settings.exec_root, &boot).context("open the exec root")?;
    let _pidfile = PidFile::write(&settings)?;
    memory::prepare();
    // One thread for all that is asynchronous: what takes time is in monitors, other processes or blocking threads.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(BLOCKING)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .context("start the threads")?;
    let outcome = runtime.block_on(serve_until_told(flags, settings, level, new_boot));
    runtime.shutdown_timeout(LAST_REQUESTS);
    tracing::debug!("all threads have ended");
    outcome
}

async fn serve_until_told(flags: &Flags, settings: Settings, level: &Level, new_boot: bool) -> Result<()> {
    let mut signals = Signals::new()?;
    let layout = cgroups::Layout::detect().context("look at the cgroups")?;
    // sd_booted(3)
    if settings.systemd_cgroups() && !Path::new("/run/systemd/system").is_dir() {
        bail!(
            "exec-opts: native.cgroupdriver=systemd needs systemd as the init of this machine (there is no \
             /run/systemd/system); leave it out for cgroupfs"
        );
    }
    let sealed = runtime_file::seal()?;
    let sockets = Sockets::open(&settings)?;
    for address in &sockets.open_addresses {
        tracing::warn!(
            "anybody who reaches tcp://{address} is root on this host: there is neither encryption nor authentication"
        );
    }
    let services = Services::open(&settings, sealed, new_boot).await?;
    let daemon = Arc::new(Daemon::new(
        facts::version(&settings)?,
        facts::info(&settings, &layout, &sockets.open_addresses)?,
        layout.mode() == cgroups::Mode::V2,
        settings.api_floor()?,
    ));
    let api = services.api(Arc::clone(&daemon));
    let (stop, stopping) = watch::channel(false);
    tracing::info!(
        hosts = settings.hosts.join(" "),
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );
    tokio::spawn(memory::tidy(Arc::clone(&services.events)));
    for listener in sockets.listeners {
        tokio::spawn(serve(listener, Arc::clone(&api), stopping.clone()));
    }
    notify("READY=1");
    let settings = signals.wait(flags, settings, &daemon, &services, level).await;
    tracing::info!("stopping");
    notify("STOPPING=1");
    let _ = stop.send(true);
    drop(sockets.files);
    close(&services, &settings, &mut signals).await;
    Ok(())
}

/// Closes the services; a second signal, or the time allowed, ends it early.
async fn close(services: &Services, settings: &Settings, signals: &mut Signals) {
    let stop = settings.live_restore == Some(false);
    let seconds = settings.shutdown_timeout.unwrap_or(SHUTDOWN_TIMEOUT);
    // Without containers to stop there is little to do; with them, a little more than they get.
    let limit = match u64::try_from(seconds) {
        Ok(seconds) => Duration::from_secs(seconds.saturating_add(5)),
        Err(_) => Duration::MAX,
    };
    tokio::select! {
        () = services.shutdown(stop) => {}
        () = tokio::time::sleep(limit) => tracing::warn!("not everything has stopped in time"),
        () = signals.told_to_stop() => tracing::warn!("told to stop twice: not everything has stopped"),
    }
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("listen to signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn told_to_stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Reloads the configuration at each SIGHUP until told to stop; the result is the configuration then.
    async fn wait(
        &mut self,
        flags: &Flags,
        mut settings: Settings,
        daemon: &Daemon,
        services: &Services,
        level: &Level,
    ) -> Settings {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return settings,
                _ = self.interrupt.recv() => return settings,
                _ = self.hangup.recv() => {
                    notify("RELOADING=1");
                    reload(flags, &mut settings, daemon, services, level);
                    notify("READY=1");
                }
            }
        }
    }
}

/// Takes those settings over that can change while the daemon runs; a bad file changes nothing.
fn reload(flags: &Flags, settings: &mut Settings, daemon: &Daemon, services: &Services, level: &Level) {
    let loaded = match config::load(flags) {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(%error, "the configuration is not reloaded");
            return;
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut new = settings.clone();
    new.debug = loaded.settings.debug;
    new.log_level.clone_from(&loaded.settings.log_level);
    new.labels.clone_from(&loaded.settings.labels);
    new.live_restore = loaded.settings.live_restore;
    new.shutdown_timeout = loaded.settings.shutdown_timeout;
    let from = &loaded.settings;
    new.blocked_registries.clone_from(&from.blocked_registries);
    new.insecure_registries.clone_from(&from.insecure_registries);
    new.registry_mirrors.clone_from(&from.registry_mirrors);
    new.registry_mirror_prefixes
        .clone_from(&from.registry_mirror_prefixes);
    new.signature_policy.clone_from(&from.signature_policy);
    new.max_concurrent_downloads = from.max_concurrent_downloads;
    new.max_concurrent_uploads = from.max_concurrent_uploads;
    new.max_download_attempts = from.max_download_attempts;
    let fixed = Settings {
        data_root: new.data_root.clone(),
        ..loaded.settings
    };
    if new != fixed {
        tracing::warn!("some of the changed settings need a restart of the daemon");
    }
    level.set(&new);
    services.images.set_registries(crate::registries::options(&new));
    daemon.update(|info| facts::follow(&new, info));
    let attributes = [
        ("name", daemon.info().name),
        ("debug", new.debug.to_string()),
        ("labels", format!("[{}]", new.labels.join(","))),
        ("live-restore", (new.live_restore != Some(false)).to_string()),
        (
            "shutdown-timeout",
            new.shutdown_timeout.unwrap_or(SHUTDOWN_TIMEOUT).to_string(),
        ),
    ];
    let attributes = attributes.map(|(k, v)| (k.to_owned(), v)).into();
    services
        .events
        .publish(events::Kind::Daemon, "reload", &daemon.info().id, attributes);
    tracing::info!("the configuration is reloaded");
    *settings = new;
}

/// Makes a root directory, and the directories above it.
fn prepare(root: &Path) -> Result<()> {
    match root.parent() {
        Some(parent) => std::fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display())),
        None => bail!("{} cannot be a root", root.display()),
    }
}

/// The file with the process id; goes away with the value.
#[derive(Debug)]
struct PidFile(PathBuf);

impl PidFile {
    fn write(settings: &Settings) -> Result<Self> {
        let path = settings
            .pidfile
            .clone()
            .unwrap_or_else(|| settings.exec_root.join("dhowd.pid"));
        if let Some(pid) = living(&path) {
            bail!(
                "process with PID {pid} is still running, ensure dhowd is not running or delete {}",
                path.display()
            );
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        std::fs::write(&path, std::process::id().to_string())
            .with_context(|| format!("write {}", path.display()))?;
        Ok(Self(path))
    }
}

/// The process that the file names, if it is another one, lives, and is a dhowd.
fn living(path: &Path) -> Option<u32> {
    let pid: u32 = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    // A daemon that was killed and that its parent has not awaited yet holds nothing any more. The state comes after the
    // name in parentheses (proc_pid_stat(5)).
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit_once(") ")?.1.chars().next()?;
    (pid != std::process::id() && name.trim() == "dhowd" && !matches!(state, 'Z' | 'X')).then_some(pid)
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Nothing depends on it: a file that is left names a process that is gone.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_zombie_does_not_keep_the_pidfile() {
        // It is named like the daemon, so that only its state tells that it is gone.
        let folder = std::env::temp_dir().join(format!("dhowd-pidfile-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        let program = folder.join("dhowd");
        std::os::unix::fs::symlink("/bin/cat", &program).expect("link");
        let mut child = std::process::Command::new(&program)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("cat");
        // The kernel sets the name a moment after it lets the parent of a vfork go on: an answer says that it runs.
        let (input, output) = (child.stdin.as_mut(), child.stdout.as_mut());
        input.expect("its input").write_all(b"x").expect("write");
        output.expect("its output").read_exact(&mut [0]).expect("read");
        let file = folder.join("pid");
        std::fs::write(&file, child.id().to_string()).expect("pid file");
        assert_eq!(living(&file), Some(child.id()));
        child.kill().expect("kill");
        // The end is awaited without reaping: the zombie stays.
        let id = rustix::process::WaitId::Pid(rustix::process::Pid::from_child(&child));
        let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(id, options).expect("waitid");
        let found = living(&file);
        child.wait().expect("wait");
        std::fs::remove_dir_all(&folder).expect("clean");
        assert_eq!(found, None);
    }
}
