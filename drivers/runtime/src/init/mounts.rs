//! Steps that mount. Targets are opened inside the new root first (`RESOLVE_IN_ROOT`), then a mount that was made
//! detached is moved onto the open file: no path is walked twice, so an image's symbolic links lead nowhere else.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::mount::{ATTR_RDONLY, Attributes, MountPropagationFlags, UnmountFlags};
use linux::{Errno, Result};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};

use super::{Context, State, copy_up, root};
use crate::program::{Kept, Mount, Source};

/// Sets the propagation at `/`.
pub(super) fn propagation(flags: u32) -> Result<()> {
    rustix::mount::mount_change(c"/", MountPropagationFlags::from_bits_retain(flags))
}

/// Puts the root file system in place. A detached mount goes on top of `/`, or with `visible` on top of its directory;
/// pivot_root makes it the root later.
pub(super) fn attach_root(
    directory: Option<&CStr>,
    visible: bool,
    context: &Context<'_>,
    state: &mut State,
) -> Result<()> {
    // pivot_root wants the parent of the new root not to be shared, nor may what follows reach the host.
    rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE)?;
    let mount = match directory {
        Some(path) => {
            let clone = linux::mount::clone_tree(CWD, path, true)?;
            // Cloned from a shared mount it is shared too, and pivot_root(".", ".") wants its new root not to be: the
            // propagation that was asked for is set afterwards.
            let private = Attributes {
                propagation: u64::from(MountPropagationFlags::PRIVATE.bits()),
                ..Attributes::default()
            };
            linux::mount::set_attributes(clone.as_fd(), private, false)?;
            clone
        }
        None => rustix::io::fcntl_dupfd_cloexec(context.rootfs.ok_or(Errno::BADF)?, 3)?,
    };
    state.null = host_null().ok();
    let place = directory.filter(|_| visible).unwrap_or(c"/");
    let here = rustix::fs::open(place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    linux::mount::attach(mount.as_fd(), here.as_fd())?;
    if visible {
        rustix::process::fchdir(&mount)?;
    }
    state.root = Some(mount);
    Ok(())
}

