//! The column PORTS of `dhow ps`.

use std::collections::HashMap;

/// A port as the list of containers has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    pub(super) private: i64,
    pub(super) ip: String,
    pub(super) public: i64,
    pub(super) protocol: String,
}

fn join(ip: &str, port: &str) -> String {
    if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    }
}

/// Neighbouring ports become ranges; those published under another number stand alone.
pub(super) fn show(ports: &[Port]) -> String {
    let mut ports = ports.to_vec();
    ports.sort();
    let (mut groups, mut order): (HashMap<String, (i64, i64)>, Vec<String>) = Default::default();
    let (mut out, mut alone) = (Vec::new(), Vec::new());
    for port in &ports {
        let mut key = port.protocol.clone();
        if !port.ip.is_empty() {
            if port.public != port.private {
                let host = join(&port.ip, &port.public.to_string());
                alone.push(format!("{host}->{}/{}", port.private, port.protocol));
                continue;
            }
            key = format!("{}/{}", port.ip, port.protocol);
        }
        match groups.get_mut(&key) {
            None => {
                groups.insert(key.clone(), (port.private, port.private));
                order.push(key);
            }
            Some(group) if port.private == group.1 + 1 => group.1 = port.private,
            Some(group) => {
                out.push(range(&key, *group));
                *group = (port.private, port.private);
            }
        }
    }
    out.extend(order.iter().map(|key| range(key, groups[key])));
    out.extend(alone);
    out.join(", ")
}

fn range(key: &str, (first, last): (i64, i64)) -> String {
    let ports = if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    };
    match key.rsplit_once('/') {
        Some((ip, protocol)) => format!("{}->{ports}/{protocol}", join(ip, &ports)),
        None => format!("{ports}/{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, public: i64, private: i64, protocol: &str) -> Port {
        Port {
            private,
            ip: ip.to_owned(),
            public,
            protocol: protocol.to_owned(),
        }
    }

    #[test]
    fn neighbours_become_a_range_and_moved_ports_stand_alone() {
        let all = [
            port("0.0.0.0", 80, 80, "tcp"),
            port("0.0.0.0", 81, 81, "tcp"),
            port("::", 80, 80, "tcp"),
            port("0.0.0.0", 8443, 443, "tcp"),
            port("", 0, 53, "udp"),
            port("", 0, 9, "tcp"),
            port("", 0, 11, "tcp"),
        ];
        assert_eq!(
            show(&all),
            "9/tcp, 11/tcp, 53/udp, 0.0.0.0:80-81->80-81/tcp, [::]:80->80/tcp, 0.0.0.0:8443->443/tcp"
        );
    }
}
