//! `--link`: a container finds others of the default bridge by an alias in its `hosts` file, and what they offer in its
//! environment. In networks of the user's own an alias is a name in the `hosts` file alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use api_types::container::HostConfig;
use networks::{Endpoint, HostsEntry};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::cell::{Cell, View};
use crate::house::House;
use crate::launch;
use crate::record::{NetworkMode, Record};

/// The network whose links are fixed at create.
const DEFAULT: &str = "bridge";

/// One link of a container, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// The id of the other container.
    pub(crate) container: String,
    /// What it is called.
    pub(crate) alias: String,
}

/// `CONTAINER[:ALIAS]`, or the form that `inspect` shows (`/child:/parent/alias`).
fn parse(text: &str) -> Result<(&str, &str), Error> {
    let bad = || Error::Invalid(format!("bad format for links: {text}"));
    if text.is_empty() {
        return Err(Error::Invalid("empty string specified for links".into()));
    }
    let (name, alias) = text.split_once(':').unwrap_or((text, text));
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    let name = name.strip_prefix('/').unwrap_or(name);
    if name.is_empty() || alias.is_empty() || alias.contains([':', ' ', '\t', '\n']) {
        return Err(bad());
    }
    Ok((name, alias))
}

/// Reads the links of a container that is being made.
///
/// # Errors
/// A malformed link; a container that does not exist or is in the host's network; a mode that has no links.
pub(crate) fn register(house: &House, host: &HostConfig) -> Result<Vec<Link>, Error> {
    let asked: Vec<&String> = host.links.iter().flatten().collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let conflict = |kind: &str| {
        Err(Error::Invalid(format!(
            "conflicting options: {kind} type networking can't be used with links. This would result in undefined \
             behavior"
        )))
    };
    match NetworkMode::parse(&host.network_mode) {
        NetworkMode::Host => return conflict("host"),
        NetworkMode::Container(_) => return conflict("container"),
        NetworkMode::None => {}
        NetworkMode::Network(DEFAULT) => {}
        // There the settings of the endpoint say the same.
        NetworkMode::Network(_) => return Ok(Vec::new()),
    }
    let mut links = Vec::new();
    for text in asked {
        let (name, alias) = parse(text)?;
        let child = house
            .find(name)
            .map_err(|error| Error::Invalid(format!("could not get container for {name}: {error}")))?;
        let child = owner_of_network(house, child)?;
        if child.view().record.network() == NetworkMode::Host {
            return conflict("host");
        }
        links.push(Link {
            container: child.id.clone(),
            alias: alias.to_owned(),
        });
    }
    Ok(links)
}

/// The container that has the network which `child` shares: there it is reached.
fn owner_of_network(house: &House, mut child: Arc<Cell>) -> Result<Arc<Cell>, Error> {
    let mut passed: Vec<String> = Vec::new();
    while let NetworkMode::Container(other) = child.view().record.network() {
        passed.push(child.id.clone());
        child = house.find(other)?;
        if passed.contains(&child.id) {
            let text = format!("container {} shares the network of itself", child.id);
            return Err(Error::Invalid(text));
        }
    }
    Ok(child)
}

/// The links as `inspect` shows them; those to containers that are gone are forgotten.
pub(crate) fn shown(house: &House, record: &Record) -> Option<Vec<String>> {
    let text = |link: &Link| {
        let child = house.find(&link.container).ok()?;
        let name = child.view().record.name.clone();
        Some(format!("/{name}:/{}/{}", record.name, link.alias))
    };
    let shown: Vec<String> = record.links.iter().filter_map(text).collect();
    (!shown.is_empty()).then_some(shown)
}

/// What containers are called by others' links, by their ids: `/other/alias`.
pub(crate) fn names<'a>(views: impl Iterator<Item = &'a Arc<View>>) -> HashMap<String, Vec<String>> {
    let mut names: HashMap<String, Vec<String>> = HashMap::new();
    for view in views {
        for link in &view.record.links {
            let name = format!("/{}/{}", view.record.name, link.alias);
            names.entry(link.container.clone()).or_default().push(name);
        }
    }
    names
}

