//! D-Bus messages as bytes: what systemd is asked, and what of its answers matters (D-Bus Specification, "Message
//! Protocol").

/// A kind of message; what is none of these is a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Call = 1,
    Error = 3,
    Signal = 4,
}

/// A value of the types that systemd's properties have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// `b`
    Flag(bool),
    /// `t`
    Number(u64),
    /// `s`
    Text(String),
    /// `au`
    Numbers(Vec<u32>),
    /// `ay`
    Bytes(Vec<u8>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
}

/// Properties by name.
pub(crate) type Properties<'a> = [(&'a str, Value)];

/// The arguments of a call while they are written. Values lie at multiples of their size.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    signature: String,
    bytes: Vec<u8>,
}

/// What goes to systemd.
pub(crate) struct Call<'a> {
    pub(crate) path: &'a str,
    pub(crate) destination: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) member: &'a str,
}

/// What has come from the bus.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) reply_to: u32,
    pub(crate) member: String,
    pub(crate) error: String,
    pub(crate) signature: String,
    body: Vec<u8>,
    big: bool,
}

fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn number(bytes: &mut Vec<u8>, value: u32) {
    align(bytes, 4);
    bytes.extend(value.to_le_bytes());
}

fn text(bytes: &mut Vec<u8>, value: &str) {
    number(bytes, value.len() as u32);
    bytes.extend(value.as_bytes());
    bytes.push(0);
}

fn signature(bytes: &mut Vec<u8>, value: &str) {
    bytes.push(value.len() as u8);
    bytes.extend(value.as_bytes());
    bytes.push(0);
}

/// An array: its length counts neither itself nor what aligns its first element.
fn array(bytes: &mut Vec<u8>, element: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    number(bytes, 0);
    let length = bytes.len() - 4;
    align(bytes, element);
    let start = bytes.len();
    fill(bytes);
    let size = (bytes.len() - start) as u32;
    bytes[length..length + 4].copy_from_slice(&size.to_le_bytes());
}

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Value::Flag(_) => "b",
            Value::Number(_) => "t",
            Value::Text(_) => "s",
            Value::Numbers(_) => "au",
            Value::Bytes(_) => "ay",
            Value::Pairs(_) => "a(ss)",
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Value::Flag(value) => number(bytes, u32::from(*value)),
            Value::Number(value) => {
                align(bytes, 8);
                bytes.extend(value.to_le_bytes());
            }
            Value::Text(value) => text(bytes, value),
            Value::Numbers(values) => array(bytes, 4, |bytes| values.iter().for_each(|v| number(bytes, *v))),
            Value::Bytes(values) => array(bytes, 1, |bytes| bytes.extend(values)),
            Value::Pairs(values) => array(bytes, 8, |bytes| {
                for (first, second) in values {
                    align(bytes, 8);
                    text(bytes, first);
                    text(bytes, second);
                }
            }),
        }
    }
}

impl Arguments {
    /// One more value.
    pub(crate) fn with(mut self, value: &Value) -> Self {
        self.signature.push_str(value.signature());
        value.write(&mut self.bytes);
        self
    }

    /// One more text.
    pub(crate) fn text(self, value: &str) -> Self {
        self.with(&Value::Text(value.to_owned()))
    }

    /// `a(sv)`.
    pub(crate) fn properties(mut self, properties: &Properties<'_>) -> Self {
        self.signature.push_str("a(sv)");
        array(&mut self.bytes, 8, |bytes| {
            for (name, value) in properties {
                align(bytes, 8);
                text(bytes, name);
                signature(bytes, value.signature());
                value.write(bytes);
            }
        });
        self
    }

    /// `a(sa(sv))` without an element: units that shall be made along with the first.
    pub(crate) fn no_more_units(mut self) -> Self {
        self.signature.push_str("a(sa(sv))");
        array(&mut self.bytes, 8, |_| {});
        self
    }
}

impl Call<'_> {
    /// The whole message, in little endian.
    pub(crate) fn bytes(&self, serial: u32, arguments: &Arguments) -> Vec<u8> {
        let mut bytes = vec![b'l', Kind::Call as u8, 0, 1];
        number(&mut bytes, arguments.bytes.len() as u32);
        number(&mut bytes, serial);
        array(&mut bytes, 8, |bytes| {
            let mut field = |code: u8, kind: &str, value: &str| {
                align(bytes, 8);
                bytes.push(code);
                signature(bytes, kind);
                if kind == "g" {
                    signature(bytes, value);
                } else {
                    text(bytes, value);
                }
            };
            field(PATH, "o", self.path);
            field(INTERFACE, "s", self.interface);
            field(MEMBER, "s", self.member);
            if !self.destination.is_empty() {
                field(DESTINATION, "s", self.destination);
            }
            if !arguments.signature.is_empty() {
                field(SIGNATURE, "g", &arguments.signature);
            }
        });
        align(&mut bytes, 8);
        bytes.extend(&arguments.bytes);
        bytes
    }
}

// Codes of header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Length of the part of a message that says how long the rest is.
pub(crate) const FRONT: usize = 16;
/// The specification's own bound.
const MOST: usize = 128 << 20;

/// How many bytes follow the front; `None` for what is no message.
pub(crate) fn rest(front: &[u8; FRONT]) -> Option<usize> {
    let big = match front[0] {
        b'l' => false,
        b'B' => true,
        _ => return None,
    };
    let mut reader = Reader {
        bytes: front,
        at: 4,
        big,
    };
    let body = reader.number()? as usize;
    reader.number()?;
    let fields = reader.number()? as usize;
    let rest = fields.checked_next_multiple_of(8)?.checked_add(body)?;
    (rest <= MOST).then_some(rest)
}

