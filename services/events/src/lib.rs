//! The bus every service writes to, and its ring file.
//!
//! A service publishes what happened to its objects ([`Events::publish`]); whoever wants to know subscribes
//! ([`Events::subscribe`]), from now on or from some time ago. The ring file keeps the last few thousand events
//! over a restart of the daemon. Nothing here knows what an event means; who may see it is the interface's matter.

mod filter;
mod ring;
mod subscription;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use api_types::Filters;
use api_types::event::{Actor, Message};
use tokio::sync::broadcast;

pub use filter::{EventFilter, EventFilterError};
pub use ring::RingError;
pub use subscription::Subscription;

use ring::Ring;

/// What kind of object an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A build's cache.
    Builder,
    /// A container.
    Container,
    /// The daemon itself.
    Daemon,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A plugin.
    Plugin,
    /// A volume.
    Volume,
}

impl Kind {
    /// Docker's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Builder => "builder",
            Self::Container => "container",
            Self::Daemon => "daemon",
            Self::Image => "image",
            Self::Network => "network",
            Self::Plugin => "plugin",
            Self::Volume => "volume",
        }
    }
}

/// How many events a subscriber may fall behind before it has to read the ring file again.
const BACKLOG: usize = 256;

/// The bus. Share it as `Arc<Events>`.
#[derive(Debug)]
pub struct Events {
    state: Mutex<State>,
    live: broadcast::Sender<Arc<Message>>,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    /// `timeNano` of the last event: no two events have the same, so that a reader can say where it stopped.
    last: i64,
}

impl Events {
    /// Opens the bus with the ring file at `file` (its older half beside it, with `.1` at the end).
    ///
    /// # Errors
    /// [`RingError`] when the file cannot be opened.
    pub fn open(file: &Path) -> Result<Self, RingError> {
        let ring = Ring::open(file)?;
        Ok(Self {
            state: Mutex::new(State { ring, last: 0 }),
            live: broadcast::channel(BACKLOG).0,
        })
    }

    /// Tells everybody that `action` was done to the object `id`. Never fails and never waits for a subscriber;
    /// an event that cannot be written to the ring file is still told.
    pub fn publish(&self, kind: Kind, action: &str, id: &str, attributes: BTreeMap<String, String>) {
        let mut message = Message {
            kind: kind.name().to_owned(),
            action: action.to_owned(),
            actor: Actor {
                id: id.to_owned(),
                attributes,
            },
            scope: "local".to_owned(),
            ..Message::default()
        };
        // The fields that API versions below 1.52 repeat for the two oldest kinds of events.
        if matches!(kind, Kind::Container | Kind::Image) {
            message.status.clone_from(&message.action);
            message.id.clone_from(&message.actor.id);
        }
        if kind == Kind::Container
            && let Some(image) = message.actor.attributes.get("image")
        {
            message.from.clone_from(image);
        }
        let mut state = self.lock();
        message.time_nano = now().max(state.last + 1);
        message.time = message.time_nano / 1_000_000_000;
        state.last = message.time_nano;
        if let Err(error) = state.ring.append(&message) {
            tracing::warn!(%error, "event is not kept");
        }
        // Sent under the lock, so that all subscribers see one order. No subscriber is no error.
        let _ = self.live.send(Arc::new(message));
    }

    /// Follows the events that pass `filters`: first those since `since`, then those to come, until `until` (both
    /// nanoseconds since 1970; an `until` in the past ends the stream after the replay). With an end but no beginning
    /// the past is told as far as it is known, with neither only what is to come.
    ///
    /// # Errors
    /// [`EventFilterError`] when there is no such filter.
    pub fn subscribe(
        self: &Arc<Self>,
        since: Option<i64>,
        until: Option<i64>,
        filters: Filters,
    ) -> Result<Subscription, EventFilterError> {
        let filter = EventFilter::new(filters)?;
        let state = self.lock();
        let live = self.live.subscribe();
        let since = since.or(until.map(|_| 0));
        let past = since.map(|since| (state.ring.reader(), since));
        let seen = state.last;
        drop(state);
        Ok(Subscription::new(
            Arc::clone(self),
            filter,
            live,
            past,
            seen,
            until,
        ))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nanoseconds since 1970.
fn now() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
