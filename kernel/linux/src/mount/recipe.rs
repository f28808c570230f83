//! Mount recipes: what a storage driver returns instead of a mount, and how a detached mount is made of one.
//!
//! The daemon never mounts a container's file system: it computes a [`Recipe`], sends it to the container's
//! monitor, and the monitor turns it into a mount that hangs in no directory ([`Recipe::mount_detached`]).
//! Nothing is visible on the host, so a crash leaves nothing behind.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_fd,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, open_tree,
};
use serde::{Deserialize, Serialize};

/// How to make one file system tree; paths are absolute and belong to the storage driver that wrote the recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipe {
    /// An overlay of directories.
    Overlay {
        /// Read-only layers, topmost first; at least one.
        lowers: Vec<PathBuf>,
        /// The writable layer; `None` makes a read-only mount.
        upper: Option<PathBuf>,
        /// overlayfs' work directory, beside `upper` on the same file system; given exactly when `upper` is.
        work: Option<PathBuf>,
        /// Further mount options as `key` or `key=value`, such as `metacopy=off`.
        options: Vec<String>,
    },
    /// One directory as it is.
    Bind {
        /// The directory.
        path: PathBuf,
        /// Whether the mount refuses writes.
        read_only: bool,
    },
}

/// Why a recipe did not become a mount.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The recipe itself makes no sense.
    #[error("overlay recipe: {0}")]
    Malformed(&'static str),
    /// A directory of the recipe cannot be opened.
    #[error("open {path} of a mount recipe: {source}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: Errno,
    },
    /// The kernel refused a mount option.
    #[error("overlay option {option}: {source}")]
    Option {
        /// The option, with its value where it has one.
        option: String,
        /// What the kernel said.
        source: Errno,
    },
    /// Linux before 6.7 takes the names of all layers as one short text.
    #[error("{layers} layers are more than this kernel can stack (about 60 before Linux 6.7)")]
    TooManyLayers {
        /// How many there are.
        layers: usize,
    },
    /// A step of making the mount failed.
    #[error("{step}: {source}")]
    Mount {
        /// The system call.
        step: &'static str,
        /// What the kernel said.
        source: Errno,
    },
}

impl Recipe {
    /// Makes a mount of this recipe that is attached nowhere; `move_mount` puts it into place, closing the
    /// descriptor destroys it. Lookups may go through it at once.
    ///
    /// Needs CAP_SYS_ADMIN. Layers are passed by descriptor (Linux 6.13), else by name (6.7), else as one
    /// `lowerdir` of names relative to `/proc/self/fd`.
    ///
    /// # Errors
    /// [`RecipeError`] says which directory or option was refused.
    pub fn mount_detached(&self) -> Result<OwnedFd, RecipeError> {
        match self {
            Self::Overlay {
                lowers,
                upper,
                work,
                options,
            } => {
                if lowers.is_empty() {
                    return Err(RecipeError::Malformed("it has no lower layer"));
                }
                if upper.is_some() != work.is_some() {
                    return Err(RecipeError::Malformed("upper and work belong together"));
                }
                mount_overlay(lowers, upper.as_deref().zip(work.as_deref()), options)
            }
            Self::Bind { path, read_only } => mount_bind(path, *read_only),
        }
    }
}

fn mount_bind(path: &Path, read_only: bool) -> Result<OwnedFd, RecipeError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path, flags).map_err(|source| RecipeError::Open {
        path: path.to_owned(),
        source,
    })?;
    if read_only {
        let attributes = super::Attributes {
            set: super::ATTR_RDONLY,
            ..super::Attributes::default()
        };
        super::set_attributes(tree.as_fd(), attributes, false).map_err(|source| RecipeError::Mount {
            step: "mount_setattr(MOUNT_ATTR_RDONLY)",
            source,
        })?;
    }
    Ok(tree)
}

