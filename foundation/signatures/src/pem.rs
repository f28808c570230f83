//! PEM (RFC 7468): a label and Base64 between two lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::SignatureError;

/// The content of the first block with one of these labels.
pub(crate) fn decode(text: &str, labels: &[&str]) -> Result<Vec<u8>, SignatureError> {
    for label in labels {
        let (begin, end) = (
            format!("-----BEGIN {label}-----"),
            format!("-----END {label}-----"),
        );
        let Some((_, rest)) = text.split_once(&begin) else {
            continue;
        };
        let Some((body, _)) = rest.split_once(&end) else {
            return Err(SignatureError::Key("the last line of the PEM block is missing"));
        };
        let body: String = body.split_whitespace().collect();
        let content = STANDARD.decode(body);
        return content.map_err(|_| SignatureError::Key("the PEM block is not Base64"));
    }
    Err(SignatureError::Key("there is no PEM block of the right kind"))
}

/// A block of 64 characters a line.
pub(crate) fn encode(label: &str, content: &[u8]) -> String {
    let body = STANDARD.encode(content);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
