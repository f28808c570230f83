//! `GET /events`.

use std::sync::Arc;

use api_types::ApiVersion;
use api_types::event::Message;
use bytes::Bytes;
use events::Events;
use futures_util::stream;

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Outcome};

/// How one event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// One JSON value a line.
    Lines,
    /// RFC 7464: a record separator before each value.
    Sequence,
}

/// `GET /events`: the past from `since`, then what happens until `until` or until the client leaves.
pub(crate) async fn stream(events: Arc<Events>, call: Call) -> Outcome {
    let since = instant(call.query.text("since"))?;
    let until = instant(call.query.text("until"))?;
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        let text = |name| call.query.text(name);
        return Err(Failure::bad(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            text("since"),
            text("until")
        )));
    }
    let version = call.version;
    let (media_type, format) = negotiate(version, call.header("accept").unwrap_or_default());
    let subscription = events.subscribe(since, until, call.query.filters()?)?;
    let lines = stream::unfold(subscription, move |mut subscription| async move {
        loop {
            let event = subscription.next().await?;
            if known(version, &event) {
                return Some((Ok(Bytes::from(line(version, format, &event))), subscription));
            }
        }
    });
    reply::stream(media_type, lines)
}

/// Seconds since 1970 with an optional fraction, as nanoseconds; nothing for the empty text.
fn instant(text: &str) -> Result<Option<i64>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    parse_instant(text)
        .map(Some)
        .ok_or_else(|| Failure::bad(format!("failed to parse value as time or duration: {text:?}")))
}

/// `1700000000.5` and the like as nanoseconds since 1970; beyond the year 2262, the last that there is.
pub(crate) fn parse_instant(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Some(
        seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(digits.parse().ok()?),
    )
}

/// Media type and format for a client; versions before 1.52 knew one only.
fn negotiate(version: ApiVersion, accept: &str) -> (&'static str, Format) {
    if version.at_least(52) {
        for wish in accept
            .split(',')
            .map(|w| w.split(';').next().unwrap_or_default().trim())
        {
            match wish {
                "application/jsonl" if version.at_least(53) => return ("application/jsonl", Format::Lines),
                "application/x-ndjson" => return ("application/x-ndjson", Format::Lines),
                "application/json-seq" => return ("application/json-seq", Format::Sequence),
                _ => {}
            }
        }
    }
    ("application/json", Format::Lines)
}

/// Whether a client of this version has heard of such events.
fn known(version: ApiVersion, event: &Message) -> bool {
    match event.action.as_str() {
        "exec_die" => version.at_least(36),
        "prune" => version.at_least(41),
        "create" if event.kind == "image" => version.at_least(46),
        _ => true,
    }
}

fn line(version: ApiVersion, format: Format, event: &Message) -> Vec<u8> {
    let text = if version.at_least(52) {
        let plain = Message {
            status: String::new(),
            id: String::new(),
            from: String::new(),
            ..event.clone()
        };
        serde_json::to_vec(&plain)
    } else {
        serde_json::to_vec(event)
    };
    let mut out = Vec::with_capacity(512);
    if format == Format::Sequence {
        out.push(0x1e);
    }
    // Maps of strings to strings cannot fail to encode.
    out.extend(text.unwrap_or_default());
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const V51: ApiVersion = ApiVersion::new(1, 51);
    const V52: ApiVersion = ApiVersion::new(1, 52);
    const V53: ApiVersion = ApiVersion::new(1, 53);

    fn event(kind: &str, action: &str) -> Message {
        Message {
            status: action.into(),
            id: "abc".into(),
            kind: kind.into(),
            action: action.into(),
            ..Message::default()
        }
    }

    #[test]
    fn times_have_nanoseconds() {
        assert_eq!(parse_instant("1.5"), Some(1_500_000_000));
        assert_eq!(
            parse_instant("1700000000.000000001"),
            Some(1_700_000_000_000_000_001)
        );
        assert_eq!(parse_instant("7"), Some(7_000_000_000));
        assert_eq!(parse_instant("99999999999999.5"), Some(i64::MAX));
        assert!(["", "x", "1.x"].iter().all(|t| parse_instant(t).is_none()));
    }

    #[test]
    fn formats_are_negotiated_since_1_52_and_jsonl_since_1_53() {
        let lines = |t| (t, Format::Lines);
        assert_eq!(negotiate(V51, "application/x-ndjson"), lines("application/json"));
        assert_eq!(
            negotiate(V52, "application/x-ndjson"),
            lines("application/x-ndjson")
        );
        assert_eq!(
            negotiate(V52, "application/jsonl, application/json-seq;q=1"),
            ("application/json-seq", Format::Sequence)
        );
        assert_eq!(negotiate(V53, "application/jsonl"), lines("application/jsonl"));
        assert_eq!(negotiate(V53, "*/*"), lines("application/json"));
    }

    #[test]
    fn the_repeated_fields_are_gone_since_1_52() {
        let text = |v| String::from_utf8(line(v, Format::Lines, &event("container", "start"))).unwrap();
        assert!(text(V51).contains(r#""status":"start""#) && text(V51).contains(r#""id":"abc""#));
        assert!(!text(V52).contains("status") && !text(V52).contains(r#""id""#));
        assert!(line(V52, Format::Sequence, &event("container", "die")).starts_with(b"\x1e{"));
    }

    #[test]
    fn old_clients_do_not_get_events_from_after_their_time() {
        for (kind, action, since) in [
            ("container", "exec_die", 36),
            ("network", "prune", 41),
            ("image", "create", 46),
        ] {
            assert!(
                !known(ApiVersion::new(1, since - 1), &event(kind, action)),
                "{action}"
            );
            assert!(known(ApiVersion::new(1, since), &event(kind, action)), "{action}");
        }
        assert!(known(ApiVersion::MIN, &event("container", "create")));
    }
}
