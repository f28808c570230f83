//! The query part of a path.

use crate::ClientError;

/// Builds `?a=b&c=d`, escaping everything that is not plain.
#[derive(Clone, Debug, Default)]
pub struct Query(String);

impl Query {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        escape_into(&mut self.0, name);
        self.0.push('=');
        escape_into(&mut self.0, value.as_ref());
        self
    }

    /// Adds a parameter unless its value is empty.
    #[must_use]
    pub fn with_some(self, name: &str, value: impl AsRef<str>) -> Self {
        if value.as_ref().is_empty() {
            self
        } else {
            self.with(name, value)
        }
    }

    /// Adds `name=1` if `set`.
    #[must_use]
    pub fn with_flag(self, name: &str, set: bool) -> Self {
        if set { self.with(name, "1") } else { self }
    }

    /// Adds the filters unless there are none.
    #[must_use]
    pub fn with_filters(self, filters: &api_types::Filters) -> Self {
        if filters.is_empty() {
            self
        } else {
            self.with("filters", filters.to_json())
        }
    }

    /// The text, beginning with `?` unless it is empty.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of an object of this kind as a segment of a path. Without it the path would be that of something else.
///
/// # Errors
/// [`ClientError::NoName`].
pub(crate) fn named(kind: &'static str, name: &str) -> Result<String, ClientError> {
    match name.trim() {
        "" => Err(ClientError::NoName(kind)),
        _ => Ok(segment(name)),
    }
}

/// One segment of a path: everything but letters, digits and `-._~:@` is escaped; `/` stays, because names of images
/// contain it.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // `.` and `..` would be taken for steps in the tree by whoever cleans the path.
    if text == "." || text == ".." {
        return text.replace('.', "%2E");
    }
    for part in text.split_inclusive('/') {
        escape_plain(&mut out, part, b"-._~:@/");
    }
    out
}

fn escape_into(out: &mut String, text: &str) {
    escape_plain(out, text, b"-._~");
}

fn escape_plain(out: &mut String, text: &str, plain: &[u8]) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_end_a_parameter_or_a_path_is_escaped() {
        let query = Query::new()
            .with("a b", "x&y=z?")
            .with_some("none", "")
            .with_flag("f", true);
        assert_eq!(query.as_str(), "?a%20b=x%26y%3Dz%3F&f=1");
        assert_eq!(segment("a/b:1@sha256:x"), "a/b:1@sha256:x");
        assert_eq!(segment("x?y#z\n%"), "x%3Fy%23z%0A%25");
        assert_eq!(segment(".."), "%2E%2E");
    }
}
