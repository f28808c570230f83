//! Address management: which subnets are free, and which addresses in them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fault::{Fault, Kind};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Why there is no subnet or no address. The texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Every subnet of every pool overlaps one in use.
    #[error("all predefined address pools have been fully subnetted")]
    PoolsExhausted,
    /// The subnet is one that another network has.
    #[error("invalid pool request: Pool overlaps with other one on this address space")]
    Overlap,
    /// No address is left.
    #[error("no available {family} addresses on this network's address pools: {network} ({id})", family = family(*v6))]
    Exhausted {
        /// IPv6.
        v6: bool,
        /// The network's name.
        network: String,
        /// The network's id.
        id: String,
    },
    /// The wished address is taken.
    #[error("Address already in use")]
    InUse,
    /// The wished address is not in the subnet.
    #[error("invalid address {address}: It does not belong to any of this network's subnets")]
    OutOfRange {
        /// The wished address.
        address: IpAddr,
    },
}

fn family(v6: bool) -> &'static str {
    if v6 { "IPv6" } else { "IPv4" }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::PoolsExhausted | Error::Exhausted { .. } | Error::InUse => Kind::Conflict,
            Error::Overlap => Kind::Forbidden,
            Error::OutOfRange { .. } => Kind::InvalidParameter,
        }
    }
}

/// A range and the size of the subnets to be cut from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The whole range.
    pub base: IpNet,
    /// The subnets' prefix length.
    pub size: u8,
}

/// Docker's built-in IPv4 pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in pieces of /20.
pub fn default_pools() -> Vec<Pool> {
    let class_b = |n| IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(172, n, 0, 0), 16));
    let mut pools: Vec<Pool> = (17..32)
        .map(|n| Pool {
            base: class_b(n),
            size: 16,
        })
        .collect();
    pools.push(Pool {
        base: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16)),
        size: 20,
    });
    pools
}

