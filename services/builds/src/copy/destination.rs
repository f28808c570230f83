//! Where a destination is: links of the image are followed inside of it.

use rustix::fs::FileType;
use rustix::io::Errno;

use super::tree::Root;

/// Links followed for one path.
const MAX_LINKS: usize = 255;

/// A destination without links and `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The path from the root, without a slash at either end; empty for the root.
    pub(crate) path: String,
    /// Whether a directory, or something else, is there.
    pub(crate) is_directory: Option<bool>,
}

/// Joins a path to the working directory.
pub(crate) fn absolute(workdir: &str, path: &str) -> String {
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{workdir}/{path}"),
    }
}

/// Resolves a path in a tree, or in nothing; what is not there stays as it is written.
pub(crate) fn resolve(root: Option<&Root>, path: &str) -> Result<Place, String> {
    let mut open: Vec<String> = names(path).rev().map(str::to_owned).collect();
    let mut done: Vec<String> = Vec::new();
    let (mut links, mut is_directory) = (0, Some(true));
    while let Some(name) = open.pop() {
        if name == ".." {
            done.pop();
            is_directory = Some(true);
            continue;
        }
        if is_directory == Some(false) {
            return Err(format!("cannot copy to non-directory: /{}", done.join("/")));
        }
        done.push(name);
        if is_directory.is_none() {
            continue;
        }
        let here = format!("/{}", done.join("/"));
        let stat = match root.map(|root| root.lstat(&here)) {
            None | Some(Err(Errno::NOENT)) => {
                is_directory = None;
                continue;
            }
            Some(stat) => stat.map_err(|errno| format!("{here}: {errno}"))?,
        };
        let Some(root) = root else { continue };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => is_directory = Some(true),
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(format!("{here}: too many levels of symbolic links"));
                }
                let target = root
                    .read_link(&here)
                    .map_err(|errno| format!("{here}: {errno}"))?;
                let target =
                    String::from_utf8(target).map_err(|_| format!("{here}: the link is not UTF-8"))?;
                done.pop();
                if target.starts_with('/') {
                    done.clear();
                }
                open.extend(names(&target).rev().map(str::to_owned));
                is_directory = Some(true);
            }
            _ => is_directory = Some(false),
        }
    }
    Ok(Place {
        path: done.join("/"),
        is_directory,
    })
}

fn names(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".")
}
