//! `dhow image`: one file per command.

pub(crate) mod build;
pub(crate) mod copy;
pub(crate) mod diff;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod load;
pub(crate) mod ls;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod rm;
pub(crate) mod save;
pub(crate) mod squash;
pub(crate) mod tag;
pub(crate) mod transfer;
pub(crate) mod tree;

use api_types::progress::Message;
use client::Reply;

use oci::reference::{Reference, ReferenceError};

use crate::failure::{Failure, Outcome};

/// Repository, and tag or digest, of a name.
pub(crate) fn split_name(name: &str) -> (&str, &str) {
    if let Some((repository, digest)) = name.split_once('@') {
        return (repository, digest);
    }
    match name.rsplit_once(':') {
        // A colon before a slash belongs to a registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, ""),
    }
}

/// Refuses what is no name of an image, before anything is asked or said: the API takes names apart into repository and
/// tag, and of `a:b:c` it would see a good tag only.
pub(crate) fn check_name(name: &str) -> Result<(), ReferenceError> {
    Reference::parse_normalized(name).map(drop)
}

/// The name with `:latest` if it has neither tag nor digest.
pub(crate) fn with_tag(name: &str) -> String {
    let (_, tag) = split_name(name);
    if tag.is_empty() {
        format!("{name}:latest")
    } else {
        name.to_owned()
    }
}

/// A line of progress is longer than this only if something is wrong.
const LINE_LIMIT: usize = 4 << 20;

/// Shows a stream of progress messages line by line; an error in it is the outcome.
pub(crate) async fn progress(mut reply: Reply, quiet: bool, print: impl Fn(String)) -> Outcome {
    let mut pending = Vec::new();
    while let Some(chunk) = reply.chunk().await? {
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            show(&line, quiet, &print)?;
        }
        if pending.len() > LINE_LIMIT {
            return Err(Failure::new("progress stream is broken"));
        }
    }
    show(&pending, quiet, &print)
}

fn show(line: &[u8], quiet: bool, print: &impl Fn(String)) -> Outcome {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let message: Message =
        serde_json::from_slice(line).map_err(|e| Failure::new(format!("progress stream is broken: {e}")))?;
    if let Some(detail) = &message.error_detail {
        return Err(Failure::new(detail.message.clone()));
    }
    if !message.error.is_empty() {
        return Err(Failure::new(message.error));
    }
    // Bars are for terminals that can be redrawn; a line each would flood a log.
    let moving = message
        .progress_detail
        .as_ref()
        .is_some_and(|d| d.total > 0 || d.current > 0);
    if quiet || moving {
        return Ok(());
    }
    if !message.stream.is_empty() {
        print(message.stream.trim_end_matches('\n').to_owned());
    } else if !message.status.is_empty() {
        let id = if message.id.is_empty() {
            String::new()
        } else {
            format!("{}: ", message.id)
        };
        print(format!("{id}{}", message.status));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(split_name("host:5000/a"), ("host:5000/a", ""));
        assert!(check_name("host:5000/a:1").is_ok());
        assert!(
            ["a:b:c", "", "A", "a:"]
                .iter()
                .all(|name| check_name(name).is_err())
        );
        assert_eq!(split_name("host:5000/a:1"), ("host:5000/a", "1"));
        assert_eq!(split_name("a@sha256:x"), ("a", "sha256:x"));
        assert_eq!(with_tag("a"), "a:latest");
        assert_eq!(with_tag("a:1"), "a:1");
    }

    #[test]
    fn an_error_in_the_stream_is_the_outcome() {
        let line = br#"{"errorDetail":{"message":"broken"},"error":"broken"}"#;
        assert_eq!(show(line, false, &|_| ()).unwrap_err().message, "broken");
    }
}
