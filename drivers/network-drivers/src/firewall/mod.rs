//! The firewall: one table of ours, `dhow-<tag>`, and where another table would drop our packets one accept rule per
//! direction in it.
//!
//! Ports are elements of maps, never rules: publishing costs the same with one container and with a thousand. What
//! the kernel should hold is kept here too, so that [`Firewall::heal`] can put it back after a flush.

mod foreign;
mod rules;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use netlink::conntrack::{Conntrack, Filter};
use netlink::nft::{Batch, Element, Family, Nft};

use crate::{EndpointPlan, Error, NetworkPlan, PortBinding, Protocol, names};

pub use foreign::Foreign;

/// Elements per batch when the whole table is written: a batch must fit into the socket's buffer.
const ELEMENTS_PER_BATCH: usize = 1024;

/// The table of one instance in one network namespace.
#[derive(Debug)]
pub struct Firewall {
    state: Mutex<State>,
    conntrack: Mutex<Conntrack>,
}

#[derive(Debug)]
struct State {
    nft: Nft,
    tag: String,
    table: String,
    networks: BTreeMap<String, NetworkPlan>,
    /// By endpoint id.
    published: BTreeMap<String, Vec<Published>>,
    /// The ruleset's generation when it was last checked, and our own commits since.
    seen: u32,
    own: u32,
    /// How many rules the table must have.
    rules: usize,
    /// A table from before a restart serves until everything is declared again, see [`Firewall::settle`].
    adopting: bool,
}

/// A published port with the address it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Published {
    pub(crate) binding: PortBinding,
    pub(crate) to: IpAddr,
}

/// What [`Firewall::heal`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healed {
    /// Our table was gone or changed, and was written anew.
    pub restored: bool,
    /// Chains of other tables that drop forwarded packets and now have our accept rules.
    pub opened: Vec<String>,
    /// Chains that drop forwarded packets and that we do not touch: not in the form of iptables.
    pub blocking: Vec<String>,
}

impl Firewall {
    /// Open the table of the instance `tag` in the network namespace of the calling thread. One from before a restart
    /// keeps working while networks and endpoints are declared anew, until [`Firewall::settle`].
    pub fn open(tag: &str) -> Result<Firewall, Error> {
        let mut nft = Nft::open().map_err(Error::kernel("open", "nftables"))?;
        let adopting = nft
            .has_table(Family::Inet, &names::table(tag))
            .map_err(Error::kernel("look up", "our table"))?;
        let conntrack = Conntrack::open().map_err(Error::kernel("open", "connection tracking"))?;
        let state = State {
            nft,
            tag: tag.to_owned(),
            table: names::table(tag),
            networks: BTreeMap::new(),
            published: BTreeMap::new(),
            seen: 0,
            own: 0,
            rules: 0,
            adopting,
        };
        Ok(Firewall {
            state: Mutex::new(state),
            conntrack: Mutex::new(conntrack),
        })
    }

    /// Everything from before a restart has been declared: write the table as it should be, without what has no owner.
    pub fn settle(&self) -> Result<(), Error> {
        let mut state = self.state();
        state.adopting = false;
        state.write_all()?;
        state.open_foreign().map(drop)
    }

    /// Make or change the rules of a network.
    pub fn set_network(&self, network: &NetworkPlan) -> Result<(), Error> {
        let mut state = self.state();
        let before = state.networks.insert(network.link.clone(), network.clone());
        if state.adopting || (before.as_ref() == Some(network) && state.rules > 0) {
            return Ok(());
        }
        state.write_all()?;
        state.open_foreign().map(drop)
    }

    /// Remove the rules of a network.
    pub fn remove_network(&self, link: &str) -> Result<(), Error> {
        let mut state = self.state();
        if state.networks.remove(link).is_none() {
            return Ok(());
        }
        state.write_all()?;
        state.open_foreign().map(drop)
    }

    /// Lead the endpoint's host ports to it.
    pub fn publish(&self, endpoint: &EndpointPlan) -> Result<(), Error> {
        let published = ports_of(endpoint);
        if published.is_empty() {
            return Ok(());
        }
        {
            let mut state = self.state();
            let mut batch = Batch::new();
            for (map, elements) in table::elements(&published) {
                batch.add_elements(Family::Inet, &state.table, map, &elements, false);
            }
            state.published.insert(endpoint.id.clone(), published.clone());
            let committed = state.commit(&batch, "publish ports");
            if committed.is_err() && !state.adopting {
                // Something of before is in the way, or the table is gone: write what should be there.
                state.write_all()?;
            }
        }
        self.forget(&published)
    }

    /// Stop leading host ports to the endpoint.
    pub fn unpublish(&self, endpoint: &EndpointPlan) -> Result<(), Error> {
        let Some(published) = self.state().published.remove(&endpoint.id) else {
            return Ok(());
        };
        {
            let mut state = self.state();
            let mut batch = Batch::new();
            for (map, elements) in table::elements(&published) {
                batch.delete_elements(Family::Inet, &state.table, map, &elements);
            }
            let committed = state.commit(&batch, "unpublish ports");
            if committed.is_err() && !state.adopting {
                state.write_all()?;
            }
        }
        self.forget(&published)
    }

    /// Look whether somebody changed the ruleset, and put back what is ours. Cheap when only we did.
    pub fn heal(&self) -> Result<Healed, Error> {
        let mut state = self.state();
        if state.adopting {
            return Ok(Healed::default());
        }
        let error = || Error::kernel("check", "the firewall");
        let now = state.nft.generation().map_err(error())?;
        if now == state.seen.wrapping_add(state.own) {
            return Ok(Healed::default());
        }
        (state.seen, state.own) = (now, 0);
        let table = state.table.clone();
        let present = state
            .nft
            .rules(Family::Inet, &table, None)
            .map_err(error())?
            .len();
        let restored = present != state.rules || !state.elements_present()?;
        if restored {
            state.write_all()?;
        }
        let Foreign { opened, blocking } = state.open_foreign()?;
        Ok(Healed {
            restored,
            opened,
            blocking,
        })
    }