impl Message {
    /// Reads a message; `None` for what is none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Message> {
        let mut message = Message {
            kind: *bytes.get(1)?,
            big: *bytes.first()? == b'B',
            ..Message::default()
        };
        let mut reader = Reader {
            bytes,
            at: FRONT - 4,
            big: message.big,
        };
        let end = FRONT + reader.number()? as usize;
        while reader.at < end {
            reader.align(8);
            let code = reader.byte()?;
            let kind = reader.signature()?;
            match (code, kind.as_str()) {
                (MEMBER, "s") => message.member = reader.text()?,
                (ERROR_NAME, "s") => message.error = reader.text()?,
                (SIGNATURE, "g") => message.signature = reader.signature()?,
                (REPLY_SERIAL, "u") => message.reply_to = reader.number()?,
                (_, "s" | "o") => drop(reader.text()?),
                (_, "g") => drop(reader.signature()?),
                (_, "u") => drop(reader.number()?),
                _ => return None,
            }
        }
        message.body = bytes.get(end.next_multiple_of(8)..)?.to_vec();
        Some(message)
    }

    /// The texts and paths in front of the body, numbers passed over; a variant is taken for what it holds.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut reader = Reader {
            bytes: &self.body,
            at: 0,
            big: self.big,
        };
        let mut found = Vec::new();
        let mut kinds = self.signature.clone();
        while let Some(kind) = kinds.chars().next() {
            kinds.remove(0);
            let more = match kind {
                's' | 'o' => reader.text().map(|text| found.push(text)),
                'u' | 'i' | 'b' => reader.number().map(drop),
                'v' => reader.signature().map(|inside| kinds.insert_str(0, &inside)),
                _ => None,
            };
            if more.is_none() {
                break;
            }
        }
        found
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<u32> {
        self.align(4);
        let bytes = self
            .bytes
            .get(self.at..self.at.checked_add(4)?)?
            .try_into()
            .ok()?;
        self.at += 4;
        Some(if self.big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    fn take(&mut self, length: usize) -> Option<String> {
        let end = self.at.checked_add(length)?;
        let text = std::str::from_utf8(self.bytes.get(self.at..end)?).ok()?;
        // One more byte ends it.
        self.at = end.checked_add(1)?;
        Some(text.to_owned())
    }

    fn text(&mut self) -> Option<String> {
        let length = self.number()? as usize;
        self.take(length)
    }

    fn signature(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_written_as_the_specification_says() {
        let call = Call {
            path: "/a",
            destination: "d",
            interface: "i.f",
            member: "M",
        };
        let bytes = call.bytes(7, &Arguments::default().text("x"));
        let wanted: &[u8] = b"l\x01\x00\x01\x06\x00\x00\x00\x07\x00\x00\x00\x47\x00\x00\x00\
            \x01\x01o\x00\x02\x00\x00\x00/a\x00\x00\x00\x00\x00\x00\
            \x02\x01s\x00\x03\x00\x00\x00i.f\x00\x00\x00\x00\x00\
            \x03\x01s\x00\x01\x00\x00\x00M\x00\x00\x00\x00\x00\x00\x00\
            \x06\x01s\x00\x01\x00\x00\x00d\x00\x00\x00\x00\x00\x00\x00\
            \x08\x01g\x00\x01s\x00\x00\
            \x01\x00\x00\x00x\x00";
        assert_eq!(bytes, wanted);
        let front = bytes[..FRONT].try_into().expect("front");
        assert_eq!(rest(front), Some(bytes.len() - FRONT));
        let read = Message::read(&bytes).expect("message");
        assert_eq!(
            (read.kind, read.member.as_str(), read.signature.as_str()),
            (1, "M", "s")
        );
        assert_eq!(read.texts(), ["x"]);
    }

    #[test]
    fn properties_are_aligned_as_structures() {
        let arguments = Arguments::default()
            .with(&Value::Flag(true))
            .properties(&[("A", Value::Number(5)), ("Bc", Value::Numbers(vec![1]))]);
        assert_eq!(arguments.signature, "ba(sv)");
        let wanted: &[u8] = b"\x01\0\0\0\x2c\0\0\0\
            \x01\0\0\0A\0\x01t\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\
            \x02\0\0\0Bc\0\x02au\0\0\x04\0\0\0\x01\0\0\0";
        assert_eq!(arguments.bytes, wanted);
    }

    #[test]
    fn what_is_no_message_is_none() {
        assert_eq!(rest(b"x\x01\0\x01\0\0\0\0\0\0\0\0\0\0\0\0"), None);
        assert_eq!(rest(b"l\x01\0\x01\xff\xff\xff\xff\0\0\0\0\0\0\0\0"), None);
        let mut bytes = Call {
            path: "/",
            destination: "",
            interface: "i",
            member: "M",
        }
        .bytes(1, &Arguments::default());
        // Every cut and every changed byte is survived.
        for length in 0..bytes.len() {
            let _ = Message::read(&bytes[..length]).map(|m| m.texts());
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let old = std::mem::replace(&mut bytes[at], value);
                let _ = Message::read(&bytes).map(|m| m.texts());
                bytes[at] = old;
            }
        }
    }
}
