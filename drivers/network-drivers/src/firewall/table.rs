//! What is in the table: rules per network, elements per port.

use netlink::nft::{Batch, ChainHook, ChainKind, CtKey, DataType, Element, Expr, Family, MapValue, MetaKey};
use netlink::nft::{SetSpec, Verdict};

use super::Published;
use super::rules::*;
use crate::NetworkPlan;

/// Ports published on one IPv4 address: address . protocol . port -> address . port.
const PORTS4: &str = "ports4";
/// Ports published on all IPv4 addresses: protocol . port -> address . port.
const PORTS4_ANY: &str = "ports4-any";
/// As `ports4`.
const PORTS6: &str = "ports6";
/// As `ports4-any`.
const PORTS6_ANY: &str = "ports6-any";
/// All our bridges.
pub(super) const BRIDGES: &str = "bridges";
/// Bridges without a way out.
pub(super) const INTERNAL: &str = "internal";
/// Each bridge paired with itself.
pub(super) const SAME: &str = "same";
/// Bridges whose members may talk to each other.
pub(super) const OPEN: &str = "open";

pub(super) const IPV4: u8 = 2;
pub(super) const IPV6: u8 = 10;

/// Where a map's key begins and what it is made of.
pub(super) struct PortMap {
    pub(super) name: &'static str,
    pub(super) family: u8,
    /// With the destination address in the key.
    pub(super) addressed: bool,
}

const MAPS: [PortMap; 4] = [
    PortMap {
        name: PORTS4,
        family: IPV4,
        addressed: true,
    },
    PortMap {
        name: PORTS4_ANY,
        family: IPV4,
        addressed: false,
    },
    PortMap {
        name: PORTS6,
        family: IPV6,
        addressed: true,
    },
    PortMap {
        name: PORTS6_ANY,
        family: IPV6,
        addressed: false,
    },
];

impl PortMap {
    fn address(&self) -> DataType {
        if self.family == IPV4 {
            DataType::Ipv4Addr
        } else {
            DataType::Ipv6Addr
        }
    }

    fn of(published: &Published) -> &'static PortMap {
        let family = if published.binding.host_ip.is_ipv4() {
            IPV4
        } else {
            IPV6
        };
        let addressed = !published.binding.host_ip.is_unspecified();
        let index = usize::from(family == IPV6) * 2 + usize::from(!addressed);
        &MAPS[index]
    }
}

