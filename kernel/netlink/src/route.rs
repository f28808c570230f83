//! Routes of the main table.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::Route;
use crate::error::{Error, allow_missing};
use crate::message::{self, CREATE, REPLACE};

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;

/// How far away a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteScope {
    /// Behind a gateway.
    Universe,
    /// On the link itself.
    Link,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    /// Where to; `None` is the default route of the gateway's family.
    pub destination: Option<IpNet>,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// The link's index.
    pub link: u32,
    /// How far away it is.
    pub scope: RouteScope,
}

impl Route {
    /// Add a route, in place of one to the same destination.
    pub fn add_route(&mut self, route: &RouteEntry) -> Result<(), Error> {
        self.socket.request(
            RTM_NEWROUTE,
            CREATE | REPLACE,
            || format!("add route {route:?}"),
            |b| fill(b, route),
        )
    }

    /// Delete a route; one that is gone already is fine.
    pub fn delete_route(&mut self, route: &RouteEntry) -> Result<(), Error> {
        allow_missing(self.socket.request(
            RTM_DELROUTE,
            0,
            || format!("delete route {route:?}"),
            |b| fill(b, route),
        ))
    }

    /// The unicast routes of the main table, both families.
    pub fn routes(&mut self) -> Result<Vec<RouteEntry>, Error> {
        self.socket.dump(
            RTM_GETROUTE,
            || "list routes".to_owned(),
            |b| {
                b.fixed(&[0; 12]);
            },
            |payload| {
                let head = payload.get(..12)?;
                if head[4] != RT_TABLE_MAIN || head[7] != RTN_UNICAST {
                    return None;
                }
                let rest = &payload[12..];
                let destination = message::find(rest, RTA_DST).and_then(message::ip);
                Some(RouteEntry {
                    destination: destination.and_then(|d| IpNet::new(d, head[1]).ok()),
                    gateway: message::find(rest, RTA_GATEWAY).and_then(message::ip),
                    link: message::find(rest, RTA_OIF)
                        .and_then(message::number)
                        .unwrap_or(0),
                    scope: if head[6] == 253 {
                        RouteScope::Link
                    } else {
                        RouteScope::Universe
                    },
                })
            },
        )
    }
}

fn fill(b: &mut message::Buffer, route: &RouteEntry) {
    let of = route.destination.map(|d| d.addr()).or(route.gateway);
    let scope = match route.scope {
        RouteScope::Universe => 0,
        RouteScope::Link => 253,
    };
    let prefix = route.destination.map_or(0, |d| d.prefix_len());
    let family = of.map_or(2, message::family);
    b.fixed(&[
        family,
        prefix,
        0,
        0,
        RT_TABLE_MAIN,
        RTPROT_BOOT,
        scope,
        RTN_UNICAST,
        0,
        0,
        0,
        0,
    ]);
    if let Some(destination) = route.destination {
        b.attr(RTA_DST, &message::ip_bytes(destination.network()));
    }
    if let Some(gateway) = route.gateway {
        b.attr(RTA_GATEWAY, &message::ip_bytes(gateway));
    }
    b.u32(RTA_OIF, route.link);
}
