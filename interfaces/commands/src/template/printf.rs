//! Go's `fmt`: verbs, flags, widths, and how numbers look.

use std::fmt::Write as _;

use super::Value;

/// The widest field and the longest fraction that a format may ask for.
const WIDTH_LIMIT: usize = 1 << 16;

/// `fmt.Sprint`: spaces between operands of which neither is a string.
pub(super) fn print(values: &[Value]) -> String {
    let mut out = String::new();
    let mut text_before = true;
    for (i, value) in values.iter().enumerate() {
        let text = matches!(value, Value::Str(_));
        if i > 0 && !text && !text_before {
            out.push(' ');
        }
        value.print(&mut out);
        text_before = text;
    }
    out
}

/// `fmt.Sprintln`.
pub(super) fn println(values: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        value.print(&mut out);
    }
    out.push('\n');
    out
}

/// Go's `%v` of a float: the shortest digits, with an exponent below 1e-4 and from 1e6, as `%g` has it.
pub(super) fn general(out: &mut String, n: f64) {
    if n.is_nan() {
        out.push_str("NaN");
    } else if n.is_infinite() {
        out.push_str(if n > 0.0 { "+Inf" } else { "-Inf" });
    } else if n != 0.0 && (n.abs() < 1e-4 || n.abs() >= 1e6) {
        exponent(out, &format!("{n:e}"));
    } else {
        let _ = write!(out, "{n}");
    }
}

/// Rust's `1e-7` as Go's `1e-07`.
fn exponent(out: &mut String, rust: &str) {
    let (digits, exponent) = rust.split_once('e').unwrap_or((rust, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(rest) => ('-', rest),
        None => ('+', exponent),
    };
    let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
}

#[derive(Default)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// `fmt.Sprintf`.
pub(super) fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = rest.next_if(|c| "-+# 0".contains(*c)) {
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                _ => spec.zero = true,
            }
        }
        spec.width = number(&mut rest, &mut values);
        if rest.next_if_eq(&'.').is_some() {
            spec.precision = Some(number(&mut rest, &mut values).unwrap_or(0));
        }
        match rest.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match values.next() {
                None => drop(write!(out, "%!{verb}(MISSING)")),
                Some(value) => {
                    let text = one(verb, &spec, value);
                    pad(&mut out, &text, &spec, verb);
                }
            },
        }
    }
    let extra: Vec<String> = values
        .map(|v| format!("{}={}", v.type_name(), v.printed()))
        .collect();
    if !extra.is_empty() {
        let _ = write!(out, "%!(EXTRA {})", extra.join(", "));
    }
    out
}

fn number(
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
    values: &mut std::slice::Iter<'_, Value>,
) -> Option<usize> {
    if rest.next_if_eq(&'*').is_some() {
        let n = values.next().map_or(0, Value::as_int);
        return usize::try_from(n).ok().map(|n| n.min(WIDTH_LIMIT));
    }
    let mut n: Option<usize> = None;
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        let digit = digit.to_digit(10).unwrap_or(0) as usize;
        n = Some((n.unwrap_or(0) * 10 + digit).min(WIDTH_LIMIT));
    }
    n
}

fn pad(out: &mut String, text: &str, spec: &Spec, verb: char) {
    let have = text.chars().count();
    let missing = spec.width.unwrap_or(0).saturating_sub(have);
    if spec.minus {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if spec.zero && verb != 's' && verb != 'q' && verb != 'v' {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => text.split_at(text.len() - digits.len()),
            None => ("", text),
        };
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        out.extend(std::iter::repeat_n(if spec.zero { '0' } else { ' ' }, missing));
        out.push_str(text);
    }
}

fn one(verb: char, spec: &Spec, value: &Value) -> String {
    let bad = || match value {
        Value::Nil => format!("%!{verb}(<nil>)"),
        _ => format!("%!{verb}({}={})", value.type_name(), value.printed()),
    };
    // Lists and maps hand the verb on to their members.
    match value {
        Value::List(items) if verb != 'v' || spec.sharp => {
            let parts: Vec<String> = items.iter().map(|v| one(verb, spec, v)).collect();
            return format!("[{}]", parts.join(" "));
        }
        Value::Map(members) if verb != 'v' => {
            let parts: Vec<String> = super::value::sorted(members)
                .into_iter()
                .map(|(k, v)| {
                    format!(
                        "{}:{}",
                        one(verb, spec, &Value::Str(k.clone())),
                        one(verb, spec, v)
                    )
                })
                .collect();
            return format!("map[{}]", parts.join(" "));
        }
        _ => {}
    }
    match (verb, value) {
        ('v', Value::Str(text)) if spec.sharp => quote(text),
        ('v', Value::Int(n)) if spec.plus => format!("{n:+}"),
        ('v', value) => value.printed(),
        ('T', value) => value.type_name().to_owned(),
        ('t', Value::Bool(b)) => b.to_string(),
        ('s', Value::Str(text)) => cut(text, spec),
        ('q', Value::Str(text)) => quote(&cut(text, spec)),
        ('x', Value::Str(text)) => text.bytes().fold(String::new(), |mut s, b| {
            let _ = write!(s, "{b:02x}");
            s
        }),
        ('X', Value::Str(text)) => text.bytes().fold(String::new(), |mut s, b| {
            let _ = write!(s, "{b:02X}");
            s
        }),
        ('d', Value::Int(n)) => signed(n.to_string(), *n < 0, spec),
        ('d', Value::Uint(n)) => signed(n.to_string(), false, spec),
        ('b', Value::Int(n)) => radix(*n, |n| format!("{n:b}")),
        ('o', Value::Int(n)) => radix(*n, |n| format!("{}{n:o}", if spec.sharp { "0" } else { "" })),
        ('x', Value::Int(n)) => radix(*n, |n| format!("{}{n:x}", if spec.sharp { "0x" } else { "" })),
        ('X', Value::Int(n)) => radix(*n, |n| format!("{}{n:X}", if spec.sharp { "0X" } else { "" })),
        ('c', Value::Int(n)) => u32::try_from(*n)
            .ok()
            .and_then(char::from_u32)
            .unwrap_or('\u{fffd}')
            .to_string(),
        ('q', Value::Int(n)) => {
            format!(
                "'{}'",
                u32::try_from(*n)
                    .ok()
                    .and_then(char::from_u32)
                    .unwrap_or('\u{fffd}')
            )
        }
        ('U', Value::Int(n)) => format!("U+{n:04X}"),
        ('f' | 'F', Value::Float(n)) => {
            signed(format!("{n:.*}", spec.precision.unwrap_or(6)), *n < 0.0, spec)
        }
        ('e', Value::Float(n)) => {
            let mut out = String::new();
            exponent(&mut out, &format!("{n:.*e}", spec.precision.unwrap_or(6)));
            signed(out, *n < 0.0, spec)
        }
        ('g', Value::Float(_)) => signed(value.printed(), false, spec),
        _ => bad(),
    }
}

fn signed(text: String, negative: bool, spec: &Spec) -> String {
    match (negative, spec.plus, spec.space) {
        (false, true, _) => format!("+{text}"),
        (false, false, true) => format!(" {text}"),
        _ => text,
    }
}

fn radix(n: i64, write: impl Fn(u64) -> String) -> String {
    let text = write(n.unsigned_abs());
    if n < 0 { format!("-{text}") } else { text }
}

fn cut(text: &str, spec: &Spec) -> String {
    match spec.precision {
        Some(n) => text.chars().take(n).collect(),
        None => text.to_owned(),
    }
}

/// Go's `strconv.Quote`.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => drop(write!(out, "\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
