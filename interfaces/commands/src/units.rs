//! Sizes and times for people, as docker writes and reads them.

use std::time::{SystemTime, UNIX_EPOCH};

/// `%.{digits}g` of Go: so many significant digits, no zeros at the end.
fn significant(n: f64, digits: usize) -> String {
    if n == 0.0 {
        return "0".to_owned();
    }
    let exponent = format!("{n:.*e}", digits - 1);
    let exponent: i32 = exponent
        .rsplit('e')
        .next()
        .and_then(|e| e.parse().ok())
        .unwrap_or(0);
    if exponent >= digits as i32 {
        let (mantissa, _) = format!("{n:.*e}", digits - 1)
            .split_once('e')
            .map(|(m, e)| (m.to_owned(), e.to_owned()))
            .unwrap_or_default();
        return format!("{}e+{exponent:02}", strip(&mantissa));
    }
    strip(&format!("{n:.*}", (digits as i32 - 1 - exponent).max(0) as usize)).to_owned()
}

fn strip(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

fn scaled(mut size: f64, base: f64, names: &[&str], digits: usize) -> String {
    let mut i = 0;
    while size >= base && i < names.len() - 1 {
        size /= base;
        i += 1;
    }
    format!("{}{}", significant(size, digits), names[i])
}

/// A size in powers of 1000 with three digits: `1.98MB`.
pub(crate) fn decimal3(size: f64) -> String {
    scaled(
        size,
        1000.0,
        &["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"],
        3,
    )
}

/// A size in powers of 1000 with four digits: `1.982MB`.
pub(crate) fn decimal(size: f64) -> String {
    scaled(
        size,
        1000.0,
        &["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"],
        4,
    )
}

/// A size in powers of 1024 with four digits: `7.656GiB`.
pub(crate) fn binary(size: f64) -> String {
    scaled(
        size,
        1024.0,
        &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"],
        4,
    )
}

/// Reads a size such as `512m`, `1.5g`, `64KiB`, as bytes.
pub(crate) fn parse_bytes(text: &str) -> Option<i64> {
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.')? + 1;
    let (number, suffix) = text.split_at(end);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let suffix = suffix.strip_prefix(' ').unwrap_or(suffix).to_ascii_lowercase();
    if !number.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    let unit = match suffix.as_str() {
        "" | "b" => 0,
        other => {
            let (first, rest) = other.split_at(1);
            if !matches!(rest, "" | "b" | "ib") {
                return None;
            }
            "kmgtp".find(first)? as u32 + 1
        }
    };
    Some((number * 1024_f64.powi(unit as i32)) as i64)
}

/// How long that is: `3 minutes`.
pub(crate) fn duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds as f64 / 3600.0 + 0.5) as i64;
    match seconds {
        i64::MIN..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 14 => format!("{} days", hours / 24),
        _ if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 730 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// Seconds since 1970, now.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs() as i64)
}

/// `3 minutes ago`, for seconds since 1970.
pub(crate) fn ago(then: i64) -> String {
    format!("{} ago", duration(now() - then))
}

/// Go's `Time.String` in UTC, for seconds since 1970: `2026-11-21 10:14:36 +0000 UTC`.
pub(crate) fn stamp(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(t) => t.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        Err(_) => String::new(),
    }
}

/// RFC 3339 without a fraction, in UTC as `Z`.
pub(crate) fn rfc3339(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(t) => t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => String::new(),
    }
}

/// Seconds since 1970 of an RFC 3339 text.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|t| t.as_second())
}

/// The time of `--since` and `--until`: a duration before now, a date, or seconds since 1970, as the API has it.
pub(crate) fn moment(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    if let Some(nanos) = oci::duration::parse(text) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos() as i128);
        let then = now - i128::from(nanos);
        return Ok(format!(
            "{}.{:09}",
            then.div_euclid(1_000_000_000),
            then.rem_euclid(1_000_000_000)
        ));
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Ok(text.to_owned());
    }
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let civil = || {
        let plain = text.strip_suffix('Z').unwrap_or(text);
        let full = match plain.len() {
            10 => format!("{plain}T00:00:00Z"),
            13 => format!("{plain}:00:00Z"),
            16 => format!("{plain}:00Z"),
            _ => format!("{plain}Z"),
        };
        full.parse::<jiff::Timestamp>().ok()
    };
    match zoned.or_else(civil) {
        Some(t) => Ok(format!("{}.{:09}", t.as_second(), t.subsec_nanosecond())),
        None => Err(format!("failed to parse value as time or duration: {text:?}")),
    }
}

/// The first `width` characters, the last of them an ellipsis if something was cut.
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The twelve digits by which people know an id.
pub(crate) fn short_id(id: &str) -> &str {
    let plain = id.split_once(':').map_or(id, |(_, digits)| digits);
    plain.get(..12).unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_dockers_digits() {
        assert_eq!(decimal3(1_982_000.0), "1.98MB");
        assert_eq!(decimal(1_982_000.0), "1.982MB");
        assert_eq!(decimal3(0.0), "0B");
        assert_eq!(decimal3(999.0), "999B");
        assert_eq!(decimal3(999_999.0), "1e+03kB");
        assert_eq!(decimal(102_400_000.0), "102.4MB");
        assert_eq!(binary(8_220_000_000.0), "7.655GiB");
        assert_eq!(binary(1024.0), "1KiB");
    }

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        for (text, bytes) in [
            ("512m", 512 << 20),
            ("1.5g", 3 << 29),
            ("64KiB", 65536),
            ("7", 7),
            ("8b", 8),
            ("1 kb", 1024),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "foo", "m", "-1", "1x", "1mm", "1.2.3"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_said_as_docker_says_them() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (150, "2 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (50 * 3600, "2 days"),
            (15 * 86400, "2 weeks"),
            (100 * 86400, "3 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
        assert_eq!(stamp(0), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(moment("2020-01-01").unwrap(), "1577836800.000000000");
        assert_eq!(moment("1577836800").unwrap(), "1577836800");
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn long_texts_end_in_an_ellipsis() {
        assert_eq!(
            ellipsis("\"sleep 10000000000000000\"", 20),
            "\"sleep 100000000000…"
        );
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
    }
}
