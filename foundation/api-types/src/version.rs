//! API versions: parse, compare, and the window that dhow serves.

use std::fmt;
use std::str::FromStr;

/// A version of the Engine API such as `1.50`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// The part before the dot; always 1 today.
    pub major: u16,
    /// The part after the dot.
    pub minor: u16,
}

impl ApiVersion {
    /// The oldest version served.
    pub const MIN: ApiVersion = ApiVersion::new(1, 24);
    /// The newest version served; also what a request without a version prefix gets.
    pub const MAX: ApiVersion = ApiVersion::new(1, 56);

    /// The version `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// True if this version is `1.minor` or newer.
    pub fn at_least(self, minor: u16) -> bool {
        self >= Self::new(1, minor)
    }

    /// True if this version is older than `1.minor`.
    pub fn before(self, minor: u16) -> bool {
        !self.at_least(minor)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The text is not of the form `digits.digits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadVersion;

impl FromStr for ApiVersion {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let (major, minor) = text.split_once('.').ok_or(BadVersion)?;
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

fn number(text: &str) -> Result<u16, BadVersion> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadVersion);
    }
    text.parse().map_err(|_| BadVersion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_not_by_text() {
        let v = |t: &str| t.parse::<ApiVersion>().unwrap();
        assert!(v("1.9") < v("1.24"));
        assert!(v("1.50").at_least(50) && v("1.49").before(50) && v("2.0").at_least(50));
        assert_eq!(v("1.41").to_string(), "1.41");
    }

    #[test]
    fn text_that_is_no_version_is_refused() {
        for text in ["", "1", "1.", ".24", "1.+4", "1.2.3", "a.b", "1.99999"] {
            assert_eq!(text.parse::<ApiVersion>(), Err(BadVersion), "{text}");
        }
    }
}
