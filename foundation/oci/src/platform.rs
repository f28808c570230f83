//! Platforms: operating system, architecture and variant (image-spec, "Image Index"; names are those of Go).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a program runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// Go's name of the processor architecture, such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Go's name of the operating system, such as `linux`.
    #[serde(default)]
    pub os: String,
    /// The version of the operating system, for Windows.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features that the operating system must have.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// A variant of the architecture, such as `v7` for `arm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A text is not a platform; the texts are those of containerd's `platforms` package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// A part holds other characters than letters, digits, `_`, `.` and `-`.
    #[error(
        "{0:?} is an invalid component of {1:?}: platform specifier component must match \"^[A-Za-z0-9_.-]+$\": invalid argument"
    )]
    Component(String, String),
    /// A single word is neither a known operating system nor a known architecture.
    #[error("{0:?}: unknown operating system or architecture: invalid argument")]
    Unknown(String),
    /// More than three parts.
    #[error("{0:?}: cannot parse platform specifier: invalid argument")]
    Shape(String),
}

impl fault::Fault for PlatformError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::InvalidParameter
    }
}

impl Platform {
    /// The platform of this program.
    pub fn host() -> Self {
        Self::new(std::env::consts::OS, std::env::consts::ARCH, None)
    }

    /// A platform from its parts, normalised (`x86_64` becomes `amd64`).
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let (architecture, variant) = normalise(architecture, variant.unwrap_or_default());
        Self {
            architecture,
            os: normal_os(os),
            variant: (!variant.is_empty()).then_some(variant),
            ..Self::default()
        }
    }

    /// Whether an image of platform `other` may run where this is the platform asked for: operating system and
    /// architecture are equal and the variants are, where both are known.
    pub fn accepts(&self, other: &Self) -> bool {
        let (ours, our_variant) = self.normalised();
        let (theirs, their_variant) = other.normalised();
        let variants = our_variant.is_empty() || their_variant.is_empty() || our_variant == their_variant;
        normal_os(&self.os) == normal_os(&other.os) && ours == theirs && variants
    }

    fn normalised(&self) -> (String, String) {
        normalise(&self.architecture, self.variant.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// Reads `os/arch`, `os/arch/variant`, or one of `os` and `arch` alone, the other being the host's.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        for part in &parts {
            let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
            if part.is_empty() || !part.bytes().all(letter) {
                return Err(PlatformError::Component((*part).to_owned(), text.to_owned()));
            }
        }
        let host = Self::host();
        match parts.as_slice() {
            [os] if OPERATING_SYSTEMS.contains(&normal_os(os).as_str()) => {
                Ok(Self::new(os, &host.architecture, host.variant.as_deref()))
            }
            [arch] if ARCHITECTURES.contains(&normalise(arch, "").0.as_str()) => {
                Ok(Self::new(&host.os, arch, None))
            }
            [word] => Err(PlatformError::Unknown((*word).to_owned())),
            [os, arch] => Ok(Self::new(os, arch, None)),
            [os, arch, variant] => Ok(Self::new(os, arch, Some(variant))),
            _ => Err(PlatformError::Shape(text.to_owned())),
        }
    }
}

const OPERATING_SYSTEMS: [&str; 15] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
];
const ARCHITECTURES: [&str; 13] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64le", "riscv64",
    "s390x", "wasm",
];

fn normal_os(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        os => os.to_owned(),
    }
}

fn normalise(architecture: &str, variant: &str) -> (String, String) {
    let (arch, variant) = (architecture.to_ascii_lowercase(), variant.to_ascii_lowercase());
    let (arch, variant) = match (arch.as_str(), variant.as_str()) {
        ("i386" | "x86", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        (arch, variant) => (arch, variant),
    };
    (arch.to_owned(), variant.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_and_normalised() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), expected, "{text}");
        };
        check("linux/amd64", "linux/amd64");
        check("Linux/x86_64", "linux/amd64");
        check("linux/aarch64", "linux/arm64");
        check("linux/arm64/v8", "linux/arm64");
        check("linux/arm", "linux/arm/v7");
        check("linux/armel", "linux/arm/v6");
        check("linux/amd64/v3", "linux/amd64/v3");
        check("arm64", "linux/arm64");
        check("linux", &Platform::host().to_string());
    }

    #[test]
    fn what_is_no_platform_is_refused_with_dockers_words() {
        let check = |text: &str, expected: &str| {
            let error = text.parse::<Platform>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check(
            "nonsense",
            "\"nonsense\": unknown operating system or architecture: invalid argument",
        );
        check("linux/amd64/v1/x", "cannot parse platform specifier");
        check("linux/", "is an invalid component of");
        check("lin ux/amd64", "is an invalid component of");
        check("", "is an invalid component of");
    }

    #[test]
    fn a_missing_variant_fits_every_variant() {
        let arm = |text: &str| text.parse::<Platform>().unwrap();
        assert!(Platform::host().accepts(&Platform::host()));
        assert!(arm("linux/amd64").accepts(&arm("linux/amd64/v2")));
        assert!(!arm("linux/arm/v6").accepts(&arm("linux/arm/v7")));
        assert!(!arm("linux/arm64").accepts(&arm("linux/amd64")));
        assert!(!arm("windows/amd64").accepts(&arm("linux/amd64")));
    }
}
