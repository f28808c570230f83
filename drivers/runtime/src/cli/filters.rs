//! Compiled system call filters, kept for the next container with the same profile.
//!
//! `<root>/@filters/<digest>` holds one: the profile it was made from, the program, a check sum. No container can have that
//! name. A file counts only if it and its directory belong to the caller and nobody else may write to them, if it is whole,
//! and if its profile is, byte for byte, the one that is asked for: the digest is but a name. The profile is preceded by
//! what tells one build of this program from another. What cannot be read or kept is compiled again and is no error.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

use oci::runtime::Seccomp;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use security::seccomp::Program;

use super::CliError;
use super::store::Store;
use crate::CompileError;

/// In the directory of all containers; `@` occurs in no id.
const DIRECTORY: &str = "@filters";
/// More are not kept.
const MOST: usize = 32;
/// A larger file is none of ours: a profile of some ten thousand bytes, and at most 4096 instructions.
const LARGEST: u64 = 1 << 20;

impl Store {
    /// The compiled filter of a profile; `None` without a profile, or where its listener must be told.
    pub(super) fn filter(&self, profile: Option<&Seccomp>) -> Result<Option<Program>, CliError> {
        let Some(profile) = profile else {
            return Ok(None);
        };
        let place = key(profile).and_then(|key| Some((self.filters().ok()?, key)));
        if let Some(found) = place.as_ref().and_then(|(directory, key)| load(directory, key)) {
            return Ok(Some(found));
        }
        let program = security::seccomp::compile(profile).map_err(CompileError::from)?;
        let Some(bytes) = program.to_bytes() else {
            return Ok(None);
        };
        if let Some((directory, key)) = place {
            // It would only have been quicker the next time.
            let _ = keep(&directory, &key, &bytes);
        }
        Ok(Some(program))
    }

    fn filters(&self) -> linux::Result<OwnedFd> {
        let path = self.directory(DIRECTORY);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::open(&path, flags, Mode::empty());
        let directory = match open() {
            Err(linux::Errno::NOENT) => {
                rustix::fs::mkdirat(CWD, &path, Mode::from_raw_mode(0o700))?;
                open()?
            }
            other => other?,
        };
        if is_own(&rustix::fs::fstat(&directory)?) {
            Ok(directory)
        } else {
            Err(linux::Errno::PERM)
        }
    }
}

fn is_own(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o022 == 0
}

/// What a filter depends on: the compiler, by the file it is in, and the profile.
fn key(profile: &Seccomp) -> Option<Vec<u8>> {
    let own = rustix::fs::stat("/proc/self/exe").ok()?;
    // A copy in memory is another file each time.
    if own.st_nlink == 0 {
        return None;
    }
    let mut key = Vec::with_capacity(16 << 10);
    for number in [own.st_dev, own.st_ino, own.st_size.unsigned_abs()] {
        key.extend(number.to_ne_bytes());
    }
    for number in [
        own.st_mtime,
        own.st_mtime_nsec as i64,
        own.st_ctime,
        own.st_ctime_nsec as i64,
    ] {
        key.extend(number.to_ne_bytes());
    }
    serde_json::to_writer(&mut key, profile).ok()?;
    Some(key)
}

/// FNV-1a, for names and against files that are cut off.
fn digest(bytes: &[&[u8]]) -> u64 {
    let all = bytes.iter().copied().flatten();
    all.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn name(key: &[u8]) -> String {
    format!("{:016x}", digest(&[key]))
}

fn load(directory: &OwnedFd, key: &[u8]) -> Option<Program> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name(key), flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    let regular = FileType::from_raw_mode(stat.st_mode).is_file();
    if !regular || !is_own(&stat) || stat.st_size.unsigned_abs() > LARGEST {
        return None;
    }
    let mut text = Vec::with_capacity(usize::try_from(stat.st_size).ok()? + 1);
    File::from(file).take(LARGEST).read_to_end(&mut text).ok()?;
    let (rest, sum) = text.split_last_chunk::<8>()?;
    let program = rest.strip_prefix(key)?;
    if u64::from_ne_bytes(*sum) != digest(&[program]) {
        return None;
    }
    Program::from_bytes(program)
}

