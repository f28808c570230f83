//! Moments as docker's filters take them: a time, seconds since 1970, or how long ago.

use log_drivers::Timestamp;

use crate::Error;

/// Reads `text` as a moment; durations (`10m`, `1h30m`) count back from `now`.
///
/// # Errors
/// A text that is neither.
pub(crate) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    if let Some(at) = Timestamp::parse(text) {
        return Ok(at);
    }
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
        && seconds.abs() < 9e9
    {
        #[expect(clippy::cast_possible_truncation, reason = "nanoseconds until the year 2255")]
        return Ok(Timestamp::from_nanos((seconds * 1e9) as i64));
    }
    if let Some(nanos) = oci::duration::parse(text) {
        return Ok(Timestamp::from_nanos(now.as_nanos().saturating_sub(nanos)));
    }
    let date = format!("{text}T00:00:00Z");
    let local = format!("{text}Z");
    Timestamp::parse(&date)
        .or_else(|| Timestamp::parse(&local))
        .ok_or_else(|| Error::Invalid(format!("failed to parse value as time or duration: \"{text}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_numbers_and_durations_are_moments() {
        let now = Timestamp::from_nanos(10_000_000_000_000);
        let at = |text: &str| parse(text, now).expect(text).as_nanos();
        assert_eq!(at("1970-01-01T00:00:05Z"), 5_000_000_000);
        assert_eq!(at("12.5"), 12_500_000_000);
        assert_eq!(at("1h30m"), 10_000_000_000_000 - 5_400_000_000_000);
        assert_eq!(at("1970-01-02"), 86_400_000_000_000);
        assert!(parse("soon", now).is_err() && parse("", now).is_err());
    }
}