/// A detached mount of the host's `/dev/null`, if that is what it should be.
fn host_null() -> Result<OwnedFd> {
    let null = rustix::fs::open(
        c"/dev/null",
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let stat = rustix::fs::fstat(&null)?;
    let right =
        FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == rustix::fs::makedev(1, 3);
    if right {
        linux::mount::clone_tree(null.as_fd(), c"", false)
    } else {
        Err(Errno::NODEV)
    }
}

/// Makes one mount.
pub(super) fn mount(
    mount: &Mount,
    label: Option<&CStr>,
    context: &Context<'_>,
    state: &mut State,
) -> Result<()> {
    let original = match &mount.source {
        Source::New { kind, .. } if kind.as_c_str() == c"tmpfs" => {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            linux::fd::open_in_root(root(state)?, &mount.target, flags, Mode::empty()).ok()
        }
        _ => None,
    };
    let made = match &mount.source {
        Source::New { kind, options } => {
            // What is to be filled becomes read-only afterwards.
            let late = if mount.copy_up { ATTR_RDONLY } else { 0 };
            new(kind, options, original.as_ref(), mount.attributes.set & !late)?
        }
        Source::Prepared { place, .. } => {
            rustix::io::fcntl_dupfd_cloexec(context.prepared.get(*place).ok_or(Errno::BADF)?, 3)?
        }
        Source::Bind {
            path,
            recursive,
            optional,
        } => match linux::mount::clone_tree(CWD, path, *recursive) {
            Err(Errno::NOENT) if *optional => return Ok(()),
            other => bind(other?, mount)?,
        },
    };
    if mount.recursive_attributes != Attributes::default() {
        linux::mount::set_attributes(made.as_fd(), mount.recursive_attributes, true)?;
    }
    if mount.copy_up {
        if let Some(original) = &original {
            copy_up::copy(original.as_fd(), made.as_fd())?;
        }
        linux::mount::set_attributes(made.as_fd(), mount.attributes, false)?;
    }
    let target = match original {
        Some(original) if !mount.plain_target => original,
        _ => target(made.as_fd(), mount, root(state)?)?,
    };
    linux::mount::attach(made.as_fd(), target.as_fd())?;
    if let (Source::New { kind, .. }, Some(label)) = (&mount.source, label)
        && kind.as_c_str() == c"mqueue"
    {
        relabel(made.as_fd(), label)?;
    }
    if let Some((kind, recursive)) = mount.propagation {
        let attributes = Attributes {
            propagation: kind,
            ..Attributes::default()
        };
        linux::mount::set_attributes(made.as_fd(), attributes, recursive)?;
    }
    match mount.keep {
        Some(Kept::Proc) => state.proc = Some(made),
        Some(Kept::Devpts) => state.devpts = Some(made),
        None => {}
    }
    Ok(())
}

/// Gives the root of a mount a SELinux label.
fn relabel(mount: BorrowedFd<'_>, label: &CStr) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(mount, c".", flags, Mode::empty())?;
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::fsetxattr(&directory, c"security.selinux", label.to_bytes_with_nul(), flags)
}

fn new(
    kind: &CStr,
    options: &[(std::ffi::CString, Option<std::ffi::CString>)],
    original: Option<&OwnedFd>,
    attributes: u64,
) -> Result<OwnedFd> {
    let filesystem = linux::mount::Filesystem::new(kind)?;
    if let Some(original) = original {
        // A tmpfs has the mode of what it covers, unless its options say otherwise, as with runc.
        let mode = rustix::fs::fstat(original)?.st_mode;
        let digits = [9, 6, 3, 0].map(|shift| b'0' + (mode >> shift & 7) as u8);
        let text = [digits[0], digits[1], digits[2], digits[3], 0];
        filesystem.set(
            c"mode",
            CStr::from_bytes_with_nul(&text).map_err(|_| Errno::INVAL)?,
        )?;
    }
    for (key, value) in options {
        match value {
            Some(value) => filesystem.set(key, value)?,
            None => filesystem.set_flag(key)?,
        };
    }
    filesystem.mount(attributes)
}

fn bind(made: OwnedFd, mount: &Mount) -> Result<OwnedFd> {
    if mount.attributes != Attributes::default() {
        linux::mount::set_attributes(made.as_fd(), mount.attributes, false)?;
    }
    Ok(made)
}

/// Opens the place of a mount, making a directory or a file where there is none.
fn target(made: BorrowedFd<'_>, mount: &Mount, root: BorrowedFd<'_>) -> Result<OwnedFd> {
    if mount.plain_target {
        // A symbolic link in the place of /proc would let an image choose where checks of /proc look.
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat2(root, &*mount.target, flags, Mode::empty(), resolve) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
    }
    let directory = match &mount.source {
        Source::New { .. } => true,
        Source::Bind { .. } | Source::Prepared { .. } => {
            FileType::from_raw_mode(rustix::fs::fstat(made)?.st_mode).is_dir()
        }
    };
    if directory {
        linux::fd::ensure_directory_in_root(root, &mount.target, Mode::from_raw_mode(0o755))
    } else {
        linux::fd::ensure_file_in_root(root, &mount.target, Mode::from_raw_mode(0o644)).map_err(|error| {
            match error {
                // What mount(2) would say of a file over a directory.
                Errno::ISDIR => Errno::NOTDIR,
                other => other,
            }
        })
    }
}

/// Makes the new root the root.
pub(super) fn pivot(state: &State) -> Result<()> {
    rustix::process::fchdir(root(state)?)?;
    linux::mount::pivot_to_current_directory()
}

/// Makes the new root the root of this process alone, for root file systems that pivot_root does not take. What of the
/// host shows processes or devices is taken away first: it would stay in reach below the new root.
pub(super) fn chroot(state: &State) -> Result<()> {
    rustix::process::fchdir(root(state)?)?;
    for path in [c"/proc", c"/sys"] {
        match rustix::mount::unmount(path, UnmountFlags::DETACH) {
            // Not a mount, or not there.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            // Locked by a user namespace, which hides it.
            Err(Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    rustix::process::chroot(c".")?;
    rustix::process::chdir(c"/")
}

/// Opens a path to hide or protect: `None` when it is not there. Paths in `/proc` are walked in the container's own
/// procfs, so that they are what they are called, whatever an image or a volume has put at `/proc`.
fn open_protected(path: &CStr, state: &State) -> Result<Option<OwnedFd>> {
    let below_proc = path.to_bytes_with_nul().strip_prefix(b"/proc/");
    let opened = match (below_proc, &state.proc) {
        (Some(rest), Some(proc)) => {
            let rest = CStr::from_bytes_with_nul(rest).map_err(|_| Errno::INVAL)?;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            rustix::fs::openat2(proc, rest, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
        }
        _ => linux::fd::open_in_root(root(state)?, path, OFlags::PATH, Mode::empty()),
    };
    match opened {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Hides a path: a file under the null device, a directory under an empty one.
pub(super) fn mask(path: &CStr, label: Option<&CStr>, state: &mut State) -> Result<()> {
    let Some(target) = open_protected(path, state)? else {
        return Ok(());
    };
    let directory = FileType::from_raw_mode(rustix::fs::fstat(&target)?.st_mode).is_dir();
    let cover = if directory {
        &mut state.empty
    } else {
        &mut state.null
    };
    match cover {
        Some(first) => match linux::mount::clone_tree(first.as_fd(), c"", false) {
            Ok(copy) => linux::mount::attach(copy.as_fd(), target.as_fd()),
            // Before Linux 6.15 a mount that is in place nowhere yet cannot be copied: this is its first use.
            Err(_) => linux::mount::attach(first.as_fd(), target.as_fd()),
        },
        None if directory => {
            let filesystem = linux::mount::Filesystem::new(c"tmpfs")?;
            filesystem
                .set(c"size", c"0")?
                .set(c"nr_inodes", c"1")?
                .set(c"mode", c"755")?;
            if let Some(label) = label {
                filesystem.set(c"context", label)?;
            }
            let made = filesystem.mount(ATTR_RDONLY)?;
            linux::mount::attach(made.as_fd(), target.as_fd())?;
            *cover = Some(made);
            Ok(())
        }
        None => Err(Errno::NODEV),
    }
}

/// Makes a path read-only by mounting it onto itself.
pub(super) fn readonly_path(path: &CStr, state: &State) -> Result<()> {
    let Some(target) = open_protected(path, state)? else {
        return Ok(());
    };
    let copy = linux::mount::clone_tree(target.as_fd(), c"", true)?;
    let attributes = Attributes {
        set: ATTR_RDONLY,
        ..Attributes::default()
    };
    linux::mount::set_attributes(copy.as_fd(), attributes, true)?;
    linux::mount::attach(copy.as_fd(), target.as_fd())
}

/// Makes the mount at a path read-only.
pub(super) fn readonly_mount(path: &CStr, state: &State) -> Result<()> {
    let mount = linux::fd::open_in_root(root(state)?, path, OFlags::PATH, Mode::empty())?;
    let attributes = Attributes {
        set: ATTR_RDONLY,
        ..Attributes::default()
    };
    linux::mount::set_attributes(mount.as_fd(), attributes, false)
}

/// Makes the root mount read-only.
pub(super) fn readonly_root(state: &State) -> Result<()> {
    let attributes = Attributes {
        set: ATTR_RDONLY,
        ..Attributes::default()
    };
    linux::mount::set_attributes(root(state)?, attributes, false)
}
