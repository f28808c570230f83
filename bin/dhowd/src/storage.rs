//! What the configuration says about storage drivers, in the words of the images.

use std::time::Duration;

use api_types::size::parse_size;
use images::{GcPolicy, StorageOptions};

use crate::config::{ConfigError, ImageGc};

/// Between two looks for garbage.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Reads `storage-opts`.
///
/// # Errors
/// [`ConfigError::Invalid`] for what no driver here knows.
pub(crate) fn options(texts: &[String]) -> Result<StorageOptions, ConfigError> {
    let mut options = StorageOptions::default();
    for text in texts {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let size = || {
            let bytes = parse_size(value).and_then(|bytes| u64::try_from(bytes).ok());
            bytes.ok_or_else(|| ConfigError::Invalid(format!("invalid size in storage-opt {text:?}")))
        };
        match key.to_ascii_lowercase().as_str() {
            "size" => options.size = Some(size()?).filter(|bytes| *bytes > 0),
            "btrfs.min_space" => options.least = size()?,
            _ => {
                return Err(ConfigError::Invalid(format!(
                    "unknown storage-opt {text:?}: there are size and btrfs.min_space"
                )));
            }
        }
    }
    Ok(options)
}

/// Reads `image-gc`; nothing is collected without it.
///
/// # Errors
/// [`ConfigError::Invalid`] for what is no duration or size, and where nothing would ever be deleted.
pub(crate) fn gc_policy(settings: Option<&ImageGc>) -> Result<Option<GcPolicy>, ConfigError> {
    let Some(settings) = settings else { return Ok(None) };
    let invalid =
        |key: &str, text: &str| ConfigError::Invalid(format!("invalid {key} in image-gc: {text:?}"));
    let duration = |key, text: &str| {
        let nanos = oci::duration::parse(text).and_then(|nanos| u64::try_from(nanos).ok());
        let nanos = nanos.filter(|nanos| *nanos > 0);
        nanos.map(Duration::from_nanos).ok_or_else(|| invalid(key, text))
    };
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let size = |text: String| {
        let bytes = parse_size(&text).and_then(|bytes| u64::try_from(bytes).ok());
        bytes.ok_or_else(|| invalid("min-free", &text))
    };
    let policy = GcPolicy {
        interval: given(&settings.interval).map_or(Ok(INTERVAL), |text| duration("interval", &text))?,
        unused_for: given(&settings.unused_for)
            .map(|text| duration("unused-for", &text))
            .transpose()?,
        min_free: given(&settings.min_free).map(size).transpose()?,
        keep_last: settings.keep_last,
    };
    if policy.unused_for.is_none() && policy.min_free.is_none() {
        return Err(ConfigError::Invalid(
            "image-gc needs unused-for or min-free: it would never delete anything".to_owned(),
        ));
    }
    Ok(Some(policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_needs_a_reason_to_delete() {
        let read = |json: serde_json::Value| gc_policy(Some(&serde_json::from_value(json).unwrap()));
        let policy = serde_json::json!({"unused-for": "720h", "min-free": "10g", "keep-last": 2});
        let policy = read(policy).unwrap().unwrap();
        let month = Duration::from_secs(720 * 3600);
        assert_eq!(
            (policy.unused_for, policy.min_free),
            (Some(month), Some(10 << 30))
        );
        assert_eq!((policy.interval, policy.keep_last), (INTERVAL, 2));
        for wrong in [
            serde_json::json!({"keep-last": 2}),
            serde_json::json!({"unused-for": "month"}),
            serde_json::json!({"unused-for": "-1h"}),
            serde_json::json!({"min-free": "much"}),
            serde_json::json!({"min-free": "1g", "interval": "0s"}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(gc_policy(None).unwrap().is_none());
    }

    #[test]
    fn options_are_read_and_others_are_refused() {
        let read = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            options(&texts)
        };
        let both = read(&["size=10G", "btrfs.min_space=1m"]).unwrap();
        assert_eq!((both.size, both.least), (Some(10 << 30), 1 << 20));
        for wrong in ["size", "size=x", "size=-1", "dm.basesize=10G", "overlay2.size"] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
    }
}