/// Takes a link away from a container. One that runs no longer finds the other by the alias; its environment stays.
///
/// # Errors
/// `name` is not of the form `NAME/ALIAS`, or there is no such link.
pub(crate) async fn remove(house: &House, name: &str) -> Result<(), Error> {
    let name = name.strip_prefix('/').unwrap_or(name);
    let Some((parent, alias)) = name.split_once('/') else {
        let text = "Conflict, cannot remove the default link name of the container";
        return Err(Error::Conflict(text.to_owned()));
    };
    let cell = house.find(parent)?;
    let (gone, alias) = (Error::NoSuchContainer(name.to_owned()), alias.to_owned());
    cell.edit(move |record| {
        let before = record.links.len();
        record.links.retain(|link| link.alias != alias);
        if record.links.len() == before {
            Err(gone)
        } else {
            Ok(())
        }
    })
    .await?;
    let view = cell.view();
    if view.record.run.running {
        launch::rewrite_hosts(house, &view.record)?;
    }
    Ok(())
}

/// A link, the container at its other end, and the address of that.
type Child = (Link, Arc<View>, IpAddr);

/// The other ends of the links, with their addresses; those that are gone for good are left out.
fn children(house: &House, record: &Record) -> Vec<Result<Child, Error>> {
    let child = |link: &Link| {
        let view = house.find(&link.container).ok()?.view();
        Some(child(record, link, view))
    };
    record.links.iter().filter_map(child).collect()
}

fn child(record: &Record, link: &Link, view: Arc<View>) -> Result<Child, Error> {
    let name = &view.record.name;
    if !view.record.run.running {
        return Err(Error::Conflict(format!(
            "Cannot link to a non running container: /{name} AS /{}/{}",
            record.name, link.alias
        )));
    }
    match address_in(&view.record.run.endpoints, DEFAULT) {
        Some(address) => Ok((link.clone(), view, address)),
        None => Err(Error::Invalid(format!(
            "Cannot link to /{name}, as it does not belong to the default network"
        ))),
    }
}

fn address_in(endpoints: &[Endpoint], network: &str) -> Option<IpAddr> {
    let endpoint = endpoints
        .iter()
        .find(|endpoint| endpoint.network_name == network || endpoint.network_id == network)?;
    let v6 = || endpoint.ipv6.map(|net| IpAddr::V6(net.addr()));
    endpoint.ipv4.map(|net| IpAddr::V4(net.addr())).or_else(v6)
}

/// The lines that the links of a container put into its `hosts` file, of those that run.
///
/// # Errors
/// A link of an endpoint that is malformed.
pub(crate) fn hosts(house: &House, record: &Record) -> Result<Vec<HostsEntry>, Error> {
    let mut entries = Vec::new();
    for (link, view, address) in children(house, record).into_iter().flatten() {
        let mut names = vec![link.alias.clone(), view.record.config.hostname.clone()];
        if view.record.name != link.alias {
            names.push(view.record.name.clone());
        }
        names.dedup();
        entries.push(HostsEntry { address, names });
    }
    // For the default bridge the same was said in the host configuration.
    for (network, settings) in record.networks.iter().filter(|(name, _)| *name != DEFAULT) {
        for text in settings.links.iter().flatten() {
            let (name, alias) = parse(text)?;
            // Whoever comes later is added when it comes.
            let Ok(cell) = house.find(name) else { continue };
            if let Some(address) = address_in(&cell.view().record.run.endpoints, network) {
                entries.push(HostsEntry {
                    address,
                    names: vec![alias.to_owned()],
                });
            }
        }
    }
    Ok(entries)
}

/// The variables that the links of a container put into its environment.
///
/// # Errors
/// A linked container does not run, or is not in the default network.
pub(crate) fn environment(house: &House, record: &Record) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for child in children(house, record) {
        let (link, view, address) = child?;
        let config = &view.record.config;
        let ports = config
            .exposed_ports
            .iter()
            .flatten()
            .map(|(port, _)| port.as_str());
        let name = format!("/{}/{}", record.name, link.alias);
        all.extend(variables(&name, address, ports, config.env.iter().flatten()));
    }
    Ok(all)
}

