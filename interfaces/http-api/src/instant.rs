//! Points in time as filters name them: seconds since 1970, dates, or how long ago.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

use crate::error::Failure;

/// `1700000000`, `2026-11-21`, `2026-11-21T09:30:00Z` or `1h30m` (ago), as seconds since 1970.
pub(crate) fn seconds(text: &str) -> Result<i64, Failure> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    parse(text, i64::try_from(now).unwrap_or(i64::MAX))
        .ok_or_else(|| Failure::bad(format!("failed to parse value as time or duration: {text:?}")))
}

fn parse(text: &str, now: i64) -> Option<i64> {
    if let Some(nanoseconds) = crate::events::parse_instant(text) {
        return Some(nanoseconds.div_euclid(1_000_000_000));
    }
    if let Some(ago) = oci::duration::parse(text) {
        return now.checked_sub(ago / 1_000_000_000);
    }
    if let Ok(exact) = text.parse::<Timestamp>() {
        return Some(exact.as_second());
    }
    let local: civil::DateTime = text.parse().ok().or_else(|| {
        let date: civil::Date = text.parse().ok()?;
        Some(date.at(0, 0, 0, 0))
    })?;
    Some(local.to_zoned(TimeZone::system()).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_of_docker_is_understood() {
        let now = 1_000_000;
        assert_eq!(parse("1700000000.25", now), Some(1_700_000_000));
        assert_eq!(parse("1h30m", now), Some(now - 5400));
        assert_eq!(parse("1.5m", now), Some(now - 90));
        assert_eq!(parse("2026-11-21T09:30:00Z", now), Some(1_795_253_400));
        assert_eq!(parse("2026-11-21T09:30:00.5+01:00", now), Some(1_795_249_800));
        assert!(parse("2026-11-21", now).is_some() && parse("2026-11-21T09:30", now).is_some());
    }

    #[test]
    fn other_texts_are_no_time() {
        for text in ["", "h", "1x", "1h30", "yesterday", "2026-13-01", "-"] {
            assert_eq!(parse(text, 0), None, "{text}");
        }
    }
}
