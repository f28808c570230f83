//! What can go wrong with images; the texts are Docker's where clients show or parse them.

use std::io;
use std::path::PathBuf;

use distribution::DistributionError;
use fault::{Fault, Kind};
use oci::digest::Digest;
use oci::reference::Reference;

/// Why an operation on an image failed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No image has this name or id; the name is shown in familiar form with its tag.
    #[error("No such image: {0}")]
    NotFound(String),
    /// The text is not a reference.
    #[error(transparent)]
    Reference(#[from] oci::reference::ReferenceError),
    /// A name that must not be given to an image.
    #[error("{0}")]
    Name(&'static str),
    /// A name cannot be taken away.
    #[error(
        "conflict: unable to remove repository reference \"{name}\" (must force) - {user} is using its referenced image {image}"
    )]
    NameInUse {
        /// The name as it was given.
        name: String,
        /// The label of the hold, such as `container 0123456789ab`.
        user: String,
        /// The image's short id.
        image: String,
    },
    /// An image cannot be deleted.
    #[error("conflict: unable to delete {image} ({}) - {reason}", if *hard { "cannot be forced" } else { "must be forced" })]
    InUse {
        /// The image's short id.
        image: String,
        /// Whether force would not help.
        hard: bool,
        /// Why not.
        reason: String,
        /// Whether a container or a child needs it (and not only names stand against it).
        used: bool,
    },
    /// A filter is unknown or has a value that makes no sense.
    #[error("{0}")]
    Filter(String),
    /// A layer that an image or a container needs is not here.
    #[error("layer {chain} does not exist")]
    NoLayer {
        /// Its chain id.
        chain: Digest,
    },
    /// No container has such a layer.
    #[error("container {0} has no layer")]
    NoContainer(String),
    /// An image does not stand on the other one.
    #[error("image {image} is not built on {base}: its lowest layers are others")]
    NotAbove {
        /// The short id of the image.
        image: String,
        /// The short id of the one that should be below.
        base: String,
    },
    /// The image is here, but for another platform.
    #[error("image with reference {image} was found but does not provide the specified platform ({wanted})")]
    OtherPlatform {
        /// As it was asked for.
        image: String,
        /// The platforms that were asked for.
        wanted: String,
    },
    /// A container may not be limited to so little.
    #[error("storage size cannot be less than {least} bytes (btrfs.min_space of the daemon's storage-opts)")]
    TooSmall {
        /// The least that may be asked for.
        least: u64,
    },
    /// More layers than can be mounted.
    #[error("max depth exceeded")]
    TooDeep,
    /// An archive is not one of images.
    #[error("invalid archive: {0}")]
    Archive(String),
    /// An archive cannot be read.
    #[error(transparent)]
    Read(#[from] archive::ReadError),
    /// A document of an archive is not what it should be.
    #[error("invalid archive: {path}: {source}")]
    Document {
        /// Its path in the archive.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A registry refuses, or cannot be reached.
    #[error("{}", said(.reference, .cause))]
    Registry {
        /// What was asked for, as people write it.
        reference: Box<Reference>,
        /// What went wrong.
        cause: DistributionError,
    },
    /// A URL cannot be fetched, or a login fails.
    #[error(transparent)]
    Fetch(#[from] DistributionError),
    /// What a registry has under a name cannot be used here.
    #[error("{0}")]
    Remote(String),
    /// An index has nothing for this platform.
    #[error("no matching manifest for {0} in the manifest list entries")]
    NoPlatform(String),
    /// There is nothing to push under this name.
    #[error("An image does not exist locally with the tag: {0}")]
    NothingToPush(String),
    /// The repository has other tags only.
    #[error("tag does not exist: {0}")]
    NoSuchTag(String),
    /// A registry refuses what is pushed, or cannot be reached.
    #[error("{}", said_to_push(.0))]
    Push(DistributionError),
    /// A layer cannot be unpacked.
    #[error("unpack layer: {0}")]
    Unpack(#[from] archive::UnpackError),
    /// The bytes of a layer cannot be given back.
    #[error("rebuild layer {chain}: {source}")]
    Rebuild {
        /// Its chain id.
        chain: Digest,
        /// Why.
        source: archive::SplitError,
    },
    /// The content of a layer is not what the image's configuration says.
    #[error("invalid diffID for layer {index}: expected \"{expected}\", got \"{found}\"")]
    DiffId {
        /// Which layer, counted from 0.
        index: usize,
        /// As the configuration says.
        expected: Digest,
        /// As it is.
        found: Digest,
    },
    /// An image's platform is not that of this machine.
    #[error("cannot load {0} image on linux")]
    Platform(String),
    /// An instruction of a Dockerfile cannot be used or makes no sense.
    #[error(transparent)]
    Change(#[from] crate::changes::ChangeError),
    /// The storage driver failed.
    #[error(transparent)]
    Storage(#[from] storage_drivers::StorageError),
    /// The tables failed.
    #[error(transparent)]
    Store(#[from] durable::StoreError),
    /// A stream (the client's, or one between two threads) failed.
    #[error("{step}: {source}")]
    Stream {
        /// What was done.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A file of the service failed.
    #[error("{step} {path}: {source}")]
    File {
        /// What was tried.
        step: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The daemon is ending.
    #[error("the daemon is shutting down")]
    ShuttingDown,
}

impl Fault for ImageError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::NoLayer { .. } | Self::NoContainer(_) => Kind::NotFound,
            Self::Reference(_)
            | Self::Name(_)
            | Self::Filter(_)
            | Self::TooDeep
            | Self::NotAbove { .. }
            | Self::TooSmall { .. }
            | Self::Archive(_)
            | Self::Document { .. }
            | Self::DiffId { .. }
            | Self::Platform(_)
            | Self::Change(_)
            | Self::Remote(_) => Kind::InvalidParameter,
            Self::NoPlatform(_)
            | Self::OtherPlatform { .. }
            | Self::NothingToPush(_)
            | Self::NoSuchTag(_) => Kind::NotFound,
            // Docker does not tell who may not see an image from who asks for one that is not there.
            Self::Registry {
                cause: DistributionError::Unauthorized { .. } | DistributionError::Denied(_),
                ..
            } => Kind::NotFound,
            Self::Registry { cause, .. } | Self::Fetch(cause) | Self::Push(cause) => cause.kind(),
            Self::NameInUse { .. } | Self::InUse { .. } => Kind::Conflict,
            Self::Read(error) => error.kind(),
            Self::Unpack(error) => error.kind(),
            Self::Rebuild { source, .. } => source.kind(),
            Self::Storage(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Stream { .. } | Self::File { .. } => Kind::System,
            Self::ShuttingDown => Kind::Unavailable,
        }
    }
}

/// Docker's words for what a registry said about an image.
fn said(reference: &Reference, cause: &DistributionError) -> String {
    let denied = |why: &str| {
        format!(
            "pull access denied for {}, repository does not exist or may require 'docker login': {why}",
            reference.familiar_name()
        )
    };
    match cause {
        DistributionError::ManifestUnknown(_) => {
            format!(
                "manifest for {} not found: manifest unknown: manifest unknown",
                reference.familiar()
            )
        }
        DistributionError::NameUnknown(reason) => {
            format!(
                "repository {} not found: name unknown: {reason}",
                reference.familiar_name()
            )
        }
        DistributionError::Denied(reason) => denied(&format!("denied: {reason}")),
        DistributionError::Unauthorized { reason, .. } => denied(&format!("unauthorized: {reason}")),
        other => other.to_string(),
    }
}

/// Docker's words for what a registry said about a push.
fn said_to_push(cause: &DistributionError) -> String {
    match cause {
        DistributionError::Denied(reason) => format!("denied: {reason}"),
        DistributionError::Unauthorized { reason, .. } => format!("unauthorized: {reason}"),
        other => other.to_string(),
    }
}

/// For `map_err`: a registry failed while this was asked for.
pub(crate) fn registry(reference: &Reference) -> impl Fn(DistributionError) -> ImageError {
    let reference = Box::new(reference.clone());
    move |cause| ImageError::Registry {
        reference: reference.clone(),
        cause,
    }
}

/// For `map_err`: a stream failed at `step`.
pub(crate) fn stream(step: &'static str) -> impl Fn(io::Error) -> ImageError {
    move |source| ImageError::Stream { step, source }
}

/// For `map_err`: a file operation failed.
pub(crate) fn file(step: &'static str, path: &std::path::Path) -> impl Fn(io::Error) -> ImageError {
    let path = path.to_path_buf();
    move |source| ImageError::File {
        step,
        path: path.clone(),
        source,
    }
}

/// Whether the cause is a disk without room, or a quota that is used up.
pub(crate) fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    let kind = |error: &(dyn std::error::Error + 'static)| match error.downcast_ref::<rustix::io::Errno>() {
        Some(errno) => Some(errno.kind()),
        None => error.downcast_ref::<io::Error>().map(io::Error::kind),
    };
    std::iter::successors(Some(error), |error| error.source())
        .any(|cause| matches!(kind(cause), Some(StorageFull | QuotaExceeded)))
}
