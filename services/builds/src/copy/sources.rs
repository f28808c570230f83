//! Which files the sources of a COPY are: wildcards, and what is missing.

use std::sync::Arc;

use dockerfile::glob::{Pattern, is_pattern};
use dockerfile::ignore::clean;
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

use super::Job;
use super::tree::Root;
use crate::BuildError;

/// A file or directory to copy.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Where it is.
    pub(super) root: Arc<Root>,
    /// Its path in the tree, from the root.
    pub(crate) path: String,
    /// What is kept of the path with `--parents`.
    pub(super) kept: String,
    /// Its content is copied.
    pub(crate) is_directory: bool,
    pub(super) unpack: bool,
    pub(super) identity: Option<String>,
    /// `--exclude`.
    exclude: Vec<Pattern>,
}

impl Source {
    /// Its last name.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether `--exclude` leaves out what stands at this path below it (the source itself: the empty path).
    pub(super) fn excludes(&self, below: &str) -> bool {
        if self.exclude.is_empty() || (below.is_empty() && self.is_directory) {
            return false;
        }
        let path = if below.is_empty() { self.name() } else { below };
        let parents = path.match_indices('/').map(|(end, _)| &path[..end]);
        let paths: Vec<&str> = parents.chain([path]).collect();
        self.exclude
            .iter()
            .any(|pattern| paths.iter().any(|path| pattern.matches(path)))
    }
}

/// Sources of one instruction beyond which it is refused.
const MAX_SOURCES: usize = 1 << 20;

/// Finds the sources.
pub(super) fn find(job: &Job) -> Result<Vec<Source>, BuildError> {
    let mut exclude = Vec::new();
    for text in &job.exclude {
        let pattern = Pattern::with_double_stars(clean(text).trim_start_matches('/'));
        exclude.push(pattern.map_err(|error| job.failed(format!("--exclude={text}: {error}")))?);
    }
    let mut found = Vec::new();
    for given in &job.sources {
        let written = &given.path;
        if clean(&format!("./{}", written.trim_start_matches('/'))).starts_with("..") {
            return Err(job.failed(format!("forbidden path outside the build context: {written} ()")));
        }
        let path = clean(&format!("/{written}"));
        let paths = match (given.exact, is_pattern(&path)) {
            (true, _) => vec![path],
            (false, true) => {
                expand(&given.root, &path).map_err(|problem| job.failed(format!("{written}: {problem}")))?
            }
            (false, false) => vec![path.replace('\\', "")],
        };
        for path in paths {
            let stat = stat(job, &given.root, &path, written)?;
            found.push(Source {
                kept: kept(written, &path),
                path,
                is_directory: FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
                root: Arc::clone(&given.root),
                unpack: given.unpack,
                identity: given.identity.clone(),
                exclude: exclude.clone(),
            });
        }
        if found.len() > MAX_SOURCES {
            return Err(job.failed("too many source files"));
        }
    }
    if found.is_empty() && job.heredocs.is_empty() {
        return Err(job.failed("no source files were specified"));
    }
    Ok(found)
}

fn stat(job: &Job, root: &Root, path: &str, written: &str) -> Result<Stat, BuildError> {
    root.stat(path).map_err(|errno| match errno {
        Errno::NOENT | Errno::NOTDIR => {
            let place = if job.keep_owner {
                ""
            } else {
                "file not found in build context or excluded by .dockerignore: "
            };
            job.failed(format!("{place}stat {written}: file does not exist"))
        }
        errno => job.failed(format!("stat {written}: {errno}")),
    })
}

/// With `--parents` the path from the root, or from `/./` on.
fn kept(written: &str, path: &str) -> String {
    let pivot = written
        .find("/./")
        .map(|end| clean(&format!("/{}", &written[..end])));
    let base = pivot.filter(|pivot| pivot != "/").unwrap_or_default();
    path.strip_prefix(&base)
        .unwrap_or(path)
        .trim_start_matches('/')
        .to_owned()
}

/// The paths that match a pattern, name by name from the root.
fn expand(root: &Root, pattern: &str) -> Result<Vec<String>, String> {
    let mut found = vec![String::new()];
    let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    for (index, part) in parts.iter().enumerate() {
        let is_last = index + 1 == parts.len();
        let compiled = Pattern::new(part).map_err(|error| error.to_string())?;
        let mut next = Vec::new();
        for directory in &found {
            if !is_pattern(part) {
                let path = format!("{directory}/{}", part.replace('\\', ""));
                if root.stat(&path).is_ok() {
                    next.push(path);
                }
                continue;
            }
            let names = match root.names(directory) {
                Err(Errno::NOTDIR) => continue,
                names => names.map_err(|errno| errno.to_string())?,
            };
            let matching = names.into_iter().filter(|name| compiled.matches(name));
            let paths = matching.map(|name| format!("{directory}/{name}"));
            next.extend(
                paths.filter(|path| is_last || root.open(path, OFlags::PATH | OFlags::DIRECTORY).is_ok()),
            );
            if next.len() > MAX_SOURCES {
                return Err("too many files match".to_owned());
            }
        }
        found = next;
    }
    Ok(found)
}
