//! Names of links and tables, derived from an owner's id and the instance tag; IFNAMSIZ allows 15 bytes.

/// The prefix of every veth of the instance `tag`.
pub fn veth_prefix(tag: &str) -> String {
    format!("v{tag}")
}

/// The host's end of the veth pair of an endpoint: `v`, tag, then as much of the endpoint's id as fits.
pub fn veth(tag: &str, endpoint_id: &str) -> String {
    let mut name = veth_prefix(tag);
    name.extend(endpoint_id.chars().take(15usize.saturating_sub(name.len())));
    name
}

/// The prefix of every bridge of the instance `tag` but the default one.
pub fn bridge_prefix(tag: &str) -> String {
    format!("b{tag}-")
}

/// The bridge of a user-defined network, unless `com.docker.network.bridge.name` says otherwise.
pub fn bridge(tag: &str, network_id: &str) -> String {
    let mut name = bridge_prefix(tag);
    name.extend(network_id.chars().take(15usize.saturating_sub(name.len())));
    name
}

/// The firewall table of the instance.
pub fn table(tag: &str) -> String {
    format!("dhow-{tag}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_fit_and_tell_instances_apart() {
        let id = "0123456789abcdef".repeat(4);
        for tag in ["a1", "a1b2c3"] {
            assert_eq!(super::veth(tag, &id).len(), 15);
            assert_eq!(super::bridge(tag, &id).len(), 15);
        }
        assert_ne!(super::veth("a1b2", &id), super::veth("c3d4", &id));
    }
}
