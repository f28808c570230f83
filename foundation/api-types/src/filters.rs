//! The `filters` query parameter: `{"label":["a","b"]}`, or in the older form `{"label":{"a":true}}`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Filter names with the values asked for each. An empty set of filters lets everything pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

/// Why a filter is refused; the texts are Docker's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// The parameter is not JSON of either form.
    Syntax(String),
    /// The endpoint has no filter of that name.
    UnknownName(String),
    /// The filter takes other values than those given.
    BadValue(String, Vec<String>),
}

impl std::fmt::Display for FilterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syntax(why) => write!(f, "invalid filter: {why}"),
            Self::UnknownName(name) => write!(f, "invalid filter '{name}'"),
            Self::BadValue(name, values) => write!(f, "invalid filter '{name}={}'", go_list(values)),
        }
    }
}

impl std::error::Error for FilterError {}

/// Go's `%s` of a list of strings: `[a b]`.
fn go_list(values: &[String]) -> String {
    format!("[{}]", values.join(" "))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Wire {
    Lists(BTreeMap<String, Option<Vec<String>>>),
    Flags(BTreeMap<String, Option<BTreeMap<String, bool>>>),
}

impl Filters {
    /// Parses the value of the query parameter; the empty string and `null` mean no filter.
    ///
    /// # Errors
    /// [`FilterError::Syntax`] if it is JSON of neither form.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        // A client in Go sends `null` for filters that were never set.
        if text.is_empty() || text == "null" {
            return Ok(Self::default());
        }
        let wire = serde_json::from_str(text).map_err(|_| FilterError::Syntax(text.to_owned()))?;
        let map = match wire {
            Wire::Lists(map) => map
                .into_iter()
                .map(|(k, v)| (k, v.unwrap_or_default().into_iter().collect()))
                .collect(),
            // Go keeps every key of the inner map, whatever its flag says.
            Wire::Flags(map) => map
                .into_iter()
                .map(|(k, v)| (k, v.unwrap_or_default().into_keys().collect()))
                .collect(),
        };
        Ok(Self(map))
    }

    /// Adds one value to a filter (for clients).
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.entry(name.into()).or_default().insert(value.into());
    }

    /// The query parameter's text in the form that `version` understands: lists since 1.22.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// True if nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if the filter was given at all.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The values given for one filter, sorted; none if it was not given.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// Refuses names that the endpoint does not know.
    ///
    /// # Errors
    /// [`FilterError::UnknownName`] with the first such name.
    pub fn accept_only(&self, known: &[&str]) -> Result<(), FilterError> {
        match self.0.keys().find(|k| !known.contains(&k.as_str())) {
            Some(name) => Err(FilterError::UnknownName(name.clone())),
            None => Ok(()),
        }
    }

    /// A filter that is yes or no (`dangling`): its value, or `default` if it was not given.
    ///
    /// # Errors
    /// [`FilterError::BadValue`] for anything but `1`, `true`, `0`, `false`, or for both at once.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, FilterError> {
        let Some(values) = self.0.get(name) else {
            return Ok(default);
        };
        let yes = values.contains("1") || values.contains("true");
        let no = values.contains("0") || values.contains("false");
        match (yes, no) {
            (true, false) => Ok(true),
            (false, true) => Ok(false),
            _ => Err(FilterError::BadValue(
                name.to_owned(),
                values.iter().cloned().collect(),
            )),
        }
    }

    /// True if the filter was not given, or one of its values is exactly `source`.
    pub fn exact(&self, name: &str, source: &str) -> bool {
        self.0
            .get(name)
            .is_none_or(|v| v.is_empty() || v.contains(source))
    }

    /// True if the filter was not given, or one of its values is a prefix of `source`.
    pub fn prefix(&self, name: &str, source: &str) -> bool {
        self.0
            .get(name)
            .is_none_or(|v| v.is_empty() || v.iter().any(|p| source.starts_with(p)))
    }

    /// True if every value `key` or `key=value` of the filter stands in `map` (the filter `label`).
    pub fn matches_map(&self, name: &str, map: &BTreeMap<String, String>) -> bool {
        self.values(name).all(|want| has_pair(map, want))
    }

    /// True if no value of the filter stands in `map` (the filter `label!` of prune).
    pub fn matches_no_pair(&self, name: &str, map: &BTreeMap<String, String>) -> bool {
        !self.values(name).any(|want| has_pair(map, want))
    }
}

fn has_pair(map: &BTreeMap<String, String>, want: &str) -> bool {
    match want.split_once('=') {
        Some((key, value)) => map.get(key).is_some_and(|have| have == value),
        None => map.contains_key(want),
    }
}

impl Serialize for Filters {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let lists = Filters::parse(r#"{"label":["a","b=1"],"status":null}"#).unwrap();
        let flags = Filters::parse(r#"{"label":{"a":true,"b=1":true},"status":{}}"#).unwrap();
        assert_eq!(lists, flags);
        assert_eq!(lists.values("label").collect::<Vec<_>>(), ["a", "b=1"]);
        assert!(
            ["", "null", "{}"]
                .iter()
                .all(|text| Filters::parse(text).unwrap().is_empty())
        );
    }

    #[test]
    fn text_that_is_neither_form_is_refused() {
        for text in ["{", "[]", r#"{"a":"b"}"#, r#"{"a":[1]}"#, "x"] {
            assert!(
                matches!(Filters::parse(text), Err(FilterError::Syntax(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn unknown_names_and_bad_flags_are_named() {
        let f = Filters::parse(r#"{"dangling":["maybe"],"nope":["x"]}"#).unwrap();
        assert_eq!(
            f.accept_only(&["dangling"]).unwrap_err().to_string(),
            "invalid filter 'nope'"
        );
        assert_eq!(
            f.flag("dangling", false).unwrap_err().to_string(),
            "invalid filter 'dangling=[maybe]'"
        );
        assert_eq!(f.flag("absent", true), Ok(true));
    }

    #[test]
    fn labels_match_by_key_or_by_pair_and_all_must() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        let ok = |json: &str| Filters::parse(json).unwrap().matches_map("label", &labels);
        assert!(ok(r#"{"label":["a","b="]}"#) && ok(r#"{"label":["a=1"]}"#) && ok("{}"));
        assert!(!ok(r#"{"label":["a=2"]}"#) && !ok(r#"{"label":["a","c"]}"#));
    }
}
