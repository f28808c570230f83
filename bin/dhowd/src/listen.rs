//! The sockets that clients connect to: unix, TCP, and those that systemd hands over.

use std::net::ToSocketAddrs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use http_api::Listener;
use rustix::fs::{Gid, Mode};
use rustix::net::SocketType;
use rustix::net::sockopt;

use crate::config::Settings;

/// First descriptor that systemd hands over (sd_listen_fds(3)).
const FIRST_FD: i32 = 3;
/// The port of `tcp://host` without one.
const TCP_PORT: u16 = 2375;

/// Open sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) listeners: Vec<Listener>,
    /// Addresses that anybody who reaches them may use.
    pub(crate) open_addresses: Vec<String>,
    pub(crate) files: SocketFiles,
}

/// The unix sockets in the file system that are ours to remove, with their inodes. They go away with the value.
#[derive(Debug, Default)]
pub(crate) struct SocketFiles(Vec<(PathBuf, u64)>);

impl Sockets {
    /// Opens every socket of `hosts`.
    pub(crate) fn open(settings: &Settings) -> Result<Self> {
        let group = group_of(settings.group.as_deref())?;
        let mut sockets = Self::default();
        for host in &settings.hosts {
            match host.split_once("://") {
                Some(("unix", path)) => sockets.unix(path, group)?,
                Some(("tcp", address)) => sockets.tcp(address)?,
                Some(("fd", _)) => sockets.activated()?,
                _ => bail!("invalid bind address {host:?}: use unix://PATH, tcp://HOST:PORT or fd://"),
            }
        }
        Ok(sockets)
    }