fn keep(directory: &OwnedFd, key: &[u8], program: &[u8]) -> std::io::Result<()> {
    let names = names(directory)?;
    if names.len() >= MOST {
        for name in names {
            rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
        }
    }
    let temporary = format!(".{}", rustix::process::getpid().as_raw_pid());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, &temporary, flags, Mode::from_raw_mode(0o600))?;
    let text = [key, program, &digest(&[program]).to_ne_bytes()].concat();
    let written = File::from(file)
        .write_all(&text)
        .and_then(|()| Ok(rustix::fs::renameat(directory, &temporary, directory, name(key))?));
    written.inspect_err(|_| {
        let _ = rustix::fs::unlinkat(directory, &temporary, AtFlags::empty());
    })
}

fn names(directory: &OwnedFd) -> std::io::Result<Vec<std::ffi::CString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::PathBuf;

    fn store() -> (tempfile::TempDir, Store) {
        let root = tempfile::tempdir().expect("root");
        let store = Store::new(&root.path().display().to_string());
        (root, store)
    }

    fn profile(errno: u32) -> Seccomp {
        let context = security::seccomp::Context::native(Default::default());
        Seccomp {
            default_errno_ret: Some(errno),
            ..security::seccomp::default_profile(&context)
        }
    }

    fn files(root: &tempfile::TempDir) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(root.path().join(DIRECTORY)).expect("directory");
        entries.map(|entry| entry.expect("entry").path()).collect()
    }

    #[test]
    fn a_profile_is_compiled_once_and_another_gives_another() {
        let (root, store) = store();
        let one = profile(1);
        let compiled = security::seccomp::compile(&one).expect("compiles");
        assert_eq!(store.filter(Some(&one)).expect("made"), Some(compiled.clone()));
        let inode = |root| std::fs::metadata(&files(root)[0]).expect("file").ino();
        let first = inode(&root);
        assert_eq!(store.filter(Some(&one)).expect("kept"), Some(compiled.clone()));
        assert_eq!((files(&root).len(), inode(&root)), (1, first));
        let other = store.filter(Some(&profile(2))).expect("made");
        assert_ne!(other, Some(compiled));
        assert_eq!(store.filter(None).expect("none"), None);
    }

    #[test]
    fn what_others_could_write_or_has_changed_is_not_used() {
        let (root, store) = store();
        let one = profile(1);
        let compiled = store.filter(Some(&one)).expect("made");
        let file = files(&root)[0].clone();
        let good = std::fs::read(&file).expect("read");
        let directory = store.filters().expect("directory");
        let key = key(&one).expect("key");
        assert!(load(&directory, &key).is_some());
        // Another program, cut off, of another profile.
        let mut changed = good.clone();
        let place = good.len() - 20;
        changed[place] ^= 1;
        for bad in [
            changed,
            good[..good.len() - 9].to_vec(),
            Vec::new(),
            good[1..].to_vec(),
        ] {
            std::fs::write(&file, bad).expect("write");
            assert!(load(&directory, &key).is_none());
        }
        std::fs::write(&file, &good).expect("write");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("mode");
        assert!(load(&directory, &key).is_none());
        std::fs::remove_file(&file).expect("remove");
        std::os::unix::fs::symlink("/etc/passwd", &file).expect("link");
        assert!(load(&directory, &key).is_none());
        // Made anew in its place.
        assert_eq!(store.filter(Some(&one)).expect("made"), compiled);
        assert!(load(&directory, &key).is_some());
        let place = root.path().join(DIRECTORY);
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o777)).expect("mode");
        assert!(store.filters().is_err());
        assert_eq!(store.filter(Some(&one)).expect("compiled"), compiled);
    }

    #[test]
    fn only_so_many_are_kept() {
        let (root, store) = store();
        for errno in 1..=MOST as u32 + 1 {
            store.filter(Some(&profile(errno))).expect("made");
            assert!(files(&root).len() <= MOST);
        }
        assert_eq!(files(&root).len(), 1);
    }
}
