//! [`Value`]: what a template works on.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::rc::Rc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Members whose name begins with this are for methods of a row (`.Label "x"`); they are neither printed nor written.
pub(crate) const HIDDEN: char = '\u{1}';

/// What JSON can say (keys keep their order), and the few things that templates add to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// JSON's null, and what is not there: prints as `<no value>`.
    Nil,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond `i64`.
    Uint(u64),
    /// Any other number.
    Float(f64),
    /// Text.
    Str(Rc<str>),
    /// A list.
    List(Rc<Vec<Value>>),
    /// A map, in the order of the source.
    Map(Rc<Vec<(Rc<str>, Value)>>),
}

impl Value {
    /// Text.
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Self::Str(text.as_ref().into())
    }

    /// A list.
    pub(crate) fn list(items: Vec<Value>) -> Self {
        Self::List(Rc::new(items))
    }

    /// A map of these members.
    pub(crate) fn map<K: AsRef<str>>(members: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Map(Rc::new(
            members.into_iter().map(|(k, v)| (k.as_ref().into(), v)).collect(),
        ))
    }

    /// The JSON text as a value.
    ///
    /// # Errors
    /// The text is no JSON.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The member with exactly this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Map(members) => members.iter().find(|(k, _)| &**k == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The member at the end of a chain of names; `Nil` where the chain breaks.
    pub(crate) fn at(&self, names: &[&str]) -> &Value {
        let mut value = self;
        for name in names {
            value = value.get(name).unwrap_or(&Value::Nil);
        }
        value
    }

    /// The member as text; empty if there is none, or it is none.
    pub(crate) fn str_at(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Self::Str(text)) => text,
            _ => "",
        }
    }

    /// The member as a whole number; 0 if there is none.
    pub(crate) fn int_at(&self, name: &str) -> i64 {
        self.get(name).map_or(0, Value::as_int)
    }

    /// The member as yes or no; no if there is none.
    pub(crate) fn bool_at(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Self::Bool(true)))
    }

    /// The member's items; none if it is no list.
    pub(crate) fn items_at(&self, name: &str) -> &[Value] {
        self.get(name).map_or(&[], Value::items)
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> &[Value] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The members of a map.
    pub(crate) fn members(&self) -> &[(Rc<str>, Value)] {
        match self {
            Self::Map(members) => members,
            _ => &[],
        }
    }

    /// A number as a whole one; 0 for anything else.
    pub(crate) fn as_int(&self) -> i64 {
        match self {
            Self::Int(n) => *n,
            Self::Uint(n) => i64::try_from(*n).unwrap_or(i64::MAX),
            Self::Float(n) => *n as i64,
            _ => 0,
        }
    }

    /// The text of a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Go's truth: neither zero nor empty.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(b) => *b,
            Self::Int(n) => *n != 0,
            Self::Uint(n) => *n != 0,
            Self::Float(n) => *n != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(members) => !members.is_empty(),
        }
    }

    /// Go's name of the type, as it stands in error messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
        }
    }

    /// Appends Go's `%v`. Inside lists and maps nothing prints as `<nil>`.
    pub(crate) fn print(&self, out: &mut String) {
        match self {
            Self::Nil => out.push_str("<nil>"),
            Self::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Self::Int(n) => drop(write!(out, "{n}")),
            Self::Uint(n) => drop(write!(out, "{n}")),
            Self::Float(n) => super::printf::general(out, *n),
            Self::Str(text) => out.push_str(text),
            Self::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    item.print(out);
                }
                out.push(']');
            }
            Self::Map(members) => {
                out.push_str("map[");
                for (i, (key, value)) in sorted(members).into_iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    out.push_str(key);
                    out.push(':');
                    value.print(out);
                }
                out.push(']');
            }
        }
    }

    /// Go's `%v` as text of its own.
    pub(crate) fn printed(&self) -> String {
        let mut out = String::new();
        self.print(&mut out);
        out
    }

    /// Appends JSON in one line, as docker's `json` writes it (`<`, `>` and `&` stay).
    pub(crate) fn json(&self, out: &mut String) {
        match self {
            Self::Nil => out.push_str("null"),
            Self::Float(n) => match serde_json::Number::from_f64(*n) {
                Some(n) => drop(write!(out, "{n}")),
                None => out.push_str("null"),
            },
            Self::Str(text) => json_string(out, text),
            Self::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.json(out);
                }
                out.push(']');
            }
            Self::Map(members) => {
                let begin = out.len();
                out.push('{');
                let shown = members.iter().filter(|(k, _)| !k.starts_with(HIDDEN));
                for (i, (key, value)) in shown.enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    json_string(out, key);
                    out.push(':');
                    value.json(out);
                }
                out.push('}');
                // A row of a list goes through Go's own encoder, which escapes what HTML would see.
                if members.iter().any(|(k, _)| k.starts_with(HIDDEN)) {
                    let row = out.split_off(begin);
                    out.push_str(
                        &row.replace('<', "\\u003c")
                            .replace('>', "\\u003e")
                            .replace('&', "\\u0026"),
                    );
                }
            }
            Self::Bool(_) | Self::Int(_) | Self::Uint(_) => self.print(out),
        }
    }

    /// Appends JSON over many lines, indented by `indent` per level.
    pub(crate) fn json_pretty(&self, out: &mut String, indent: &str, level: usize) {
        let line = |out: &mut String, level: usize| {
            out.push('\n');
            for _ in 0..level {
                out.push_str(indent);
            }
        };
        match self {
            Self::List(items) if !items.is_empty() => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    line(out, level + 1);
                    item.json_pretty(out, indent, level + 1);
                }
                line(out, level);
                out.push(']');
            }
            Self::Map(members) if !members.is_empty() => {
                out.push('{');
                for (i, (key, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    line(out, level + 1);
                    json_string(out, key);
                    out.push_str(": ");
                    value.json_pretty(out, indent, level + 1);
                }
                line(out, level);
                out.push('}');
            }
            _ => self.json(out),
        }
    }
}

/// The members by key, as Go walks a map when it prints or ranges.
pub(crate) fn sorted(members: &[(Rc<str>, Value)]) -> Vec<(&Rc<str>, &Value)> {
    let mut all: Vec<_> = members.iter().map(|(k, v)| (k, v)).collect();
    all.sort_by(|a, b| a.0.cmp(b.0));
    all
}

fn json_string(out: &mut String, text: &str) {
    match serde_json::to_string(text) {
        // Go escapes these two, which JavaScript once took for line ends.
        Ok(quoted) => out.push_str(
            &quoted
                .replace('\u{2028}', "\\u2028")
                .replace('\u{2029}', "\\u2029"),
        ),
        Err(_) => out.push_str("\"\""),
    }
}

impl Value {
    /// The order of two numbers or two texts; `None` for anything else.
    pub(crate) fn order(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => Some(a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Uint(a), Self::Uint(b)) => Some(a.cmp(b)),
            // What does not fit an i64 is larger than everything that does.
            (Self::Int(_), Self::Uint(_)) => Some(Ordering::Less),
            (Self::Uint(_), Self::Int(_)) => Some(Ordering::Greater),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        i64::try_from(n).map_or(Self::Uint(n), Self::Int)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(Value::Int(n))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(Value::from(n))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
        Ok(Value::Float(n))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::list(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members: Vec<(Rc<str>, Value)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            members.push((key.into(), value));
        }
        Ok(Value::Map(Rc::new(members)))
    }
}
