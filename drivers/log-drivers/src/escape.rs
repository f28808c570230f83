//! Bytes as a JSON string, the way Docker's json-file driver writes them.
//!
//! `<`, `>`, `&` and the line separators U+2028/9 are escaped as Go's encoder does; what is no UTF-8 becomes U+FFFD.

/// How many bytes are looked at at once; the compiler turns the inner loop into vector instructions.
const BLOCK: usize = 32;

const fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte < 0x80 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

/// Length of the prefix that needs no escaping.
fn plain_prefix(bytes: &[u8]) -> usize {
    let mut length = 0;
    for block in bytes.chunks_exact(BLOCK) {
        // Without an early exit, so that the loop is vectorised.
        let special = block.iter().fold(0u8, |found, byte| {
            found
                | u8::from(*byte < 0x20)
                | u8::from(*byte >= 0x80)
                | u8::from(*byte == b'"')
                | u8::from(*byte == b'\\')
                | u8::from(*byte == b'<')
                | u8::from(*byte == b'>')
                | u8::from(*byte == b'&')
        });
        if special != 0 {
            break;
        }
        length += BLOCK;
    }
    length + bytes[length..].iter().take_while(|byte| is_plain(**byte)).count()
}

/// Appends the escaped bytes, without quotes.
pub(crate) fn append(out: &mut Vec<u8>, mut bytes: &[u8]) {
    loop {
        let plain = plain_prefix(bytes);
        out.extend_from_slice(&bytes[..plain]);
        bytes = &bytes[plain..];
        let Some(&first) = bytes.first() else { return };
        if first < 0x80 {
            append_ascii(out, first);
            bytes = &bytes[1..];
        } else {
            let length = bytes.iter().take_while(|byte| **byte >= 0x80).count();
            append_non_ascii(out, &bytes[..length]);
            bytes = &bytes[length..];
        }
    }
}

fn append_ascii(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        _ => {
            let hex = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&hex);
        }
    }
}

fn append_non_ascii(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find(['\u{2028}', '\u{2029}']) {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            out.extend_from_slice(if rest[at..].starts_with('\u{2028}') {
                b"\\u2028"
            } else {
                b"\\u2029"
            });
            rest = &rest[at + 3..];
        }
        out.extend_from_slice(rest.as_bytes());
        // Go replaces every wrong byte by itself.
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        append(&mut out, bytes);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn special_bytes_are_escaped_as_docker_does() {
        for (bytes, text) in [
            (&b"plain"[..], "plain"),
            (b"a\"b\\c\n\r\t\x1b[0m", r#"a\"b\\c\n\r\u0009\u001b[0m"#),
            (
                b"<a href=\"x\">&</a>",
                r#"\u003ca href=\"x\"\u003e\u0026\u003c/a\u003e"#,
            ),
            ("grün \u{2028}\u{2029}€".as_bytes(), "grün \\u2028\\u2029€"),
            (b"x\xff\xfey\xe2\x82", r"x\ufffd\ufffdy\ufffd\ufffd"),
            (b"\x7f", "\x7f"),
        ] {
            assert_eq!(escaped(bytes), text);
        }
    }

    #[test]
    fn any_text_survives_a_json_parser() {
        let text: String = (0..0x3000u32).filter_map(char::from_u32).collect();
        for start in (0..64).filter(|at| text.is_char_boundary(*at)) {
            let json = format!("\"{}\"", escaped(&text.as_bytes()[start..]));
            assert_eq!(
                serde_json::from_str::<String>(&json).expect("JSON"),
                &text[start..]
            );
        }
    }
}
