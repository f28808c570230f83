//! From what was asked for to what the driver makes: options, subnets, names.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use network_drivers::ipam::{self, Addresses, Pool};
use network_drivers::{NetworkPlan, Subnet, names};

use crate::row::NetworkRow;
use crate::{Config, Error, IpamPool, NetworkSpec};

const NAME: &str = "com.docker.network.bridge.name";
const ICC: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
const PREFIX: &str = "com.docker.network.container_iface_prefix";
const MTU: &str = "com.docker.network.driver.mtu";
const GATEWAY_MODES: [&str; 2] = [
    "com.docker.network.bridge.gateway_mode_ipv4",
    "com.docker.network.bridge.gateway_mode_ipv6",
];

/// The pools from which subnets are chosen.
pub(crate) fn pools(config: &Config) -> Vec<Pool> {
    let own = config.pools.iter().map(|p| Pool {
        base: p.base,
        size: p.size,
    });
    let mut pools: Vec<Pool> = own.collect();
    if !pools.iter().any(|p| p.base.addr().is_ipv4()) {
        pools.extend(ipam::default_pools());
    }
    if !pools.iter().any(|p| p.base.addr().is_ipv6()) {
        let seed = config.tag.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
        pools.push(ipam::unique_local_pool(seed));
    }
    pools
}

/// Check what can be checked without knowing the other networks.
pub(crate) fn validate(spec: &NetworkSpec) -> Result<(), Error> {
    if spec.name.trim().is_empty() {
        return Err(Error::Invalid("invalid name: name is empty".to_owned()));
    }
    match spec.driver.as_str() {
        "bridge" => {}
        single @ ("host" | "null") => return Err(Error::OnlyOne(single.to_owned())),
        other => return Err(Error::NoDriver(other.to_owned())),
    }
    if !matches!(spec.ipam.driver.as_str(), "" | "default") {
        return Err(Error::NoDriver(spec.ipam.driver.clone()));
    }
    if spec.enable_ipv4 == Some(false) && spec.enable_ipv6 != Some(true) {
        return Err(Error::Invalid("IPv4 or IPv6 must be enabled".to_owned()));
    }
    for key in [ICC, MASQUERADE] {
        flag(spec, key, true)?;
    }
    mtu(spec)?;
    for key in GATEWAY_MODES {
        if let Some(mode) = spec
            .options
            .get(key)
            .filter(|m| !matches!(m.as_str(), "" | "nat"))
        {
            return Err(Error::Unavailable(format!("{key}={mode}")));
        }
    }
    spec.ipam.pools.iter().try_for_each(validate_pool)
}

fn validate_pool(pool: &IpamPool) -> Result<(), Error> {
    let invalid = |what: String| Err(Error::Invalid(format!("invalid network config:\n{what}")));
    let Some(subnet) = pool.subnet else {
        return if pool.gateway.is_some() || pool.range.is_some() {
            invalid("invalid subnet : subnet is required with a gateway or an ip-range".to_owned())
        } else {
            Ok(())
        };
    };
    if subnet != subnet.trunc() {
        return invalid(format!(
            "invalid subnet {subnet}: it should be {}",
            subnet.trunc()
        ));
    }
    if subnet.addr().is_ipv6() && subnet.prefix_len() > 126 {
        return invalid(format!("invalid subnet {subnet}: subnet is too small"));
    }
    if let Some(range) = pool.range
        && (range != range.trunc() || !subnet.contains(&range))
    {
        return invalid(format!(
            "invalid ip-range {range}: parent subnet {subnet} does not contain ip-range"
        ));
    }
    let addresses = pool.gateway.iter().map(|g| ("gateway", g));
    for (what, address) in addresses.chain(pool.auxiliary.values().map(|a| ("auxiliary address", a))) {
        if !subnet.contains(address) {
            return invalid(format!(
                "invalid {what} {address}: parent subnet {subnet} does not contain {what}"
            ));
        }
    }
    Ok(())
}

