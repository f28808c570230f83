//! `ps`: which containers pass the filters, in which order.

use std::sync::Arc;

use api_types::Filters;
use api_types::container::Summary;
use log_drivers::Timestamp;

use crate::cell::{Cell, View};
use crate::house::House;
use crate::requests::ListRequest;
use crate::{Error, inspect, links};

const KNOWN: [&str; 17] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
    "running",
    "all",
];

const STATES: [&str; 7] = [
    "created",
    "running",
    "paused",
    "restarting",
    "removing",
    "exited",
    "dead",
];

/// The containers that pass, the newest first.
///
/// # Errors
/// A filter that is not known or makes no sense.
pub(crate) async fn list(house: &Arc<House>, request: ListRequest) -> Result<Vec<Summary>, Error> {
    let filter = Filter::new(house, &request)?;
    let mut views: Vec<Arc<View>> = house.directory.all().iter().map(|cell| cell.view()).collect();
    views.sort_by_key(|view| std::cmp::Reverse(view.record.created));
    let link_names = links::names(views.iter());
    let mut chosen = Vec::new();
    for view in views {
        if !filter.passes(house, &view) {
            continue;
        }
        chosen.push(view);
        if request.limit > 0 && chosen.len() == request.limit {
            break;
        }
    }
    let now = Timestamp::now();
    let mut summaries = Vec::with_capacity(chosen.len());
    for view in chosen {
        let size = if request.size {
            house.parts.images.container_size(&view.record.id).await.ok()
        } else {
            None
        };
        let mut summary = inspect::summary(house, &view, size, now);
        summary
            .names
            .extend(link_names.get(&view.record.id).cloned().unwrap_or_default());
        summaries.push(summary);
    }
    Ok(summaries)
}

struct Filter<'a> {
    filters: &'a Filters,
    all: bool,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    exited: Vec<i32>,
    /// Image ids of `ancestor`, with the chains of images that were named by id.
    ancestors: Vec<String>,
}

impl<'a> Filter<'a> {
    fn new(house: &House, request: &'a ListRequest) -> Result<Self, Error> {
        let filters = &request.filters;
        filters
            .accept_only(&KNOWN)
            .map_err(|error| Error::Invalid(error.to_string()))?;
        for state in filters.values("status") {
            if !STATES.contains(&state) {
                return Err(Error::Invalid(format!(
                    "invalid value for state ({state}): must be one of created, running, paused, restarting, \
                     removing, exited, or dead"
                )));
            }
        }
        for health in filters.values("health") {
            if !["starting", "healthy", "unhealthy", "none"].contains(&health) {
                return Err(Error::Invalid(format!(
                    "invalid value for health ({health}): must be one of none, starting, healthy, or unhealthy"
                )));
            }
        }
        for task in filters.values("is-task") {
            if !["true", "1", "false", "0"].contains(&task) {
                return Err(Error::Invalid(format!("invalid filter 'is-task=[{task}]'")));
            }
        }
        for name in ["publish", "expose"] {
            if let Some(port) = filters.values(name).find(|port| port_range(port).is_none()) {
                return Err(Error::Invalid(format!("invalid filter '{name}=[{port}]'")));
            }
        }
        let created = |name: &str| match filters.values(name).next() {
            Some(container) => Ok(Some(house.find(container)?.view().record.created)),
            None => Ok::<_, Error>(None),
        };
        let exited = filters.values("exited").map(|code| {
            code.parse()
                .map_err(|_| Error::Invalid(format!("invalid filter 'exited=[{code}]'")))
        });
        // An image that does not exist has no descendants.
        let ancestors = filters
            .values("ancestor")
            .filter_map(|name| house.parts.images.resolve(name).ok())
            .map(|image| image.id.to_string());
        Ok(Self {
            all: request.all || request.limit > 0 || filters.contains("status") || filters.contains("exited"),
            before: created("before")?,
            since: created("since")?,
            exited: exited.collect::<Result<_, _>>()?,
            ancestors: ancestors.collect(),
            filters,
        })
    }

    fn passes(&self, house: &House, view: &View) -> bool {
        let (record, filters) = (&view.record, self.filters);
        let labels = record.config.labels.clone().unwrap_or_default();
        let any = |name: &str, test: &dyn Fn(&str) -> bool| {
            let mut values = filters.values(name).peekable();
            values.peek().is_none() || values.any(test)
        };
        let status = view.status();
        let health = record
            .run
            .health
            .as_ref()
            .map_or("none", |health| health.status.as_str());
        (self.all || status == "running" || status == "paused" || status == "restarting")
            && self.before.is_none_or(|at| record.created < at)
            && self.since.is_none_or(|at| record.created > at)
            && any("id", &|prefix| record.id.starts_with(prefix))
            && any("name", &|part| name_matches(&record.name, part))
            && filters.matches_map("label", &labels)
            && any("status", &|wanted| wanted == status)
            && any("health", &|wanted| wanted == health)
            && any("is-task", &|wanted| wanted == "false" || wanted == "0")
            && any("isolation", &|wanted| wanted == "default" || wanted.is_empty())
            && (!filters.contains("exited")
                || (status == "exited" && self.exited.contains(&record.run.exit_code)))
            && (!filters.contains("ancestor") || self.has_ancestor(house, &record.image_id))
            && any("volume", &|wanted| {
                record.mounts.iter().any(|mount| {
                    mount.name == wanted || mount.destination == wanted || mount.source == wanted
                })
            })
            && any("network", &|wanted| self.is_in(view, wanted))
            && any("publish", &|wanted| port_matches(wanted, published(view)))
            && any("expose", &|wanted| port_matches(wanted, exposed(view)))
    }

