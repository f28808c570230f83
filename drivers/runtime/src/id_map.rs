//! Binds that the parent makes and the init puts in place.
//!
//! A mount can be cloned in its own mount namespace only (open_tree(2)), and the init is in its own by then. In a user
//! namespace of its own, the container's root may not see what a bind shows; and only who has rights over the file system
//! may shift the owners of a mount (config.md, "uidMappings" of a mount; mount_setattr(2)).

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use linux::Errno;
use linux::mount::Attributes;
use linux::namespace::Flags;
use linux::process::{CloneArgs, Cloned, clone3};
use rustix::fs::{CWD, Mode, OFlags};

use crate::Error;
use crate::create::parent;
use crate::program::{IdMaps, Prepared, Shift};

/// Makes the mounts, detached.
pub(crate) fn prepare(wanted: &[Prepared]) -> Result<Vec<OwnedFd>, Error> {
    let mut namespaces: Vec<(&Shift, OwnedFd)> = Vec::new();
    let mut mounts = Vec::new();
    for bind in wanted {
        let path = bind.path.to_string_lossy();
        let fail = |what: &str| {
            let what = format!("{what} {path:?}");
            move |errno| parent(&what, errno)
        };
        let clone = || linux::mount::clone_tree(CWD, &bind.path, bind.recursive);
        let mount = match &bind.namespace {
            None => clone(),
            Some(namespace) => within(namespace, clone),
        };
        let mount = mount.map_err(fail("error mounting"))?;
        if let Some(shift) = &bind.shift {
            if !namespaces.iter().any(|(known, _)| *known == shift) {
                namespaces.push((shift, namespace(shift)?));
            }
            let found = namespaces.iter().find(|(known, _)| *known == shift);
            let namespace = &found
                .ok_or_else(|| parent("find a user namespace", Errno::NOENT))?
                .1;
            linux::mount::id_mapped(mount.as_fd(), namespace.as_fd(), bind.whole_tree)
                .map_err(fail("id-map the mount of"))?;
        }
        for (attributes, recursive) in [(bind.attributes, false), (bind.recursive_attributes, true)] {
            if attributes != Attributes::default() {
                linux::mount::set_attributes(mount.as_fd(), attributes, recursive)
                    .map_err(fail("set attributes of the mount of"))?;
            }
        }
        mounts.push(mount);
    }
    Ok(mounts)
}

/// Does something in another mount namespace. This process has one thread, and is back where it was afterwards.
fn within<T>(namespace: &CStr, work: impl FnOnce() -> linux::Result<T>) -> linux::Result<T> {
    let open = |path: &CStr, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
    let directory = OFlags::PATH | OFlags::DIRECTORY;
    let there = open(namespace, OFlags::RDONLY)?;
    let home = open(c"/proc/self/ns/mnt", OFlags::RDONLY)?;
    let (root, here) = (open(c"/", directory)?, open(c".", directory)?);
    linux::namespace::join(&there, Flags::MOUNT)?;
    let done = work();
    // There, /proc is of other processes: that there is no other thread was seen before.
    linux::namespace::join_in_child(home.as_fd(), Flags::MOUNT)?;
    // Whoever enters a mount namespace stands at its root.
    rustix::process::fchdir(&root)?;
    rustix::process::chroot(c".")?;
    rustix::process::fchdir(&here)?;
    done
}

/// A user namespace that stands for a shift.
fn namespace(shift: &Shift) -> Result<OwnedFd, Error> {
    match shift {
        Shift::Maps(maps) => new_namespace(maps),
        Shift::Namespace(path) => File::open(path).map(OwnedFd::from).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
            parent(&format!("open namespace {path}"), errno)
        }),
    }
}

/// Makes a user namespace with these maps; a process that only waits holds it until it is open.
fn new_namespace(maps: &IdMaps) -> Result<OwnedFd, Error> {
    let arguments = CloneArgs {
        namespaces: Flags::USER,
        ..CloneArgs::default()
    };
    let fail = |errno| parent("make a user namespace for an id-mapped mount", errno);
    let (read, write) = linux::fd::pipe_with(linux::fd::PipeFlags::CLOEXEC).map_err(fail)?;
    match clone3(&arguments).map_err(fail)? {
        Cloned::Child => {
            drop(write);
            // The end of the pipe: the parent has it open, or is gone.
            let _ = rustix::io::read(&read, &mut [0_u8; 1]);
            linux::process::exit_now(0)
        }
        Cloned::Parent { pid, pidfd } => {
            let opened = crate::user_maps::write(pid, maps).and_then(|()| {
                let path = format!("/proc/{}/ns/user", pid.as_raw_pid());
                File::open(&path).map(OwnedFd::from).map_err(|error| {
                    let errno = Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
                    parent(&format!("open namespace {path}"), errno)
                })
            });
            drop(write);
            let _ = linux::process::wait(&pidfd);
            opened
        }
    }
}