    fn unix(&mut self, path: &str, group: Option<u32>) -> Result<()> {
        let path = Path::new(if path.is_empty() { "/run/dhow.sock" } else { path });
        if !path.is_absolute() {
            bail!(
                "invalid bind address unix://{}: the path must be absolute",
                path.display()
            );
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        make_way(path)?;
        // Nobody but root gets in before the group is set.
        let before = rustix::process::umask(Mode::from_raw_mode(0o177));
        let bound = std::os::unix::net::UnixListener::bind(path);
        rustix::process::umask(before);
        let listener = bound.with_context(|| format!("listen on {}", path.display()))?;
        if let Some(group) = group {
            rustix::fs::chown(path, None, Some(Gid::from_raw(group)))
                .with_context(|| format!("give {} to its group", path.display()))?;
        }
        rustix::fs::chmod(path, Mode::from_raw_mode(0o660))
            .with_context(|| format!("chmod {}", path.display()))?;
        let inode = std::fs::metadata(path)
            .with_context(|| format!("stat {}", path.display()))?
            .ino();
        listener.set_nonblocking(true)?;
        self.listeners
            .push(Listener::Unix(tokio::net::UnixListener::from_std(listener)?));
        self.files.0.push((path.to_owned(), inode));
        Ok(())
    }

    fn tcp(&mut self, address: &str) -> Result<()> {
        let full = match address {
            "" => format!("localhost:{TCP_PORT}"),
            a if a.starts_with(':') => format!("localhost{a}"),
            a if a.rsplit(':').next().is_some_and(|p| p.parse::<u16>().is_ok()) => a.to_owned(),
            a => format!("{a}:{TCP_PORT}"),
        };
        let resolved = full
            .to_socket_addrs()
            .with_context(|| format!("resolve tcp://{full}"))?
            .next();
        let Some(resolved) = resolved else {
            bail!("tcp://{full} has no address")
        };
        let listener =
            std::net::TcpListener::bind(resolved).with_context(|| format!("listen on tcp://{full}"))?;
        listener.set_nonblocking(true)?;
        self.listeners
            .push(Listener::Tcp(tokio::net::TcpListener::from_std(listener)?));
        self.open_addresses.push(full);
        Ok(())
    }

    /// Takes the sockets over that systemd has opened.
    fn activated(&mut self) -> Result<()> {
        let number = |name| std::env::var(name).ok().and_then(|v| v.parse::<i32>().ok());
        let count = match (number("LISTEN_PID"), number("LISTEN_FDS")) {
            (Some(pid), Some(count)) if pid == rustix::process::getpid().as_raw_pid() => count,
            _ => {
                bail!("no sockets found via socket activation: make sure the service was started by systemd")
            }
        };
        for fd in FIRST_FD..FIRST_FD + count {
            let fd = linux::fd::inherited(fd).with_context(|| format!("take over descriptor {fd}"))?;
            self.listeners.push(adopt(fd)?);
        }
        Ok(())
    }
}

impl Drop for SocketFiles {
    fn drop(&mut self) {
        for (path, inode) in &self.0 {
            // Somebody may have put another socket in its place.
            if std::fs::metadata(path).is_ok_and(|m| m.ino() == *inode) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

fn adopt(fd: OwnedFd) -> Result<Listener> {
    let family = sockopt::socket_domain(&fd).context("look at an inherited socket")?;
    if sockopt::socket_type(&fd).context("look at an inherited socket")? != SocketType::STREAM {
        bail!("an inherited socket is no stream socket");
    }
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(match family {
        rustix::net::AddressFamily::UNIX => Listener::Unix(tokio::net::UnixListener::from_std(fd.into())?),
        _ => Listener::Tcp(tokio::net::TcpListener::from_std(fd.into())?),
    })
}

/// Removes the socket of a daemon that is no more; refuses if one still listens, or if the file is no socket.
fn make_way(path: &Path) -> Result<()> {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        bail!("{} exists and is no socket", path.display());
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        bail!("another process listens on {}", path.display());
    }
    std::fs::remove_file(path).with_context(|| format!("remove the old {}", path.display()))
}

/// The group of the socket: as configured (then it must exist), or `docker` or `dhow` where one of them exists.
fn group_of(name: Option<&str>) -> Result<Option<u32>> {
    let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
    match name {
        Some("") => Ok(None),
        Some(name) => match name.parse().ok().or_else(|| lookup(&text, name)) {
            Some(id) => Ok(Some(id)),
            None => bail!("group {name} not found"),
        },
        None => Ok(["docker", "dhow"].iter().find_map(|name| lookup(&text, name))),
    }
}

fn lookup(groups: &str, name: &str) -> Option<u32> {
    let line = groups.lines().find(|l| l.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(host: String) -> Settings {
        Settings {
            hosts: vec![host],
            group: Some(String::new()),
            ..Settings::default()
        }
    }

    #[test]
    fn a_group_is_found_by_its_exact_name() {
        let text = "docker-users:x:7:\ndocker:x:105:a,b\nbroken\n";
        assert_eq!(lookup(text, "docker"), Some(105));
        assert_eq!(lookup(text, "dock"), None);
    }

    #[tokio::test]
    async fn a_socket_is_private_to_owner_and_group_and_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/x.sock");
        let host = format!("unix://{}", path.display());
        let sockets = Sockets::open(&settings(host.clone())).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        assert!(
            Sockets::open(&settings(host.clone()))
                .unwrap_err()
                .to_string()
                .contains("another process listens")
        );
        std::mem::forget(sockets.files);
        drop(sockets.listeners);
        // The file of a daemon that was killed is no hindrance.
        drop(Sockets::open(&settings(host)).unwrap());
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let host = format!("unix://{}", file.path().display());
        assert!(
            Sockets::open(&settings(host))
                .unwrap_err()
                .to_string()
                .contains("no socket")
        );
        assert!(file.path().exists());
    }

    #[tokio::test]
    async fn addresses_of_other_kinds_are_refused() {
        for host in [
            "npipe:////./pipe/docker",
            "/run/x.sock",
            "unix://relative",
            "tcp://nowhere.invalid:1",
            "fd://",
        ] {
            assert!(Sockets::open(&settings(host.to_owned())).is_err(), "{host}");
        }
    }
}
