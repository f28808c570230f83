//! `GET /containers/{name}/logs`.

use std::fmt::Write;
use std::sync::Arc;

use ::containers::{Containers, LogRequest};
use bytes::Bytes;
use futures_util::stream::unfold;
use log_drivers::{Entry, Stream, Timestamp};

use super::raw_or_framed;
use crate::call::Call;
use crate::error::Failure;
use crate::events::parse_instant;
use crate::reply::{self, Outcome};

/// What is written before each line.
#[derive(Clone, Copy, Debug, Default)]
struct Style {
    /// Docker's frame of eight bytes; none for a terminal's stream.
    framed: bool,
    timestamps: bool,
    details: bool,
}

/// `GET /containers/{name}/logs`.
pub(crate) async fn logs(containers: Arc<Containers>, call: Call) -> Outcome {
    let (stdout, stderr) = (call.query.flag("stdout"), call.query.flag("stderr"));
    if !stdout && !stderr {
        return Err(Failure::bad(
            "Bad parameters: you must choose at least one stream",
        ));
    }
    let request = LogRequest {
        follow: call.query.flag("follow"),
        stdout,
        stderr,
        since: instant(&call, "since")?,
        // Since 1.35.
        until: if call.version.at_least(35) {
            instant(&call, "until")?
        } else {
            None
        },
        // Docker takes everything that is no number for «all».
        tail: call.query.text("tail").parse().ok(),
    };
    let lines = containers.logs(call.name(), request).await?;
    let style = Style {
        framed: !lines.is_terminal(),
        timestamps: call.query.flag("timestamps"),
        details: call.query.flag("details"),
    };
    let media_type = raw_or_framed(call.version, lines.is_terminal());
    let chunks = unfold(lines, move |mut lines| async move {
        let chunk = match lines.next().await? {
            Ok(entries) => {
                let mut out = Vec::new();
                entries
                    .iter()
                    .for_each(|entry| write_entry(&mut out, entry, style));
                Ok(Bytes::from(out))
            }
            Err(error) => Err(std::io::Error::other(error)),
        };
        Some((chunk, lines))
    });
    reply::stream(media_type, chunks)
}

/// A parameter that is a time; zero is none, as in Docker.
fn instant(call: &Call, name: &str) -> Result<Option<Timestamp>, Failure> {
    match call.query.text(name) {
        "" | "0" => Ok(None),
        text => match parse_instant(text) {
            Some(nanoseconds) => Ok(Some(Timestamp::from_nanos(nanoseconds))),
            None => Err(Failure::bad(format!(
                "invalid value for \"{name}\": {text:?} is no time"
            ))),
        },
    }
}

fn write_entry(out: &mut Vec<u8>, entry: &Entry, style: Style) {
    let mut before = String::new();
    if style.timestamps {
        let nanoseconds = i128::from(entry.time.as_nanos());
        let time = jiff::Timestamp::from_nanosecond(nanoseconds).unwrap_or_default();
        let _ = write!(before, "{time:.9} ");
    }
    if style.details {
        let pairs: Vec<_> = entry
            .attributes
            .iter()
            .map(|(k, v)| format!("{}={}", escape(k), escape(v)))
            .collect();
        before += &pairs.join(",");
        before.push(' ');
    }
    if style.framed {
        let stream = match entry.stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        let length = u32::try_from(before.len() + entry.line.len()).unwrap_or(u32::MAX);
        out.extend([stream, 0, 0, 0]);
        out.extend(length.to_be_bytes());
    }
    out.extend(before.as_bytes());
    out.extend(&entry.line);
}

/// Go's `url.QueryEscape`.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(style: Style) -> Vec<u8> {
        let entry = Entry {
            time: Timestamp::from_nanos(1_700_000_000_500_000_000),
            stream: Stream::Stderr,
            line: b"hi\n".to_vec(),
            partial: false,
            attributes: [
                ("a b".to_owned(), "1/2".to_owned()),
                ("c".to_owned(), "d".to_owned()),
            ]
            .into(),
        };
        let mut out = Vec::new();
        write_entry(&mut out, &entry, style);
        out
    }

    #[test]
    fn a_frame_says_the_stream_and_the_length() {
        assert_eq!(
            written(Style {
                framed: true,
                ..Style::default()
            }),
            b"\x02\0\0\0\0\0\0\x03hi\n"
        );
        assert_eq!(written(Style::default()), b"hi\n");
    }

    #[test]
    fn timestamps_have_nine_digits_and_details_are_escaped() {
        let style = Style {
            framed: false,
            timestamps: true,
            details: true,
        };
        let text = String::from_utf8(written(style)).unwrap();
        assert_eq!(text, "2023-11-14T22:13:20.500000000Z a+b=1%2F2,c=d hi\n");
    }
}
