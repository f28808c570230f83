//! Names of layers.

use std::fmt;
use std::str::FromStr;

use crate::StorageError;

/// The name of a layer: 1 to 80 characters of `[a-z0-9_-]`, so that it is a safe directory name. Callers derive it from an
/// id (the hex of a chain id, a container's id); layers, writable layers and init layers share one name space.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Checks a name.
    ///
    /// # Errors
    /// [`StorageError::BadKey`].
    pub fn new(name: impl Into<String>) -> Result<Self, StorageError> {
        let name = name.into();
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if (1..=80).contains(&name.len()) && name.bytes().all(fine) {
            Ok(Self(name))
        } else {
            Err(StorageError::BadKey { name })
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Key {
    type Err = StorageError;

    fn from_str(name: &str) -> Result<Self, StorageError> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_directory_names_are_keys() {
        for good in ["a", "0123456789abcdef", "init-3f2a_1", &"f".repeat(80)] {
            assert!(Key::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "A", "a.b", "a\0", &"f".repeat(81)] {
            assert!(Key::new(bad).is_err(), "{bad}");
        }
    }
}
