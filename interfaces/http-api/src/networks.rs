//! Networks: list, inspect, create, remove, prune.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::network as api;
use api_types::{ApiVersion, Filters as Wishes};
use containers::Containers;
use fault::Kind;
use hyper::StatusCode;
use networks::{Filters, Ipam, IpamPool, Network, NetworkSpec, Networks, SubnetUse};

use crate::call::Call;
use crate::error::Failure;
use crate::instant;
use crate::reply::{self, Outcome};

/// `GET /networks`.
pub(crate) async fn list(networks: Arc<Networks>, call: Call) -> Outcome {
    let wishes = call.query.filters()?;
    accept_only(
        &wishes,
        &["dangling", "driver", "id", "label", "name", "scope", "type"],
    )?;
    let found = networks.list(&filters(&wishes)?)?;
    let shown: Vec<_> = found
        .into_iter()
        .map(|n| shown(call.version, n, Detail::List))
        .collect();
    reply::ok(&shown)
}

/// `GET /networks/{id}`.
pub(crate) async fn inspect(networks: Arc<Networks>, call: Call) -> Outcome {
    let scope = call.query.text("scope");
    let network = networks.resolve(call.name())?;
    if !matches!(scope, "" | "local") {
        return Err(Failure::new(
            Kind::NotFound,
            format!("network {} not found", call.name()),
        ));
    }
    reply::ok(&shown(call.version, network, Detail::Inspect))
}

/// `POST /networks/create`.
pub(crate) async fn create(networks: Arc<Networks>, mut call: Call) -> Outcome {
    let request: api::CreateRequest = call.json().await?;
    let network = networks.create(spec(call.version, request)?).await?;
    let response = api::CreateResponse {
        id: network.id,
        warning: String::new(),
    };
    reply::json(StatusCode::CREATED, &response)
}

/// `DELETE /networks/{id}`.
pub(crate) async fn remove(networks: Arc<Networks>, call: Call) -> Outcome {
    networks.remove(call.name()).await?;
    reply::no_content()
}

/// `POST /networks/prune`.
pub(crate) async fn prune(networks: Arc<Networks>, call: Call) -> Outcome {
    let wishes = call.query.filters()?;
    accept_only(&wishes, &["label", "label!", "until"])?;
    let pruned = networks.prune(&filters(&wishes)?).await?;
    let networks_deleted = (!pruned.removed.is_empty()).then_some(pruned.removed);
    reply::ok(&api::PruneReport { networks_deleted })
}

/// `POST /networks/{id}/connect`.
pub(crate) async fn connect(containers: Arc<Containers>, mut call: Call) -> Outcome {
    let mut request: api::ConnectRequest = call.json().await?;
    if let Some(endpoint) = &mut request.endpoint_config {
        known(call.version, endpoint);
    }
    containers.connect(call.name(), request).await?;
    reply::empty(StatusCode::OK)
}

/// Takes away what came after the client's version.
fn known(version: ApiVersion, endpoint: &mut api::EndpointSettings) {
    if version.before(48) {
        endpoint.gw_priority = None;
    }
    if version.before(44) {
        endpoint.mac_address.clear();
    }
}

/// `POST /networks/{id}/disconnect`.
pub(crate) async fn disconnect(containers: Arc<Containers>, mut call: Call) -> Outcome {
    let request: api::DisconnectRequest = call.json().await?;
    containers.disconnect(call.name(), request).await?;
    reply::empty(StatusCode::OK)
}

fn accept_only(wishes: &Wishes, known: &[&str]) -> Result<(), Failure> {
    wishes.accept_only(known).map_err(|e| Failure::bad(e.to_string()))
}

