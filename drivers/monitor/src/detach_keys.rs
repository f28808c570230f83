//! The keys that disconnect a client without ending the container: Docker's syntax, and the matcher.

use fault::{Fault, Kind};

/// Docker's default sequence, ctrl-p ctrl-q.
pub const DEFAULT: &[u8] = &[16, 17];

/// A sequence that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid detach keys ({keys}) provided")]
pub struct InvalidKeys {
    /// What was given.
    pub keys: String,
}

impl Fault for InvalidKeys {
    fn kind(&self) -> Kind {
        Kind::InvalidParameter
    }
}

/// Reads `ctrl-p,ctrl-q`, `a,b`, `ctrl-[`, `DEL`, ...: keys separated by commas, each one character or `ctrl-` and one
/// of `a`-`z @ [ \ ] ^ _`, or `DEL`. Empty means Docker's default, which the caller chooses.
///
/// # Errors
/// [`InvalidKeys`] names the text.
pub fn parse(text: &str) -> Result<Vec<u8>, InvalidKeys> {
    let invalid = || InvalidKeys {
        keys: text.to_owned(),
    };
    let mut out = Vec::new();
    for key in text.split(',') {
        let byte = match key.as_bytes() {
            [one] => *one,
            _ => match key.strip_prefix("ctrl-").map(str::as_bytes) {
                Some([letter @ b'a'..=b'z']) => letter - b'a' + 1,
                Some([b'@']) => 0,
                Some([other @ (b'[' | b'\\' | b']' | b'^' | b'_')]) => other - b'[' + 27,
                _ if key == "DEL" => 127,
                _ => return Err(invalid()),
            },
        };
        out.push(byte);
    }
    Ok(out)
}

/// Looks for the sequence in what a client types; holds back what may be its beginning.
#[derive(Debug, Default)]
pub struct Matcher {
    keys: Vec<u8>,
    matched: usize,
}

impl Matcher {
    /// For a sequence; an empty one never matches.
    pub fn new(keys: Vec<u8>) -> Self {
        Matcher { keys, matched: 0 }
    }

    /// Takes input, appends to `out` what is to be passed on, and says whether the sequence is complete (what follows
    /// it is thrown away).
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            out.extend_from_slice(input);
            return false;
        }
        for &byte in input {
            if byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return true;
                }
                continue;
            }
            // The held keys were ordinary input; this one may begin the sequence anew.
            out.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(byte == self.keys[0]);
            if self.matched == 0 {
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
    fn dockers_syntax_is_understood() {
        for (text, keys) in [
            ("ctrl-p,ctrl-q", &[16, 17][..]),
            ("a", b"a"),
            (
                "ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_",
                &[0, 27, 28, 29, 30, 31],
            ),
            ("DEL,x", &[127, b'x']),
        ] {
            assert_eq!(parse(text).expect(text), keys);
        }
        for wrong in ["", "ctrl-", "ctrl-A", "ctrl-ab", "abc", "a,,b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_sequence_is_found_across_pieces_and_false_starts_pass() {
        let mut matcher = Matcher::new(vec![16, 17]);
        let mut out = Vec::new();
        assert!(!matcher.feed(b"ls\n\x10", &mut out));
        assert_eq!(out, b"ls\n");
        assert!(!matcher.feed(b"x\x10\x10", &mut out));
        assert_eq!(out, b"ls\n\x10x\x10");
        assert!(matcher.feed(b"\x11rest", &mut out));
        assert_eq!(out, b"ls\n\x10x\x10");
    }

    #[test]
    fn without_a_sequence_everything_passes() {
        let mut out = Vec::new();
        assert!(!Matcher::default().feed(b"\x10\x11", &mut out));
        assert_eq!(out, b"\x10\x11");
    }
}
