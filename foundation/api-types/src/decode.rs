//! Reading JSON as leniently as Go's `encoding/json` does, because Docker's clients were all tried against that.
//!
//! `null` stands for the zero value of whatever is expected (so `{"Env": null, "Tty": null}` is fine, and
//! `{"80/tcp": null}` keeps its key), keys of structs match without regard to case, unknown keys are ignored.
//! The structs must not use `#[serde(flatten)]`, which would hide the expected types from this decoder.

use serde::Deserialize;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde_json::{Error, Map, Value};

/// Reads one JSON value; anything but white space after it is an error.
///
/// # Errors
/// The position and nature of the first syntax error, or the first value of a wrong type.
pub fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    from_value(serde_json::from_slice(json)?)
}

/// Converts an already parsed value under the same rules.
///
/// # Errors
/// The first value of a wrong type.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(Lenient(value))
}

/// For fields of Go's type `strslice`: a list, one string (a list of one), or null.
pub(crate) fn string_or_list<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<Either>::deserialize(d)?.map(|e| match e {
        Either::One(s) => vec![s],
        Either::Many(v) => v,
    }))
}

/// A JSON value that deserializes by Go's rules.
struct Lenient(Value);

impl<'de> IntoDeserializer<'de, Error> for Lenient {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! null_is_zero {
    ($($method:ident => $visit:ident($zero:expr)),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0 {
                Value::Null => visitor.$visit($zero),
                value => value.$method(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Error;

    null_is_zero! {
        deserialize_bool => visit_bool(false),
        deserialize_i8 => visit_i8(0), deserialize_i16 => visit_i16(0),
        deserialize_i32 => visit_i32(0), deserialize_i64 => visit_i64(0),
        deserialize_u8 => visit_u8(0), deserialize_u16 => visit_u16(0),
        deserialize_u32 => visit_u32(0), deserialize_u64 => visit_u64(0),
        deserialize_f32 => visit_f32(0.0), deserialize_f64 => visit_f64(0.0),
        deserialize_str => visit_str(""), deserialize_string => visit_str(""),
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            value => visitor.visit_some(Lenient(value)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<Lenient>())),
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Lenient))),
            other => other.deserialize_seq(visitor),
        }
    }

    /// An array of fixed length: missing elements are zero, further ones are dropped.
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        let items = match self.0 {
            Value::Null => Vec::new(),
            Value::Array(items) => items,
            other => return other.deserialize_tuple(len, visitor),
        };
        let padded = items.into_iter().chain(std::iter::repeat(Value::Null)).take(len);
        visitor.visit_seq(SeqDeserializer::new(padded.map(Lenient)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_map(entries(Map::new())),
            Value::Object(map) => visitor.visit_map(entries(map)),
            other => other.deserialize_map(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_map(entries(Map::new())),
            Value::Object(map) => visitor.visit_map(entries(members(map, fields))),
            other => other.deserialize_map(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple_struct enum identifier ignored_any
    }
}

type Entries = MapDeserializer<'static, std::vec::IntoIter<(String, Lenient)>, Error>;

fn entries(map: Map<String, Value>) -> Entries {
    let list: Vec<_> = map.into_iter().map(|(k, v)| (k, Lenient(v))).collect();
    MapDeserializer::new(list.into_iter())
}

/// Keeps the members that the struct has, under the names that it gives them; nulls are as good as absent.
fn members(map: Map<String, Value>, fields: &[&str]) -> Map<String, Value> {
    let mut kept = Map::new();
    for (key, value) in map.into_iter().filter(|(_, v)| !v.is_null()) {
        if fields.contains(&key.as_str()) {
            kept.insert(key, value);
        } else if let Some(field) = fields.iter().find(|f| f.eq_ignore_ascii_case(&key)) {
            kept.entry(*field).or_insert(value);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Sample {
        name: String,
        tty: bool,
        limit: Option<i64>,
        env: Vec<String>,
        ports: BTreeMap<String, Option<Vec<String>>>,
        size: [u32; 2],
        #[serde(deserialize_with = "string_or_list")]
        cmd: Option<Vec<String>>,
        inner: Option<Box<Sample>>,
    }

    fn read(json: &str) -> Sample {
        from_slice(json.as_bytes()).unwrap()
    }

    #[test]
    fn null_is_the_zero_value_of_anything() {
        let all = r#"{"Name":null,"Tty":null,"Limit":null,"Env":null,"Ports":null,"Size":null,"Cmd":null,"Inner":null}"#;
        assert_eq!(read(all), Sample::default());
        assert_eq!(read("null"), Sample::default());
        assert_eq!(read(r#"{"Env":["a",null]}"#).env, ["a", ""]);
    }

    #[test]
    fn a_null_in_a_map_keeps_its_key() {
        assert_eq!(
            read(r#"{"Ports":{"80/tcp":null}}"#).ports,
            BTreeMap::from([("80/tcp".to_owned(), None)])
        );
    }

    #[test]
    fn keys_match_in_any_case_and_the_exact_one_wins() {
        assert!(read(r#"{"nAmE":"x","inner":{"TTY":true}}"#).inner.unwrap().tty);
        assert_eq!(
            read(r#"{"NAME":"loose","Name":"exact","name":"loose"}"#).name,
            "exact"
        );
    }

    #[test]
    fn a_command_may_be_one_string_and_arrays_may_be_short() {
        let s = read(r#"{"Cmd":"ls -l","Size":[7],"Unknown":{"a":[1]}}"#);
        assert_eq!((s.cmd, s.size), (Some(vec!["ls -l".to_owned()]), [7, 0]));
    }

    #[test]
    fn wrong_types_and_trailing_text_are_errors() {
        for json in [
            r#"{"Tty":"yes"}"#,
            r#"{"Limit":1.5}"#,
            r#"{"Env":{}}"#,
            "{} x",
            "[]",
            "{",
        ] {
            assert!(from_slice::<Sample>(json.as_bytes()).is_err(), "{json}");
        }
    }
}
