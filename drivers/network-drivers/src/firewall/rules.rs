//! The rules of the table, as expressions.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink::nft::{Cmp, CtKey, Element, Expr, MetaKey, PayloadBase, Reg, Verdict};

use super::table::{INTERNAL, IPV4, IPV6, OPEN, PortMap, SAME};
use crate::NetworkPlan;

const R0: Reg = Reg(0);
/// `RTN_LOCAL`.
const LOCAL: u32 = 2;

pub(super) fn jump(chain: &str) -> Expr {
    Expr::Verdict(Verdict::Jump(chain.to_owned()))
}

pub(super) fn accept() -> Expr {
    Expr::Verdict(Verdict::Accept)
}

pub(super) fn is_family(family: u8) -> Vec<Expr> {
    vec![
        Expr::Meta(MetaKey::NfProto, R0),
        Expr::Cmp(Cmp::Eq, R0, vec![family]),
    ]
}

/// `fib daddr type local`: whichever addresses the host has, now and later.
pub(super) fn local_destination() -> Vec<Expr> {
    vec![
        Expr::FibDaddrType(R0),
        Expr::Cmp(Cmp::Eq, R0, LOCAL.to_ne_bytes().to_vec()),
    ]
}

pub(super) fn not_loopback4() -> Vec<Expr> {
    let mut rule = is_family(IPV4);
    rule.push(Expr::Payload(PayloadBase::Network, 16, 1, R0));
    rule.push(Expr::Cmp(Cmp::Ne, R0, vec![127]));
    rule
}

pub(super) fn not_loopback6() -> Vec<Expr> {
    let mut rule = is_family(IPV6);
    rule.push(Expr::Payload(PayloadBase::Network, 24, 16, R0));
    rule.push(Expr::Cmp(
        Cmp::Ne,
        R0,
        std::net::Ipv6Addr::LOCALHOST.octets().to_vec(),
    ));
    rule
}

pub(super) fn lead_to_container(map: &PortMap) -> Vec<Expr> {
    let mut rule = is_family(map.family);
    let (offset, length) = if map.family == IPV4 { (16, 4) } else { (24, 16) };
    let address_regs = (length / 4) as u8;
    let mut next = 0;
    if map.addressed {
        rule.push(Expr::Payload(PayloadBase::Network, offset, length, R0));
        next = address_regs;
    }
    rule.push(Expr::Meta(MetaKey::L4Proto, Reg(next)));
    rule.push(Expr::Payload(PayloadBase::Transport, 2, 2, Reg(next + 1)));
    rule.push(Expr::Map {
        map: map.name.to_owned(),
        key: R0,
        value: R0,
    });
    rule.push(Expr::Dnat {
        family: map.family,
        address: R0,
        port: Reg(address_regs),
    });
    rule
}

/// `ip saddr SUBNET` or the same of IPv6.
pub(super) fn from_subnet(subnet: &IpNet) -> Vec<Expr> {
    let (family, offset, length) = if subnet.addr().is_ipv4() {
        (IPV4, 12, 4)
    } else {
        (IPV6, 8, 16)
    };
    let mut rule = is_family(family);
    rule.push(Expr::Payload(PayloadBase::Network, offset, length, R0));
    rule.push(Expr::And(R0, octets(subnet.netmask())));
    rule.push(Expr::Cmp(Cmp::Eq, R0, octets(subnet.network())));
    rule
}

pub(super) fn leaves_by(op: Cmp, link: &str) -> Vec<Expr> {
    vec![
        Expr::Meta(MetaKey::OifName, R0),
        Expr::Cmp(op, R0, Element::link(link)),
    ]
}

pub(super) fn masquerade(network: &NetworkPlan, subnet: &IpNet) -> Vec<Expr> {
    [
        from_subnet(subnet),
        leaves_by(Cmp::Ne, &network.link),
        vec![Expr::Counter, Expr::Masquerade],
    ]
    .concat()
}

/// A container that called a sibling (or itself) by the host's address must get the answer from the host.
pub(super) fn hairpin(network: &NetworkPlan, subnet: &IpNet) -> Vec<Expr> {
    let led = ct_has(CtKey::Status, CtKey::DNAT);
    [
        from_subnet(subnet),
        leaves_by(Cmp::Eq, &network.link),
        led,
        vec![Expr::Masquerade],
    ]
    .concat()
}

pub(super) fn ct_has(key: CtKey, bits: u32) -> Vec<Expr> {
    vec![
        Expr::Ct(key, R0),
        Expr::And(R0, bits.to_ne_bytes().to_vec()),
        Expr::Cmp(Cmp::Ne, R0, 0u32.to_ne_bytes().to_vec()),
    ]
}

pub(super) fn link_in(key: MetaKey, set: &str, invert: bool) -> Vec<Expr> {
    vec![
        Expr::Meta(key, R0),
        Expr::Lookup {
            set: set.to_owned(),
            key: R0,
            invert,
        },
    ]
}

pub(super) fn pair_in(set: &str, invert: bool) -> Vec<Expr> {
    vec![
        Expr::Meta(MetaKey::IifName, R0),
        Expr::Meta(MetaKey::OifName, Reg(4)),
        Expr::Lookup {
            set: set.to_owned(),
            key: R0,
            invert,
        },
    ]
}

pub(super) fn same_bridge_is_open() -> Vec<Expr> {
    let mut rule = pair_in(OPEN, false);
    rule.push(accept());
    rule
}

pub(super) fn internal_stays_inside() -> Vec<Expr> {
    let mut rule = link_in(MetaKey::IifName, INTERNAL, false);
    rule.extend(pair_in(SAME, true));
    rule.push(Expr::Counter);
    rule.push(Expr::Verdict(Verdict::Drop));
    rule
}

/// In network order.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}
