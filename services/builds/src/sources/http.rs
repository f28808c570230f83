//! Files of the web.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use images::Images;
use jiff::fmt::rfc2822;
use sha2::digest::DynDigest;
use sha2::{Sha256, Sha384, Sha512};

use crate::BuildError;
use crate::error::file;

/// `ADD --checksum=sha256:…` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checksum {
    algorithm: Algorithm,
    digits: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn hasher(self) -> Box<dyn DynDigest + Send> {
        match self {
            Self::Sha256 => Box::new(Sha256::default()),
            Self::Sha384 => Box::new(Sha384::default()),
            Self::Sha512 => Box::new(Sha512::default()),
        }
    }
}

impl Checksum {
    /// Reads `ALGORITHM:DIGITS`.
    pub(crate) fn parse(text: &str) -> Result<Self, BuildError> {
        let known = [
            (Algorithm::Sha256, 64),
            (Algorithm::Sha384, 96),
            (Algorithm::Sha512, 128),
        ];
        let (name, digits) = text.split_once(':').unwrap_or(("", text));
        let found = known.into_iter().find(|(algorithm, length)| {
            algorithm.name() == name
                && digits.len() == *length
                && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        let Some((algorithm, _)) = found else {
            return Err(BuildError::Instruction(format!(
                "invalid checksum {text:?}: must be sha256, sha384 or sha512, a colon and the digits of the digest"
            )));
        };
        Ok(Self {
            algorithm,
            digits: digits.to_owned(),
        })
    }
}

/// Fetches a file to `path`, which must not be there. Its time is what the server says it is (`Last-Modified`), or the
/// beginning of 1970, so that the same file gives the same layer; its permissions are 0600, as Docker has it.
pub(crate) async fn download(
    images: &Images,
    url: &str,
    checksum: Option<&Checksum>,
    path: &Path,
) -> Result<(), BuildError> {
    let mut fetched = images.fetch_url(url).await.map_err(BuildError::part)?;
    let modified = fetched.header("last-modified").and_then(seconds).unwrap_or(0);
    let write = file("write", path);
    let mut out = File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(&write)?;
    let mut hasher = checksum.map(|checksum| checksum.algorithm.hasher());
    while let Some(bytes) = fetched.chunk().await.map_err(BuildError::part)? {
        // A few hundred kilobytes into the page cache: no thread of its own is worth that.
        out.write_all(&bytes).map_err(&write)?;
        if let Some(hasher) = &mut hasher {
            hasher.update(&bytes);
        }
    }
    let time = u64::try_from(modified).unwrap_or(0);
    out.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(time))
        .map_err(&write)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(&write)?;
    if let (Some(checksum), Some(hasher)) = (checksum, hasher) {
        let name = checksum.algorithm.name();
        let got = crate::copy::hex(&hasher.finalize());
        if got != checksum.digits {
            return Err(BuildError::Instruction(format!(
                "digest mismatch {name}:{got}: {name}:{} ({url})",
                checksum.digits
            )));
        }
    }
    Ok(())
}

/// A time of HTTP (`Sat, 21 Nov 2026 16:00:00 GMT`) in seconds since 1970.
fn seconds(text: &str) -> Option<i64> {
    let text = text.replace("GMT", "+0000");
    Some(rfc2822::parse(&text).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_http_are_read() {
        assert_eq!(seconds("Thu, 01 Jan 1970 00:01:40 GMT"), Some(100));
        assert_eq!(seconds("yesterday"), None);
    }

    #[test]
    fn checksums_have_an_algorithm_and_all_their_digits() {
        assert!(Checksum::parse(&format!("sha256:{}", "a".repeat(64))).is_ok());
        assert!(Checksum::parse(&format!("sha512:{}", "0".repeat(128))).is_ok());
        for text in ["", "sha256:", "sha256:abc", "md5:00", &"a".repeat(64)] {
            assert!(Checksum::parse(text).is_err(), "{text}");
        }
        assert!(Checksum::parse(&format!("sha256:{}", "A".repeat(64))).is_err());
    }
}
