//! Names of images, as people write them and as they are stored.
//!
//! `[domain/]path[:tag][@digest]`. People write the *familiar* form (`alpine`), the store keeps the *canonical*
//! one (`docker.io/library/alpine:latest`); [`Reference::parse_normalized`] leads from the first to the second
//! and [`Reference::familiar`] back. The grammar and the error texts are those of Docker.

mod glob;
mod grammar;

use std::fmt;

use crate::digest::{Digest, DigestError};

pub use glob::{PatternError, familiar_match};

/// Whether `text` is the path of a repository (`team/app`), as registries name it: without domain, tag or digest.
pub fn is_repository(text: &str) -> bool {
    text.len() <= 255 && text.split('/').all(grammar::is_path_component)
}

/// Whether `text` may be a tag.
pub fn is_tag(text: &str) -> bool {
    grammar::is_tag(text)
}

/// The domain that is left out in the familiar form.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// The older name of [`DEFAULT_DOMAIN`].
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
/// The first part of the path that is left out in the familiar form.
const OFFICIAL_PREFIX: &str = "library/";
/// The tag meant by a name without tag and digest.
pub const DEFAULT_TAG: &str = "latest";
/// The longest path, in bytes.
const MAX_PATH: usize = 255;

/// Why a text is not a reference; the texts are those of Docker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing, or nothing before the tag.
    #[error("repository name must have at least one component")]
    NameEmpty,
    /// Against the grammar.
    #[error("invalid reference format")]
    Format,
    /// The grammar would allow it in lower case.
    #[error("repository name must be lowercase")]
    Uppercase,
    /// As [`ReferenceError::Uppercase`], found while normalising.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    UppercaseName(String),
    /// The path is longer than 255 bytes.
    #[error("repository name must not be more than {MAX_PATH} characters")]
    TooLong,
    /// A name that could be taken for an image id.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// A tag against the grammar.
    #[error("invalid tag format")]
    Tag,
    /// The digest is against its own rules.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl fault::Fault for ReferenceError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::InvalidParameter
    }
}

/// The name of an image.
///
/// ```
/// let reference = oci::reference::Reference::parse_normalized("alpine:3.20")?;
/// assert_eq!(reference.to_string(), "docker.io/library/alpine:3.20");
/// assert_eq!(reference.familiar(), "alpine:3.20");
/// # Ok::<(), oci::reference::ReferenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads a text strictly: nothing is added. The domain is what the grammar sees before the first slash, and
    /// may be empty.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let Some(parts) = grammar::split(text) else {
            return Err(if text.is_empty() {
                ReferenceError::NameEmpty
            } else if grammar::split(&text.to_lowercase()).is_some() {
                ReferenceError::Uppercase
            } else {
                ReferenceError::Format
            });
        };
        if parts.path.len() > MAX_PATH {
            return Err(ReferenceError::TooLong);
        }
        Ok(Self {
            domain: parts.domain.to_owned(),
            path: parts.path.to_owned(),
            tag: parts.tag.map(str::to_owned),
            digest: parts.digest.map(grammar::digest).transpose()?,
        })
    }

    /// Reads what a person wrote and adds the default domain and `library/`, but no tag.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn parse_normalized(text: &str) -> Result<Self, ReferenceError> {
        if grammar::is_identifier(text) {
            return Err(ReferenceError::Identifier(text.to_owned()));
        }
        let (domain, remainder) = split_domain(text);
        let name = remainder.split(':').next().unwrap_or_default();
        if name.chars().any(char::is_uppercase) {
            return Err(ReferenceError::UppercaseName(name.to_owned()));
        }
        Self::parse(&format!("{domain}/{remainder}"))
    }

    /// As [`Reference::parse_normalized`], then Docker's rule for names that are to be pulled, run or tagged: a
    /// missing tag becomes `latest`, and a tag beside a digest is dropped.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn parse_docker(text: &str) -> Result<Self, ReferenceError> {
        let reference = Self::parse_normalized(text)?;
        Ok(match &reference.digest {
            Some(_) => Self {
                tag: None,
                ..reference
            },
            None => reference.tag_or_latest(),
        })
    }

    /// The registry, with its port; empty only after [`Reference::parse`].
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Domain and path: the repository's canonical name.
    pub fn name(&self) -> String {
        if self.domain.is_empty() {
            self.path.clone()
        } else {
            format!("{}/{}", self.domain, self.path)
        }
    }

    /// Whether it has neither tag nor digest.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// The repository alone.
    #[must_use]
    pub fn without_tag_and_digest(&self) -> Self {
        Self {
            tag: None,
            digest: None,
            ..self.clone()
        }
    }

    /// The tag `latest` is added if there is neither tag nor digest.
    #[must_use]
    pub fn tag_or_latest(mut self) -> Self {
        if self.is_name_only() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same repository with another tag; a digest stays.
    ///
    /// # Errors
    /// [`ReferenceError::Tag`].
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !grammar::is_tag(tag) {
            return Err(ReferenceError::Tag);
        }
        Ok(Self {
            tag: Some(tag.to_owned()),
            ..self.clone()
        })
    }

    /// The same repository, and tag, with another digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// The repository as people write it: without `docker.io/` and `library/`. The domain stays where the path would be
    /// taken for another registry without it (`docker.io/example.com/a`; Docker's own short form is that registry's).
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix(OFFICIAL_PREFIX) {
            _ if self.is_ambiguous_without_domain() => self.name(),
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => self.path.clone(),
        }
    }

    fn is_ambiguous_without_domain(&self) -> bool {
        let (domain, path) = split_domain(&self.path);
        self.path.contains('/') && (domain, path.as_str()) != (DEFAULT_DOMAIN, self.path.as_str())
    }

    /// The whole reference as people write it.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), self.suffix())
    }

    fn suffix(&self) -> String {
        let mut suffix = String::new();
        if let Some(tag) = &self.tag {
            suffix.push(':');
            suffix.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            suffix.push('@');
            suffix.push_str(&digest.to_string());
        }
        suffix
    }
}

/// The canonical form.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name(), self.suffix())
    }
}

/// What a person may give where an image is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyReference {
    /// 64 hexadecimal digits, with or without `sha256:` before them: an image id.
    Id(Digest),
    /// Anything else: a name. (A shorter row of digits may also be the beginning of an id.)
    Named(Reference),
}

impl AnyReference {
    /// Reads a text.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if let Ok(digest) = Digest::from_sha256_hex(text) {
            return Ok(Self::Id(digest));
        }
        if let Ok(digest) = text.parse::<Digest>() {
            return Ok(Self::Id(digest));
        }
        Reference::parse_normalized(text).map(Self::Named)
    }
}

impl fmt::Display for AnyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(digest) => digest.fmt(f),
            Self::Named(reference) => reference.fmt(f),
        }
    }
}

/// Domain and the rest, with the defaults: the first component is a registry only if it looks like one.
fn split_domain(text: &str) -> (&str, String) {
    let looks_like_registry = |first: &str| {
        first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase)
    };
    let (domain, rest) = match text.split_once('/') {
        Some((first, rest)) if looks_like_registry(first) => (first, rest),
        _ => (DEFAULT_DOMAIN, text),
    };
    if domain != DEFAULT_DOMAIN && domain != LEGACY_DEFAULT_DOMAIN {
        return (domain, rest.to_owned());
    }
    if rest.contains('/') {
        (DEFAULT_DOMAIN, rest.to_owned())
    } else {
        (DEFAULT_DOMAIN, format!("{OFFICIAL_PREFIX}{rest}"))
    }
}

#[cfg(test)]
mod tests;
