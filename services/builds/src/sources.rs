//! What a build fetches itself: files of the web and git repositories, each into a directory of the build's own.

mod git;
mod http;

use std::path::Path;
use std::sync::Arc;

use dockerfile::remote::Remote;
use rustix::fs::{Mode, OFlags};

use crate::BuildError;
use crate::copy::{self, Root};
use crate::error::file;

pub(crate) use git::checkout;
pub(crate) use http::{Checksum, download};

/// What a name means, if it is of something that is fetched.
pub(crate) fn parse(text: &str) -> Result<Option<Remote>, BuildError> {
    Remote::parse(text).map_err(|error| BuildError::Parameter(error.to_string()))
}

/// Makes a directory and opens it as the root of a tree.
pub(crate) fn tree(path: &Path) -> Result<Arc<Root>, BuildError> {
    std::fs::create_dir_all(path).map_err(file("create", path))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let opened = opened.map_err(|errno| file("open", path)(errno.into()))?;
    Ok(copy::root(opened))
}
