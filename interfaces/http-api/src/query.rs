//! Query strings, with Docker's ideas of true, false and numbers.

use api_types::Filters;

use crate::error::Failure;

/// The decoded parameters of a request in their order.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses the part after the `?`. Pairs whose escapes are broken are dropped, as Go does.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|p| !p.is_empty()).filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescape(key, true)?, unescape(value, true)?))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The first value of a parameter, or the empty string.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(k, _)| k == name)
            .map(|(_, v)| v.as_str())
    }

    /// True for anything but nothing, `0`, `no`, `false` and `none`.
    pub fn flag(&self, name: &str) -> bool {
        self.flag_or(name, false)
    }

    /// The same, with what an absent parameter means.
    pub fn flag_or(&self, name: &str, default: bool) -> bool {
        let Some(value) = self.get(name) else {
            return default;
        };
        !matches!(
            value.trim().to_ascii_lowercase().as_str(),
            "" | "0" | "no" | "false" | "none"
        )
    }

    /// A whole number, if the parameter is there and not empty.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| Failure::bad(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))),
        }
    }

    /// The parameter `filters`.
    pub(crate) fn filters(&self) -> Result<Filters, Failure> {
        Filters::parse(self.text("filters")).map_err(|e| Failure::bad(e.to_string()))
    }
}

/// Resolves `%XX`, and `+` where it stands for a space; `None` for broken escapes or text that is not UTF-8.
pub(crate) fn unescape(text: &str, plus_is_space: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
                out.push(high << 4 | low);
            }
            b'+' if plus_is_space => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_true_unless_they_say_no() {
        let q = Query::parse("a=1&b=0&c=False&d=no&e=none&f=&g=true&h=yes&i");
        let yes: Vec<_> = "abcdefghij".chars().filter(|c| q.flag(&c.to_string())).collect();
        assert_eq!(yes, ['a', 'g', 'h']);
        assert!(q.flag_or("absent", true) && !q.flag_or("b", true));
    }

    #[test]
    fn escapes_plus_signs_and_repeats_are_understood() {
        let q = Query::parse("name=a%2Fb+c&names=x&names=y&bad=%zz&cut=%4");
        assert_eq!(q.text("name"), "a/b c");
        assert_eq!(q.all("names").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!((q.get("bad"), q.get("cut")), (None, None));
        assert_eq!(unescape("a+b", false).as_deref(), Some("a+b"));
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let q = Query::parse("t=10&u=-1&v=ten&w=");
        assert_eq!(
            (
                q.number("t").unwrap(),
                q.number("u").unwrap(),
                q.number("w").unwrap()
            ),
            (Some(10), Some(-1), None)
        );
        assert!(q.number("v").is_err());
    }
}