/// The unique local /48 of this machine, from which IPv6 subnets of /64 are cut (RFC 4193); `seed` should be stable
/// on this machine and different on others.
pub fn unique_local_pool(seed: u64) -> Pool {
    let s = seed.to_be_bytes();
    let base = Ipv6Addr::from([0xfd, s[0], s[1], s[2], s[3], s[4], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    Pool {
        base: IpNet::V6(Ipv6Net::new_assert(base, 48)),
        size: 64,
    }
}

/// The first subnet of the pools, of the wished family, that overlaps none of `used`.
pub fn choose_subnet(pools: &[Pool], v6: bool, used: &[IpNet]) -> Result<IpNet, Error> {
    for pool in pools.iter().filter(|p| p.base.addr().is_ipv6() == v6) {
        let Ok(subnets) = pool.base.subnets(pool.size) else {
            continue;
        };
        // A pool of very many subnets is not searched to its end.
        if let Some(free) = subnets
            .take(1 << 16)
            .find(|s| !used.iter().any(|u| overlap(s, u)))
        {
            return Ok(free);
        }
    }
    Err(Error::PoolsExhausted)
}

/// Whether two subnets have an address in common.
pub fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// The addresses of one subnet: the lowest free one is given first. Numbers are offsets from the subnet's first.
#[derive(Clone, Debug)]
pub struct Addresses {
    subnet: IpNet,
    /// First and last offset that is given unasked.
    range: (u128, u128),
    taken: BTreeSet<u128>,
    /// Every offset of the range below this one is taken.
    hint: u128,
}

impl Addresses {
    /// All of `subnet`, giving from `range` unless asked for a certain address. Network and broadcast address are
    /// never given.
    pub fn new(subnet: IpNet, range: Option<IpNet>) -> Addresses {
        let subnet = subnet.trunc();
        let base = number(subnet.network());
        let last = number(subnet.broadcast()) - base;
        let mut taken = BTreeSet::new();
        let host_bits = if subnet.addr().is_ipv4() { 32 } else { 128 } - subnet.prefix_len();
        if host_bits >= 2 {
            taken.insert(0);
            if subnet.addr().is_ipv4() {
                taken.insert(last);
            }
        }
        let within = range.map(|r| r.trunc()).filter(|r| subnet.contains(r));
        let range = match within {
            Some(r) => (number(r.network()) - base, number(r.broadcast()) - base),
            None => (0, last),
        };
        Addresses {
            subnet,
            range,
            taken,
            hint: range.0,
        }
    }

    /// The subnet.
    pub fn subnet(&self) -> IpNet {
        self.subnet
    }

    /// Take the lowest free address of the range; `None` when all are taken.
    pub fn take_next(&mut self) -> Option<IpAddr> {
        let mut candidate = self.hint;
        for taken in self.taken.range(self.hint..) {
            if *taken != candidate {
                break;
            }
            candidate += 1;
        }
        self.hint = candidate;
        if candidate > self.range.1 {
            return None;
        }
        self.taken.insert(candidate);
        Some(self.address(candidate))
    }

    /// Take this address.
    pub fn take(&mut self, address: IpAddr) -> Result<(), Error> {
        let offset = self.offset(address).ok_or(Error::OutOfRange { address })?;
        if self.taken.insert(offset) {
            Ok(())
        } else {
            Err(Error::InUse)
        }
    }

    /// Give an address back; one that is free already, or not of this subnet, is fine.
    pub fn release(&mut self, address: IpAddr) {
        if let Some(offset) = self.offset(address)
            && self.taken.remove(&offset)
            && offset >= self.range.0
        {
            self.hint = self.hint.min(offset);
        }
    }

    /// How many addresses are taken or never given, and how many of the range can still be given.
    pub fn figures(&self) -> (u64, u64) {
        let (first, last) = self.range;
        let small = |n: u128| u64::try_from(n).unwrap_or(u64::MAX);
        let taken_within = self.taken.range(first..=last).count() as u128;
        let size = (last - first).saturating_add(1);
        (self.taken.len() as u64, small(size - taken_within))
    }

    fn offset(&self, address: IpAddr) -> Option<u128> {
        self.subnet
            .contains(&address)
            .then(|| number(address) - number(self.subnet.network()))
    }

    fn address(&self, offset: u128) -> IpAddr {
        let n = number(self.subnet.network()) + offset;
        match self.subnet {
            IpNet::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(n).unwrap_or(0))),
            IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from(n)),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u32::from(a).into(),
        IpAddr::V6(a) => a.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_subnet_that_the_host_uses_is_not_chosen() {
        let pools = default_pools();
        assert_eq!(choose_subnet(&pools, false, &[]), Ok(net("172.17.0.0/16")));
        let used = [net("172.17.5.0/24"), net("172.16.0.0/14")];
        assert_eq!(choose_subnet(&pools, false, &used), Ok(net("172.20.0.0/16")));
        let used = [net("172.16.0.0/12")];
        assert_eq!(choose_subnet(&pools, false, &used), Ok(net("192.168.0.0/20")));
        let used = [net("172.16.0.0/12"), net("192.168.0.0/16")];
        assert_eq!(choose_subnet(&pools, false, &used), Err(Error::PoolsExhausted));
        let v6 = choose_subnet(&[unique_local_pool(1)], true, &[]).unwrap();
        assert!(v6.to_string().starts_with("fd") && v6.prefix_len() == 64);
    }

    #[test]
    fn the_lowest_free_address_is_given_and_given_again_after_release() {
        let mut a = Addresses::new(net("10.0.0.0/29"), None);
        a.take(ip("10.0.0.1")).unwrap();
        let given: Vec<IpAddr> = std::iter::from_fn(|| a.take_next()).collect();
        assert_eq!(
            given,
            (2..7).map(|n| ip(&format!("10.0.0.{n}"))).collect::<Vec<_>>()
        );
        a.release(ip("10.0.0.4"));
        a.release(ip("10.0.0.3"));
        assert_eq!(
            (a.take_next(), a.take_next(), a.take_next()),
            (Some(ip("10.0.0.3")), Some(ip("10.0.0.4")), None)
        );
    }

    #[test]
    fn a_wished_address_is_refused_when_taken_or_foreign() {
        let mut a = Addresses::new(net("10.0.0.0/24"), Some(net("10.0.0.128/25")));
        assert_eq!(a.take_next(), Some(ip("10.0.0.128")));
        a.take(ip("10.0.0.5")).unwrap();
        assert_eq!(a.take(ip("10.0.0.5")), Err(Error::InUse));
        assert_eq!(a.take(ip("10.0.0.255")), Err(Error::InUse));
        assert_eq!(
            a.take(ip("10.0.1.5")),
            Err(Error::OutOfRange {
                address: ip("10.0.1.5")
            })
        );
        a.release(ip("10.0.0.5"));
        assert_eq!(a.take_next(), Some(ip("10.0.0.129")));
    }

    #[test]
    fn figures_count_what_is_never_given_and_what_the_range_still_has() {
        let mut a = Addresses::new(net("10.0.0.0/24"), Some(net("10.0.0.128/25")));
        assert_eq!(
            a.figures(),
            (2, 127),
            "network and broadcast, which is in the range"
        );
        a.take(ip("10.0.0.1")).unwrap();
        a.take_next();
        assert_eq!(a.figures(), (4, 126));
        assert_eq!(Addresses::new(net("fd00::/64"), None).figures(), (1, u64::MAX));
        assert_eq!(Addresses::new(net("::/0"), None).figures(), (1, u64::MAX));
    }

    #[test]
    fn small_and_huge_subnets_work() {
        let mut pair = Addresses::new(net("10.0.0.0/31"), None);
        assert_eq!(
            (pair.take_next(), pair.take_next(), pair.take_next()),
            (Some(ip("10.0.0.0")), Some(ip("10.0.0.1")), None)
        );
        let mut v6 = Addresses::new(net("fd00::/64"), None);
        v6.take(ip("fd00::1")).unwrap();
        assert_eq!(v6.take_next(), Some(ip("fd00::2")));
        let mut all = Addresses::new(net("::/0"), None);
        assert_eq!(all.take_next(), Some(ip("::1")));
    }
}
