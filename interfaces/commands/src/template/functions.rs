//! The functions: Go's own and docker's.

use std::cmp::Ordering;

use super::Value;
use super::printf;

const NAMES: &[&str] = &[
    "and", "or", "not", "len", "index", "slice", "print", "printf", "println", "html", "js", "urlquery",
    "call", "eq", "ne", "lt", "le", "gt", "ge", "json", "split", "join", "title", "lower", "upper", "pad",
    "truncate",
];

/// Spaces that `pad` may add.
const PAD_LIMIT: i64 = 1 << 20;

pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls a function; with `header` those of docker leave their argument as it is, as in the header of a table.
pub(super) fn call(name: &str, arguments: &[Value], header: bool) -> Result<Value, String> {
    if header
        && matches!(
            name,
            "json" | "title" | "lower" | "upper" | "truncate" | "split" | "join"
        )
    {
        return Ok(arguments.first().cloned().unwrap_or(Value::Nil));
    }
    match (name, arguments) {
        ("not", [value]) => Ok(Value::Bool(!value.is_true())),
        ("len", [value]) => length(value),
        ("index", [value, keys @ ..]) => keys
            .iter()
            .try_fold(value.clone(), |value, key| index(&value, key)),
        ("slice", [value, bounds @ ..]) if bounds.len() <= 3 => slice(value, bounds),
        ("print", values) => Ok(printf::print(values).into()),
        ("println", values) => Ok(printf::println(values).into()),
        ("printf", [format, values @ ..]) => Ok(printf::printf(text("printf", format)?, values).into()),
        ("html", values) => Ok(escape_html(&flat(values)).into()),
        ("js", values) => Ok(escape_js(&flat(values)).into()),
        ("urlquery", values) => Ok(escape_url(&flat(values)).into()),
        ("call", [value, ..]) => Err(format!(
            "error calling call: non-function {} of type {}",
            value.printed(),
            value.type_name()
        )),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            for other in rest {
                if equal(first, other)? {
                    return Ok(true.into());
                }
            }
            Ok(false.into())
        }
        ("eq", [_]) => Err("error calling eq: missing argument for comparison".to_owned()),
        ("ne", [a, b]) => Ok((!equal(a, b)?).into()),
        ("lt", [a, b]) => Ok((order(name, a, b)? == Ordering::Less).into()),
        ("le", [a, b]) => Ok((order(name, a, b)? != Ordering::Greater).into()),
        ("gt", [a, b]) => Ok((order(name, a, b)? == Ordering::Greater).into()),
        ("ge", [a, b]) => Ok((order(name, a, b)? != Ordering::Less).into()),
        ("json", [value]) => {
            let mut out = String::new();
            value.json(&mut out);
            Ok(out.into())
        }
        ("split", [value, separator]) => {
            let (value, separator) = (text(name, value)?, text(name, separator)?);
            let parts: Vec<Value> = if separator.is_empty() {
                value.chars().map(|c| Value::text(c.to_string())).collect()
            } else {
                value.split(separator).map(Value::from).collect()
            };
            Ok(Value::list(parts))
        }
        ("join", [Value::List(items), separator]) => {
            let parts: Result<Vec<&str>, String> = items.iter().map(|item| text(name, item)).collect();
            Ok(parts?.join(text(name, separator)?).into())
        }
        ("join", [Value::Nil, _]) => Ok("".into()),
        ("join", [value, _]) => Err(wrong_type(name, value, "[]string")),
        ("title", [value]) => Ok(title(text(name, value)?).into()),
        ("lower", [value]) => Ok(text(name, value)?.to_lowercase().into()),
        ("upper", [value]) => Ok(text(name, value)?.to_uppercase().into()),
        ("pad", [value, before, after]) => {
            let value = text(name, value)?;
            if value.is_empty() || header {
                return Ok(value.into());
            }
            let spaces = |n: &Value| " ".repeat(n.as_int().clamp(0, PAD_LIMIT) as usize);
            Ok(format!("{}{value}{}", spaces(before), spaces(after)).into())
        }
        ("truncate", [value, length]) => {
            let value = text(name, value)?;
            let end = usize::try_from(length.as_int()).unwrap_or(0);
            // Go cuts bytes; half a character would be no text here.
            let end = (0..=end.min(value.len()))
                .rev()
                .find(|&i| value.is_char_boundary(i))
                .unwrap_or(0);
            Ok(value[..end].into())
        }
        _ => {
            let (want, least) = match name {
                "not" | "len" | "json" | "title" | "lower" | "upper" => ("1", false),
                "index" | "slice" | "printf" | "call" | "eq" => ("1", true),
                "pad" => ("3", false),
                _ => ("2", false),
            };
            let least = if least { "at least " } else { "" };
            Err(format!(
                "wrong number of args for {name}: want {least}{want} got {}",
                arguments.len()
            ))
        }
    }
}

