//! Sizes as people write them.

/// `64m`, `1GiB`, `512` as bytes.
pub fn parse_size(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: i64 = text[..end].parse().ok()?;
    let shift = match text[end..].trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_powers_of_1024() {
        for (text, bytes) in [
            ("512", Some(512)),
            ("64m", Some(64 << 20)),
            (" 1 GiB ", Some(1 << 30)),
            ("2TB", Some(2 << 40)),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
        for text in ["", "m", "-1", "1x", "1.5g", "99999999999999999999", "9999999999t"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
