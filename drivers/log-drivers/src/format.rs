//! How one line stands in a file: Docker's json-file objects and its `local` records.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::lines::{End, Piece, find_line_feed};
use crate::reader::Entry;
use crate::{Driver, Stream, Timestamp, escape};

/// No record of a log file is longer; a longer one is damage and is skipped.
pub(crate) const LONGEST_RECORD: usize = 4 * 1024 * 1024;

/// Writes records; what is the same for all lines of one batch is rendered once.
#[derive(Debug)]
pub(crate) struct Encoder {
    driver: Driver,
    /// `,"attrs":{...}` or nothing.
    attributes: Vec<u8>,
    /// Everything after a line's text, for `suffix_of`.
    suffix: Vec<u8>,
    suffix_of: Option<(Stream, Timestamp)>,
}

impl Encoder {
    pub(crate) fn new(driver: Driver, attributes: &BTreeMap<String, String>) -> Self {
        let mut text = Vec::new();
        if !attributes.is_empty() {
            text.extend_from_slice(b",\"attrs\":");
            // A map of strings cannot fail to serialise.
            text.extend(serde_json::to_vec(attributes).unwrap_or_else(|_| b"{}".to_vec()));
        }
        Encoder {
            driver,
            attributes: text,
            suffix: Vec::new(),
            suffix_of: None,
        }
    }

    /// Appends one record.
    pub(crate) fn append(&mut self, out: &mut Vec<u8>, stream: Stream, at: Timestamp, piece: &Piece<'_>) {
        match self.driver {
            Driver::JsonFile => self.append_json(out, stream, at, piece),
            Driver::Local => append_local(out, stream, at, piece),
            Driver::None => {}
        }
    }

    fn append_json(&mut self, out: &mut Vec<u8>, stream: Stream, at: Timestamp, piece: &Piece<'_>) {
        if self.suffix_of != Some((stream, at)) {
            self.suffix.clear();
            self.suffix.extend_from_slice(b"\",\"stream\":\"");
            self.suffix.extend_from_slice(stream.name().as_bytes());
            self.suffix.push(b'"');
            self.suffix.extend_from_slice(&self.attributes);
            self.suffix.extend_from_slice(b",\"time\":\"");
            at.append_to(&mut self.suffix);
            self.suffix.extend_from_slice(b"\"}\n");
            self.suffix_of = Some((stream, at));
        }
        out.extend_from_slice(b"{\"log\":\"");
        escape::append(out, piece.bytes);
        if piece.end == End::Line {
            out.extend_from_slice(b"\\n");
        }
        out.extend_from_slice(&self.suffix);
    }
}

/// `[length u32 BE][LogEntry protobuf][length u32 BE]`; fields: 1 source, 2 time_nano, 3 line, 4 partial,
/// 5 {1 last, 2 id, 3 ordinal}.
fn append_local(out: &mut Vec<u8>, stream: Stream, at: Timestamp, piece: &Piece<'_>) {
    let partial = piece.end == End::Open || piece.continues;
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    append_bytes(out, 1, stream.name().as_bytes());
    out.push(2 << 3);
    append_varint(out, at.as_nanos() as u64);
    append_bytes(out, 3, piece.bytes);
    if partial {
        out.extend_from_slice(&[4 << 3, 1]);
        let last: &[u8] = if piece.end == End::Line { &[1 << 3, 1] } else { &[] };
        append_bytes(out, 5, last);
    }
    let length = ((out.len() - start - 4) as u32).to_be_bytes();
    out[start..start + 4].copy_from_slice(&length);
    out.extend_from_slice(&length);
}

fn append_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    append_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn append_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The first record in a buffer.
pub(crate) enum Found {
    /// Not complete: more bytes are needed.
    Incomplete,
    /// A record of this many bytes; `None` when it is damaged.
    Record(usize, Option<Entry>),
    /// From here on the file makes no sense.
    Damaged,
}

/// Looks for a record at the beginning of `bytes`.
pub(crate) fn decode(driver: Driver, bytes: &[u8]) -> Found {
    match driver {
        Driver::JsonFile => match find_line_feed(bytes) {
            Some(at) => Found::Record(at + 1, decode_json(&bytes[..at])),
            None => Found::Incomplete,
        },
        Driver::Local => {
            let Some(prefix) = bytes.first_chunk::<4>() else {
                return Found::Incomplete;
            };
            let length = u32::from_be_bytes(*prefix) as usize;
            if length > LONGEST_RECORD {
                return Found::Damaged;
            }
            match bytes.get(4 + length..8 + length) {
                None => Found::Incomplete,
                Some(suffix) if suffix != prefix => Found::Damaged,
                Some(_) => Found::Record(8 + length, decode_local(&bytes[4..4 + length])),
            }
        }
        Driver::None => Found::Damaged,
    }
}