fn wrong_type(_function: &str, value: &Value, wanted: &str) -> String {
    match value {
        Value::Nil => format!("invalid value; expected {wanted}"),
        _ => format!(
            "wrong type for value; expected {wanted}; got {}",
            value.type_name()
        ),
    }
}

fn text<'v>(function: &str, value: &'v Value) -> Result<&'v str, String> {
    value
        .as_str()
        .ok_or_else(|| wrong_type(function, value, "string"))
}

fn length(value: &Value) -> Result<Value, String> {
    let n = match value {
        Value::Str(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(members) => members.len(),
        Value::Nil => return Err("error calling len: len of nil pointer".to_owned()),
        other => return Err(format!("error calling len: len of type {}", other.type_name())),
    };
    Ok(Value::Int(n as i64))
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    match (value, key) {
        (Value::Nil, _) => Err("error calling index: index of untyped nil".to_owned()),
        (Value::List(items), Value::Int(i)) => usize::try_from(*i)
            .ok()
            .and_then(|i| items.get(i))
            .cloned()
            .ok_or_else(|| format!("error calling index: index out of range: {i}")),
        (Value::Str(text), Value::Int(i)) => usize::try_from(*i)
            .ok()
            .and_then(|i| text.as_bytes().get(i))
            .map(|&b| Value::Int(i64::from(b)))
            .ok_or_else(|| format!("error calling index: index out of range: {i}")),
        (Value::List(_) | Value::Str(_), key) => Err(format!(
            "error calling index: cannot index slice/array with type {}",
            key.type_name()
        )),
        (Value::Map(_), Value::Str(key)) => Ok(value.get(key).cloned().unwrap_or(Value::Nil)),
        (Value::Map(_), key) => Err(format!(
            "error calling index: value has type {}; should be string",
            key.type_name()
        )),
        (other, _) => Err(format!(
            "error calling index: can't index item of type {}",
            other.type_name()
        )),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let length = match value {
        Value::Str(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Nil => return Err("error calling slice: slice of untyped nil".to_owned()),
        other => {
            return Err(format!(
                "error calling slice: can't slice item of type {}",
                other.type_name()
            ));
        }
    };
    let mut ends = [0, length];
    for (end, bound) in ends.iter_mut().zip(bounds) {
        let Value::Int(n) = bound else {
            return Err(format!(
                "error calling slice: cannot index slice/array with type {}",
                bound.type_name()
            ));
        };
        *end = usize::try_from(*n)
            .ok()
            .filter(|n| *n <= length)
            .ok_or_else(|| format!("error calling slice: index out of range: {n}"))?;
    }
    let [from, to] = ends;
    if from > to {
        return Err(format!("error calling slice: invalid slice index: {from} > {to}"));
    }
    match value {
        Value::Str(text) => text
            .get(from..to)
            .map(Value::from)
            .ok_or_else(|| "error calling slice: cut inside a character".to_owned()),
        other => Ok(Value::list(other.items()[from..to].to_vec())),
    }
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::List(_) | Value::Map(_), _) => Err(format!(
            "error calling eq: non-comparable type {}: {}",
            a.printed(),
            a.type_name()
        )),
        _ => match a.order(b) {
            Some(order) => Ok(order == Ordering::Equal),
            None => Err("error calling eq: incompatible types for comparison".to_owned()),
        },
    }
}

fn order(name: &str, a: &Value, b: &Value) -> Result<Ordering, String> {
    let basic = |v: &Value| {
        matches!(
            v,
            Value::Str(_) | Value::Int(_) | Value::Uint(_) | Value::Float(_)
        )
    };
    if !basic(a) || !basic(b) {
        return Err(format!("error calling {name}: invalid type for comparison"));
    }
    a.order(b)
        .ok_or_else(|| format!("error calling {name}: incompatible types for comparison"))
}

/// The arguments as one text, as `html`, `js` and `urlquery` take them.
fn flat(values: &[Value]) -> String {
    match values {
        [Value::Str(text)] => text.to_string(),
        _ => printf::print(values),
    }
}

fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn escape_js(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => drop(write!(out, "\\u{:04X}", c as u32)),
            c if c.is_control() => drop(write!(out, "\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

fn escape_url(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            b if b.is_ascii_alphanumeric() => out.push(b as char),
            b => drop(write!(out, "%{b:02X}")),
        }
    }
    out
}

/// The first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphanumeric() || c == '_' || c == '\'';
    }
    out
}