    /// Take our rules out of foreign tables; our own table stays, because containers outlive the daemon.
    pub fn close_foreign(&self) -> Result<(), Error> {
        let mut state = self.state();
        let tag = state.tag.clone();
        foreign::close(&mut state.nft, &tag).map_err(Error::kernel("take rules out of", "foreign chains"))
    }

    /// Remove everything of ours.
    pub fn remove(&self) -> Result<(), Error> {
        self.close_foreign()?;
        let mut state = self.state();
        let mut batch = Batch::new();
        batch.add_table(Family::Inet, &state.table);
        batch.delete_table(Family::Inet, &state.table);
        state.rules = 0;
        state.adopting = false;
        state.networks.clear();
        state.published.clear();
        state
            .commit(&batch, "remove the table")
            .map_err(Error::kernel("remove", "the firewall's table"))
    }

    /// Forget all connections from and to an endpoint's addresses, so that the next owner of an address does not get
    /// its predecessor's packets.
    pub(crate) fn forget_endpoint(&self, endpoint: &EndpointPlan) -> Result<(), Error> {
        let v4 = endpoint.ipv4.map(|n| IpAddr::V4(n.addr()));
        let addresses = v4.into_iter().chain(endpoint.ipv6.map(|n| IpAddr::V6(n.addr())));
        let both = |a| [Filter::ReplySource(a), Filter::OriginalSource(a)];
        let filters: Vec<Filter> = addresses.flat_map(both).collect();
        let mut conntrack = self.conntrack.lock().unwrap_or_else(PoisonError::into_inner);
        conntrack
            .forget(&filters)
            .map_err(Error::kernel("forget", "connections of an endpoint"))
    }

    /// Forget UDP connections that were tracked under other rules: they would go on as before.
    fn forget(&self, published: &[Published]) -> Result<(), Error> {
        let stale: Vec<Filter> = published
            .iter()
            .filter(|p| p.binding.protocol == Protocol::Udp)
            .map(|p| Filter::OriginalPort {
                family: if p.binding.host_ip.is_ipv4() { 2 } else { 10 },
                protocol: p.binding.protocol.number(),
                port: p.binding.host_port,
            })
            .collect();
        if stale.is_empty() {
            return Ok(());
        }
        let mut conntrack = self.conntrack.lock().unwrap_or_else(PoisonError::into_inner);
        conntrack
            .forget(&stale)
            .map_err(Error::kernel("forget", "stale connections"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn commit(&mut self, batch: &Batch, doing: &str) -> Result<(), netlink::Error> {
        self.nft.commit(batch, doing)?;
        self.own = self.own.wrapping_add(u32::from(!batch.is_empty()));
        Ok(())
    }

    /// Replace the table by what it should be, in one transaction (very many ports follow in further ones).
    fn write_all(&mut self) -> Result<(), Error> {
        let error = || Error::kernel("write", "the firewall's table");
        let mut batch = Batch::new();
        self.rules = table::write(&mut batch, &self.table, self.networks.values());
        let all: BTreeSet<Published> = self.published.values().flatten().copied().collect();
        let all: Vec<Published> = all.into_iter().collect();
        for (n, chunk) in all.chunks(ELEMENTS_PER_BATCH).enumerate() {
            if n > 0 {
                self.commit(&batch, "write the table").map_err(error())?;
                batch = Batch::new();
            }
            for (map, elements) in table::elements(chunk) {
                batch.add_elements(Family::Inet, &self.table, map, &elements, false);
            }
        }
        self.commit(&batch, "write the table").map_err(error())
    }

    fn elements_present(&mut self) -> Result<bool, Error> {
        let bridges = self.nft.elements(Family::Inet, &self.table, table::BRIDGES);
        if bridges.map_err(Error::kernel("list", "bridges"))?.len() != self.networks.len() {
            return Ok(false);
        }
        let all: Vec<Published> = self.published.values().flatten().copied().collect();
        for (map, wanted) in table::elements(&all) {
            let wanted: BTreeSet<Vec<u8>> = wanted.into_iter().map(|e: Element| e.key).collect();
            let found = self.nft.elements(Family::Inet, &self.table, map);
            let found = found.map_err(Error::kernel("list", "published ports"))?;
            if found.len() != wanted.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn open_foreign(&mut self) -> Result<Foreign, Error> {
        let links: Vec<&str> = self.networks.keys().map(String::as_str).collect();
        let error = Error::kernel("open", "foreign chains");
        let (found, commits) = foreign::open(&mut self.nft, &self.tag, &links).map_err(error)?;
        self.own = self.own.wrapping_add(commits);
        Ok(found)
    }
}

/// The endpoint's ports with the address of their family. Those of a family that the container lacks, and those on a
/// loopback address, are served by the proxy alone: a map element for 127.0.0.1 would let a neighbour in who sends
/// packets to that address, because the destination is changed before the kernel looks for such martians.
fn ports_of(endpoint: &EndpointPlan) -> Vec<Published> {
    let to = |binding: &PortBinding| match binding.host_ip {
        ip if ip.is_loopback() => None,
        IpAddr::V4(_) => endpoint.ipv4.map(|n| IpAddr::V4(n.addr())),
        IpAddr::V6(_) => endpoint.ipv6.map(|n| IpAddr::V6(n.addr())),
    };
    let published = |b: &PortBinding| {
        Some(Published {
            binding: *b,
            to: to(b)?,
        })
    };
    endpoint.ports.iter().filter_map(published).collect()
}
