//! Listing networks: the filters of `network ls`.

use crate::service::Networks;
use crate::{Error, Filters, Network};

impl Networks {
    /// All networks that pass the filters, by name. (`until` counts for `prune` only.)
    pub fn list(&self, filters: &Filters) -> Result<Vec<Network>, Error> {
        if let Some(bad) = filters
            .kind
            .iter()
            .find(|k| !matches!(k.as_str(), "builtin" | "custom"))
        {
            return Err(Error::Invalid(format!("invalid filter: 'type'='{bad}'")));
        }
        let state = self.state();
        let mut found: Vec<Network> = state.networks.values().map(|n| state.shown(n)).collect();
        found.retain(|n| passes(n, filters));
        found.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        Ok(found)
    }
}

fn passes(network: &Network, filters: &Filters) -> bool {
    let any =
        |values: &[String], test: &dyn Fn(&str) -> bool| values.is_empty() || values.iter().any(|v| test(v));
    let labelled = |wanted: &String| match wanted.split_once('=') {
        Some((key, value)) => network.spec.labels.get(key).is_some_and(|v| v == value),
        None => network.spec.labels.contains_key(wanted),
    };
    let kind = if network.predefined() { "builtin" } else { "custom" };
    any(&filters.name, &|v| network.spec.name.contains(v))
        && any(&filters.id, &|v| network.id.contains(v))
        && any(&filters.driver, &|v| network.spec.driver == v)
        && any(&filters.scope, &|v| v == "local")
        && any(&filters.kind, &|v| v == kind)
        && filters.label.iter().all(labelled)
        && !filters.label_not.iter().any(labelled)
        && filters
            .dangling
            .is_none_or(|d| d == (network.containers.is_empty() && kind == "custom"))
}

/// Whether a network was made before this time (seconds since the epoch).
pub(crate) fn before(network: &Network, until: Option<i64>) -> bool {
    let Some(until) = until else { return true };
    network
        .created
        .parse::<jiff::Timestamp>()
        .is_ok_and(|made| made.as_second() < until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NetworkSpec;

    #[test]
    fn every_filter_must_match_and_any_of_its_values() {
        let spec = NetworkSpec {
            name: "shop_front".into(),
            driver: "bridge".into(),
            labels: [("tier".into(), "web".into())].into(),
            ..Default::default()
        };
        let created = "2026-01-01T00:00:00.000000000Z".into();
        let n = Network {
            id: "ab12".into(),
            created,
            spec,
            bridge: String::new(),
            containers: Default::default(),
            subnets: Vec::new(),
        };
        let list = |v: &[&str]| v.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let yes = Filters {
            name: list(&["nothing", "front"]),
            label: list(&["tier", "tier=web"]),
            kind: list(&["custom"]),
            dangling: Some(true),
            ..Filters::default()
        };
        assert!(passes(&n, &yes));
        for no in [
            Filters {
                name: list(&["back"]),
                ..Filters::default()
            },
            Filters {
                label: list(&["tier", "tier=db"]),
                ..Filters::default()
            },
            Filters {
                label_not: list(&["tier"]),
                ..Filters::default()
            },
            Filters {
                kind: list(&["builtin"]),
                ..Filters::default()
            },
            Filters {
                dangling: Some(false),
                ..Filters::default()
            },
            Filters {
                scope: list(&["swarm"]),
                ..Filters::default()
            },
        ] {
            assert!(!passes(&n, &no), "{no:?}");
        }
        assert!(before(&n, None) && before(&n, Some(1_900_000_000)) && !before(&n, Some(1_700_000_000)));
    }
}
