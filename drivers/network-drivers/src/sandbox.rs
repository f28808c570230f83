//! A container's network namespace, and a socket that speaks to it from outside.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use linux::namespace::{self, Flags};
use netlink::{LinkChange, Route, sysctl};

use crate::Error;

/// The index of `lo` in every namespace.
const LOOPBACK: u32 = 1;

/// A network namespace. It lives as long as this value, a process or another descriptor keeps it.
#[derive(Debug)]
pub struct Sandbox {
    netns: OwnedFd,
    route: Mutex<Route>,
}

impl Sandbox {
    /// Make a namespace with `lo` up. Links made in it later have no IPv6 until somebody switches it on.
    pub fn create() -> Result<Sandbox, Error> {
        let make = || {
            let netns = namespace::open_own(c"net").map_err(namespace_error("open"))?;
            let mut route = Route::open().map_err(Error::kernel("open a socket in", "a new namespace"))?;
            let up = LinkChange {
                up: Some(true),
                ..LinkChange::default()
            };
            route
                .set_link(LOOPBACK, &up)
                .map_err(Error::kernel("set up", "lo"))?;
            set_ipv6("default", false)?;
            Ok(Sandbox {
                netns,
                route: Mutex::new(route),
            })
        };
        namespace::on_unshared_thread(Flags::NETWORK, make).map_err(namespace_error("make"))?
    }

    /// A namespace that exists already, such as that of a container that outlived the daemon.
    pub fn of(netns: BorrowedFd<'_>) -> Result<Sandbox, Error> {
        let netns = netns.try_clone_to_owned().map_err(|source| Error::Namespace {
            doing: "duplicate descriptor",
            source,
        })?;
        let route = enter(netns.as_fd(), || {
            Route::open().map_err(Error::kernel("open a socket in", "a namespace"))
        })??;
        Ok(Sandbox {
            netns,
            route: Mutex::new(route),
        })
    }

    /// The namespace's descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    /// Set kernel parameters (path below /proc/sys, value) of the namespace.
    pub fn set_sysctls(&self, settings: &[(String, String)]) -> Result<(), Error> {
        if settings.is_empty() {
            return Ok(());
        }
        let set = |(name, value): &(String, String)| {
            sysctl::set(name, value).map_err(Error::kernel("set the kernel parameter", name))
        };
        enter(self.fd(), || settings.iter().try_for_each(set))?
    }

    /// A socket to the namespace's links and routes.
    pub(crate) fn route(&self) -> MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Switch IPv6 on for a link, without duplicate address detection: the addresses are given out by us, and a
    /// bridge port with hairpin mode would return the questions to their sender.
    pub(crate) fn enable_ipv6(&self, interface: &str) -> Result<(), Error> {
        enter(self.fd(), || {
            let detection = format!("net/ipv6/conf/{interface}/accept_dad");
            sysctl::set(&detection, "0")
                .map_err(Error::kernel("switch off address detection of", interface))?;
            set_ipv6(interface, true)
        })?
    }
}

/// `disable_ipv6` of a link of this thread's namespace; a kernel without IPv6 has nothing to switch.
fn set_ipv6(interface: &str, on: bool) -> Result<(), Error> {
    let name = format!("net/ipv6/conf/{interface}/disable_ipv6");
    if !sysctl::exists(&name) {
        return Ok(());
    }
    sysctl::set(&name, if on { "0" } else { "1" }).map_err(Error::kernel("switch IPv6 of", interface))
}

/// Run `f` in the namespace, on a thread that ends with it.
fn enter<T: Send>(netns: BorrowedFd<'_>, f: impl FnOnce() -> T + Send) -> Result<T, Error> {
    namespace::on_new_thread(&[(netns, Flags::NETWORK)], f).map_err(namespace_error("enter"))
}

fn namespace_error(doing: &'static str) -> impl Fn(linux::Errno) -> Error {
    move |errno| Error::Namespace {
        doing,
        source: errno.into(),
    }
}
