//! Go's durations as texts: `1h30m`, `1.5s`, `250ms`. All of Docker's flags, filters and instructions have them, and the
//! health check of an image configuration keeps them in nanoseconds.

/// Longest fraction that is looked at: further digits are below a nanosecond for every unit.
const MAX_FRACTION: usize = 18;

/// Nanoseconds of a text that Go's `time.ParseDuration` takes; `None` for others, and for more than 292 years.
pub fn parse(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        total = total.checked_add(part(number, unit)?)?;
        rest = after;
    }
    i64::try_from(sign * total).ok()
}

/// Nanoseconds of one number with its unit.
fn part(number: &str, unit: &str) -> Option<i128> {
    let unit: i128 = match unit {
        "ns" => 1,
        // The micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let digits = |text: &str| {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse::<i64>().ok()
        }
    };
    let fraction = &fraction[..fraction.len().min(MAX_FRACTION)];
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    Some(i128::from(digits(whole)?) * unit + i128::from(digits(fraction)?) * unit / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nanos) in [
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("100ms", 100_000_000),
            ("1us2\u{b5}s3\u{3bc}s4ns", 6_004),
            ("-2m", -120_000_000_000),
            ("+1s", 1_000_000_000),
            ("0", 0),
            ("-0", 0),
            ("9223372036854775807ns", i64::MAX),
            ("0.3333333333333333333h", 1_200_000_000_000 - 1),
        ] {
            assert_eq!(parse(text), Some(nanos), "{text}");
        }
    }

    #[test]
    fn other_texts_are_none() {
        for text in [
            "",
            "-",
            "+",
            "5",
            "s",
            ".s",
            "1x",
            "1s2",
            "1..5s",
            "1.2.3s",
            "5 s",
            "99999999h",
            "9223372036854775808ns",
            "99999999999999999999s",
            "1h ",
            "--1s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
