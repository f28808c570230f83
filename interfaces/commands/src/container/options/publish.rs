//! `-p` and `--expose`.

use std::collections::BTreeMap;

use api_types::container::{Empty, PortBinding, PortMap};

type Ports = (BTreeMap<String, Empty>, PortMap);

/// Exposed ports and where they are published.
pub(super) fn ports(publish: &[String], expose: &[String]) -> Result<Ports, String> {
    let (mut exposed, mut bindings) = (BTreeMap::new(), PortMap::new());
    for text in publish {
        let text = long_form(text)?;
        for (port, binding) in one(&text)? {
            exposed.insert(port.clone(), Empty {});
            bindings
                .entry(port)
                .or_default()
                .get_or_insert_default()
                .push(binding);
        }
    }
    for text in expose {
        if text.contains(':') {
            return Err(format!("invalid port format for --expose: {text}"));
        }
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) =
            numbers(range).map_err(|e| format!("invalid range format for --expose: {range}, error: {e}"))?;
        for port in first..=last {
            exposed.insert(format!("{port}/{}", protocol.to_lowercase()), Empty {});
        }
    }
    Ok((exposed, bindings))
}

/// `target=80,published=8080,protocol=tcp` as `8080:80/tcp`.
fn long_form(text: &str) -> Result<String, String> {
    if !text.contains('=') {
        return Ok(text.to_owned());
    }
    let (mut target, mut published, mut protocol) = ("", "", "tcp");
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("target", v)) => target = v,
            Some(("published", v)) => published = v,
            Some(("protocol", v)) => protocol = v,
            Some(("mode", _)) => {}
            Some((key, _)) => return Err(format!("invalid field key {key}")),
            None => return Err(format!("invalid field {field}")),
        }
    }
    if target.is_empty() {
        return Err("missing mandatory field 'target'".to_owned());
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

/// `[ip:][host[-end]:]container[-end][/protocol]`.
fn one(text: &str) -> Result<Vec<(String, PortBinding)>, String> {
    let (spec, protocol) = match text.rsplit_once('/') {
        Some((spec, protocol)) => (spec, protocol.to_lowercase()),
        None => (text, "tcp".to_owned()),
    };
    let mut parts = spec.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let mut ip = parts.next().unwrap_or_default();
    if let Some(plain) = ip.strip_prefix('[') {
        ip = plain
            .strip_suffix(']')
            .ok_or_else(|| format!("invalid IP address: {ip}"))?;
    }
    if !ip.is_empty() && ip.parse::<std::net::IpAddr>().is_err() {
        return Err(format!("invalid IP address: {ip}"));
    }
    if container.is_empty() {
        return Err(format!("no port specified: {text}<empty>"));
    }
    let (first, last) = numbers(container).map_err(|_| format!("invalid containerPort: {container}"))?;
    let hosts = match host {
        "" => None,
        host => Some(numbers(host).map_err(|_| format!("invalid hostPort: {host}"))?),
    };
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(format!("invalid proto: {protocol}"));
    }
    if let Some((from, to)) = hosts {
        // One container port may be published at a free one of many.
        if to - from != last - first && first != last {
            return Err(format!(
                "invalid ranges specified for container and host Ports: {container} and {host}"
            ));
        }
    }
    Ok((first..=last)
        .map(|port| {
            let host_port = match hosts {
                None => String::new(),
                Some((from, to)) if first == last && from != to => format!("{from}-{to}"),
                Some((from, _)) => (from + (port - first)).to_string(),
            };
            let binding = PortBinding {
                host_ip: ip.to_owned(),
                host_port,
            };
            (format!("{port}/{protocol}"), binding)
        })
        .collect())
}

fn numbers(text: &str) -> Result<(u16, u16), String> {
    let number = |t: &str| {
        t.parse::<u16>()
            .map_err(|_| format!("strconv.ParseUint: parsing {t:?}: invalid syntax"))
    };
    let (first, last) = match text.split_once('-') {
        Some((a, b)) => (number(a)?, number(b)?),
        None => (number(text)?, number(text)?),
    };
    if last < first {
        return Err(format!("invalid range specified for port: {text}"));
    }
    Ok((first, last))
}