/// Fill in the subnets and gateways that were not asked for. `used` are the subnets of the host and of other networks,
/// `taken` those of other networks only: what was asked for may overlap the host's, as in Docker.
pub(crate) fn complete(
    spec: &mut NetworkSpec,
    config: &Config,
    used: &[IpNet],
    taken: &[IpNet],
) -> Result<(), Error> {
    let pools = pools(config);
    let wanted = [
        (false, spec.enable_ipv4.unwrap_or(true)),
        (true, spec.enable_ipv6.unwrap_or(false)),
    ];
    for (v6, _) in wanted.iter().filter(|(_, on)| *on) {
        let has = |p: &IpamPool| p.subnet.is_some_and(|s| s.addr().is_ipv6() == *v6);
        if spec.ipam.pools.iter().any(has) {
            continue;
        }
        let subnet = Some(ipam::choose_subnet(&pools, *v6, used)?);
        match spec.ipam.pools.iter_mut().find(|p| p.subnet.is_none()) {
            Some(open) => open.subnet = subnet,
            None => spec.ipam.pools.push(IpamPool {
                subnet,
                range: None,
                gateway: None,
                auxiliary: Default::default(),
            }),
        }
    }
    spec.ipam.pools.retain(|p| {
        let v6 = p.subnet.is_none_or(|s| s.addr().is_ipv6());
        p.subnet.is_some() && wanted.contains(&(v6, true))
    });
    for v6 in [false, true] {
        if spec
            .ipam
            .pools
            .iter()
            .filter(|p| p.subnet.is_some_and(|s| s.addr().is_ipv6() == v6))
            .count()
            > 1
        {
            return Err(Error::Unavailable("more than one subnet per family".to_owned()));
        }
    }
    for pool in &mut spec.ipam.pools {
        let Some(subnet) = pool.subnet else { continue };
        if taken.iter().any(|t| ipam::overlap(t, &subnet)) {
            return Err(ipam::Error::Overlap.into());
        }
        if pool.gateway.is_none() {
            let mut addresses = Addresses::new(subnet, pool.range);
            for taken in pool.auxiliary.values() {
                addresses.take(*taken)?;
            }
            // The gateway is the first address, in the range if there is one.
            pool.gateway = addresses.take_next();
        }
    }
    if spec.ipam.driver.is_empty() {
        spec.ipam.driver = "default".to_owned();
    }
    Ok(())
}

/// The name of the link of a network.
pub(crate) fn link(spec: &NetworkSpec, tag: &str, id: &str) -> String {
    match spec.options.get(NAME).filter(|n| !n.is_empty()) {
        Some(name) => name.clone(),
        None => names::bridge(tag, id),
    }
}

/// The driver's view of a network.
pub(crate) fn network(row: &NetworkRow) -> Result<NetworkPlan, Error> {
    let subnets = row.spec.ipam.pools.iter();
    let subnets = subnets
        .filter_map(|p| {
            Some(Subnet {
                net: p.subnet?,
                gateway: p.gateway?,
            })
        })
        .collect();
    Ok(NetworkPlan {
        id: row.id.clone(),
        link: row.bridge.clone(),
        subnets,
        mtu: mtu(&row.spec)?,
        internal: row.spec.internal,
        icc: flag(&row.spec, ICC, true)?,
        masquerade: flag(&row.spec, MASQUERADE, true)?,
    })
}

/// The MTU in bytes; 0 when none was asked for.
pub(crate) fn mtu(spec: &NetworkSpec) -> Result<u32, Error> {
    match spec.options.get(MTU) {
        None => Ok(0),
        Some(text) => text
            .parse()
            .map_err(|_| Error::Invalid(format!("invalid value for {MTU}: {text}"))),
    }
}

/// The host address on which this network's ports are published unless they say otherwise.
pub(crate) fn default_binding(spec: &NetworkSpec) -> Option<IpAddr> {
    let address: Ipv4Addr = spec.options.get(BINDING)?.parse().ok()?;
    (!address.is_unspecified()).then_some(IpAddr::V4(address))
}