fn filters(wishes: &Wishes) -> Result<Filters, Failure> {
    let list = |name| wishes.values(name).map(str::to_owned).collect::<Vec<_>>();
    let dangling = match wishes.contains("dangling") {
        true => Some(
            wishes
                .flag("dangling", false)
                .map_err(|e| Failure::bad(e.to_string()))?,
        ),
        false => None,
    };
    let kind = list("type");
    if let Some(bad) = kind.iter().find(|k| !matches!(k.as_str(), "builtin" | "custom")) {
        return Err(Failure::bad(format!("invalid filter: 'type'='{bad}'")));
    }
    Ok(Filters {
        name: list("name"),
        id: list("id"),
        driver: list("driver"),
        scope: list("scope"),
        kind,
        label: list("label"),
        label_not: list("label!"),
        dangling,
        until: wishes.values("until").next().map(instant::seconds).transpose()?,
    })
}

/// How much of a network is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    List,
    Inspect,
}

fn shown(version: ApiVersion, network: Network, detail: Detail) -> api::Network {
    let spec = network.spec;
    let containers = network.containers.into_iter().map(|(id, c)| {
        let endpoint = api::EndpointResource {
            name: c.name,
            endpoint_id: c.endpoint_id,
            mac_address: c.mac,
            ipv4_address: c.ipv4,
            ipv6_address: c.ipv6,
        };
        (id, endpoint)
    });
    // Lists had the endpoints before 1.28, an empty map up to 1.51, and have nothing since.
    let containers = match detail {
        Detail::Inspect => Some(containers.collect()),
        Detail::List if version.before(28) => Some(containers.collect()),
        Detail::List if version.before(52) => Some(BTreeMap::new()),
        Detail::List => None,
    };
    let subnets: BTreeMap<_, _> = network.subnets.iter().map(figures).collect();
    let tells_status = detail == Detail::Inspect && version.at_least(52) && !subnets.is_empty();
    api::Network {
        name: spec.name,
        id: network.id,
        created: network.created,
        scope: "local".to_owned(),
        driver: spec.driver,
        enable_ipv4: version.at_least(48).then_some(spec.enable_ipv4.unwrap_or(true)),
        enable_ipv6: spec.enable_ipv6.unwrap_or(false),
        ipam: api::Ipam {
            driver: if spec.ipam.driver.is_empty() {
                "default".to_owned()
            } else {
                spec.ipam.driver
            },
            options: (!spec.ipam.options.is_empty()).then_some(spec.ipam.options),
            config: Some(spec.ipam.pools.into_iter().map(pool_shown).collect()),
        },
        internal: spec.internal,
        attachable: spec.attachable,
        ingress: spec.ingress,
        config_from: api::ConfigReference::default(),
        config_only: spec.config_only,
        containers,
        options: spec.options,
        labels: spec.labels,
        status: tells_status.then_some(api::Status {
            ipam: api::IpamStatus { subnets },
        }),
    }
}

fn figures(subnet: &SubnetUse) -> (String, api::SubnetStatus) {
    let status = api::SubnetStatus {
        ips_in_use: subnet.in_use,
        dynamic_ips_available: subnet.available,
    };
    (subnet.subnet.to_string(), status)
}

fn pool_shown(pool: IpamPool) -> api::IpamConfig {
    let text = |v: Option<_>| v.map(|n: ipnet::IpNet| n.to_string()).unwrap_or_default();
    let aux: BTreeMap<_, _> = pool
        .auxiliary
        .into_iter()
        .map(|(k, v)| (k, v.to_string()))
        .collect();
    api::IpamConfig {
        subnet: text(pool.subnet),
        ip_range: text(pool.range),
        gateway: pool.gateway.map(|g| g.to_string()).unwrap_or_default(),
        auxiliary_addresses: (!aux.is_empty()).then_some(aux),
    }
}