    fn has_ancestor(&self, house: &House, image: &str) -> bool {
        let mut next = Some(image.to_owned());
        while let Some(id) = next {
            if self.ancestors.contains(&id) {
                return true;
            }
            let parent = id.parse().ok().and_then(|digest| house.parts.images.get(&digest));
            next = parent
                .and_then(|image| image.parent)
                .map(|digest| digest.to_string());
        }
        false
    }

    fn is_in(&self, view: &View, wanted: &str) -> bool {
        let record = &view.record;
        record.host_config.network_mode == wanted
            || record.networks.contains_key(wanted)
            || record
                .run
                .endpoints
                .iter()
                .any(|endpoint| endpoint.network_name == wanted || endpoint.network_id.starts_with(wanted))
    }
}

/// Docker takes a regular expression; its everyday forms are `part`, `^start`, `end$` and `^whole$`, each with or
/// without the name's slash.
fn name_matches(name: &str, pattern: &str) -> bool {
    let (start, rest) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (end, part) = match rest.strip_suffix('$') {
        Some(part) => (true, part),
        None => (false, rest),
    };
    let part = part.strip_prefix('/').unwrap_or(part);
    match (start, end) {
        (true, true) => name == part,
        (true, false) => name.starts_with(part),
        (false, true) => name.ends_with(part),
        (false, false) => name.contains(part),
    }
}

fn published(view: &View) -> Vec<(u16, &'static str)> {
    let bindings = view
        .record
        .run
        .endpoints
        .iter()
        .flat_map(|endpoint| &endpoint.ports);
    bindings
        .map(|binding| (binding.host_port, kind(binding.protocol)))
        .collect()
}

fn exposed(view: &View) -> Vec<(u16, &'static str)> {
    let ports = view.record.config.exposed_ports.iter().flatten();
    ports
        .filter_map(|(text, _)| {
            let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            let protocol = match protocol {
                "udp" => "udp",
                "sctp" => "sctp",
                _ => "tcp",
            };
            Some((number.parse().ok()?, protocol))
        })
        .collect()
}

fn kind(protocol: networks::Protocol) -> &'static str {
    match protocol {
        networks::Protocol::Tcp => "tcp",
        networks::Protocol::Udp => "udp",
        networks::Protocol::Sctp => "sctp",
    }
}

/// `80`, `80/udp`, `8000-8100/tcp` as the first and the last port and the protocol.
fn port_range(text: &str) -> Option<(u16, u16, &str)> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    Some((first.parse().ok()?, last.parse().ok()?, protocol))
}

fn port_matches(wanted: &str, ports: Vec<(u16, &'static str)>) -> bool {
    let Some((first, last, protocol)) = port_range(wanted) else {
        return false;
    };
    ports
        .iter()
        .any(|(port, kind)| (first..=last).contains(port) && *kind == protocol)
}

/// `container prune`: the stopped containers that pass.
///
/// # Errors
/// A filter that is not known, a time that is none.
pub(crate) fn prunable(house: &House, filters: &Filters) -> Result<Vec<Arc<Cell>>, Error> {
    let known = ["label", "label!", "until"];
    filters
        .accept_only(&known)
        .map_err(|error| Error::Invalid(error.to_string()))?;
    let until = match filters.values("until").next() {
        Some(text) => Some(crate::until::parse(text, Timestamp::now())?),
        None => None,
    };
    let stopped = |view: &View| matches!(view.status(), "created" | "exited" | "dead");
    let passes = |cell: &Arc<Cell>| {
        let view = cell.view();
        let labels = view.record.config.labels.clone().unwrap_or_default();
        stopped(&view)
            && until.is_none_or(|until| view.record.created < until)
            && filters.matches_map("label", &labels)
            && filters.matches_no_pair("label!", &labels)
    };
    Ok(house.directory.all().into_iter().filter(passes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_with_docker_s_everyday_patterns() {
        for pattern in ["eb", "^web", "web$", "^/web$", "/web"] {
            assert!(name_matches("web", pattern), "{pattern}");
        }
        assert!(!name_matches("web", "^eb") && !name_matches("web1", "web$"));
    }

    #[test]
    fn ports_match_by_number_range_and_protocol() {
        let ports = || vec![(8080, "tcp"), (53, "udp")];
        assert!(port_matches("8080", ports()) && port_matches("8000-9000/tcp", ports()));
        assert!(port_matches("53/udp", ports()) && !port_matches("53", ports()));
        assert!(!port_matches("x", ports()));
    }
}