/// How links are called in containers: a number follows.
pub(crate) fn interface_prefix(spec: &NetworkSpec) -> &str {
    spec.options.get(PREFIX).map_or("eth", String::as_str)
}

/// The options that `inspect` shows of the default bridge.
pub(crate) fn default_options(bridge: &crate::DefaultBridge) -> std::collections::BTreeMap<String, String> {
    let mtu = if bridge.mtu == 0 { 1500 } else { bridge.mtu };
    [
        ("com.docker.network.bridge.default_bridge", "true".to_owned()),
        (ICC, bridge.icc.to_string()),
        (MASQUERADE, bridge.masquerade.to_string()),
        (BINDING, "0.0.0.0".to_owned()),
        (NAME, bridge.name.clone()),
        (MTU, mtu.to_string()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into()
}

/// Go's `strconv.ParseBool`.
fn flag(spec: &NetworkSpec, key: &str, default: bool) -> Result<bool, Error> {
    match spec.options.get(key).map(String::as_str) {
        None | Some("") => Ok(default),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(Error::Invalid(format!("invalid value for {key}: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(pools: &[(&str, Option<&str>)]) -> NetworkSpec {
        let pools = pools.iter().map(|(subnet, gateway)| IpamPool {
            subnet: Some(subnet.parse().unwrap()),
            range: None,
            gateway: gateway.map(|g| g.parse().unwrap()),
            auxiliary: Default::default(),
        });
        let ipam = crate::Ipam {
            pools: pools.collect(),
            ..Default::default()
        };
        NetworkSpec {
            name: "n".into(),
            driver: "bridge".into(),
            ipam,
            ..Default::default()
        }
    }

    #[test]
    fn an_empty_request_gets_a_free_subnet_and_its_first_address_as_gateway() {
        let mut s = spec(&[]);
        let used = ["172.17.0.0/16".parse().unwrap()];
        complete(&mut s, &Config::new("abcdef"), &used, &[]).unwrap();
        assert_eq!(s.ipam.pools[0].subnet.unwrap().to_string(), "172.18.0.0/16");
        assert_eq!(s.ipam.pools[0].gateway.unwrap().to_string(), "172.18.0.1");
        assert_eq!(s.ipam.driver, "default");
    }

    #[test]
    fn ipv6_gets_a_unique_local_subnet() {
        let mut s = NetworkSpec {
            enable_ipv6: Some(true),
            ..spec(&[])
        };
        complete(&mut s, &Config::new("abcdef"), &[], &[]).unwrap();
        assert_eq!(s.ipam.pools.len(), 2);
        assert!(s.ipam.pools[1].gateway.unwrap().to_string().starts_with("fd"));
    }

    #[test]
    fn a_subnet_of_another_network_is_refused() {
        let mut s = spec(&[("10.1.0.0/16", None)]);
        let error = complete(
            &mut s,
            &Config::new("abcdef"),
            &[],
            &["10.1.2.0/24".parse().unwrap()],
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid pool request: Pool overlaps with other one on this address space"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            NetworkSpec {
                name: " ".into(),
                ..spec(&[])
            },
            NetworkSpec {
                driver: "host".into(),
                ..spec(&[])
            },
            NetworkSpec {
                driver: "macvlan".into(),
                ..spec(&[])
            },
            NetworkSpec {
                enable_ipv4: Some(false),
                ..spec(&[])
            },
            NetworkSpec {
                options: [(ICC.into(), "maybe".into())].into(),
                ..spec(&[])
            },
            NetworkSpec {
                options: [(MTU.into(), "-1".into())].into(),
                ..spec(&[])
            },
            spec(&[("10.1.0.5/16", None)]),
            spec(&[("10.1.0.0/16", Some("10.2.0.1"))]),
        ] {
            assert!(validate(&bad).is_err(), "{bad:?}");
        }
        validate(&spec(&[("10.1.0.0/16", Some("10.1.0.254"))])).unwrap();
    }
}
