//! Which platform of an image is meant: the parameter `platform`, which came to each endpoint in another version.

use api_types::ApiVersion;
use oci::platform::Platform;

use crate::call::Call;
use crate::error::Failure;

/// What an endpoint hears of the parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Platforms {
    /// The version in which the parameter came.
    since: u16,
    /// It may be repeated since 1.52.
    several: bool,
}

impl Platforms {
    /// One platform, since this version.
    pub(super) fn one_since(since: u16) -> Self {
        Self {
            since,
            several: false,
        }
    }

    /// One since this version, and as many as wanted since 1.52.
    pub(super) fn several_since(since: u16) -> Self {
        Self { since, several: true }
    }

    fn read<'t>(
        self,
        version: ApiVersion,
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<Vec<Platform>, Failure> {
        if version.before(self.since) {
            return Ok(Vec::new());
        }
        let asked = texts.filter(|text| !text.is_empty()).map(parse);
        let asked = asked.collect::<Result<Vec<_>, _>>()?;
        if asked.len() > 1 && !(self.several && version.at_least(52)) {
            return Err(Failure::bad("multiple platform parameters not supported"));
        }
        Ok(asked)
    }
}

/// Every `platform` of a request that its version and endpoint know.
pub(super) fn asked(call: &Call, known: Platforms) -> Result<Vec<Platform>, Failure> {
    known.read(call.version, call.query.all("platform"))
}

/// A JSON object, or as people write it, from dhow's own clients.
pub(super) fn parse(text: &str) -> Result<Platform, Failure> {
    match text.starts_with('{') {
        true => {
            serde_json::from_str(text).map_err(|e| Failure::bad(format!("invalid platform {text:?}: {e}")))
        }
        false => text.parse().map_err(|e| Failure::bad(format!("{e}"))),
    }
}

/// `os[/arch[/variant]]` of `POST /images/create`, if it is given; since 1.32.
pub(super) fn platform(version: ApiVersion, text: &str) -> Result<Option<Platform>, Failure> {
    match text {
        "" => Ok(None),
        _ if version.before(32) => Ok(None),
        text => text.parse().map(Some).map_err(|e| Failure::bad(format!("{e}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_heard_since_its_version_and_several_since_1_52() {
        let read = |known: Platforms, minor, texts: &[&str]| {
            known
                .read(ApiVersion::new(1, minor), texts.iter().copied())
                .map(|found| found.len())
                .map_err(|failure| failure.message)
        };
        let json = r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#;
        let (inspect, save) = (Platforms::one_since(49), Platforms::several_since(48));
        assert_eq!(
            (read(inspect, 48, &[json]), read(inspect, 49, &[json])),
            (Ok(0), Ok(1))
        );
        assert_eq!(
            (read(save, 47, &[json]), read(save, 48, &["", "linux/s390x"])),
            (Ok(0), Ok(1))
        );
        let refused = Err("multiple platform parameters not supported".to_owned());
        assert_eq!(
            (read(save, 51, &[json, json]), read(save, 52, &[json, json])),
            (refused.clone(), Ok(2))
        );
        assert_eq!(read(inspect, 52, &[json, json]), refused);
        assert!(
            read(save, 52, &["{"])
                .unwrap_err()
                .starts_with("invalid platform")
        );
        let pulled = |minor| platform(ApiVersion::new(1, minor), "linux/arm64").unwrap();
        assert!(pulled(31).is_none() && pulled(32).is_some());
    }
}
