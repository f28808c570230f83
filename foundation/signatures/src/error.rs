//! What can be wrong with a key or a signature.

use fault::{Fault, Kind};
use oci::digest::Digest;

/// Why a key cannot be used or a signature does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A text is not a key of a kind that is known here.
    #[error("not a key that can be used: {0}")]
    Key(&'static str),
    /// The passphrase does not open the key.
    #[error("the passphrase does not open the key")]
    Passphrase,
    /// A signature cannot be read.
    #[error("the signature cannot be read: {0}")]
    Form(&'static str),
    /// It was made with another key, or over another text.
    #[error("the signature is not by this key")]
    OtherKey,
    /// What was signed is not a statement about an image.
    #[error("what was signed is no statement about an image: {0}")]
    Claim(String),
    /// It is about another image.
    #[error("the signature is for {signed}, not for {wanted}")]
    OtherImage {
        /// What was signed.
        signed: Digest,
        /// What is there.
        wanted: Digest,
    },
    /// It is about an image of another name.
    #[error("the signature is for {signed}, not for {wanted}")]
    OtherName {
        /// What was signed.
        signed: String,
        /// What was asked for.
        wanted: String,
    },
}

impl Fault for SignatureError {
    fn kind(&self) -> Kind {
        match self {
            Self::Key(_) | Self::Passphrase => Kind::InvalidParameter,
            _ => Kind::Forbidden,
        }
    }
}
