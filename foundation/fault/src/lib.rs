//! The ten kinds of failure and the trait `Fault`; nothing else.
//!
//! Every error enum of the house implements [`Fault`], so that an interface can translate a failure (to an
//! HTTP status, to an exit code) without knowing the enum. This crate knows neither HTTP nor any noun.

/// What sort of failure an error is, as seen by the one who asked. The names are those of Docker's `errdefs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The object that was named does not exist.
    NotFound,
    /// The request itself is wrong; the same request will always fail.
    InvalidParameter,
    /// The request is right, but the present state of the object forbids it.
    Conflict,
    /// The one who asks has not proved who they are.
    Unauthorized,
    /// A part that is needed cannot be reached now; trying later may help.
    Unavailable,
    /// The one who asks may never do this.
    Forbidden,
    /// Something failed that should not have: a bug or a broken machine.
    System,
    /// The object is in the wished state already.
    NotModified,
    /// This feature does not exist here.
    NotImplemented,
    /// The one who asked went away or the time allowed ran out.
    Cancelled,
}

/// An error that knows its [`Kind`].
pub trait Fault: std::error::Error {
    /// The kind of this failure.
    fn kind(&self) -> Kind;
}

impl Fault for std::io::Error {
    fn kind(&self) -> Kind {
        Kind::System
    }
}

impl Fault for Box<dyn Fault + Send + Sync> {
    fn kind(&self) -> Kind {
        (**self).kind()
    }
}

impl std::error::Error for Box<dyn Fault + Send + Sync> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        (**self).source()
    }
}
