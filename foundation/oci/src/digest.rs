//! Content addresses: `algorithm:hex`, as in the image-spec's descriptor page.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// A hash function that may name content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, the one that everything of ours is named by.
    Sha256,
    /// SHA-384, accepted from others.
    Sha384,
    /// SHA-512, accepted from others.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// How many hexadecimal digits a digest has.
    pub fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "sha384" => Some(Self::Sha384),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// Why a text is not a digest; the texts are those of Docker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// It has not the shape `algorithm:hex`.
    #[error("invalid checksum digest format")]
    Format,
    /// The number of digits is not that of the algorithm.
    #[error("invalid checksum digest length")]
    Length,
    /// The shape is right, but nobody here knows the algorithm.
    #[error("unsupported digest algorithm")]
    Unsupported,
}

impl fault::Fault for DigestError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::InvalidParameter
    }
}

/// The address of some content: an algorithm and its result in lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn sha256(bytes: impl AsRef<[u8]>) -> Self {
        Self::from_sha256(Sha256::digest(bytes.as_ref()).into())
    }

    /// The digest whose 32 raw bytes are known already.
    pub fn from_sha256(raw: [u8; 32]) -> Self {
        Self {
            algorithm: Algorithm::Sha256,
            hex: hex(&raw),
        }
    }

    /// A SHA-256 digest from its 64 digits alone, as in directory names and API paths.
    ///
    /// # Errors
    /// [`DigestError`] when `hex` is not 64 lower-case hexadecimal digits.
    pub fn from_sha256_hex(hex: &str) -> Result<Self, DigestError> {
        Self::new(Algorithm::Sha256, hex)
    }

    /// A digest from its parts.
    ///
    /// # Errors
    /// [`DigestError::Length`] or [`DigestError::Format`] when `hex` does not fit the algorithm.
    pub fn new(algorithm: Algorithm, hex: &str) -> Result<Self, DigestError> {
        if hex.len() != algorithm.hex_len() {
            return Err(DigestError::Length);
        }
        if !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::Format);
        }
        Ok(Self {
            algorithm,
            hex: hex.into(),
        })
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digits after the colon, lower case.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first twelve digits: Docker's short id.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }

    /// Whether `bytes` have this address.
    pub fn verifies(&self, bytes: &[u8]) -> bool {
        let mut digester = Digester::new(self.algorithm);
        digester.update(bytes);
        digester.finish() == *self
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, encoded) = text.split_once(':').ok_or(DigestError::Format)?;
        if name.is_empty() || encoded.is_empty() {
            return Err(DigestError::Format);
        }
        match Algorithm::from_name(name) {
            Some(algorithm) => Self::new(algorithm, encoded),
            None if has_digest_shape(name, encoded) => Err(DigestError::Unsupported),
            None => Err(DigestError::Format),
        }
    }
}

/// `[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+`: what the image-spec lets a digest look like.
fn has_digest_shape(name: &str, encoded: &str) -> bool {
    name.split(['.', '+', '_', '-'])
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
        && encoded
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'_' | b'-'))
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Computes a [`Digest`] piece by piece.
#[derive(Clone, Debug)]
pub enum Digester {
    /// SHA-256 under way.
    Sha256(Sha256),
    /// SHA-384 under way.
    Sha384(Box<Sha384>),
    /// SHA-512 under way.
    Sha512(Box<Sha512>),
}

impl Digester {
    /// Starts with nothing hashed.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha384 => Self::Sha384(Box::default()),
            Algorithm::Sha512 => Self::Sha512(Box::default()),
        }
    }

    /// Starts a SHA-256.
    pub fn sha256() -> Self {
        Self::new(Algorithm::Sha256)
    }

    /// Hashes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(state) => state.update(bytes),
            Self::Sha384(state) => state.update(bytes),
            Self::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Digest {
        let (algorithm, hex) = match self {
            Self::Sha256(state) => (Algorithm::Sha256, hex(&state.finalize())),
            Self::Sha384(state) => (Algorithm::Sha384, hex(&state.finalize())),
            Self::Sha512(state) => (Algorithm::Sha512, hex(&state.finalize())),
        };
        Digest { algorithm, hex }
    }
}

impl std::io::Write for Digester {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn hex(raw: &[u8]) -> Box<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(raw.len() * 2);
    for byte in raw {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_survives_text_and_json() {
        let digest = Digest::sha256(b"");
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), digest);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        assert_eq!(digest.short(), "e3b0c44298fc");
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut digester = Digester::sha256();
        digester.update(b"he");
        digester.update(b"llo");
        assert_eq!(digester.finish(), Digest::sha256(b"hello"));
        assert!(Digest::sha256(b"hello").verifies(b"hello"));
        assert!(!Digest::sha256(b"hello").verifies(b"hellO"));
    }

    #[test]
    fn every_malformed_digest_has_dockers_error() {
        let check = |text: &str, expected| assert_eq!(text.parse::<Digest>(), Err(expected), "{text}");
        check("", DigestError::Format);
        check("sha256", DigestError::Format);
        check("sha256:", DigestError::Format);
        check(":abc", DigestError::Format);
        check("sha256:abc", DigestError::Length);
        check(&EMPTY.to_uppercase().replace("SHA", "sha"), DigestError::Format);
        check(&format!("md5:{}", "0".repeat(32)), DigestError::Unsupported);
        check("md 5:00", DigestError::Format);
        check("x:../../etc/passwd", DigestError::Format);
    }
}