/// The variables of one link, in docker's words; `name` is `/parent/alias`.
fn variables<'a>(
    name: &str,
    address: IpAddr,
    ports: impl Iterator<Item = &'a str>,
    environment: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let alias = name.rsplit('/').next().unwrap_or(name);
    let prefix = alias.to_uppercase().replace('-', "_");
    let mut ports: Vec<(bool, &str, u16)> = ports
        .filter_map(|port| {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            Some((protocol != "tcp", protocol, number.parse().ok()?))
        })
        .collect();
    ports.sort_unstable();
    let mut all = Vec::new();
    if let Some((_, protocol, number)) = ports.first() {
        all.push(format!("{prefix}_PORT={protocol}://{address}:{number}"));
    }
    for (_, protocol, number) in &ports {
        let port = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        all.push(format!("{port}={protocol}://{address}:{number}"));
        all.push(format!("{port}_ADDR={address}"));
        all.push(format!("{port}_PORT={number}"));
        all.push(format!("{port}_PROTO={protocol}"));
    }
    let neighbours =
        |a: &(bool, &str, u16), b: &(bool, &str, u16)| a.1 == b.1 && b.2.checked_sub(1) == Some(a.2);
    for range in ports.chunk_by(neighbours).filter(|range| range.len() > 1) {
        let ((_, protocol, start), (.., end)) = (range[0], range[range.len() - 1]);
        let port = format!("{prefix}_PORT_{start}_{}", protocol.to_uppercase());
        all.push(format!("{port}_START={protocol}://{address}:{start}"));
        all.push(format!("{port}_PORT_START={start}"));
        all.push(format!("{port}_PORT_END={end}"));
    }
    all.push(format!("{prefix}_NAME={name}"));
    // Those that every image has say nothing about the other container.
    let told = |entry: &&String| !matches!(entry.split('=').next(), Some("HOME" | "PATH"));
    let pairs = environment.filter(|entry| entry.contains('=')).filter(told);
    all.extend(pairs.map(|entry| format!("{prefix}_ENV_{entry}")));
    all
}

/// Those that are linked to a container learn its new address.
pub(crate) fn tell_parents(house: &House, child: &Record) {
    let knows = |record: &Record| {
        let named = |text: &String| {
            parse(text)
                .is_ok_and(|(name, _)| name == child.name || (name.len() >= 12 && child.id.starts_with(name)))
        };
        record.links.iter().any(|link| link.container == child.id)
            || record
                .networks
                .values()
                .any(|settings| settings.links.iter().flatten().any(named))
    };
    for cell in house.directory.all() {
        let view = cell.view();
        if view.record.run.running
            && knows(&view.record)
            && let Err(error) = launch::rewrite_hosts(house, &view.record)
        {
            tracing::warn!(container = %view.record.id, %error, "the address of a linked container is not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_a_name_and_an_alias() {
        for (text, expected) in [
            ("db", ("db", "db")),
            ("db:store", ("db", "store")),
            ("/db:/web/store", ("db", "store")),
        ] {
            assert_eq!(parse(text).expect("valid"), expected);
        }
        for bad in ["", ":", "db:", ":store", "a:b:c", "a:b c"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_environment_is_dockers() {
        let address = "172.17.0.5".parse().expect("address");
        let env = ["A=1".to_owned(), "PATH=/bin".to_owned(), "NAME".to_owned()];
        let ports = ["6380/tcp", "53/udp", "6379/tcp"];
        let all = variables("/web/my-db", address, ports.into_iter(), env.iter());
        let expected = "\
            MY_DB_PORT=tcp://172.17.0.5:6379 \
            MY_DB_PORT_6379_TCP=tcp://172.17.0.5:6379 MY_DB_PORT_6379_TCP_ADDR=172.17.0.5 \
            MY_DB_PORT_6379_TCP_PORT=6379 MY_DB_PORT_6379_TCP_PROTO=tcp \
            MY_DB_PORT_6380_TCP=tcp://172.17.0.5:6380 MY_DB_PORT_6380_TCP_ADDR=172.17.0.5 \
            MY_DB_PORT_6380_TCP_PORT=6380 MY_DB_PORT_6380_TCP_PROTO=tcp \
            MY_DB_PORT_53_UDP=udp://172.17.0.5:53 MY_DB_PORT_53_UDP_ADDR=172.17.0.5 \
            MY_DB_PORT_53_UDP_PORT=53 MY_DB_PORT_53_UDP_PROTO=udp \
            MY_DB_PORT_6379_TCP_START=tcp://172.17.0.5:6379 MY_DB_PORT_6379_TCP_PORT_START=6379 \
            MY_DB_PORT_6379_TCP_PORT_END=6380 \
            MY_DB_NAME=/web/my-db MY_DB_ENV_A=1";
        assert_eq!(all.join(" "), expected);
    }
}
