//! The records of PAX extended headers: `LENGTH KEY=VALUE\n`, POSIX.1-2017 pax, "pax Extended Header".

use crate::Timestamp;
use crate::entry::{Run, Xattr};

/// The records that bear on an entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<i64>,
    pub(crate) gid: Option<i64>,
    pub(crate) uname: Option<Vec<u8>>,
    pub(crate) gname: Option<Vec<u8>>,
    pub(crate) mtime: Option<Timestamp>,
    pub(crate) xattrs: Vec<Xattr>,
    pub(crate) sparse: Sparse,
}

/// `GNU.sparse.*`, versions 0.0, 0.1 and 1.0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sparse {
    pub(crate) major: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) real_size: Option<u64>,
    pub(crate) runs: Option<Vec<Run>>,
    /// Version 0.0: an offset that waits for its length.
    offset: Option<u64>,
}

impl Pax {
    /// Adds the records of one extended header. A global header (`global`) may not name, size or
    /// mark entries: that makes sense for one at most.
    pub(crate) fn add(
        &mut self,
        mut data: &[u8],
        global: bool,
        most_runs: usize,
    ) -> Result<(), &'static str> {
        while !data.is_empty() {
            let (key, value, rest) = record(data)?;
            data = rest;
            let of_one_entry = matches!(key, b"path" | b"linkpath" | b"size")
                || key.starts_with(b"GNU.sparse.")
                || key.starts_with(b"SCHILY.xattr.");
            if global && of_one_entry {
                continue;
            }
            self.set(key, value, most_runs)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8], most_runs: usize) -> Result<(), &'static str> {
        match key {
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link = name(value)?,
            b"uname" => self.uname = name(value)?,
            b"gname" => self.gname = name(value)?,
            b"size" => self.size = optional(value, unsigned)?,
            b"uid" => self.uid = optional(value, signed)?,
            b"gid" => self.gid = optional(value, signed)?,
            b"mtime" => self.mtime = optional(value, timestamp)?,
            _ => {
                if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    return self.sparse.set(key, value, most_runs);
                }
                if let Some(key) = key.strip_prefix(b"SCHILY.xattr.") {
                    if key.is_empty() {
                        return Err("an extended attribute has no name");
                    }
                    self.xattrs.retain(|(present, _)| present != key);
                    self.xattrs.push((key.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

impl Sparse {
    fn set(&mut self, key: &[u8], value: &[u8], most_runs: usize) -> Result<(), &'static str> {
        match key {
            b"major" => self.major = Some(unsigned(value)?),
            b"name" => self.name = name(value)?,
            b"size" | b"realsize" => self.real_size = Some(unsigned(value)?),
            b"offset" => {
                let unpaired = self.offset.replace(unsigned(value)?);
                if unpaired.is_some() {
                    return Err("a sparse offset has no length");
                }
            }
            b"numbytes" => {
                let offset = self.offset.take().ok_or("a sparse length has no offset")?;
                self.push(offset, unsigned(value)?, most_runs)?;
            }
            b"map" => {
                self.runs = Some(Vec::new());
                let mut numbers = value.split(|&b| b == b',');
                while let Some(offset) = numbers.next() {
                    if value.is_empty() {
                        break;
                    }
                    let length = numbers.next().ok_or("the sparse map has an odd count")?;
                    self.push(unsigned(offset)?, unsigned(length)?, most_runs)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn push(&mut self, offset: u64, length: u64, most_runs: usize) -> Result<(), &'static str> {
        let runs = self.runs.get_or_insert_default();
        if runs.len() >= most_runs {
            return Err("the sparse map has too many runs");
        }
        runs.push(Run { offset, length });
        Ok(())
    }
}

/// Key, value and what follows.
type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Splits the first record off.
fn record(data: &[u8]) -> Result<Record<'_>, &'static str> {
    let space = data
        .iter()
        .take(20)
        .position(|&b| b == b' ')
        .ok_or("a PAX record has no length")?;
    let length = unsigned(&data[..space])?;
    let length = usize::try_from(length).map_err(|_| "a PAX record is too long")?;
    if length <= space + 2 || length > data.len() {
        return Err("the length of a PAX record is wrong");
    }
    let (record, rest) = data.split_at(length);
    let body = record[space + 1..]
        .strip_suffix(b"\n")
        .ok_or("a PAX record does not end with a newline")?;
    let equals = body
        .iter()
        .position(|&b| b == b'=')
        .ok_or("a PAX record has no `=`")?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    if key.is_empty() || key.contains(&0) {
        return Err("a PAX record has no proper key");
    }
    Ok((key, value, rest))
}

/// An empty value takes a record back.
fn optional<T>(
    value: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, &'static str>,
) -> Result<Option<T>, &'static str> {
    if value.is_empty() {
        Ok(None)
    } else {
        parse(value).map(Some)
    }
}

fn name(value: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    if value.contains(&0) {
        return Err("a PAX name holds a NUL byte");
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

pub(crate) fn unsigned(value: &[u8]) -> Result<u64, &'static str> {
    const WRONG: &str = "a PAX number is none";
    if value.is_empty() || value.len() > 20 || !value.iter().all(u8::is_ascii_digit) {
        return Err(WRONG);
    }
    let parsed: u64 = str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(WRONG)?;
    // Offsets and sizes are signed in the kernel.
    if i64::try_from(parsed).is_err() {
        return Err("a PAX number is out of range");
    }
    Ok(parsed)
}

fn signed(value: &[u8]) -> Result<i64, &'static str> {
    match value.strip_prefix(b"-") {
        Some(digits) => unsigned(digits).map(|number| -number.cast_signed()),
        None => unsigned(value).map(u64::cast_signed),
    }
}

/// `[-]SECONDS[.FRACTION]`; digits beyond nanoseconds are cut.
fn timestamp(value: &[u8]) -> Result<Timestamp, &'static str> {
    let (negative, magnitude) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let (whole, fraction) = match magnitude.iter().position(|&b| b == b'.') {
        Some(dot) => (&magnitude[..dot], &magnitude[dot + 1..]),
        None => (magnitude, &b""[..]),
    };
    let seconds = if whole.is_empty() { 0 } else { unsigned(whole)? }.cast_signed();
    if !fraction.iter().all(u8::is_ascii_digit) || (whole.is_empty() && fraction.is_empty()) {
        return Err("a PAX time is none");
    }
    let mut nanos = 0;
    for place in 0..9 {
        nanos = nanos * 10 + fraction.get(place).map_or(0, |&digit| u32::from(digit - b'0'));
    }
    Ok(match (negative, nanos) {
        (false, _) => Timestamp { seconds, nanos },
        (true, 0) => Timestamp {
            seconds: -seconds,
            nanos,
        },
        (true, _) => Timestamp {
            seconds: -seconds - 1,
            nanos: 1_000_000_000 - nanos,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_down_and_exact_to_the_nanosecond() {
        let check = |text: &str, seconds, nanos| {
            assert_eq!(
                timestamp(text.as_bytes()),
                Ok(Timestamp { seconds, nanos }),
                "{text}"
            )
        };
        check("1700000000.123456789", 1_700_000_000, 123_456_789);
        check("5", 5, 0);
        check("5.1234567899", 5, 123_456_789);
        check("-1.25", -2, 750_000_000);
        check("-1", -1, 0);
        check(".5", 0, 500_000_000);
        for bad in ["", "-", ".", "1e5", "1.2.3", " 1", "9223372036854775808"] {
            assert!(timestamp(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        let check = |data: &[u8]| {
            assert!(
                Pax::default().add(data, false, 10).is_err(),
                "{:?}",
                String::from_utf8_lossy(data)
            )
        };
        check(b"6 a=b");
        check(b"7 a=b\n");
        check(b"5 a=b\n");
        check(b"4 a\n");
        check(b"5 =b\n");
        check(b"99999999999999999999 a=b\n");
        check(b"18446744073709551615 a=b\n");
        check(b"x a=b\n");
        check(b"13 path=a\0bc\n");
        check(b"11 size=-1\n");
        check(b"13 size=0x10\n");
        check(b"28 size=9223372036854775808\n");
    }

    #[test]
    fn a_global_header_names_nothing() {
        let mut pax = Pax::default();
        pax.add(b"13 path=evil\n8 uid=7\n", true, 10).unwrap();
        assert_eq!((pax.path, pax.uid), (None, Some(7)));
    }
}
