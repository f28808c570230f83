//! Keeping containers from overwriting this program (CVE-2019-5736).
//!
//! A process in a container can reach the file of the program that enters it, as `/proc/<pid>/exe`, and could write to it
//! once nobody executes it any more. So the program executes itself again from a mount of its own file that is read-only
//! and hangs in no directory, or where that may not be had, from a sealed copy in memory. Most often that has happened
//! before `main` already, at a fraction of the price (`kernel/linux/src/process/entry.rs`).

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use linux::mount::{ATTR_RDONLY, Attributes};
use linux::process::CStringArray;
use rustix::fs::{Mode, OFlags, StatVfsMountFlags};

use super::CliError;

/// How this program was started.
pub(super) struct Again {
    /// Arguments after its name.
    pub(super) arguments: Vec<String>,
    /// Environment.
    pub(super) environment: Vec<CString>,
}

/// Before a verb: returns when the program runs from a file that cannot be changed from inside a container.
pub(super) fn before(verb: &str, again: Again) -> Result<(), CliError> {
    if !matches!(verb, "run" | "create" | "exec" | "restore") {
        return Ok(());
    }
    let fail = || CliError::signal("protect /proc/self/exe");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own = rustix::fs::open(c"/proc/self/exe", flags, Mode::empty()).map_err(fail())?;
    let readonly = rustix::fs::fstatvfs(&own)
        .map_err(fail())?
        .f_flag
        .contains(StatVfsMountFlags::RDONLY);
    if readonly || linux::fd::is_sealed(&own) {
        return Ok(());
    }
    let file = readonly_mount(&own)
        .or_else(|_| sealed_copy(&own))
        .map_err(fail())?;
    let mut arguments = vec![c"dhow-runtime".to_owned()];
    for text in again.arguments {
        let bad = |_| CliError::Usage("an argument has a NUL byte in it".into());
        arguments.push(CString::new(text).map_err(bad)?);
    }
    let errno = CStringArray::new(arguments).execveat(file.as_fd(), &CStringArray::new(again.environment));
    Err(fail()(errno))
}

fn readonly_mount(own: &OwnedFd) -> linux::Result<OwnedFd> {
    let mount = linux::mount::clone_tree(own.as_fd(), c"", false)?;
    let attributes = Attributes {
        set: ATTR_RDONLY,
        ..Attributes::default()
    };
    linux::mount::set_attributes(mount.as_fd(), attributes, false)?;
    Ok(mount)
}

fn sealed_copy(own: &OwnedFd) -> linux::Result<OwnedFd> {
    let copy = linux::fd::memfd_unsealed(c"dhow-runtime", true)?;
    let size = rustix::fs::fstat(own)?.st_size as u64;
    let mut offset = 0;
    while offset < size {
        let rest = usize::try_from(size - offset).unwrap_or(usize::MAX);
        if rustix::fs::sendfile(&copy, own, Some(&mut offset), rest)? == 0 {
            break;
        }
    }
    linux::fd::seal(&copy)?;
    Ok(copy)
}
