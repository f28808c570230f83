//! A batch: changes that are applied together.

use super::expr::{Expr, Verdict, value};
use super::{Family, NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, SUBSYSTEM, boundary, header};
use crate::message::{ACK, APPEND, Buffer, CREATE, EXCL, REQUEST};

const NEWTABLE: u16 = SUBSYSTEM;
const DELTABLE: u16 = SUBSYSTEM | 2;
const NEWCHAIN: u16 = SUBSYSTEM | 3;
const NEWRULE: u16 = SUBSYSTEM | 6;
const DELRULE: u16 = SUBSYSTEM | 8;
const NEWSET: u16 = SUBSYSTEM | 9;
const NEWSETELEM: u16 = SUBSYSTEM | 12;
const DELSETELEM: u16 = SUBSYSTEM | 14;
const NFT_SET_MAP: u32 = 8;
/// The data type that stands for verdicts.
const NFT_DATA_VERDICT: u32 = 0xffff_ff00;
/// Elements per message: the nested list must stay below 64 KiB.
const ELEMENTS_PER_MESSAGE: usize = 256;

/// A type of values in sets, by nft's own numbers, so that `nft list` prints them rightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// An IPv4 address.
    Ipv4Addr,
    /// An IPv6 address.
    Ipv6Addr,
    /// A transport protocol.
    InetProto,
    /// A port.
    InetService,
    /// The name of a link.
    IfName,
}

impl DataType {
    fn number(self) -> u32 {
        match self {
            DataType::Ipv4Addr => 7,
            DataType::Ipv6Addr => 8,
            DataType::InetProto => 12,
            DataType::InetService => 13,
            DataType::IfName => 41,
        }
    }

    /// Length in registers: multiples of four bytes.
    fn len(self) -> u32 {
        match self {
            DataType::Ipv4Addr | DataType::InetProto | DataType::InetService => 4,
            DataType::Ipv6Addr | DataType::IfName => 16,
        }
    }

    /// nft numbers a concatenation with six bits per part.
    fn concat(parts: &[DataType]) -> (u32, u32) {
        let number = parts.iter().fold(0, |n, p| n << 6 | p.number());
        let len = match parts {
            [DataType::InetProto] => 1,
            [DataType::InetService] => 2,
            parts => parts.iter().map(|p| p.len()).sum(),
        };
        (number, len)
    }
}

/// The value type of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapValue<'a> {
    /// Values of these types, concatenated.
    Data(&'a [DataType]),
    /// Verdicts.
    Verdict,
}

/// A set or a map.
#[derive(Clone, Copy, Debug)]
pub struct SetSpec<'a> {
    /// The name.
    pub name: &'a str,
    /// The key's parts.
    pub key: &'a [DataType],
    /// `None` makes a set.
    pub value: Option<MapValue<'a>>,
}

/// One element of a set or map. Each part of a concatenation is padded to four bytes, see [`Element::concat`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// The key.
    pub key: Vec<u8>,
    /// The value; empty in a set.
    pub value: Vec<u8>,
}

impl Element {
    /// Pad each part to four bytes and join them.
    pub fn concat(parts: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    /// The name of a link as a key: zero padded to 16 bytes.
    pub fn link(name: &str) -> Vec<u8> {
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(16, 0);
        bytes
    }
}

/// Where a base chain hooks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainHook {
    /// 0
    Prerouting,
    /// 1
    Input,
    /// 2
    Forward,
    /// 3
    Output,
    /// 4
    Postrouting,
}

/// The type of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// `filter`
    Filter,
    /// `nat`
    Nat,
}

/// Changes to be applied together; see [`super::Nft::commit`].
#[derive(Debug, Default)]
pub struct Batch {
    messages: Vec<(u16, u16, Buffer)>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The size in bytes, roughly.
    pub fn len(&self) -> usize {
        self.messages.iter().map(|m| m.2.len() + 16).sum()
    }

    /// Make a table; one of this name is fine.
    pub fn add_table(&mut self, family: Family, name: &str) {
        self.push(NEWTABLE, CREATE, family, |b| {
            b.string(1, name).be32(2, 0);
        });
    }

    /// Delete a table with all that is in it; it must exist (add it before in the same batch to be sure).
    pub fn delete_table(&mut self, family: Family, name: &str) {
        self.push(DELTABLE, 0, family, |b| {
            b.string(1, name);
        });
    }

    /// Make a chain; with `base` it hooks into the stack, with policy accept.
    pub fn add_chain(
        &mut self,
        family: Family,
        table: &str,
        name: &str,
        base: Option<(ChainKind, ChainHook, i32)>,
    ) {
        self.push(NEWCHAIN, CREATE, family, |b| {
            b.string(1, table).string(3, name);
            if let Some((kind, hook, priority)) = base {
                b.nest(4, |b| {
                    b.be32(1, hook as u32).be32(2, priority.cast_unsigned());
                });
                b.be32(5, 1)
                    .string(7, if kind == ChainKind::Nat { "nat" } else { "filter" });
            }
        });
    }

    /// Append a rule to a chain.
    pub fn add_rule(
        &mut self,
        family: Family,
        table: &str,
        chain: &str,
        rule: &[Expr],
        comment: Option<&str>,
    ) {
        self.push(NEWRULE, CREATE | APPEND, family, |b| {
            fill_rule(b, table, chain, rule, comment)
        });
    }

