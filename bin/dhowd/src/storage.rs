//! What the configuration says about storage drivers, in the words of the images.

use api_types::size::parse_size;
use images::StorageOptions;

use crate::config::ConfigError;

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

#[cfg(test)]
mod tests {
    use super::*;

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
