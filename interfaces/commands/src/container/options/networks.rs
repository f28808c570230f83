//! `--network` and the flags that belong to the first network.

use api_types::container::NetworkingConfig;
use api_types::network::{EndpointIpamConfig, EndpointSettings};

use super::values::map;
use crate::flags::Parsed;

/// One `--network`.
#[derive(Default)]
struct Wish {
    target: String,
    endpoint: EndpointSettings,
}

/// `NetworkMode` and the endpoints.
pub(super) fn networking(args: &Parsed) -> Result<(String, NetworkingConfig), String> {
    let mut wishes = args
        .all("network")
        .iter()
        .map(|t| parse(t))
        .collect::<Result<Vec<_>, _>>()?;
    let mode = wishes.first().map_or("default", |w| w.target.as_str()).to_owned();
    if wishes.is_empty() {
        wishes.push(Wish {
            target: "default".to_owned(),
            ..Wish::default()
        });
    }
    first_network(args, &mut wishes[0].endpoint)?;
    let user = wishes.iter().filter(|w| is_user_defined(&w.target)).count();
    if user > 0 && user < wishes.len() {
        return Err(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
                .to_owned(),
        );
    }
    let mut config = NetworkingConfig::default();
    let alone = wishes.len() == 1 && args.has("network");
    for wish in wishes {
        if config.endpoints_config.contains_key(&wish.target) {
            return Err(format!("network {:?} is specified multiple times", wish.target));
        }
        // The daemon makes an endpoint of its own where nothing particular is wished.
        if alone && wish.endpoint == EndpointSettings::default() {
            continue;
        }
        let mut endpoint = wish.endpoint;
        endpoint.gw_priority.get_or_insert(0);
        config.endpoints_config.insert(wish.target, Some(endpoint));
    }
    Ok((mode, config))
}

fn is_user_defined(name: &str) -> bool {
    !matches!(name, "default" | "bridge" | "host" | "none") && !name.starts_with("container:")
}

/// `--network-alias`, `--link`, `--ip`, ... stand for the first network.
fn first_network(args: &Parsed, endpoint: &mut EndpointSettings) -> Result<(), String> {
    let taken = |what: &str| format!("conflicting options: cannot specify both --{what} and per-network");
    let aliases = args.all("network-alias");
    if !aliases.is_empty() {
        if endpoint.aliases.is_some() {
            return Err(taken("network-alias") + " alias");
        }
        endpoint.aliases = Some(aliases);
    }
    let links = args.all("link");
    if !links.is_empty() {
        endpoint.links = Some(links);
    }
    let (v4, v6, local) = (args.text("ip"), args.text("ip6"), args.all("link-local-ip"));
    if !v4.is_empty() || !v6.is_empty() || !local.is_empty() {
        let ipam = endpoint.ipam_config.get_or_insert_default();
        for (text, field, flag) in [
            (v4, &mut ipam.ipv4_address, "ip"),
            (v6, &mut ipam.ipv6_address, "ip6"),
        ] {
            if text.is_empty() {
                continue;
            }
            if !field.is_empty() {
                return Err(taken(flag) + " IP address");
            }
            *field = text.to_owned();
        }
        if !local.is_empty() {
            ipam.link_local_ips = Some(local);
        }
    }
    let mac = args.text("mac-address");
    if !mac.is_empty() {
        endpoint.mac_address = mac.to_owned();
    }
    Ok(())
}

/// `name`, or `name=...,alias=...,ip=...,driver-opt=k=v,...`.
fn parse(text: &str) -> Result<Wish, String> {
    let bad = |what: String| format!("invalid argument {text:?} for \"--network\" flag: {what}");
    if !text.contains('=') {
        return Ok(Wish {
            target: text.to_owned(),
            ..Wish::default()
        });
    }
    let mut wish = Wish::default();
    let mut options = Vec::new();
    for field in super::mounts::csv(text)? {
        let (key, value) = field
            .split_once('=')
            .ok_or_else(|| bad(format!("invalid field {field}")))?;
        let endpoint = &mut wish.endpoint;
        match key.trim().to_lowercase().as_str() {
            "name" => wish.target = value.to_owned(),
            "alias" => endpoint.aliases.get_or_insert_default().push(value.to_owned()),
            "driver-opt" => options.push(value.to_owned()),
            "ip" => endpoint.ipam_config.get_or_insert_default().ipv4_address = value.to_owned(),
            "ip6" => endpoint.ipam_config.get_or_insert_default().ipv6_address = value.to_owned(),
            "mac-address" => endpoint.mac_address = value.to_owned(),
            "link-local-ip" => endpoint
                .ipam_config
                .get_or_insert_default()
                .link_local_ips
                .get_or_insert_default()
                .push(value.to_owned()),
            "gw-priority" => {
                endpoint.gw_priority = Some(
                    value
                        .parse()
                        .map_err(|_| bad(format!("invalid gw-priority ({value})")))?,
                );
            }
            other => return Err(bad(format!("invalid field key {other}"))),
        }
    }
    if wish.target.is_empty() {
        return Err(bad("network name/id is not specified".to_owned()));
    }
    if !options.is_empty() {
        wish.endpoint.driver_opts = Some(map(&options));
    }
    Ok(wish)
}

/// The endpoint of `network connect`.
pub(crate) fn endpoint(args: &Parsed) -> EndpointSettings {
    let mut endpoint = EndpointSettings::default();
    let (v4, v6, local) = (args.text("ip"), args.text("ip6"), args.all("link-local-ip"));
    let ipam = EndpointIpamConfig {
        ipv4_address: v4.to_owned(),
        ipv6_address: v6.to_owned(),
        link_local_ips: super::some(local),
    };
    endpoint.ipam_config = Some(ipam);
    endpoint.links = super::some(args.all("link"));
    endpoint.aliases = super::some(args.all("alias"));
    let options = args.all("driver-opt");
    if !options.is_empty() {
        endpoint.driver_opts = Some(map(&options));
    }
    if let Some(priority) = args.int("gw-priority") {
        endpoint.gw_priority = Some(priority);
    }
    endpoint
}