fn mount_overlay(
    lowers: &[PathBuf],
    upper_work: Option<(&Path, &Path)>,
    options: &[String],
) -> Result<OwnedFd, RecipeError> {
    let open = || {
        fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|source| RecipeError::Mount {
            step: "fsopen(overlay)",
            source,
        })
    };
    let context = || {
        let fs = open()?;
        // What `mount` and `df` show in the first column, as it is everywhere else.
        set_option(&fs, "source=overlay")?;
        for option in options {
            set_option(&fs, option)?;
        }
        Ok(fs)
    };
    let fs = context()?;
    let tried = add_layers(&fs, lowers, upper_work).and_then(|()| finish(&fs, upper_work.is_none()));
    // Linux before 6.7 has no `lowerdir+`; before 6.5 it says so only when the mount is made.
    let unknown = match &tried {
        Err(RecipeError::Option { option, source }) => {
            *source == Errno::INVAL && option.starts_with("lowerdir+")
        }
        Err(RecipeError::Mount { step: CREATE, source }) => *source == Errno::INVAL,
        _ => false,
    };
    if !unknown {
        return tried;
    }
    let fs = context()?;
    let step = |source| RecipeError::Mount {
        step: "a directory of its own for a thread",
        source,
    };
    match crate::namespace::with_own_directory(|| mount_old_overlay(&fs, lowers, upper_work)).map_err(step)? {
        // The kernel knows `lowerdir+`, and its refusal had another reason.
        Err(RecipeError::Mount { step: CREATE, .. }) => tried,
        other => other,
    }
}

fn add_layers(
    fs: &OwnedFd,
    lowers: &[PathBuf],
    upper_work: Option<(&Path, &Path)>,
) -> Result<(), RecipeError> {
    for lower in lowers {
        add_layer(fs, "lowerdir+", lower)?;
    }
    if let Some((upper, work)) = upper_work {
        add_layer(fs, "upperdir", upper)?;
        add_layer(fs, "workdir", work)?;
    }
    Ok(())
}

fn add_layer(fs: &OwnedFd, key: &str, path: &Path) -> Result<(), RecipeError> {
    let directory = open_directory(path)?;
    match fsconfig_set_fd(fs, key, &directory) {
        // Before 6.13 overlayfs took no descriptors, and before 6.5 it was mounted through a layer of the kernel that
        // knows none at all; `fsconfig` limits names to 255 bytes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => fsconfig_set_string(fs, key, path),
        other => other,
    }
    .map_err(|source| RecipeError::Option {
        option: format!("{key}={}", path.display()),
        source,
    })
}

fn open_directory(path: &Path) -> Result<OwnedFd, RecipeError> {
    rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|source| RecipeError::Open {
        path: path.to_owned(),
        source,
    })
}

/// What `fsconfig` takes as a value.
const LONGEST_VALUE: usize = 255;

/// Linux before 6.7: one `lowerdir` value of at most 255 bytes, so the layers are named by the numbers of their
/// descriptors, relative to `/proc/self/fd`. The calling thread changes its working directory for a moment.
fn mount_old_overlay(
    fs: &OwnedFd,
    lowers: &[PathBuf],
    upper_work: Option<(&Path, &Path)>,
) -> Result<OwnedFd, RecipeError> {
    use std::os::fd::AsRawFd;
    let directories = lowers
        .iter()
        .map(|path| open_directory(path))
        .collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = directories.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
    let names = names.join(":");
    if names.len() > LONGEST_VALUE {
        return Err(RecipeError::TooManyLayers { layers: lowers.len() });
    }
    let before = open_directory(Path::new("."))?;
    let step = |step| move |source| RecipeError::Mount { step, source };
    rustix::process::chdir("/proc/self/fd").map_err(step("chdir(/proc/self/fd)"))?;
    let set = |key: &str, value: &str| {
        fsconfig_set_string(fs, key, value).map_err(|source| RecipeError::Option {
            option: format!("{key}={value}"),
            source,
        })
    };
    let result = (|| {
        set("lowerdir", &names)?;
        let mut kept = Vec::new();
        if let Some((upper, work)) = upper_work {
            for (key, path) in [("upperdir", upper), ("workdir", work)] {
                let directory = open_directory(path)?;
                set(key, &directory.as_raw_fd().to_string())?;
                kept.push(directory);
            }
        }
        finish(fs, upper_work.is_none())
    })();
    rustix::process::fchdir(before.as_fd()).map_err(step("fchdir"))?;
    result
}

fn set_option(fs: &OwnedFd, option: &str) -> Result<(), RecipeError> {
    match option.split_once('=') {
        Some((key, value)) => fsconfig_set_string(fs, key, value),
        None => fsconfig_set_flag(fs, option),
    }
    .map_err(|source| RecipeError::Option {
        option: option.to_owned(),
        source,
    })
}

