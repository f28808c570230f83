//! The keys that detach: `ctrl-p,ctrl-q`.

/// What they are unless somebody says otherwise.
pub(super) const DEFAULT: &str = "ctrl-p,ctrl-q";

/// The bytes of a sequence such as `ctrl-p,ctrl-q` or `a,b`.
///
/// # Errors
/// The part that is neither one character nor `ctrl-` and one of the keys that a terminal has for it.
pub(super) fn parse(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for part in text.split(',') {
        bytes.push(match part.as_bytes() {
            [one] => *one,
            [b'c', b't', b'r', b'l', b'-', key] => match key {
                b'a'..=b'z' => key - b'a' + 1,
                b'@' => 0,
                b'[' => 27,
                b'\\' => 28,
                b']' => 29,
                b'^' => 30,
                b'_' => 31,
                _ => return Err(format!("Unknown character: '{}'", char::from(*key))),
            },
            _ => return Err(format!("Unknown character: '{part}'")),
        });
    }
    Ok(bytes)
}

/// Refuses keys that do not exist; empty stands for the default.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if text.is_empty() {
        Ok(())
    } else {
        parse(text)
            .map(drop)
            .map_err(|e| format!("invalid detach keys ({text}): {e}"))
    }
}

/// Watches the input for the sequence.
pub(super) struct Watcher {
    keys: Vec<u8>,
    matched: usize,
}

impl Watcher {
    pub(super) fn new(text: &str) -> Self {
        let text = if text.is_empty() { DEFAULT } else { text };
        Self {
            keys: parse(text).unwrap_or_default(),
            matched: 0,
        }
    }

    /// Passes input on to `out`, but holds back what may become the sequence. True when it is complete.
    pub(super) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        for &byte in input {
            if self.keys.get(self.matched) == Some(&byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return true;
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if self.keys.first() == Some(&byte) {
                self.matched = 1;
                if self.keys.len() == 1 {
                    return true;
                }
            } else {
                out.push(byte);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_read_and_bad_ones_refused() {
        assert_eq!(parse(DEFAULT).unwrap(), [16, 17]);
        assert_eq!(parse("a,ctrl-[,ctrl-@").unwrap(), [b'a', 27, 0]);
        for text in ["ctrl-", "ab", "ctrl-A", ""] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(check("").is_ok() && check("ctrl-!").is_err());
    }

    #[test]
    fn half_a_sequence_goes_on_to_the_process_when_it_breaks_off() {
        let mut watcher = Watcher::new("");
        let mut out = Vec::new();
        assert!(!watcher.feed(b"ab\x10", &mut out));
        assert_eq!(out, b"ab");
        assert!(!watcher.feed(b"c\x10\x10", &mut out));
        assert_eq!(out, b"ab\x10c\x10");
        assert!(watcher.feed(b"\x11", &mut out));
        assert_eq!(out, b"ab\x10c\x10");
    }
}
