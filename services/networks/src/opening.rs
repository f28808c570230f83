//! Opening the service: rows, predefined networks, the default bridge.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use durable::Scope;
use events::Events;
use ipnet::IpNet;
use network_drivers::bridge::Bridge;
use network_drivers::firewall::Firewall;
use network_drivers::ipam;
use tokio::sync::Notify;

use crate::row::NetworkRow;
use crate::service::{Networks, PREDEFINED, blocking};
use crate::state::{Live, State};
use crate::turn::Turn;
use crate::{Config, DefaultBridge, Error, Ipam, IpamPool, NetworkSpec, plan};

/// How many daemons may share a machine without a `bridge` setting.
const MOST_DEFAULT_BRIDGES: u32 = 256;

impl Networks {
    /// Open the service in the network namespace of the calling thread: read the rows, make the predefined networks,
    /// the links of all networks and the firewall table.
    pub async fn open(config: Config, tables: Scope, events: Arc<Events>) -> Result<Arc<Networks>, Error> {
        let table = tables.table::<NetworkRow>()?;
        let firewall = if config.firewall {
            Some(Arc::new(Firewall::open(&config.tag)?))
        } else {
            None
        };
        let bridge = Arc::new(Bridge::open(&config.tag, firewall.clone(), config.ip_forward)?);
        let networks = Arc::new(Networks {
            config,
            scope: tables,
            table,
            events,
            bridge,
            firewall,
            state: Arc::new(Mutex::new(State::default())),
            released: Arc::new(Notify::new()),
            changing: tokio::sync::Mutex::new(()),
            healer: Mutex::new(None),
        });
        networks.load().await?;
        crate::healing::start(&networks)?;
        networks.restock();
        Ok(networks)
    }

    async fn load(&self) -> Result<(), Error> {
        // Until every link has its address, so that no other daemon takes one of these subnets for free.
        let _turn = Turn::take(&self.config.turn_file).await;
        let rows: Vec<Arc<NetworkRow>> = self.table.all().into_iter().map(|(_, row)| row).collect();
        let named = |name: &str| rows.iter().find(|r| r.spec.name == name).cloned();
        let custom: Vec<Arc<NetworkRow>> = rows
            .iter()
            .filter(|r| !PREDEFINED.contains(&r.spec.name.as_str()))
            .cloned()
            .collect();
        for (name, driver) in [("host", "host"), ("none", "null")] {
            let row = match named(name) {
                Some(row) => row,
                None => {
                    self.keep(predefined(name, driver, NetworkSpec::default(), String::new()))
                        .await?
                }
            };
            self.admit(row, Vec::new()).await?;
        }
        if let Some(mut bridge) = self.config.bridge.clone() {
            bridge.name = self.default_link(&bridge, named("bridge").as_deref())?;
            self.load_default_bridge(&bridge, named("bridge"), &custom)
                .await?;
        }
        for row in custom {
            let name = row.spec.name.clone();
            // One network that cannot be made again must not keep all others away.
            if let Err(error) = self.admit(row, Vec::new()).await {
                tracing::error!(%error, network = name, "this network could not be made again");
            }
        }
        Ok(())
    }

    /// The link of the default bridge. A name that was configured is taken as it is; the built-in one may belong to
    /// another daemon on this machine: then the next number is free.
    fn default_link(&self, bridge: &DefaultBridge, before: Option<&NetworkRow>) -> Result<String, Error> {
        let built_in = DefaultBridge::default().name;
        if bridge.name != built_in {
            return Ok(bridge.name.clone());
        }
        let stem = built_in.trim_end_matches(|c: char| c.is_ascii_digit());
        let numbered = (0..MOST_DEFAULT_BRIDGES).map(|n| format!("{stem}{n}"));
        let last = before
            .map(|row| row.bridge.clone())
            .filter(|name| name.starts_with(stem));
        for name in last.into_iter().chain(numbered) {
            if self.bridge.claim(&name, bridge.mtu)? {
                return Ok(name);
            }
        }
        Err(network_drivers::Error::NotABridge(built_in).into())
    }

