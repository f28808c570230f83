//! One follower of the bus.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api_types::event::Message;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::filter::EventFilter;
use crate::ring::RingReader;
use crate::{Events, now};

/// A stream of events, see [`Events::subscribe`]. A follower that is too slow for the bus reads what it missed from
/// the ring file.
#[derive(Debug)]
pub struct Subscription {
    events: Arc<Events>,
    filter: EventFilter,
    live: Receiver<Arc<Message>>,
    past: Option<(RingReader, i64)>,
    queue: VecDeque<Arc<Message>>,
    /// `timeNano` of the last event that was looked at.
    seen: i64,
    until: Option<i64>,
}

impl Subscription {
    pub(crate) fn new(
        events: Arc<Events>,
        filter: EventFilter,
        live: Receiver<Arc<Message>>,
        past: Option<(RingReader, i64)>,
        seen: i64,
        until: Option<i64>,
    ) -> Self {
        Self {
            events,
            filter,
            live,
            past,
            queue: VecDeque::new(),
            seen,
            until,
        }
    }

    /// The next event that passes the filters; `None` when `until` is reached.
    pub async fn next(&mut self) -> Option<Arc<Message>> {
        if let Some((reader, since)) = self.past.take() {
            // `since` itself is included.
            self.replay(reader, since.saturating_sub(1)).await;
        }
        loop {
            if let Some(event) = self.queue.pop_front() {
                return self.in_time(&event).then_some(event);
            }
            let received = match self.until {
                None => self.live.recv().await,
                Some(until) => {
                    let left = u64::try_from(until - now()).unwrap_or(0);
                    let wait = tokio::time::timeout(Duration::from_nanos(left), self.live.recv());
                    wait.await.ok()?
                }
            };
            match received {
                Ok(event) if event.time_nano <= self.seen => {}
                Ok(event) if !self.in_time(&event) => return None,
                Ok(event) => {
                    self.seen = event.time_nano;
                    if self.filter.passes(&event) {
                        return Some(event);
                    }
                }
                Err(RecvError::Lagged(_)) => {
                    let reader = self.events.lock().ring.reader();
                    self.replay(reader, self.seen).await;
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn in_time(&self, event: &Message) -> bool {
        self.until.is_none_or(|until| event.time_nano <= until)
    }

    async fn replay(&mut self, reader: RingReader, since: i64) {
        let filter = self.filter.clone();
        let read = move || {
            let last = std::cell::Cell::new(i64::MIN);
            let found = reader.read(since, |event| {
                last.set(event.time_nano);
                filter.passes(event)
            });
            (found, last.get())
        };
        // A reader that panicked has nothing to tell; the live events still come.
        let (found, last) = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        self.queue.extend(found.into_iter().map(Arc::new));
        self.seen = self.seen.max(last);
    }
}
