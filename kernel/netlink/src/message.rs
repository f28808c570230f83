//! Writing and reading netlink messages: a header, a fixed part, and attributes padded to four bytes
//! (netlink(7); all integers in host order unless an attribute says otherwise).

/// `NLM_F_REQUEST`.
pub(crate) const REQUEST: u16 = 1;
/// `NLM_F_ACK`.
pub(crate) const ACK: u16 = 4;
/// `NLM_F_DUMP`.
pub(crate) const DUMP: u16 = 0x300;
/// `NLM_F_EXCL`.
pub(crate) const EXCL: u16 = 0x200;
/// `NLM_F_REPLACE`.
pub(crate) const REPLACE: u16 = 0x100;
/// `NLM_F_CREATE`.
pub(crate) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`.
pub(crate) const APPEND: u16 = 0x800;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// Length of a message header.
pub(crate) const HEADER: usize = 16;

/// One or more messages, ready to be sent.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// Begin a message; the one before is ended.
    pub(crate) fn begin(&mut self, kind: u16, flags: u16, sequence: u32) {
        self.start = self.bytes.len();
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
    }

    /// Append the fixed part that follows the header.
    pub(crate) fn fixed(&mut self, bytes: &[u8]) -> &mut Buffer {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// Append an attribute.
    pub(crate) fn attr(&mut self, kind: u16, payload: &[u8]) -> &mut Buffer {
        let len = u16::try_from(payload.len() + 4).expect("attributes are short");
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        self.pad();
        self
    }

    /// Append a number in host order.
    pub(crate) fn u32(&mut self, kind: u16, value: u32) -> &mut Buffer {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Append a number in network order.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) -> &mut Buffer {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Append a string with its final zero.
    pub(crate) fn string(&mut self, kind: u16, value: &str) -> &mut Buffer {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.attr(kind, &bytes)
    }

    /// Append an attribute that holds what `fill` appends.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Buffer)) -> &mut Buffer {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&0u16.to_ne_bytes());
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        let len = u16::try_from(self.bytes.len() - at).expect("nested attributes are short");
        self.bytes[at..at + 2].copy_from_slice(&len.to_ne_bytes());
        self
    }

    /// End the message: write its length and flags.
    pub(crate) fn end(&mut self) {
        let len = u32::try_from(self.bytes.len() - self.start).expect("messages are short");
        self.bytes[self.start..self.start + 4].copy_from_slice(&len.to_ne_bytes());
    }

    /// All bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

/// A received message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// The messages of one datagram; ends at the first that does not fit.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let head = bytes.get(..HEADER)?;
        let len = u32::from_ne_bytes(head[..4].try_into().ok()?) as usize;
        let payload = bytes.get(HEADER..len)?;
        let message = Message {
            kind: u16::from_ne_bytes(head[4..6].try_into().ok()?),
            flags: u16::from_ne_bytes(head[6..8].try_into().ok()?),
            sequence: u32::from_ne_bytes(head[8..12].try_into().ok()?),
            payload,
        };
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes in `bytes` as (type without flag bits, payload); ends at the first that does not fit.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = bytes.get(..4)?;
        let len = u16::from_ne_bytes([head[0], head[1]]) as usize;
        let kind = u16::from_ne_bytes([head[2], head[3]]) & 0x3fff;
        let payload = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// The payload of the attribute `kind`.
pub(crate) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(k, _)| *k == kind)
        .map(|(_, payload)| payload)
}

/// A string attribute without its final zero.
pub(crate) fn text(payload: &[u8]) -> String {
    let end = payload.iter().position(|b| *b == 0).unwrap_or(payload.len());
    String::from_utf8_lossy(&payload[..end]).into_owned()
}

/// A number in host order.
pub(crate) fn number(payload: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(payload.get(..4)?.try_into().ok()?))
}

/// A number in network order.
pub(crate) fn be_number(payload: &[u8]) -> Option<u32> {
    number(payload).map(u32::from_be)
}

/// An IP address of 4 or 16 bytes.
pub(crate) fn ip(payload: &[u8]) -> Option<std::net::IpAddr> {
    match payload.len() {
        4 => <[u8; 4]>::try_from(payload).ok().map(std::net::IpAddr::from),
        16 => <[u8; 16]>::try_from(payload).ok().map(std::net::IpAddr::from),
        _ => None,
    }
}

/// The bytes of an address in network order.
pub(crate) fn ip_bytes(address: std::net::IpAddr) -> Vec<u8> {
    match address {
        std::net::IpAddr::V4(a) => a.octets().to_vec(),
        std::net::IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// `AF_INET` or `AF_INET6`.
pub(crate) fn family(address: std::net::IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut buffer = Buffer::default();
        buffer.begin(16, REQUEST, 7);
        buffer.fixed(&[1, 2, 3, 4]).string(3, "eth0").nest(18, |b| {
            b.string(1, "veth");
        });
        buffer.end();
        let message = messages(buffer.as_slice()).next().unwrap();
        assert_eq!((message.kind, message.flags, message.sequence), (16, REQUEST, 7));
        let rest = &message.payload[4..];
        assert_eq!(text(find(rest, 3).unwrap()), "eth0");
        assert_eq!(text(find(find(rest, 18).unwrap(), 1).unwrap()), "veth");
    }

    #[test]
    fn lengths_that_lie_end_the_iteration() {
        assert_eq!(attributes(&[0, 0, 1, 0, 9, 9, 9, 9]).count(), 0);
        assert_eq!(attributes(&[200, 0, 1, 0, 9]).count(), 0);
        let mut lie = vec![255, 0, 0, 0];
        lie.extend_from_slice(&[0; 12]);
        assert_eq!(messages(&lie).count(), 0);
        let mut short = vec![4, 0, 0, 0];
        short.extend_from_slice(&[0; 28]);
        assert_eq!(messages(&short).count(), 0);
    }
}
