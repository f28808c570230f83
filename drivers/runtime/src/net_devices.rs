//! Network devices of the host that a container borrows (config-linux.md, "Network Devices").
//!
//! They are moved into the container's network namespace before its process runs, with their addresses, and come back
//! when the container is deleted. For that the namespace is kept alive by a bind mount beside the container's state: a
//! virtual device would otherwise end with the namespace.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use linux::Errno;
use linux::mount::UnmountFlags;
use linux::namespace::Flags;
use netlink::{LinkChange, Route};
use oci::runtime::NetDevice;
use rustix::fs::{Mode, OFlags};

use crate::Error;
use crate::create::parent;

/// Moves devices into a namespace; their names inside, with those on the host.
pub(crate) fn move_in(
    namespace: BorrowedFd<'_>,
    devices: &BTreeMap<String, NetDevice>,
) -> Result<BTreeMap<String, String>, Error> {
    let host =
        linux::namespace::open_own(c"net").map_err(|errno| parent("open own network namespace", errno))?;
    let mut moved: BTreeMap<String, String> = BTreeMap::new();
    for (name, device) in devices {
        let inside = if device.name.is_empty() {
            name
        } else {
            &device.name
        };
        let result = transfer(host.as_fd(), namespace, name, inside);
        if let Err(error) = result {
            // Those that are inside already must not end with a namespace that is about to go.
            for (inside, outside) in &moved {
                let _ = transfer(namespace, host.as_fd(), inside, outside);
            }
            return Err(error);
        }
        moved.insert(inside.clone(), name.clone());
    }
    Ok(moved)
}

/// Keeps the namespace of a process alive under a path.
pub(crate) fn keep(pid: rustix::process::Pid, path: &Path) -> linux::Result<()> {
    rustix::fs::open(path, OFlags::CREATE | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))?;
    rustix::mount::mount_bind(format!("/proc/{}/ns/net", pid.as_raw_pid()), path)
}

/// Moves devices back from the namespace that is kept under `path`; what could not be done comes back as sentences.
pub(crate) fn give_back(path: &Path, devices: &BTreeMap<String, String>) -> Vec<String> {
    let mut problems = Vec::new();
    match (File::open(path), linux::namespace::open_own(c"net")) {
        (Ok(namespace), Ok(host)) => {
            for (inside, outside) in devices {
                if let Err(error) = transfer(namespace.as_fd(), host.as_fd(), inside, outside) {
                    problems.push(error.to_string());
                }
            }
        }
        (Err(error), _) => problems.push(format!("open {}: {error}", path.display())),
        (_, Err(errno)) => problems.push(format!("open own network namespace: {errno}")),
    }
    let _ = rustix::mount::unmount(path, UnmountFlags::DETACH);
    problems
}

/// Moves one device with its addresses, and sets it up.
fn transfer(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &str, new_name: &str) -> Result<(), Error> {
    let fail = |error: netlink::Error| Error::NetDevice {
        name: name.to_owned(),
        reason: error.to_string(),
    };
    let addresses = inside(from, || {
        let mut route = Route::open()?;
        let index = route.index(name)?;
        let mut addresses = route.addresses()?;
        addresses.retain(|address| address.link == index && !is_link_local(address.net.addr()));
        let change = LinkChange {
            name: Some(new_name),
            netns: Some(to),
            ..LinkChange::default()
        };
        route.set_link(index, &change)?;
        Ok(addresses)
    })?
    .map_err(fail)?;
    inside(to, || {
        let mut route = Route::open()?;
        let index = route.index(new_name)?;
        for address in addresses {
            route.add_address(index, address.net)?;
        }
        let up = LinkChange {
            up: Some(true),
            ..LinkChange::default()
        };
        route.set_link(index, &up)
    })?
    .map_err(fail)
}

fn is_link_local(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(address) => address.is_link_local(),
        std::net::IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Does something in a network namespace, as the only thread of this process.
fn inside<T>(namespace: BorrowedFd<'_>, act: impl FnOnce() -> T) -> Result<T, Error> {
    let fail = |errno: Errno| parent("join a network namespace", errno);
    let own = linux::namespace::open_own(c"net").map_err(fail)?;
    linux::namespace::join(namespace, Flags::NETWORK).map_err(fail)?;
    let result = act();
    linux::namespace::join(own, Flags::NETWORK).map_err(fail)?;
    Ok(result)
}