    async fn load_default_bridge(
        &self,
        bridge: &DefaultBridge,
        before: Option<Arc<NetworkRow>>,
        custom: &[Arc<NetworkRow>],
    ) -> Result<(), Error> {
        let mut taken: Vec<IpNet> = custom
            .iter()
            .flat_map(|r| r.spec.ipam.pools.iter().filter_map(|p| p.subnet))
            .collect();
        let mut ours: Vec<String> = custom.iter().map(|r| r.bridge.clone()).collect();
        ours.push(bridge.name.clone());
        let present = self.bridge.address_of(&bridge.name)?;
        taken.extend(self.bridge.host_subnets(&ours)?);
        let pools = default_pools_of(bridge, before.as_deref(), present, &taken, &self.config)?;
        let spec = NetworkSpec {
            enable_ipv4: Some(true),
            enable_ipv6: Some(bridge.fixed_cidr_v6.is_some()),
            ipam: Ipam {
                driver: "default".to_owned(),
                pools,
                ..Ipam::default()
            },
            options: plan::default_options(bridge),
            ..NetworkSpec::default()
        };
        let mut row = predefined("bridge", "bridge", spec, bridge.name.clone());
        if let Some(before) = &before {
            (row.id, row.created) = (before.id.clone(), before.created.clone());
        }
        let row = match before {
            Some(before) if *before == row => before,
            _ => self.keep(row).await?,
        };
        let v4 = bridge.default_gateway.map(IpAddr::V4);
        let gateways = v4
            .into_iter()
            .chain(bridge.default_gateway_v6.map(IpAddr::V6))
            .collect();
        self.admit(row, gateways).await
    }

    /// Write a row.
    pub(crate) async fn keep(&self, row: NetworkRow) -> Result<Arc<NetworkRow>, Error> {
        self.scope
            .transaction()
            .put(&self.table, &row.id, &row)
            .commit()
            .await?;
        Ok(Arc::new(row))
    }

    /// Make a network's link and rules, and let containers in.
    pub(crate) async fn admit(&self, row: Arc<NetworkRow>, gateways: Vec<IpAddr>) -> Result<(), Error> {
        let (plan, driver) = (plan::network(&row)?, self.driver(&row.spec.driver));
        blocking(move || driver.create_network(&plan).map_err(Error::from)).await?;
        self.state()
            .networks
            .insert(row.id.clone(), Live::new(row, gateways));
        Ok(())
    }
}

fn predefined(name: &str, driver: &str, spec: NetworkSpec, bridge: String) -> NetworkRow {
    let mut spec = NetworkSpec {
        name: name.to_owned(),
        driver: driver.to_owned(),
        ..spec
    };
    spec.enable_ipv4.get_or_insert(true);
    if spec.ipam.driver.is_empty() {
        spec.ipam.driver = "default".to_owned();
    }
    NetworkRow {
        id: new_id(),
        created: now(),
        spec,
        bridge,
    }
}

/// The subnets of the default bridge: from the configuration; else those of last time, unless the host uses them now;
/// else the address that the link has; else a free one.
fn default_pools_of(
    bridge: &DefaultBridge,
    before: Option<&NetworkRow>,
    present: Option<IpNet>,
    taken: &[IpNet],
    config: &Config,
) -> Result<Vec<IpamPool>, Error> {
    let free = |net: &IpNet| !taken.iter().any(|t| ipam::overlap(t, net));
    let last = before
        .and_then(|r| r.spec.ipam.pools.first())
        .and_then(|p| Some((p.subnet?, p.gateway?)));
    let last = last.filter(|(subnet, _)| subnet.addr().is_ipv4() && free(subnet));
    let (subnet, gateway) = if let Some(bip) = bridge.bip {
        (IpNet::V4(bip.trunc()), IpAddr::V4(bip.addr()))
    } else if let Some(present) = present {
        (present.trunc(), present.addr())
    } else if let Some(last) = last {
        last
    } else {
        let subnet = match bridge.fixed_cidr {
            // A fixed range without an address is the whole subnet.
            Some(range) => IpNet::V4(range.trunc()),
            None => ipam::choose_subnet(&plan::pools(config), false, taken)?,
        };
        let first = ipam::Addresses::new(subnet, None).take_next();
        (subnet, first.ok_or(ipam::Error::PoolsExhausted)?)
    };
    let range = bridge.fixed_cidr.map(IpNet::V4).filter(|r| *r != subnet);
    if let Some(range) = range.filter(|r| !subnet.contains(r)) {
        return Err(Error::Invalid(format!(
            "fixed-cidr {range} is not within the bridge's subnet {subnet}"
        )));
    }
    let pool = |subnet, range, gateway| IpamPool {
        subnet: Some(subnet),
        range,
        gateway: Some(gateway),
        auxiliary: Default::default(),
    };
    let mut pools = vec![pool(subnet, range, gateway)];
    if let Some(v6) = bridge.fixed_cidr_v6 {
        let subnet = IpNet::V6(v6.trunc());
        let first = ipam::Addresses::new(subnet, None).take_next();
        pools.push(pool(subnet, None, first.ok_or(ipam::Error::PoolsExhausted)?));
    }
    Ok(pools)
}

/// 64 random hexadecimal digits.
pub(crate) fn new_id() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// RFC 3339 with nanoseconds, UTC.
pub(crate) fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}
