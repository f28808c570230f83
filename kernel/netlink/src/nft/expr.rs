//! Expressions: the little machine code of a rule.

use crate::message::Buffer;

/// A 32-bit register, 0 to 15; values longer than four bytes take the following ones too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg(pub u8);

impl Reg {
    /// `NFT_REG32_00` and following.
    fn number(self) -> u32 {
        8 + u32::from(self.0)
    }
}

/// What becomes of the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let it pass this chain's hook.
    Accept,
    /// Throw it away.
    Drop,
    /// Back to the calling chain.
    Return,
    /// Call a chain.
    Jump(String),
    /// Continue in a chain and do not come back.
    Goto(String),
}

/// A fact about the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaKey {
    /// The name of the link it came by, 16 bytes.
    IifName,
    /// The name of the link it leaves by, 16 bytes.
    OifName,
    /// The family, 1 byte.
    NfProto,
    /// The transport protocol, 1 byte.
    L4Proto,
}

/// A fact about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtKey {
    /// The state as a bit mask, 4 bytes; see [`CtKey::ESTABLISHED`].
    State,
    /// The status as a bit mask, 4 bytes; see [`CtKey::DNAT`].
    Status,
}

impl CtKey {
    /// State: packets went both ways.
    pub const ESTABLISHED: u32 = 2;
    /// State: belongs to another connection.
    pub const RELATED: u32 = 4;
    /// Status: the destination was changed.
    pub const DNAT: u32 = 1 << 5;
}

/// Where a packet field is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadBase {
    /// The IP header.
    Network,
    /// The transport header.
    Transport,
}

/// How to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
}

/// One expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// Load a fact about the packet.
    Meta(MetaKey, Reg),
    /// Load a field of the packet: base, offset, length.
    Payload(PayloadBase, u32, u32, Reg),
    /// Load a fact about the connection.
    Ct(CtKey, Reg),
    /// Load the type of the destination address (`RTN_*`), 4 bytes.
    FibDaddrType(Reg),
    /// Go on only if the register compares so to the bytes.
    Cmp(Cmp, Reg, Vec<u8>),
    /// `register = register & mask`.
    And(Reg, Vec<u8>),
    /// Go on only if the key is (or, inverted, is not) in the set.
    Lookup {
        /// The set's name.
        set: String,
        /// The key.
        key: Reg,
        /// Go on if it is not there.
        invert: bool,
    },
    /// Load the value of the key in the map; stop if there is none.
    Map {
        /// The map's name.
        map: String,
        /// The key.
        key: Reg,
        /// Where the value goes.
        value: Reg,
    },
    /// Go where the key in the verdict map says.
    VerdictMap {
        /// The map's name.
        map: String,
        /// The key.
        key: Reg,
    },
    /// Load bytes.
    Load(Reg, Vec<u8>),
    /// Decide.
    Verdict(Verdict),
    /// Change the destination to the address and port in the registers; the number is the address family (2 or 10).
    Dnat {
        /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
        family: u8,
        /// The address.
        address: Reg,
        /// The port.
        port: Reg,
    },
    /// Change the source to the address of the link that the packet leaves by.
    Masquerade,
    /// Count packets and bytes.
    Counter,
    /// Do not track the connection.
    Notrack,
}

const NFT_REG_VERDICT: u32 = 0;

impl Expr {
    pub(crate) fn encode(&self, b: &mut Buffer) {
        match self {
            Expr::Meta(key, reg) => named(b, "meta", |b| {
                let key = match key {
                    MetaKey::IifName => 6,
                    MetaKey::OifName => 7,
                    MetaKey::NfProto => 15,
                    MetaKey::L4Proto => 16,
                };
                b.be32(2, key).be32(1, reg.number());
            }),
            Expr::Payload(base, offset, len, reg) => named(b, "payload", |b| {
                let base = match base {
                    PayloadBase::Network => 1,
                    PayloadBase::Transport => 2,
                };
                b.be32(1, reg.number())
                    .be32(2, base)
                    .be32(3, *offset)
                    .be32(4, *len);
            }),
            Expr::Ct(key, reg) => named(b, "ct", |b| {
                let key = match key {
                    CtKey::State => 0,
                    CtKey::Status => 2,
                };
                b.be32(2, key).be32(1, reg.number());
            }),
            Expr::FibDaddrType(reg) => named(b, "fib", |b| {
                // result: NFT_FIB_RESULT_ADDRTYPE; flags: NFTA_FIB_F_DADDR
                b.be32(1, reg.number()).be32(2, 3).be32(3, 2);
            }),
            Expr::Cmp(op, reg, bytes) => named(b, "cmp", |b| {
                b.be32(1, reg.number())
                    .be32(2, u32::from(*op == Cmp::Ne))
                    .nest(3, |b| value(b, bytes));
            }),
            Expr::And(reg, mask) => named(b, "bitwise", |b| {
                let len = u32::try_from(mask.len()).unwrap_or(0);
                b.be32(1, reg.number()).be32(2, reg.number()).be32(3, len);
                b.nest(4, |b| value(b, mask))
                    .nest(5, |b| value(b, &vec![0; mask.len()]));
            }),
            Expr::Lookup { set, key, invert } => named(b, "lookup", |b| {
                b.string(1, set).be32(2, key.number());
                if *invert {
                    b.be32(5, 1);
                }
            }),
            Expr::Map { map, key, value } => named(b, "lookup", |b| {
                b.string(1, map).be32(2, key.number()).be32(3, value.number());
            }),
            Expr::VerdictMap { map, key } => named(b, "lookup", |b| {
                b.string(1, map).be32(2, key.number()).be32(3, NFT_REG_VERDICT);
            }),
            Expr::Load(reg, bytes) => named(b, "immediate", |b| {
                b.be32(1, reg.number()).nest(2, |b| value(b, bytes));
            }),
            Expr::Verdict(verdict) => named(b, "immediate", |b| {
                b.be32(1, NFT_REG_VERDICT).nest(2, |b| verdict.encode(b));
            }),
            Expr::Dnat {
                family,
                address,
                port,
            } => named(b, "nat", |b| {
                b.be32(1, 1)
                    .be32(2, u32::from(*family))
                    .be32(3, address.number())
                    .be32(5, port.number());
            }),
            Expr::Masquerade => named(b, "masq", |_| {}),
            Expr::Counter => named(b, "counter", |b| {
                b.attr(1, &[0; 8]).attr(2, &[0; 8]);
            }),
            Expr::Notrack => named(b, "notrack", |_| {}),
        }
    }
}

impl Verdict {
    pub(crate) fn encode(&self, b: &mut Buffer) {
        const NFTA_DATA_VERDICT: u16 = 2;
        b.nest(NFTA_DATA_VERDICT, |b| {
            let (code, chain) = match self {
                Verdict::Drop => (0, None),
                Verdict::Accept => (1, None),
                Verdict::Jump(chain) => (-3, Some(chain)),
                Verdict::Goto(chain) => (-4, Some(chain)),
                Verdict::Return => (-5i32, None),
            };
            b.be32(1, code.cast_unsigned());
            if let Some(chain) = chain {
                b.string(2, chain);
            }
        });
    }
}

/// `NFTA_DATA_VALUE`.
pub(crate) fn value(b: &mut Buffer, bytes: &[u8]) {
    b.attr(1, bytes);
}

fn named(b: &mut Buffer, name: &str, fill: impl FnOnce(&mut Buffer)) {
    const NFTA_LIST_ELEM: u16 = 1;
    b.nest(NFTA_LIST_ELEM, |b| {
        b.string(1, name).nest(2, fill);
    });
}
