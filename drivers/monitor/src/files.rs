//! One file operation in a container's tree: stat, get, put, export. A process of its own, because it may build a mount
//! namespace, and because reading a tree may hang in the kernel.

mod path;

use std::ffi::CString;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use archive::{IdMap, Owner, PackError, PackOptions, UnpackError, UnpackOptions, Verdict};
use linux::Errno;
use linux::mount::recipe::{Recipe, RecipeError};
use linux::namespace::Flags;
use oci::runtime::Mount;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::mount::MountPropagationFlags;

use self::path::{components, evaluate, open_path, root_of, stat};
use crate::channel::Channel;
use crate::inherit::{self, InheritError};
use crate::plan::{FilesOperation, FilesPlan, PathStat, Tree, UserLookup};
use crate::protocol::{FilesFailure, FilesReport};
use crate::users::{self, UserError};

/// Where a stopped container's tree is put in the private mount namespace; any directory that every host has.
const PLACE: &str = "/sys";
const BUFFER: usize = 256 * 1024;

/// Why a file operation failed; the texts are Docker's where clients look at them.
#[derive(Debug, thiserror::Error)]
enum FilesError {
    #[error("Could not find the file {0} in container")]
    NotFound(String),
    #[error("extraction point is not a directory")]
    NotDirectory,
    #[error("{0} is not a directory")]
    NotDirectoryPath(String),
    #[error("container rootfs is marked read-only")]
    ReadOnly,
    #[error("cannot copy into {0}: it shows the kernel's state and holds no files")]
    KernelFiles(String),
    /// Docker's words.
    #[error("unlinkat /{0}: device or resource busy")]
    Mounted(String),
    #[error("{step} {path}: {}", runtime::errno_text(*.errno))]
    File {
        step: &'static str,
        path: String,
        errno: Errno,
    },
    #[error("mount the root file system: {0}")]
    Mount(#[from] RecipeError),
    #[error("{0}")]
    Inherit(#[from] InheritError),
    #[error("{0}")]
    User(#[from] UserError),
    #[error("{0}")]
    Pack(#[from] PackError),
    #[error("{0}")]
    Unpack(UnpackError),
    #[error("write the archive: {0}")]
    Stream(std::io::Error),
}

impl FilesError {
    fn kind(&self) -> FilesFailure {
        use fault::{Fault, Kind};
        let by_kind = |kind| match kind {
            Kind::NotFound => FilesFailure::NotFound,
            Kind::InvalidParameter => FilesFailure::Invalid,
            _ => FilesFailure::System,
        };
        match self {
            Self::NotFound(_) => FilesFailure::NotFound,
            Self::NotDirectory | Self::NotDirectoryPath(_) | Self::User(_) | Self::KernelFiles(_) => {
                FilesFailure::Invalid
            }
            // Paths that no file can have are the client's fault.
            Self::File {
                errno: Errno::INVAL | Errno::NAMETOOLONG | Errno::LOOP,
                ..
            } => FilesFailure::Invalid,
            Self::ReadOnly => FilesFailure::ReadOnly,
            Self::Pack(error) => by_kind(error.kind()),
            Self::Unpack(error) => by_kind(error.kind()),
            _ => FilesFailure::System,
        }
    }
}

fn failed(step: &'static str, path: impl AsRef<Path>) -> impl FnOnce(Errno) -> FilesError {
    let path = path.as_ref().display().to_string();
    move |errno| FilesError::File { step, path, errno }
}

/// Does the operation and reports how it went; a daemon that is gone wants no report.
pub(crate) fn run(plan: FilesPlan, control: &Channel) {
    let report = match operate(&plan, control) {
        Ok(()) => FilesReport::Done,
        Err(error) => FilesReport::Failed {
            kind: error.kind(),
            message: error.to_string(),
        },
    };
    drop(control.send(&report, &[]));
}

fn operate(plan: &FilesPlan, control: &Channel) -> Result<(), FilesError> {
    let stream = || -> Result<File, FilesError> {
        let fd = plan
            .stream
            .ok_or(FilesError::Stream(std::io::ErrorKind::InvalidInput.into()))?;
        Ok(inherit::file(fd)?.into())
    };
    let (root, kernel_mounts) = match &plan.tree {
        Tree::Running { init } => enter(&inherit::file(*init)?)?,
        Tree::Stopped {
            rootfs,
            mounts,
            read_only,
            working_dir,
        } => {
            let root = assemble(rootfs, mounts, working_dir.as_deref(), *read_only)?;
            (root, Vec::new())
        }
    };
    let root = root.as_fd();
    match &plan.operation {
        FilesOperation::Stat { path } => tell(control, stat(root, path)?.0),
        FilesOperation::Get { path } => {
            let (stat, start) = stat(root, path)?;
            let name = stat.name.clone();
            tell(control, stat)?;
            get(root, &start, &name, &kernel_mounts, stream()?)
        }
        FilesOperation::Put {
            path,
            no_overwrite_dir_non_dir,
            owner,
        } => {
            let place = Place {
                path,
                kernel_mounts: &kernel_mounts,
            };
            put(root, &place, *no_overwrite_dir_non_dir, owner.as_ref(), stream()?)
        }
        FilesOperation::Export => {
            let mut out = BufWriter::with_capacity(BUFFER, stream()?);
            let options = PackOptions {
                one_file_system: true,
                ..PackOptions::default()
            };
            archive::pack(root, &mut out, options)?;
            out.flush().map_err(FilesError::Stream)
        }
    }
}

fn tell(control: &Channel, stat: PathStat) -> Result<(), FilesError> {
    control
        .send(&FilesReport::Stat(stat), &[])
        .map_err(|error| FilesError::Stream(std::io::Error::other(error)))
}

/// The tree of a running container, as its PID 1 sees it. Seen from outside: this process stays in its own namespaces,
/// where `/proc` knows it.
/// With the places of the kernel's own file systems, which are no part of the container's files.
fn enter(init: &OwnedFd) -> Result<(OwnedFd, Vec<Vec<u8>>), FilesError> {
    let gone = || failed("enter", "the container")(Errno::SRCH);
    let info = format!("/proc/self/fdinfo/{}", init.as_raw_fd());
    let info = std::fs::read_to_string(info).map_err(|_| gone())?;
    let pid = info
        .lines()
        .find_map(|line| line.strip_prefix("Pid:"))
        .map(str::trim)
        .ok_or_else(gone)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let path = format!("/proc/{pid}/root");
    let root = rustix::fs::open(path.as_str(), flags, Mode::empty()).map_err(failed("open", &path))?;
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).map_err(|_| gone())?;
    // It lives still, so that the number was its own when the directory was opened.
    linux::process::send_signal(init, 0).map_err(|_| gone())?;
    Ok((root, kernel_mounts(&mounts)))
}

/// Mount points, without their first `/`, of the file systems that show the kernel's state (proc(5), mountinfo: field 5 is
/// the mount point, the type follows ` - `).
fn kernel_mounts(mountinfo: &str) -> Vec<Vec<u8>> {
    let is_kernels = |kind: &str| {
        matches!(
            kind,
            "proc" | "sysfs" | "cgroup" | "cgroup2" | "devpts" | "mqueue" | "securityfs" | "debugfs" | "bpf"
        )
    };
    let mounts = mountinfo.lines().filter_map(|line| {
        let (fields, rest) = line.split_once(" - ")?;
        let place = fields.split(' ').nth(4)?.trim_start_matches('/');
        is_kernels(rest.split(' ').next()?).then(|| place.as_bytes().to_vec())
    });
    mounts.filter(|place| !place.is_empty()).collect()
}

/// The tree of a stopped container, with its volumes, in a mount namespace that ends with this process.
fn assemble(
    rootfs: &Recipe,
    mounts: &[Mount],
    working_dir: Option<&Path>,
    read_only: bool,
) -> Result<OwnedFd, FilesError> {
    let tree = rootfs.mount_detached()?;
    let protect = |mount: BorrowedFd<'_>, recursive| {
        let attributes = linux::mount::Attributes {
            set: linux::mount::ATTR_RDONLY,
            ..linux::mount::Attributes::default()
        };
        linux::mount::set_attributes(mount, attributes, recursive)
    };
    let finish = |root: OwnedFd| -> Result<OwnedFd, FilesError> {
        if let Some(path) = working_dir {
            // What is no directory there, is the start's to complain of.
            let mode = Mode::from_raw_mode(0o755);
            let _ = linux::fd::ensure_directory_in_root(root.as_fd(), &c_path(path)?, mode);
        }
        if read_only {
            protect(root.as_fd(), false).map_err(failed("protect", "/"))?;
        }
        Ok(root)
    };
    if mounts.is_empty() {
        return finish(tree);
    }
    linux::namespace::unshare(Flags::MOUNT).map_err(failed("unshare", "mount namespace"))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(failed("make private", "/"))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &str| rustix::fs::open(path, flags, Mode::empty()).map_err(failed("open", path));
    linux::mount::attach(tree.as_fd(), open(PLACE)?.as_fd()).map_err(failed("mount", PLACE))?;
    let root = open(PLACE)?;
    for mount in mounts {
        let source = c_path(Path::new(&mount.source))?;
        let volume = linux::mount::clone_tree(rustix::fs::CWD, &source, true)
            .map_err(failed("open", &mount.source))?;
        // As in a running one `rro` means what is mounted below, too.
        let option = |name: &str| mount.options.iter().any(|option| option == name);
        if option("ro") || option("rro") {
            protect(volume.as_fd(), option("rro")).map_err(failed("protect", &mount.source))?;
        }
        let is_directory =
            file_type(&rustix::fs::fstat(&volume).map_err(failed("stat", &mount.source))?).is_dir();
        let destination = c_path(Path::new(&mount.destination))?;
        let place = if is_directory {
            linux::fd::ensure_directory_in_root(root.as_fd(), &destination, Mode::from_raw_mode(0o755))
        } else {
            linux::fd::ensure_file_in_root(root.as_fd(), &destination, Mode::from_raw_mode(0o644))
        };
        let place = place.map_err(failed("make", &mount.destination))?;
        linux::mount::attach(volume.as_fd(), place.as_fd()).map_err(failed("mount", &mount.destination))?;
    }
    finish(root)
}

fn c_path(path: &Path) -> Result<CString, FilesError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| failed("open", path)(Errno::INVAL))
}

fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn get(
    root: BorrowedFd<'_>,
    start: &[u8],
    name: &str,
    kernel_mounts: &[Vec<u8>],
    stream: File,
) -> Result<(), FilesError> {
    let mut out = BufWriter::with_capacity(BUFFER, stream);
    let mut exclude = |below: &[u8]| {
        let full = if start.is_empty() {
            below.to_vec()
        } else {
            [start, below].join(&b'/')
        };
        kernel_mounts.contains(&full)
    };
    let options = PackOptions {
        start,
        name: name.as_bytes(),
        // One that was asked for by its name is given.
        exclude: Some(&mut exclude),
        ..PackOptions::default()
    };
    archive::pack(root, &mut out, options)?;
    out.flush().map_err(FilesError::Stream)
}

/// Where a tar is unpacked.
struct Place<'a> {
    path: &'a Path,
    /// Where no files can be made.
    kernel_mounts: &'a [Vec<u8>],
}

fn put(
    root: BorrowedFd<'_>,
    place: &Place<'_>,
    no_overwrite: bool,
    owner: Option<&UserLookup>,
    stream: File,
) -> Result<(), FilesError> {
    let path = place.path;
    let prefix = evaluate(root, &components(path.as_os_str().as_bytes()))?.join(&b'/');
    let is_in = |mount: &&Vec<u8>| {
        prefix
            .strip_prefix(&mount[..])
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    if place.kernel_mounts.iter().find(is_in).is_some() {
        return Err(FilesError::KernelFiles(path.display().to_string()));
    }
    let place = if prefix.is_empty() {
        root_of(root)?
    } else {
        open_path(root, &prefix, path)?
    };
    if !file_type(&rustix::fs::fstat(&place).map_err(failed("stat", path))?).is_dir() {
        return Err(FilesError::NotDirectory);
    }
    let owner = match owner {
        Some(lookup) => {
            let user = users::resolve(root, lookup)?;
            Owner::Fixed {
                uid: user.uid,
                gid: user.gid,
            }
        }
        None => Owner::Archive {
            uids: IdMap::default(),
            gids: IdMap::default(),
        },
    };
    // The archive is unpacked from the container's root, so that links in the tree mean what they mean in the container.
    let mut below = |entry: &mut archive::Entry| {
        let inside = |name: &[u8]| [&prefix[..], &components(name).join(&b'/')].join(&b'/');
        if entry.kind == archive::EntryKind::HardLink {
            entry.link = inside(&entry.link);
        }
        entry.path = inside(&entry.path);
        Verdict::Unpack
    };
    let options = UnpackOptions {
        owner,
        replace_directories: !no_overwrite,
        on_entry: Some(&mut below),
        ..UnpackOptions::default()
    };
    let source = BufReader::with_capacity(BUFFER, stream);
    match archive::unpack(source, root, options) {
        Ok(_) => Ok(()),
        Err(UnpackError::File {
            source: Errno::ROFS, ..
        }) => Err(FilesError::ReadOnly),
        Err(UnpackError::File {
            source: Errno::BUSY,
            entry,
            ..
        }) => Err(FilesError::Mounted(entry)),
        Err(error) => Err(FilesError::Unpack(error)),
    }
}

#[cfg(test)]
mod tests;
