//! COPY and ADD: from sources to the archive of a layer. All blocking; every path is opened inside its root.

mod destination;
mod digests;
mod identity;
mod links;
mod mode;
mod sources;
mod tree;
mod unpack;
mod write;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use dockerfile::heredoc::Heredoc;
use sha2::{Digest as _, Sha256};

use crate::BuildError;

pub(crate) use destination::resolve;
pub(crate) use digests::Digests;
pub(crate) use identity::Owner;
use links::Origins;
pub(crate) use links::links;
pub(crate) use sources::Source;
pub(crate) use tree::Root;
pub(crate) use write::{clamp, make_directory};

/// A COPY or ADD with everything that it needs.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: &'static str,
    /// The image before the step; nothing for `scratch`.
    pub(crate) into: Option<Arc<Root>>,
    pub(crate) sources: Vec<Given>,
    pub(crate) heredocs: Vec<(Heredoc, String)>,
    pub(crate) destination: String,
    pub(crate) workdir: String,
    pub(crate) chown: Option<String>,
    pub(crate) chmod: Option<String>,
    pub(crate) parents: bool,
    pub(crate) exclude: Vec<String>,
    /// Owners are kept: the sources are of a stage or image.
    pub(crate) keep_owner: bool,
    /// `--link`: what the image has at the destination makes no difference.
    pub(crate) link: bool,
    /// No time is later.
    pub(crate) epoch: Option<i64>,
    /// What earlier builds have hashed.
    pub(crate) digests: Arc<Digests>,
}

/// A source as an instruction gives it.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// Where it is.
    pub(crate) root: Arc<Root>,
    /// Its path there.
    pub(crate) path: String,
    /// The path is the name of one file and no pattern: it is not written in the Dockerfile.
    pub(crate) exact: bool,
    /// An archive is unpacked.
    pub(crate) unpack: bool,
    /// What the cache knows it by, if that is not its content.
    pub(crate) identity: Option<String>,
}

impl Given {
    /// A path or pattern that is written in the Dockerfile.
    pub(crate) fn written(root: &Arc<Root>, path: &str) -> Self {
        Self {
            root: Arc::clone(root),
            path: path.to_owned(),
            exact: false,
            unpack: false,
            identity: None,
        }
    }
}

/// A [`Job`] whose sources are found and hashed.
#[derive(Debug)]
pub(crate) struct Ready {
    job: Job,
    sources: Vec<Source>,
    owner: Option<Owner>,
    mode: Option<mode::Mode>,
    /// `file:…`, `dir:…`, `multi:…`: what the cache knows the content by.
    pub(crate) hash: String,
    /// Where the files of the layer come from, for links.
    origins: Origins,
}

impl Job {
    pub(crate) fn failed(&self, problem: impl Into<String>) -> BuildError {
        BuildError::Copy {
            name: self.name,
            problem: problem.into(),
        }
    }

    /// Finds and hashes the sources.
    pub(crate) fn prepare(self) -> Result<Ready, BuildError> {
        let sources = sources::find(&self)?;
        if sources.len() + self.heredocs.len() > 1 && !self.destination.ends_with('/') {
            return Err(BuildError::Instruction(format!(
                "When using {} with more than one source file, the destination must be a directory and end with a /",
                self.name
            )));
        }
        let owner = match &self.chown {
            None => None,
            Some(text) => {
                let root = self.into.as_deref();
                Some(identity::parse(text, root).map_err(|problem| self.failed(problem))?)
            }
        };
        let mode = match &self.chmod {
            None => None,
            Some(text) => Some(mode::Mode::parse(text).map_err(|problem| self.failed(problem))?),
        };
        let hash = self.hash(&sources)?;
        Ok(Ready {
            job: self,
            sources,
            owner,
            mode,
            hash,
            origins: Origins::default(),
        })
    }

    fn hash(&self, sources: &[Source]) -> Result<String, BuildError> {
        let mut parts = Vec::new();
        for source in sources {
            let digest = match &source.identity {
                Some(identity) => hex(&Sha256::digest(identity)),
                None => tree::hash(source, &self.digests).map_err(|problem| self.failed(problem))?,
            };
            let kind = if source.is_directory { "dir" } else { "file" };
            parts.push((kind, digest));
        }
        for (document, text) in &self.heredocs {
            let mut hasher = Sha256::new();
            hasher.update(document.name.as_bytes());
            hasher.update([0]);
            hasher.update(text.as_bytes());
            parts.push(("file", hex(&hasher.finalize())));
        }
        Ok(match parts.as_slice() {
            [(kind, digest)] => format!("{kind}:{digest}"),
            parts => {
                let mut hasher = Sha256::new();
                for (kind, digest) in parts {
                    hasher.update(format!("{kind}:{digest},"));
                }
                format!("multi:{}", hex(&hasher.finalize()))
            }
        })
    }
}

/// Digits of a digest.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens the root of a tree.
pub(crate) fn root(fd: OwnedFd) -> Arc<Root> {
    Arc::new(Root::new(fd))
}

/// A destination, absolute and with the slash that it ends with.
pub(crate) fn shown(workdir: &str, destination: &str) -> String {
    let path = dockerfile::ignore::clean(&destination::absolute(workdir, destination));
    let slash =
        (destination.ends_with('/') || destination == "." || destination.ends_with("/.")) && path != "/";
    if slash { format!("{path}/") } else { path }
}

#[cfg(test)]
mod tests;