/// The elements of the ports, by map; maps without any are left out.
pub(super) fn elements(published: &[Published]) -> Vec<(&'static str, Vec<Element>)> {
    let mut by_map: Vec<(&'static str, Vec<Element>)> = MAPS.iter().map(|m| (m.name, Vec::new())).collect();
    for p in published {
        let map = PortMap::of(p);
        let (protocol, port) = ([p.binding.protocol.number()], p.binding.host_port.to_be_bytes());
        let host = octets(p.binding.host_ip);
        let key = if map.addressed {
            Element::concat(&[&host, &protocol, &port])
        } else {
            Element::concat(&[&protocol, &port])
        };
        let value = Element::concat(&[&octets(p.to), &p.binding.container_port.to_be_bytes()]);
        if let Some((_, list)) = by_map.iter_mut().find(|(name, _)| *name == map.name) {
            list.push(Element { key, value });
        }
    }
    by_map.retain(|(_, list)| !list.is_empty());
    by_map
}

/// Write the whole table but its ports; says how many rules it has.
pub(super) fn write<'a>(
    batch: &mut Batch,
    table: &str,
    networks: impl Iterator<Item = &'a NetworkPlan>,
) -> usize {
    let networks: Vec<&NetworkPlan> = networks.collect();
    let f = Family::Inet;
    batch.add_table(f, table);
    batch.delete_table(f, table);
    batch.add_table(f, table);
    write_sets(batch, table, &networks);
    batch.add_chain(
        f,
        table,
        "prerouting",
        Some((ChainKind::Nat, ChainHook::Prerouting, -100)),
    );
    batch.add_chain(
        f,
        table,
        "output",
        Some((ChainKind::Nat, ChainHook::Output, -100)),
    );
    batch.add_chain(
        f,
        table,
        "postrouting",
        Some((ChainKind::Nat, ChainHook::Postrouting, 100)),
    );
    batch.add_chain(
        f,
        table,
        "forward",
        Some((ChainKind::Filter, ChainHook::Forward, 0)),
    );
    batch.add_chain(f, table, "published", None);
    batch.add_chain(f, table, "to-bridge", None);

    let mut rules: Vec<(&str, Vec<Expr>, Option<&str>)> = Vec::new();
    rules.push((
        "prerouting",
        [local_destination(), vec![jump("published")]].concat(),
        None,
    ));
    // The loopback addresses are served by the port proxy: forwarding them would need route_localnet.
    rules.push((
        "output",
        [not_loopback4(), local_destination(), vec![jump("published")]].concat(),
        None,
    ));
    rules.push((
        "output",
        [not_loopback6(), local_destination(), vec![jump("published")]].concat(),
        None,
    ));
    rules.extend(MAPS.iter().map(|map| ("published", lead_to_container(map), None)));
    for network in &networks {
        for subnet in &network.subnets {
            if network.masquerade && !network.internal {
                rules.push(("postrouting", masquerade(network, &subnet.net), Some("way out")));
            }
            rules.push((
                "postrouting",
                hairpin(network, &subnet.net),
                Some("by the host's address to a sibling"),
            ));
        }
    }
    rules.push(("forward", internal_stays_inside(), None));
    rules.push((
        "forward",
        [link_in(MetaKey::OifName, BRIDGES, false), vec![jump("to-bridge")]].concat(),
        None,
    ));
    let known = CtKey::ESTABLISHED | CtKey::RELATED;
    rules.push((
        "to-bridge",
        [ct_has(CtKey::State, known), vec![accept()]].concat(),
        None,
    ));
    rules.push(("to-bridge", same_bridge_is_open(), None));
    rules.push((
        "to-bridge",
        [ct_has(CtKey::Status, CtKey::DNAT), vec![accept()]].concat(),
        None,
    ));
    rules.push((
        "to-bridge",
        vec![Expr::Counter, Expr::Verdict(Verdict::Drop)],
        Some("not published"),
    ));
    for (chain, rule, comment) in &rules {
        batch.add_rule(f, table, chain, rule, *comment);
    }
    rules.len()
}

fn write_sets(batch: &mut Batch, table: &str, networks: &[&NetworkPlan]) {
    let f = Family::Inet;
    for map in &MAPS {
        let key = [map.address(), DataType::InetProto, DataType::InetService];
        let value = [map.address(), DataType::InetService];
        let key = if map.addressed { &key[..] } else { &key[1..] };
        batch.add_set(
            f,
            table,
            &SetSpec {
                name: map.name,
                key,
                value: Some(MapValue::Data(&value)),
            },
        );
    }
    let links = |wanted: fn(&NetworkPlan) -> bool| -> Vec<Element> {
        let chosen = networks.iter().filter(|n| wanted(n));
        chosen
            .map(|n| Element {
                key: Element::link(&n.link),
                value: Vec::new(),
            })
            .collect()
    };
    let pairs = |wanted: fn(&NetworkPlan) -> bool| -> Vec<Element> {
        let twice = |link: &str| Element::concat(&[&Element::link(link), &Element::link(link)]);
        let chosen = networks.iter().filter(|n| wanted(n));
        chosen
            .map(|n| Element {
                key: twice(&n.link),
                value: Vec::new(),
            })
            .collect()
    };
    let two = [DataType::IfName, DataType::IfName];
    for (name, key, list) in [
        (BRIDGES, &two[..1], links(|_| true)),
        (INTERNAL, &two[..1], links(|n| n.internal)),
        (OPEN, &two[..], pairs(|n| n.icc)),
        (SAME, &two[..], pairs(|_| true)),
    ] {
        batch.add_set(
            f,
            table,
            &SetSpec {
                name,
                key,
                value: None,
            },
        );
        batch.add_elements(f, table, name, &list, false);
    }
}