#[derive(Deserialize)]
struct JsonLine<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(default)]
    attrs: Option<BTreeMap<String, String>>,
}

fn decode_json(line: &[u8]) -> Option<Entry> {
    let parsed: JsonLine<'_> = serde_json::from_slice(line).ok()?;
    let stream = if parsed.stream == "stderr" {
        Stream::Stderr
    } else {
        Stream::Stdout
    };
    Some(Entry {
        time: Timestamp::parse(&parsed.time)?,
        stream,
        partial: !parsed.log.ends_with('\n'),
        line: parsed.log.into_owned().into_bytes(),
        attributes: parsed.attrs.unwrap_or_default(),
    })
}

fn decode_local(mut bytes: &[u8]) -> Option<Entry> {
    let mut entry = Entry {
        time: Timestamp::default(),
        stream: Stream::Stdout,
        line: Vec::new(),
        partial: false,
        attributes: BTreeMap::new(),
    };
    let mut last = false;
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        match (key >> 3, key & 7) {
            (2, 0) => entry.time = Timestamp::from_nanos(take_varint(&mut bytes)? as i64),
            (4, 0) => entry.partial = take_varint(&mut bytes)? != 0,
            (_, 0) => drop(take_varint(&mut bytes)?),
            (field, 2) => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                match field {
                    1 if value == b"stderr" => entry.stream = Stream::Stderr,
                    3 => entry.line.extend_from_slice(value),
                    5 => last = value.starts_with(&[1 << 3, 1]),
                    _ => {}
                }
            }
            _ => return None,
        }
    }
    entry.partial &= !last;
    if !entry.partial {
        entry.line.push(b'\n');
    }
    Some(entry)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f).checked_shl(shift).unwrap_or(0);
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(driver: Driver, attributes: &[(&str, &str)], piece: &Piece<'_>) -> Vec<u8> {
        let attributes = attributes
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let mut out = Vec::new();
        Encoder::new(driver, &attributes).append(
            &mut out,
            Stream::Stderr,
            Timestamp::from_nanos(1_500_000_000),
            piece,
        );
        out
    }

    #[test]
    fn a_json_line_is_exactly_dockers() {
        let piece = Piece {
            bytes: b"hi \"you\"",
            end: End::Line,
            continues: false,
        };
        assert_eq!(
            String::from_utf8(encoded(Driver::JsonFile, &[("a", "1")], &piece)).expect("UTF-8"),
            "{\"log\":\"hi \\\"you\\\"\\n\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"1\"},\"time\":\"1970-01-01T00:00:01.5Z\"}\n"
        );
    }

    #[test]
    fn both_formats_read_back_what_was_written() {
        for driver in [Driver::JsonFile, Driver::Local] {
            for (end, continues, text, partial) in [
                (End::Line, false, "text\n", false),
                (End::Open, false, "text", true),
                (End::Line, true, "text\n", false),
            ] {
                let bytes = encoded(
                    driver,
                    &[],
                    &Piece {
                        bytes: b"text",
                        end,
                        continues,
                    },
                );
                let Found::Record(length, Some(entry)) = decode(driver, &bytes) else {
                    panic!("no record")
                };
                assert_eq!(length, bytes.len());
                assert_eq!(
                    (entry.line.as_slice(), entry.partial),
                    (text.as_bytes(), partial),
                    "{driver:?}"
                );
                assert_eq!(
                    (entry.stream, entry.time.as_nanos()),
                    (Stream::Stderr, 1_500_000_000)
                );
                for cut in 0..bytes.len() {
                    assert!(
                        matches!(decode(driver, &bytes[..cut]), Found::Incomplete),
                        "{driver:?} cut at {cut}"
                    );
                }
            }
        }
    }

    #[test]
    fn damage_is_told() {
        assert!(matches!(
            decode(Driver::JsonFile, b"{\"log\n"),
            Found::Record(6, None)
        ));
        assert!(matches!(decode(Driver::Local, &[0xff; 16]), Found::Damaged));
        assert!(matches!(
            decode(Driver::Local, &[0, 0, 0, 1, 8, 0, 0, 0, 2]),
            Found::Damaged
        ));
        assert!(matches!(
            decode(Driver::Local, &[0, 0, 0, 1, 8, 0, 0, 0, 1]),
            Found::Record(9, None)
        ));
    }
}
