//! Which events a subscriber wants, by the rules of `docker events --filter`.

use api_types::Filters;
use api_types::event::Message;

/// A filter is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventFilterError {
    /// Events have no such filter.
    #[error("invalid filter '{0}'")]
    Unknown(String),
}

impl fault::Fault for EventFilterError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::InvalidParameter
    }
}

const KNOWN: [&str; 15] = [
    "builder",
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];
/// Filters that name an object by a prefix of its id or name.
const OBJECTS: [&str; 9] = [
    "config",
    "container",
    "daemon",
    "network",
    "node",
    "plugin",
    "secret",
    "service",
    "volume",
];

/// The filters of one subscriber. Different filters must all pass, values of one filter are alternatives (except
/// `label`, whose values must all be there).
#[derive(Clone, Debug, Default)]
pub struct EventFilter(Filters);

impl EventFilter {
    /// # Errors
    /// [`EventFilterError::Unknown`].
    pub fn new(filters: Filters) -> Result<Self, EventFilterError> {
        match filters.accept_only(&KNOWN) {
            Ok(()) => Ok(Self(filters)),
            Err(api_types::filters::FilterError::UnknownName(name)) => Err(EventFilterError::Unknown(name)),
            Err(error) => Err(EventFilterError::Unknown(error.to_string())),
        }
    }

    /// Whether the subscriber wants this event.
    pub fn passes(&self, event: &Message) -> bool {
        let filters = &self.0;
        self.passes_action(&event.action)
            && filters.exact("type", &event.kind)
            && (!filters.contains("scope") || filters.exact("scope", &event.scope))
            && OBJECTS.iter().all(|object| self.passes_object(object, event))
            && self.passes_image(event)
            && filters.matches_map("label", &event.actor.attributes)
    }

    /// Actions such as `exec_start: ls` can be asked for by their first word.
    fn passes_action(&self, action: &str) -> bool {
        let by_prefix = ["health_status", "exec_create", "exec_start"];
        if self.0.values("event").any(|value| by_prefix.contains(&value)) {
            self.0.prefix("event", action)
        } else {
            self.0.exact("event", action)
        }
    }

    fn passes_object(&self, object: &str, event: &Message) -> bool {
        let name = event.actor.attributes.get("name").map_or("", String::as_str);
        self.0.prefix(object, &event.actor.id) || self.0.prefix(object, name)
    }

    fn passes_image(&self, event: &Message) -> bool {
        if !self.0.contains("image") {
            return true;
        }
        let attribute = if event.kind == "image" { "name" } else { "image" };
        let id = event.actor.id.as_str();
        let name = event.actor.attributes.get(attribute).map_or("", String::as_str);
        [id, name, without_tag(id), without_tag(name)]
            .iter()
            .any(|candidate| self.0.exact("image", candidate))
    }
}

/// The familiar name of the repository; the text itself when it is not a reference.
fn without_tag(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}