    /// Insert a rule at the head of a chain, or before the rule of the handle `before`.
    pub fn insert_rule(
        &mut self,
        family: Family,
        table: &str,
        chain: &str,
        rule: &[Expr],
        comment: Option<&str>,
        before: Option<u64>,
    ) {
        self.push(NEWRULE, CREATE, family, |b| {
            fill_rule(b, table, chain, rule, comment);
            if let Some(handle) = before {
                b.attr(6, &handle.to_be_bytes());
            }
        });
    }

    /// Delete a rule by its handle.
    pub fn delete_rule(&mut self, family: Family, table: &str, chain: &str, handle: u64) {
        self.push(DELRULE, 0, family, |b| {
            b.string(1, table).string(2, chain).attr(3, &handle.to_be_bytes());
        });
    }

    /// Make a set or map; elements may follow in the same batch.
    pub fn add_set(&mut self, family: Family, table: &str, set: &SetSpec<'_>) {
        let id = u32::try_from(self.messages.len()).unwrap_or(0) + 1;
        self.push(NEWSET, CREATE, family, |b| {
            let (key_type, key_len) = DataType::concat(set.key);
            let flags = if set.value.is_some() { NFT_SET_MAP } else { 0 };
            b.string(1, table)
                .string(2, set.name)
                .be32(3, flags)
                .be32(4, key_type)
                .be32(5, key_len);
            match set.value {
                None => {}
                Some(MapValue::Verdict) => {
                    b.be32(6, NFT_DATA_VERDICT).be32(7, 16);
                }
                Some(MapValue::Data(parts)) => {
                    let (data_type, data_len) = DataType::concat(parts);
                    b.be32(6, data_type).be32(7, data_len);
                }
            }
            b.be32(10, id);
            if set.key == [DataType::IfName] {
                // For `nft list` only: the key's byte order (type 0, 4 bytes) is the host's (1), else it prints "".
                b.attr(13, &[&[0, 4][..], &1u32.to_ne_bytes()].concat());
            }
        });
    }

    /// Add elements to a set or map. An element that is there with the same value is fine, with another an error;
    /// with `exclusive` both are errors.
    pub fn add_elements(
        &mut self,
        family: Family,
        table: &str,
        set: &str,
        elements: &[Element],
        exclusive: bool,
    ) {
        let flags = if exclusive { CREATE | EXCL } else { CREATE };
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.push(NEWSETELEM, flags, family, |b| {
                fill_elements(b, table, set, chunk, None)
            });
        }
    }

    /// Add verdicts to a verdict map.
    pub fn add_verdicts(&mut self, family: Family, table: &str, map: &str, elements: &[(Vec<u8>, Verdict)]) {
        for (key, verdict) in elements {
            let element = Element {
                key: key.clone(),
                value: Vec::new(),
            };
            self.push(NEWSETELEM, CREATE, family, |b| {
                fill_elements(b, table, map, &[element], Some(verdict))
            });
        }
    }

    /// Delete elements; each must exist.
    pub fn delete_elements(&mut self, family: Family, table: &str, set: &str, elements: &[Element]) {
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.push(DELSETELEM, 0, family, |b| {
                fill_elements(b, table, set, chunk, None)
            });
        }
    }

    fn push(&mut self, kind: u16, flags: u16, family: Family, fill: impl FnOnce(&mut Buffer)) {
        let mut body = Buffer::default();
        body.fixed(&header(family.number(), 0));
        fill(&mut body);
        self.messages.push((kind, flags, body));
    }

    /// The whole batch as one buffer; only the last change asks for an acknowledgement (errors come unasked).
    pub(crate) fn assemble(&self, base: u32, mut next: impl FnMut() -> u32) -> (Buffer, u32) {
        let mut buffer = Buffer::default();
        boundary(&mut buffer, NFNL_MSG_BATCH_BEGIN, base);
        let mut last = base;
        for (n, (kind, flags, body)) in self.messages.iter().enumerate() {
            last = next();
            let ack = if n + 1 == self.messages.len() { ACK } else { 0 };
            buffer.begin(*kind, REQUEST | flags | ack, last);
            buffer.fixed(body.as_slice());
            buffer.end();
        }
        boundary(&mut buffer, NFNL_MSG_BATCH_END, next());
        (buffer, last)
    }
}

fn fill_rule(b: &mut Buffer, table: &str, chain: &str, rule: &[Expr], comment: Option<&str>) {
    b.string(1, table)
        .string(2, chain)
        .nest(4, |b| rule.iter().for_each(|e| e.encode(b)));
    if let Some(comment) = comment {
        b.attr(7, &comment_data(comment));
    }
}

/// A comment as `nft` and iptables-nft keep it: type 0, length, text with a final zero.
fn comment_data(comment: &str) -> Vec<u8> {
    let text = &comment.as_bytes()[..comment.len().min(120)];
    let mut data = vec![0, u8::try_from(text.len() + 1).unwrap_or(0)];
    data.extend_from_slice(text);
    data.push(0);
    data
}

fn fill_elements(b: &mut Buffer, table: &str, set: &str, elements: &[Element], verdict: Option<&Verdict>) {
    b.string(1, table).string(2, set).nest(3, |b| {
        for element in elements {
            b.nest(1, |b| {
                b.nest(1, |b| value(b, &element.key));
                if !element.value.is_empty() {
                    b.nest(2, |b| value(b, &element.value));
                }
                if let Some(verdict) = verdict {
                    b.nest(2, |b| verdict.encode(b));
                }
            });
        }
    });
}
