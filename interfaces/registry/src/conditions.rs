//! Conditional and partial requests (RFC 9110, sections 13 and 14). Entity tags are digests between quotes.

use std::ops::Range;

use hyper::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};
use oci::digest::Digest;

/// The entity tag of some content.
pub(crate) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether the client has this content already.
pub(crate) fn is_known(headers: &HeaderMap, digest: &Digest) -> bool {
    headers.contains_key(IF_NONE_MATCH) && lists(headers, &IF_NONE_MATCH, Some(digest))
}

/// Whether a change may be made where `present` is now.
pub(crate) fn may_change(headers: &HeaderMap, present: Option<&Digest>) -> bool {
    if headers.contains_key(IF_MATCH) && !lists(headers, &IF_MATCH, present) {
        return false;
    }
    !(headers.contains_key(IF_NONE_MATCH) && lists(headers, &IF_NONE_MATCH, present))
}

/// Whether a change has conditions.
pub(crate) fn has_conditions(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_MATCH) || headers.contains_key(IF_NONE_MATCH)
}

fn lists(headers: &HeaderMap, name: &HeaderName, present: Option<&Digest>) -> bool {
    let Some(present) = present else { return false };
    let mut values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.any(|value| {
        value.split(',').map(str::trim).any(|tag| {
            // Weak comparison; Docker's clients also send the digest bare.
            let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
            tag == "*" || tag == present.to_string()
        })
    })
}

/// What part of the content is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    All,
    /// These bytes.
    Range(Range<u64>),
    /// Bytes that do not exist.
    Unsatisfiable,
}

/// Reads the header `Range`. Several ranges, other units and nonsense mean everything, as the RFC allows.
pub(crate) fn part(headers: &HeaderMap, digest: &Digest, size: u64) -> Part {
    let Some(range) = headers.get(RANGE).and_then(|value| value.to_str().ok()) else {
        return Part::All;
    };
    let stale = headers
        .get(IF_RANGE)
        .is_some_and(|value| value.as_bytes() != etag(digest).as_bytes());
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .and_then(|spec| spec.trim().split_once('-'))
    else {
        return Part::All;
    };
    if stale {
        return Part::All;
    }
    let bounds = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(size)),
        (Ok(first), Err(_)) if last.is_empty() => (first, size),
        (Err(_), Ok(last)) if first.is_empty() => (size.saturating_sub(last), size),
        _ => return Part::All,
    };
    if bounds.0 >= bounds.1 {
        return Part::Unsatisfiable;
    }
    Part::Range(bounds.0..bounds.1)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let digest = Digest::sha256("x");
        for (text, expected) in [
            ("bytes=0-9", Part::Range(0..10)),
            ("bytes=90-", Part::Range(90..100)),
            ("bytes=-5", Part::Range(95..100)),
            ("bytes=-500", Part::Range(0..100)),
            ("bytes=50-5000", Part::Range(50..100)),
            ("bytes=0-18446744073709551615", Part::Range(0..100)),
            ("bytes=100-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=9-1", Part::All),
            ("bytes=0-1,5-6", Part::All),
            ("lines=0-1", Part::All),
            ("bytes=x-y", Part::All),
        ] {
            assert_eq!(part(&with(RANGE, text), &digest, 100), expected, "{text}");
        }
        let mut headers = with(RANGE, "bytes=0-9");
        headers.insert(IF_RANGE, HeaderValue::from_static("\"sha256:other\""));
        assert_eq!(part(&headers, &digest, 100), Part::All);
    }

    #[test]
    fn conditions_compare_digests() {
        let (one, two) = (Digest::sha256("1"), Digest::sha256("2"));
        assert!(is_known(
            &with(IF_NONE_MATCH, &format!("\"x\", W/{}", etag(&one))),
            &one
        ));
        assert!(is_known(&with(IF_NONE_MATCH, &one.to_string()), &one));
        assert!(!is_known(&with(IF_NONE_MATCH, &etag(&two)), &one) && !is_known(&HeaderMap::new(), &one));
        assert!(may_change(&HeaderMap::new(), None));
        assert!(may_change(&with(IF_MATCH, &etag(&one)), Some(&one)));
        assert!(!may_change(&with(IF_MATCH, &etag(&one)), Some(&two)));
        assert!(!may_change(&with(IF_MATCH, "*"), None));
        assert!(may_change(&with(IF_NONE_MATCH, "*"), None));
        assert!(!may_change(&with(IF_NONE_MATCH, "*"), Some(&one)));
    }
}
