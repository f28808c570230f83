//! `dhow network create`.

use std::collections::BTreeMap;

use api_types::network::{ConfigReference, CreateRequest, Ipam, IpamConfig};
use client::Body;

use crate::app::App;
use crate::console;
use crate::container::map;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] NETWORK",
    about: "Create a network",
    aliases: "",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[
        flag(
            "attachable",
            '\0',
            Kind::Bool,
            "",
            "",
            "Enable manual container attachment",
        ),
        flag(
            "aux-address",
            '\0',
            Kind::List,
            "map",
            "map[]",
            "Auxiliary IPv4 or IPv6 addresses used by Network driver",
        ),
        flag(
            "config-from",
            '\0',
            Kind::Text,
            "string",
            "",
            "The network from which to copy the configuration",
        ),
        flag(
            "config-only",
            '\0',
            Kind::Bool,
            "",
            "",
            "Create a configuration only network",
        ),
        flag(
            "driver",
            'd',
            Kind::Text,
            "string",
            "\"bridge\"",
            "Driver to manage the Network",
        ),
        flag(
            "gateway",
            '\0',
            Kind::Strings,
            "strings",
            "",
            "IPv4 or IPv6 Gateway for the master subnet",
        ),
        flag(
            "ingress",
            '\0',
            Kind::Bool,
            "",
            "",
            "Create swarm routing-mesh network",
        ),
        flag(
            "internal",
            '\0',
            Kind::Bool,
            "",
            "",
            "Restrict external access to the network",
        ),
        flag(
            "ip-range",
            '\0',
            Kind::Strings,
            "strings",
            "",
            "Allocate container ip from a sub-range",
        ),
        flag(
            "ipam-driver",
            '\0',
            Kind::Text,
            "string",
            "\"default\"",
            "IP Address Management Driver",
        ),
        flag(
            "ipam-opt",
            '\0',
            Kind::List,
            "map",
            "map[]",
            "Set IPAM driver specific options",
        ),
        flag(
            "ipv4",
            '\0',
            Kind::Bool,
            "",
            "true",
            "Enable or disable IPv4 address assignment",
        ),
        flag(
            "ipv6",
            '\0',
            Kind::Bool,
            "",
            "",
            "Enable or disable IPv6 address assignment",
        ),
        flag("label", '\0', Kind::List, "list", "", "Set metadata on a network"),
        flag(
            "opt",
            'o',
            Kind::List,
            "map",
            "map[]",
            "Set driver specific options",
        ),
        flag(
            "scope",
            '\0',
            Kind::Text,
            "string",
            "",
            "Control the network's scope",
        ),
        flag(
            "subnet",
            '\0',
            Kind::Strings,
            "strings",
            "",
            "Subnet in CIDR format that represents a network segment",
        ),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let request = request(args).map_err(Failure::new)?;
    let reply = App::json(&app.client()?.network_create(Body::json(&request)?).await?)?;
    if !reply.str_at("Warning").is_empty() {
        console::error(format!("WARNING: {}", reply.str_at("Warning")));
    }
    console::line(reply.str_at("Id"));
    Ok(())
}

fn request(args: &Parsed) -> Result<CreateRequest, String> {
    let from = args.text("config-from");
    Ok(CreateRequest {
        name: args.arg(0).to_owned(),
        driver: if args.has("driver") {
            args.text("driver").to_owned()
        } else {
            "bridge".to_owned()
        },
        scope: args.text("scope").to_owned(),
        internal: args.on("internal"),
        attachable: args.on("attachable"),
        ingress: args.on("ingress"),
        config_only: args.on("config-only"),
        config_from: (!from.is_empty()).then(|| ConfigReference {
            network: from.to_owned(),
        }),
        ipam: Some(Ipam {
            driver: if args.has("ipam-driver") {
                args.text("ipam-driver").to_owned()
            } else {
                "default".to_owned()
            },
            options: Some(map(&args.all("ipam-opt"))),
            config: Some(pools(args)?),
        }),
        enable_ipv4: args.has("ipv4").then(|| args.on("ipv4")),
        enable_ipv6: args.has("ipv6").then(|| args.on("ipv6")),
        options: Some(map(&args.all("opt"))),
        labels: Some(map(&args.all("label"))),
        ..CreateRequest::default()
    })
}

/// An address range: network address and prefix length, as bits of 128.
fn subnet(text: &str) -> Option<(std::net::IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: std::net::IpAddr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}

fn contains(pool: (std::net::IpAddr, u8), address: std::net::IpAddr) -> bool {
    use std::net::IpAddr::{V4, V6};
    match (pool.0, address) {
        (V4(a), V4(b)) => pool.1 == 0 || (a.to_bits() ^ b.to_bits()) >> (32 - pool.1) == 0,
        (V6(a), V6(b)) => pool.1 == 0 || (a.to_bits() ^ b.to_bits()) >> (128 - pool.1) == 0,
        _ => false,
    }
}

/// Each subnet with the range, gateway and further addresses that lie in it.
fn pools(args: &Parsed) -> Result<Vec<IpamConfig>, String> {
    let (subnets, ranges, gateways) = (args.all("subnet"), args.all("ip-range"), args.all("gateway"));
    if subnets.len() < ranges.len() || subnets.len() < gateways.len() {
        return Err("every ip-range or gateway must have a corresponding subnet".to_owned());
    }
    let mut pools: Vec<((std::net::IpAddr, u8), IpamConfig)> = Vec::new();
    for text in &subnets {
        let parsed =
            subnet(text).ok_or_else(|| format!("invalid subnet {text}: invalid CIDR address: {text}"))?;
        if pools
            .iter()
            .any(|(p, _)| contains(*p, parsed.0) || contains(parsed, p.0))
        {
            return Err("multiple overlapping subnet configuration is not supported".to_owned());
        }
        let config = IpamConfig {
            subnet: text.clone(),
            ..IpamConfig::default()
        };
        pools.push((parsed, config));
    }
    let mut place =
        |address: Option<std::net::IpAddr>, what: &str, text: &str, set: &dyn Fn(&mut IpamConfig) -> bool| {
            let address = address.ok_or_else(|| format!("invalid {what}: {text}"))?;
            let pool = pools.iter_mut().find(|(p, _)| contains(*p, address));
            let (_, config) = pool.ok_or_else(|| format!("no matching subnet for {what} {text}"))?;
            if set(config) {
                Ok(())
            } else {
                Err(format!(
                    "cannot configure multiple {what}s ({text}) on the same subnet"
                ))
            }
        };
    for text in &ranges {
        place(subnet(text).map(|s| s.0), "range", text, &|c| {
            let free = c.ip_range.is_empty();
            c.ip_range = text.clone();
            free
        })?;
    }
    for text in &gateways {
        place(text.parse().ok(), "gateway", text, &|c| {
            let free = c.gateway.is_empty();
            c.gateway = text.clone();
            free
        })?;
    }
    let auxiliary: BTreeMap<String, String> = map(&args.all("aux-address"));
    for (name, text) in &auxiliary {
        place(text.parse().ok(), "aux-address", text, &|c| {
            c.auxiliary_addresses
                .get_or_insert_default()
                .insert(name.clone(), text.clone());
            true
        })?;
    }
    Ok(pools.into_iter().map(|(_, config)| config).collect())
}
