//! Patterns for names of repositories and tags: `*` stands for anything but a slash, `**` for anything, `?` for one character.

use serde::{Deserialize, Deserializer};

/// A pattern that names are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    One,
    Some,
    Any,
}

impl Pattern {
    /// Reads a pattern; every text is one.
    pub fn new(text: &str) -> Self {
        let mut pieces = Vec::new();
        for byte in text.bytes() {
            match (byte, pieces.last_mut()) {
                (b'*', Some(last @ (Piece::Some | Piece::Any))) => *last = Piece::Any,
                (b'*', _) => pieces.push(Piece::Some),
                (b'?', _) => pieces.push(Piece::One),
                (other, _) => pieces.push(Piece::Byte(other)),
            }
        }
        Self(pieces)
    }

    /// Whether a name fits. The time is bounded by the product of both lengths.
    pub fn fits(&self, name: &str) -> bool {
        // ends[i]: the first i bytes fit the pieces so far.
        let name = name.as_bytes();
        let mut ends = vec![false; name.len() + 1];
        ends[0] = true;
        for piece in &self.0 {
            match piece {
                Piece::Any | Piece::Some => {
                    for at in 0..name.len() {
                        let passes = *piece == Piece::Any || name[at] != b'/';
                        ends[at + 1] |= ends[at] && passes;
                    }
                }
                Piece::Byte(_) | Piece::One => {
                    for at in (0..name.len()).rev() {
                        let same = match piece {
                            Piece::Byte(byte) => name[at] == *byte,
                            _ => name[at] != b'/',
                        };
                        ends[at + 1] = ends[at] && same;
                    }
                    ends[0] = false;
                }
            }
        }
        ends[name.len()]
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_they_say() {
        for (pattern, fit, other) in [
            (
                "team/app",
                &["team/app"][..],
                &["team/ap", "team/apps", "xteam/app"][..],
            ),
            ("team/*", &["team/a", "team/"], &["team", "team/a/b", "teams/a"]),
            ("team/**", &["team/a", "team/a/b"], &["team", "x/team/a"]),
            ("**", &["", "a", "a/b/c"], &[]),
            ("*", &["", "a"], &["a/b"]),
            ("v?.*", &["v1.", "v1.2"], &["v.2", "v12.1", "v/.1"]),
            ("*-rc*", &["1-rc1", "-rc"], &["1-r1"]),
            ("a**b", &["ab", "a/x/b"], &["a/x"]),
        ] {
            let pattern = Pattern::new(pattern);
            assert!(fit.iter().all(|name| pattern.fits(name)), "{pattern:?}");
            assert!(!other.iter().any(|name| pattern.fits(name)), "{pattern:?}");
        }
        let slow = Pattern::new(&"*a".repeat(100));
        assert!(!slow.fits(&"a".repeat(99)) && slow.fits(&"a".repeat(255)));
    }
}
