//! Values of flags that are lists of `key=value`, as `--output type=local,dest=DIR` and `--cache-to`.

use crate::failure::Failure;

/// `key=value` pairs; a value that has a comma stands in double quotes with its key, as in a line of CSV.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// As it is written.
    text: String,
    pairs: Vec<(String, String)>,
}

impl Fields {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let mut pairs = Vec::new();
        for field in
            split(text).ok_or_else(|| Failure::new(format!("invalid value {text}: a quote is not closed")))?
        {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| Failure::new(format!("invalid value {field}, expected key=value")))?;
            pairs.push((key.trim().to_ascii_lowercase(), value.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            pairs,
        })
    }

    /// Takes a value out.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(known, _)| known == key)?;
        Some(self.pairs.remove(at).1)
    }

    pub(super) fn take_bool(&mut self, key: &str, default: bool) -> Result<bool, Failure> {
        match self.take(key).as_deref() {
            None => Ok(default),
            Some("true" | "1" | "") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(Failure::new(format!(
                "invalid value {other} for {key} in {}",
                self.text
            ))),
        }
    }

    /// Refuses what nobody has taken.
    pub(super) fn end(self, flag: &str) -> Result<(), Failure> {
        match self.pairs.first() {
            None => Ok(()),
            Some((key, value)) => Err(Failure::new(format!(
                "{key}={value} of --{flag} {} is not available in this version of dhow",
                self.text
            ))),
        }
    }
}

/// The fields of a line of CSV; nothing when a quote is not closed.
fn split(text: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut chars) = (false, text.chars().peekable());
    while let Some(c) = chars.next() {
        let last = fields.last_mut()?;
        match (quoted, c) {
            (true, '"') if chars.peek() == Some(&'"') => last.extend(chars.next()),
            (true, '"') => quoted = false,
            (false, '"') if last.is_empty() => quoted = true,
            (false, ',') => fields.push(String::new()),
            _ => last.push(c),
        }
    }
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_csv() {
        let mut fields = Fields::parse("Type=image,\"name=a,b\",push=true").unwrap();
        assert_eq!(fields.take("type").as_deref(), Some("image"));
        assert_eq!(fields.take("name").as_deref(), Some("a,b"));
        assert!(fields.take_bool("push", false).unwrap());
        assert!(fields.end("output").is_ok());
        for bad in ["", "x", "a=b,", "\"a=b"] {
            assert!(Fields::parse(bad).is_err(), "{bad}");
        }
        let left = Fields::parse("type=x,odd=1").unwrap().end("output").unwrap_err();
        assert!(left.message.contains("type=x of --output"), "{}", left.message);
    }
}