const CREATE: &str = "fsconfig(FSCONFIG_CMD_CREATE) of overlay";

fn finish(fs: &OwnedFd, read_only: bool) -> Result<OwnedFd, RecipeError> {
    fsconfig_create(fs).map_err(|source| RecipeError::Mount { step: CREATE, source })?;
    let attributes = if read_only {
        MountAttrFlags::MOUNT_ATTR_RDONLY
    } else {
        MountAttrFlags::empty()
    };
    fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(|source| RecipeError::Mount {
        step: "fsmount of overlay",
        source,
    })
}

#[cfg(test)]
#[expect(clippy::print_stderr, reason = "says which tests are skipped")]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;

    use super::*;

    fn is_root() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            eprintln!("skipped: needs root");
        }
        root
    }

    /// Two layers with a file each, an upper and a work directory.
    fn layers(root: &Path) -> (Vec<PathBuf>, PathBuf, PathBuf) {
        let made = |name: &str| {
            let path = root.join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let lowers = vec![made("top"), made("bottom")];
        fs::write(lowers[0].join("both"), "top").unwrap();
        fs::write(lowers[1].join("both"), "bottom").unwrap();
        fs::write(lowers[1].join("below"), "bottom").unwrap();
        (lowers, made("upper"), made("work"))
    }

    fn read(mount: &OwnedFd, name: &str) -> String {
        fs::read_to_string(format!("/proc/self/fd/{}/{name}", mount.as_raw_fd())).unwrap()
    }

    #[test]
    fn a_recipe_becomes_a_mount_that_is_attached_nowhere() {
        if !is_root() {
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let (lowers, upper, work) = layers(temp.path());
        let recipe = Recipe::Overlay {
            lowers,
            upper: Some(upper.clone()),
            work: Some(work),
            options: vec!["metacopy=off".to_owned()],
        };
        let mount = recipe.mount_detached().unwrap();
        assert_eq!(
            (read(&mount, "both"), read(&mount, "below")),
            ("top".to_owned(), "bottom".to_owned())
        );
        fs::write(format!("/proc/self/fd/{}/new", mount.as_raw_fd()), "").unwrap();
        assert!(upper.join("new").exists());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(temp.path().to_str().unwrap()));
    }

    #[test]
    fn kernels_without_lowerdir_plus_are_served_by_descriptor_numbers() {
        if !is_root() {
            return;
        }
        let directory = || std::env::current_dir().unwrap();
        let outside = directory();
        crate::namespace::with_own_directory(|| {
            let before = directory();
            let temp = tempfile::tempdir().unwrap();
            let (lowers, upper, work) = layers(temp.path());
            let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
            let mount = mount_old_overlay(&fs, &lowers, Some((&upper, &work))).unwrap();
            assert_eq!(
                (read(&mount, "both"), read(&mount, "below")),
                ("top".to_owned(), "bottom".to_owned())
            );
            assert_eq!(directory(), before);

            let many: Vec<PathBuf> = lowers.iter().cycle().take(200).cloned().collect();
            let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
            let refused = mount_old_overlay(&fs, &many, None).unwrap_err();
            assert!(matches!(refused, RecipeError::TooManyLayers { layers: 200 }));
        })
        .unwrap();
        assert_eq!(directory(), outside);
    }

    #[test]
    fn a_read_only_bind_refuses_writes_and_nonsense_is_refused() {
        if !is_root() {
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().to_owned();
        fs::write(path.join("file"), "here").unwrap();
        let mount = Recipe::Bind {
            path,
            read_only: true,
        }
        .mount_detached()
        .unwrap();
        assert_eq!(read(&mount, "file"), "here");
        let refused = fs::write(format!("/proc/self/fd/{}/file", mount.as_raw_fd()), "").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::ROFS.raw_os_error()));

        let empty = Recipe::Overlay {
            lowers: Vec::new(),
            upper: None,
            work: None,
            options: Vec::new(),
        };
        assert!(matches!(empty.mount_detached(), Err(RecipeError::Malformed(_))));
        let missing = Recipe::Bind {
            path: "/nowhere/at/all".into(),
            read_only: false,
        };
        assert!(matches!(missing.mount_detached(), Err(RecipeError::Open { .. })));
    }
}
