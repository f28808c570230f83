//! Writing the maps of a user namespace, by oneself or through `newuidmap` and `newgidmap` (user_namespaces(7)).

use std::ffi::{CStr, CString};
use std::os::fd::AsFd as _;

use linux::Errno;
use linux::process::{Exit, Program, Spawn};
use rustix::process::Pid;

use crate::Error;
use crate::create::parent;
use crate::program::IdMaps;

/// Where the helpers are looked for.
const PLACES: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"];

/// Writes both maps of a process that waits in a new user namespace.
pub(crate) fn write(pid: Pid, maps: &IdMaps) -> Result<(), Error> {
    let own_uid = rustix::process::geteuid().as_raw();
    let own_gid = rustix::process::getegid().as_raw();
    map(pid, "uid_map", "newuidmap", &maps.uid, own_uid)?;
    if own_uid != 0 && is_only(&maps.gid, own_gid) {
        // Who may not set groups anyway gives that up, and may map the own group then.
        put(pid, "setgroups", "deny")?;
    }
    map(pid, "gid_map", "newgidmap", &maps.gid, own_gid)
}

/// Writes a map; where that is forbidden and other ids than the own one are wanted, asks the helper, which knows from
/// `/etc/subuid` what the user was given.
fn map(pid: Pid, file: &str, helper: &str, lines: &str, own: u32) -> Result<(), Error> {
    match put(pid, file, lines) {
        Err(Error::Parent {
            errno: Errno::PERM, ..
        }) if !rustix::process::geteuid().is_root() && !is_only(lines, own) => ask(pid, helper, lines),
        other => other,
    }
}

/// Whether the map holds the caller's own id and nothing else.
fn is_only(lines: &str, own: u32) -> bool {
    let mut words = lines.split_whitespace().skip(1);
    words.next() == Some(own.to_string().as_str()) && words.next() == Some("1") && words.next().is_none()
}

fn put(pid: Pid, file: &str, text: &str) -> Result<(), Error> {
    let path = format!("/proc/{}/{file}", pid.as_raw_pid());
    std::fs::write(&path, text).map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
        parent(&format!("write {path}"), errno)
    })
}

fn ask(pid: Pid, helper: &str, lines: &str) -> Result<(), Error> {
    let found = PLACES
        .iter()
        .map(|place| format!("{place}/{helper}"))
        .find(|path| std::path::Path::new(path).exists());
    let Some(path) = found else {
        return Err(Error::IdMapHelper {
            helper: helper.to_owned(),
            reason: "is not installed (Debian's package uidmap)".to_owned(),
        });
    };
    let c_string = |text: &str| CString::new(text).map_err(|_| parent(helper, Errno::INVAL));
    let path = c_string(&path)?;
    let mut arguments = vec![c_string(helper)?, c_string(&pid.as_raw_pid().to_string())?];
    for word in lines.split_whitespace() {
        arguments.push(c_string(word)?);
    }
    run(helper, &path, arguments)
}

/// Runs the helper; what it has to say comes back in the error.
fn run(helper: &str, path: &CStr, arguments: Vec<CString>) -> Result<(), Error> {
    let fail = |errno| parent(&format!("run {helper}"), errno);
    let (read, write) = linux::fd::pipe_with(linux::fd::PipeFlags::CLOEXEC).map_err(fail)?;
    let child = Spawn::new(Program::Path(path), arguments)
        .fd(write.as_fd(), 2)
        .start()
        .map_err(fail)?;
    drop(write);
    let mut text = [0_u8; 512];
    let length = rustix::io::read(&read, &mut text).unwrap_or(0);
    match child.wait().map_err(fail)? {
        Exit::Code(0) => Ok(()),
        _ => Err(Error::IdMapHelper {
            helper: helper.to_owned(),
            reason: String::from_utf8_lossy(&text[..length]).trim().to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_id_alone_needs_no_helper() {
        assert!(is_only("0 1000 1\n", 1000));
        assert!(!is_only("0 1000 2\n", 1000));
        assert!(!is_only("0 1000 1\n1 100000 65536\n", 1000));
        assert!(!is_only("0 100000 1\n", 1000));
    }
}
