//! One 512-byte header block, pure: bytes to fields. The layout is POSIX ustar with the old GNU extensions.

use crate::entry::Run;

/// The size of a header block and the unit that data are padded to.
pub(crate) const BLOCK: usize = 512;

/// A header block whose checksum is right.
pub(crate) struct Header<'a>(pub(crate) &'a [u8; BLOCK]);

/// The dialect that a block says it is written in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V7,
    Ustar,
    Star,
    Gnu,
}

type Field<T> = Result<T, &'static str>;

impl<'a> Header<'a> {
    /// Checks the sum of `block`; some old archivers summed signed bytes.
    pub(crate) fn parse(block: &'a [u8; BLOCK]) -> Field<Self> {
        let stored = number(&block[148..156]).map_err(|_| "the checksum is not a number")?;
        let (mut unsigned, mut signed) = (0i64, 0i64);
        for (place, &byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&place) { b' ' } else { byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        if stored == unsigned || stored == signed {
            Ok(Self(block))
        } else {
            Err("the checksum is wrong")
        }
    }

    fn dialect(&self) -> Dialect {
        match (&self.0[257..263], &self.0[263..265]) {
            (b"ustar\0", _) if &self.0[508..512] == b"tar\0" => Dialect::Star,
            (b"ustar\0", _) => Dialect::Ustar,
            (b"ustar ", b" \0") => Dialect::Gnu,
            _ => Dialect::V7,
        }
    }

    pub(crate) fn type_flag(&self) -> u8 {
        self.0[156]
    }

    /// The name, with ustar's prefix before it.
    pub(crate) fn path(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = match self.dialect() {
            Dialect::Ustar => text(&self.0[345..500]),
            Dialect::Star => text(&self.0[345..476]),
            Dialect::V7 | Dialect::Gnu => &[],
        };
        if prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub(crate) fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    pub(crate) fn mode(&self) -> Field<i64> {
        number(&self.0[100..108]).map_err(|_| "the mode is not a number")
    }

    pub(crate) fn uid(&self) -> Field<i64> {
        number(&self.0[108..116]).map_err(|_| "the uid is not a number")
    }

    pub(crate) fn gid(&self) -> Field<i64> {
        number(&self.0[116..124]).map_err(|_| "the gid is not a number")
    }

    pub(crate) fn size(&self) -> Field<u64> {
        let size = number(&self.0[124..136]).map_err(|_| "the size is not a number")?;
        u64::try_from(size).map_err(|_| "the size is negative")
    }

    pub(crate) fn mtime(&self) -> Field<i64> {
        number(&self.0[136..148]).map_err(|_| "the time is not a number")
    }

    pub(crate) fn uname(&self) -> Vec<u8> {
        self.name_field(265)
    }

    pub(crate) fn gname(&self) -> Vec<u8> {
        self.name_field(297)
    }

    fn name_field(&self, at: usize) -> Vec<u8> {
        match self.dialect() {
            Dialect::V7 => Vec::new(),
            _ => text(&self.0[at..at + 32]).to_vec(),
        }
    }

    pub(crate) fn device(&self) -> Field<(u32, u32)> {
        if self.dialect() == Dialect::V7 {
            return Ok((0, 0));
        }
        let part = |range: std::ops::Range<usize>| {
            let value = number(&self.0[range]).map_err(|_| "the device number is not a number")?;
            u32::try_from(value).map_err(|_| "the device number is out of range")
        };
        Ok((part(329..337)?, part(337..345)?))
    }

    /// The first runs of an old GNU sparse file, whether more follow in extension blocks, and the real size.
    pub(crate) fn old_sparse(&self) -> Field<(Vec<Run>, bool, u64)> {
        let size = number(&self.0[483..495]).map_err(|_| "the real size is not a number")?;
        let size = u64::try_from(size).map_err(|_| "the real size is negative")?;
        Ok((old_runs(&self.0[386..482])?, self.0[482] != 0, size))
    }
}

/// Pairs of 12-byte numbers up to the first empty one.
pub(crate) fn old_runs(bytes: &[u8]) -> Field<Vec<Run>> {
    let mut runs = Vec::new();
    for pair in bytes.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let part = |bytes| {
            number(bytes)
                .ok()
                .and_then(|value| u64::try_from(value).ok())
                .ok_or("the sparse map is not of numbers")
        };
        runs.push(Run {
            offset: part(&pair[..12])?,
            length: part(&pair[12..])?,
        });
    }
    Ok(runs)
}

/// A NUL-terminated or full field.
pub(crate) fn text(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|&b| b == 0).unwrap_or(field.len())]
}

/// A number in octal text, or base-256 where the first bit is set (two's complement, GNU).
fn number(field: &[u8]) -> Result<i64, ()> {
    if field[0] & 0x80 != 0 {
        let negative = field[0] & 0x40 != 0;
        let mut value: i128 = if negative { -1 } else { 0 };
        for (place, &byte) in field.iter().enumerate() {
            let byte = match (place, negative) {
                (0, true) => byte | 0x80,
                (0, false) => byte & 0x7f,
                _ => byte,
            };
            value = (value << 8) | i128::from(byte);
        }
        return i64::try_from(value).map_err(|_| ());
    }
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let start = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    let mut value = 0i64;
    for &digit in &digits[..end] {
        if !(b'0'..=b'7').contains(&digit) {
            return Err(());
        }
        value = (value << 3) | i64::from(digit - b'0');
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        let check = |field: &[u8], expect| assert_eq!(number(field), expect, "{field:?}");
        check(b"0000644\0", Ok(0o644));
        check(b"   644 \0", Ok(0o644));
        check(b"\0\0\0\0\0\0\0\0", Ok(0));
        check(b"77777777777\0", Ok(0o77_777_777_777));
        check(b"0000648\0", Err(()));
        check(b"-000644\0", Err(()));
        check(&[0x80, 0, 0, 0, 0, 0, 1, 0], Ok(256));
        check(&[0xff; 12], Ok(-1));
        check(
            &[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255],
            Ok(i64::MAX),
        );
        check(&[0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0], Err(()));
        check(
            &[0xbf, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
            Err(()),
        );
    }
}
