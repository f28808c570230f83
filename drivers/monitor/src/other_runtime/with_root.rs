//! The face between the monitor and a runtime that makes a container: it puts the root file system where the runtime
//! looks for it, in a mount namespace of its own, and becomes the runtime.

use std::ffi::{CString, OsString};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt as _;

use linux::process::CStringArray;
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountPropagationFlags;

/// Descriptor number of the detached mount.
pub(crate) const ROOT_FD: i32 = 3;

/// `with-root LOG TARGET PROGRAM ARGUMENTS...`. Returns the exit code of a failure, which is in the log then.
pub(crate) fn run(args: &[OsString]) -> i32 {
    let strings: Result<Vec<_>, _> = args
        .iter()
        .cloned()
        .map(|text| CString::new(text.into_vec()))
        .collect();
    let Ok([log, target, program, rest @ ..]) = strings.as_deref() else {
        return 2;
    };
    let (what, errno) = match attach(target) {
        Err(errno) => ("mount the root file system", errno),
        Ok(()) => {
            let arguments = CStringArray::new([std::slice::from_ref(program), rest].concat());
            let variable = |(name, value): (OsString, OsString)| {
                CString::new([name.into_vec(), b"=".to_vec(), value.into_vec()].concat()).ok()
            };
            let environment = CStringArray::new(std::env::vars_os().filter_map(variable).collect());
            ("execute", arguments.execve(program, &environment))
        }
    };
    let text = format!(
        "{what} {}: {}",
        program.to_string_lossy(),
        runtime::errno_text(errno)
    );
    let line = serde_json::json!({ "level": "error", "msg": text });
    // The exit code says at least that it failed.
    let _ = std::fs::write(log.to_string_lossy().as_ref(), format!("{line}\n"));
    1
}

fn attach(target: &CString) -> linux::Result<()> {
    let root = linux::fd::inherited(ROOT_FD)?;
    linux::namespace::unshare(linux::namespace::Flags::MOUNT)?;
    // What the host mounts later is still seen, what is mounted here is not seen there.
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", flags)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = rustix::fs::open(target, flags, Mode::empty())?;
    linux::mount::attach(root.as_fd(), place.as_fd())
}
