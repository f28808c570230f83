//! What is done in a container's file tree before its process is created: through the detached mount, from outside.

use std::ffi::CString;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use archive::{PackError, PackOptions, UnpackError, UnpackOptions};
use linux::Errno;
use linux::mount::recipe::RecipeError;
use oci::runtime::{Mount, Process, User};
use rustix::fs::{Mode, OFlags};

use crate::plan::{CopyUp, Plan};
use crate::protocol::ResolvedUser;
use crate::users::{self, UserError};

/// Where the init program appears in the container; the name is Docker's.
const INIT: &str = "/sbin/docker-init";

/// The container's tree could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The root file system cannot be mounted.
    #[error("mount the root file system: {0}")]
    Mount(#[from] RecipeError),
    /// The user is not known.
    #[error(transparent)]
    User(#[from] UserError),
    /// The working directory cannot be made.
    #[error("cannot mkdir {path}: {}", runtime::errno_text(*.errno))]
    WorkingDirectory {
        /// The directory.
        path: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// A file of a volume's copy-up cannot be used.
    #[error("{step} {path} to fill a volume: {}", runtime::errno_text(*.errno))]
    Volume {
        /// What was tried.
        step: &'static str,
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        errno: Errno,
    },
    /// The image's directory could not be read for a volume.
    #[error("copy {path} to a volume: {source}")]
    CopyOut {
        /// Path in the image.
        path: PathBuf,
        /// Why.
        source: PackError,
    },
    /// The volume could not be filled.
    #[error("copy to volume {path}: {source}")]
    CopyIn {
        /// The volume.
        path: PathBuf,
        /// Why.
        source: UnpackError,
    },
}

/// Mounts the container's tree and completes the spec from what is in it.
pub(crate) fn prepare(plan: &mut Plan) -> Result<(OwnedFd, ResolvedUser), PrepareError> {
    let root = plan.rootfs.mount_detached()?;
    let user = match (&plan.user.user, &mut plan.spec.process) {
        (Some(_), Some(process)) => {
            let user = users::resolve(root.as_fd(), &plan.user)?;
            apply_user(process, &user);
            user
        }
        _ => ResolvedUser::default(),
    };
    if plan.make_working_dir
        && let Some(process) = &plan.spec.process
    {
        make_working_directory(root.as_fd(), &process.cwd)?;
    }
    for volume in &plan.copy_ups {
        copy_up(root.as_fd(), volume, &plan.spool_dir)?;
    }
    if let Some(program) = &plan.init {
        let mount = Mount {
            destination: INIT.into(),
            kind: "bind".into(),
            source: program.to_string_lossy().into_owned(),
            options: vec!["bind".into(), "ro".into()],
            ..Mount::default()
        };
        plan.spec.mounts.push(mount);
        if let Some(process) = &mut plan.spec.process {
            process.args.splice(0..0, [INIT.to_owned(), "--".to_owned()]);
        }
    }
    Ok((root, user))
}

/// Puts the found numbers into the process, and HOME into its environment unless that is set.
pub(crate) fn apply_user(process: &mut Process, user: &ResolvedUser) {
    process.user = User {
        uid: user.uid,
        gid: user.gid,
        additional_gids: user.additional_gids.clone(),
        umask: process.user.umask,
        ..User::default()
    };
    // As runc does, also over an empty value.
    let is_set = |entry: &String| entry.strip_prefix("HOME=").is_some_and(|home| !home.is_empty());
    if !process.env.iter().any(is_set) {
        process.env.retain(|entry| !entry.starts_with("HOME="));
        process.env.push(format!("HOME={}", user.home));
    }
}

fn make_working_directory(root: BorrowedFd<'_>, path: &str) -> Result<(), PrepareError> {
    let failed = |errno| PrepareError::WorkingDirectory {
        path: path.to_owned(),
        errno,
    };
    if path.is_empty() || path == "/" {
        return Ok(());
    }
    let name = CString::new(path).map_err(|_| failed(Errno::INVAL))?;
    linux::fd::ensure_directory_in_root(root, &name, Mode::from_raw_mode(0o755))
        .map(drop)
        .map_err(failed)
}

/// Fills an empty volume: content, owner and mode of the image's directory.
fn copy_up(root: BorrowedFd<'_>, volume: &CopyUp, scratch: &Path) -> Result<(), PrepareError> {
    let failed = |step, path: &Path| {
        let path = path.to_owned();
        move |errno| PrepareError::Volume { step, path, errno }
    };
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let name = CString::new(volume.destination.as_os_str().as_bytes())
        .map_err(|_| failed("open", &volume.destination)(Errno::INVAL))?;
    let source = match linux::fd::open_in_root(root, &name, directory, Mode::empty()) {
        Ok(source) => source,
        // Nothing to copy, or a file: the mount itself says what is wrong then.
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(errno) => return Err(failed("open", &volume.destination)(errno)),
    };
    let host = &volume.host_path;
    let target = rustix::fs::open(host, directory, Mode::empty()).map_err(failed("open", host))?;
    if !is_empty(&target).map_err(failed("read", host))? {
        return Ok(());
    }
    if is_empty(&source).map_err(failed("read", &volume.destination))? {
        let stat = rustix::fs::fstat(&source).map_err(failed("stat", &volume.destination))?;
        let owner = (
            rustix::process::Uid::from_raw(stat.st_uid),
            rustix::process::Gid::from_raw(stat.st_gid),
        );
        rustix::fs::fchown(&target, Some(owner.0), Some(owner.1)).map_err(failed("chown", host))?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        return rustix::fs::fchmod(&target, mode).map_err(failed("chmod", host));
    }
    // One thread cannot be both ends of a pipe: the archive goes through an unlinked file.
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file =
        rustix::fs::open(scratch, flags, Mode::from_raw_mode(0o600)).map_err(failed("open", scratch))?;
    let mut file = std::io::BufWriter::with_capacity(256 * 1024, std::fs::File::from(file));
    let options = PackOptions {
        name: b".",
        ..PackOptions::default()
    };
    archive::pack(source.as_fd(), &mut file, options).map_err(|source| PrepareError::CopyOut {
        path: volume.destination.clone(),
        source,
    })?;
    let io =
        |error: std::io::Error| failed("write", scratch)(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    let mut file = file.into_inner().map_err(|error| io(error.into_error()))?;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    archive::unpack(
        std::io::BufReader::with_capacity(256 * 1024, file),
        target.as_fd(),
        UnpackOptions::default(),
    )
    .map(drop)
    .map_err(|source| PrepareError::CopyIn {
        path: host.clone(),
        source,
    })
}

fn is_empty(directory: &OwnedFd) -> Result<bool, Errno> {
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}
