//! The files that the engine writes for a container: hosts, hostname, resolv.conf.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use networks::{DnsOverrides, Endpoint, HostsEntry};

use crate::house::House;
use crate::record::{NetworkMode, Record};
use crate::spec::Generated;
use crate::{Error, links};

/// Writes the files into the container's directory, or names those of the container whose network is joined.
pub(super) fn write(house: &House, record: &Record, endpoints: &[Endpoint]) -> Result<Generated, Error> {
    let own = house.data_dir(&record.id);
    let hostname = own.join("hostname");
    put(&hostname, &format!("{}\n", record.hostname()))?;
    if let NetworkMode::Container(other) = record.network() {
        return Ok(existing(&house.data_dir(&house.find(other)?.id)));
    }
    let hosts = own.join("hosts");
    put(&hosts, &hosts_text(house, record, endpoints)?)?;
    let resolv_conf = own.join("resolv.conf");
    put(&resolv_conf, &resolv_text(house, record, endpoints)?)?;
    Ok(Generated {
        hosts: Some(hosts),
        hostname: Some(hostname),
        resolv_conf: Some(resolv_conf),
    })
}

/// The files of a container's last run, as far as there are any.
pub(crate) fn generated_before(house: &House, record: &Record) -> Generated {
    let owner = match record.network() {
        NetworkMode::Container(other) => house.find(other).map(|other| other.id.clone()).ok(),
        _ => Some(record.id.clone()),
    };
    owner.map_or_else(Generated::default, |id| existing(&house.data_dir(&id)))
}

fn existing(directory: &Path) -> Generated {
    let existing = |name: &str| Some(directory.join(name)).filter(|path| path.exists());
    Generated {
        hosts: existing("hosts"),
        hostname: existing("hostname"),
        resolv_conf: existing("resolv.conf"),
    }
}

/// Writes the hosts file anew while the container runs, after it has joined or left a network.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn rewrite_hosts(house: &House, record: &Record) -> Result<(), Error> {
    let text = hosts_text(house, record, &record.run.endpoints)?;
    put(&house.data_dir(&record.id).join("hosts"), &text)
}

/// Writes over the file in place: a restarted container of the same network may have it mounted.
fn put(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |source| Error::File {
        action: "write",
        path: PathBuf::from(path),
        source,
    };
    std::fs::write(path, text).map_err(failed)
}

fn hosts_text(house: &House, record: &Record, endpoints: &[Endpoint]) -> Result<String, Error> {
    let mut extra = extra_hosts(record, house.parts.networks.host_gateway())?;
    extra.extend(links::hosts(house, record)?);
    if record.network() == NetworkMode::Host {
        let mut text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        for entry in &extra {
            text.push_str(&format!("{}\t{}\n", entry.address, entry.names.join(" ")));
        }
        return Ok(text);
    }
    let networks = &house.parts.networks;
    Ok(networks.hosts(endpoints, record.hostname(), &record.config.domainname, &extra))
}

fn resolv_text(house: &House, record: &Record, endpoints: &[Endpoint]) -> Result<String, Error> {
    let host = &record.host_config;
    let mut servers = Vec::new();
    for text in host.dns.iter().flatten() {
        let server = text
            .parse()
            .map_err(|_| Error::Invalid(format!("bad nameserver address: {text}")))?;
        servers.push(server);
    }
    let overrides = DnsOverrides {
        servers,
        options: host.dns_options.clone().unwrap_or_default(),
        search: host.dns_search.clone().unwrap_or_default(),
    };
    let names: Vec<String> = endpoints
        .iter()
        .map(|endpoint| endpoint.network_id.clone())
        .collect();
    house
        .parts
        .networks
        .resolv_conf(&names, &overrides)
        .map_err(Error::part)
}

/// `--add-host NAME:ADDRESS`; `host-gateway` stands for the host as the default bridge sees it.
///
/// # Errors
/// An entry without a colon, an address that is none.
pub(crate) fn extra_hosts(record: &Record, gateway: Option<IpAddr>) -> Result<Vec<HostsEntry>, Error> {
    let entries = record.host_config.extra_hosts.iter().flatten().map(|text| {
        let (name, address) = text
            .split_once(['=', ':'])
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Error::Invalid(format!("bad format for add-host: \"{text}\"")))?;
        let address = match address.trim_matches(['[', ']']) {
            "host-gateway" => gateway
                .ok_or_else(|| Error::Invalid("unable to derive the IP value for host-gateway".into()))?,
            given => given
                .parse()
                .map_err(|_| Error::Invalid(format!("invalid IP address in add-host: \"{given}\"")))?,
        };
        Ok(HostsEntry {
            address,
            names: vec![name.to_owned()],
        })
    });
    entries.collect()
}