fn spec(version: ApiVersion, request: api::CreateRequest) -> Result<NetworkSpec, Failure> {
    if !matches!(request.scope.as_str(), "" | "local") {
        return Err(Failure::new(
            Kind::Unavailable,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
        ));
    }
    if request.config_from.is_some_and(|c| !c.network.is_empty()) {
        return Err(Failure::new(
            Kind::NotImplemented,
            "config-from is not available in this version of dhow",
        ));
    }
    let ipam = request.ipam.unwrap_or_default();
    let pools = ipam
        .config
        .unwrap_or_default()
        .into_iter()
        .map(pool)
        .collect::<Result<_, _>>()?;
    Ok(NetworkSpec {
        name: request.name,
        driver: request.driver,
        internal: request.internal,
        attachable: request.attachable,
        ingress: request.ingress,
        config_only: request.config_only,
        // The field came with 1.48; older clients always want IPv4.
        enable_ipv4: request.enable_ipv4.filter(|_| version.at_least(48)),
        enable_ipv6: request.enable_ipv6,
        ipam: Ipam {
            driver: ipam.driver,
            options: ipam.options.unwrap_or_default(),
            pools,
        },
        options: request.options.unwrap_or_default(),
        labels: request.labels.unwrap_or_default(),
    })
}

fn pool(config: api::IpamConfig) -> Result<IpamPool, Failure> {
    Ok(IpamPool {
        subnet: parse("subnet", &config.subnet)?,
        range: parse("ip-range", &config.ip_range)?,
        gateway: parse("gateway address", &config.gateway)?,
        auxiliary: config
            .auxiliary_addresses
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(k, v)| parse("auxiliary address", &v).transpose().map(|v| Ok((k, v?))))
            .collect::<Result<_, Failure>>()?,
    })
}

fn parse<T: std::str::FromStr>(what: &str, text: &str) -> Result<Option<T>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(Failure::bad(format!(
            "invalid network config:\ninvalid {what} {text}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_an_endpoint_count_since_their_version() {
        let heard = |minor| {
            let mut endpoint = api::EndpointSettings {
                mac_address: "02:00:00:00:00:07".into(),
                gw_priority: Some(5),
                ..Default::default()
            };
            known(ApiVersion::new(1, minor), &mut endpoint);
            (!endpoint.mac_address.is_empty(), endpoint.gw_priority)
        };
        assert_eq!((heard(43), heard(44)), ((false, None), (true, None)));
        assert_eq!((heard(47), heard(48)), ((true, None), (true, Some(5))));
    }

    #[test]
    fn a_network_is_shown_as_the_version_knows_it() {
        let show = |minor, detail| {
            let network = Network {
                id: "a".into(),
                created: String::new(),
                spec: NetworkSpec::default(),
                bridge: String::new(),
                containers: [(
                    "c".to_owned(),
                    networks::Connected {
                        name: "web".into(),
                        endpoint_id: String::new(),
                        mac: String::new(),
                        ipv4: String::new(),
                        ipv6: String::new(),
                    },
                )]
                .into(),
                subnets: vec![SubnetUse {
                    subnet: "10.0.0.0/24".parse().unwrap(),
                    in_use: 3,
                    available: 253,
                }],
            };
            serde_json::to_value(shown(ApiVersion::new(1, minor), network, detail)).unwrap()
        };
        let inspect = |minor| show(minor, Detail::Inspect);
        assert_eq!(inspect(47).get("EnableIPv4"), None);
        assert_eq!(inspect(48)["EnableIPv4"], true);
        assert_eq!(inspect(51).get("Status"), None);
        let subnet = &inspect(52)["Status"]["IPAM"]["Subnets"]["10.0.0.0/24"];
        assert_eq!(
            (
                subnet["IPsInUse"].as_u64(),
                subnet["DynamicIPsAvailable"].as_u64()
            ),
            (Some(3), Some(253))
        );
        assert_eq!(show(52, Detail::List).get("Status"), None);
        let members = |minor| {
            show(minor, Detail::List)["Containers"]
                .as_object()
                .map(|all| all.len())
        };
        assert_eq!(
            (members(27), members(28), members(51), members(52)),
            (Some(1), Some(0), Some(0), None)
        );
    }

    #[test]
    fn ipv4_can_be_refused_since_1_48() {
        let asked = |minor| {
            let request = api::CreateRequest {
                enable_ipv4: Some(false),
                ..Default::default()
            };
            spec(ApiVersion::new(1, minor), request).unwrap().enable_ipv4
        };
        assert_eq!((asked(47), asked(48)), (None, Some(false)));
    }
}
