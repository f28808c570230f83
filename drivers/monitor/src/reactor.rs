//! The one epoll instance of a face: which files are watched, for what, and under which name.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// Events of one file: readable, writable, or only errors and hang-ups (which are always told).
pub(crate) type Interest = EventFlags;

/// A watched file's place in the reactor; lives beside the file it watches.
#[derive(Debug)]
pub(crate) struct Watch {
    token: u64,
    interest: Option<Interest>,
}

impl Watch {
    /// Not yet watching anything.
    pub(crate) fn new(token: u64) -> Self {
        Watch {
            token,
            interest: None,
        }
    }

    /// Watches `file` for exactly this from now on. Cheap if nothing changes.
    pub(crate) fn set(
        &mut self,
        reactor: &Reactor,
        file: impl AsFd,
        interest: Interest,
    ) -> Result<(), Errno> {
        if self.interest == Some(interest) {
            return Ok(());
        }
        let data = EventData::new_u64(self.token);
        match self.interest {
            None => epoll::add(&reactor.epoll, file, data, interest)?,
            Some(_) => epoll::modify(&reactor.epoll, file, data, interest)?,
        }
        self.interest = Some(interest);
        Ok(())
    }

    /// Stops watching; needed only if the file stays open elsewhere.
    pub(crate) fn clear(&mut self, reactor: &Reactor, file: impl AsFd) {
        if self.interest.take().is_some() {
            // It fails only for a file that is not watched.
            let _ = epoll::delete(&reactor.epoll, file);
        }
    }
}

/// An epoll instance.
pub(crate) struct Reactor {
    epoll: OwnedFd,
    events: [Event; 16],
}

impl Reactor {
    pub(crate) fn new() -> Result<Self, Errno> {
        let none = Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        Ok(Reactor {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: [none; 16],
        })
    }

    /// Waits for events, at most this long; gives tokens and flags.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<impl Iterator<Item = (u64, EventFlags)> + use<>, Errno> {
        let timeout = timeout.map(|time| rustix::event::Timespec {
            tv_sec: time.as_secs().min(1 << 30) as i64,
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        let count = match epoll::wait(&self.epoll, &mut self.events[..], timeout.as_ref()) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(errno) => return Err(errno),
        };
        Ok(self
            .events
            .into_iter()
            .take(count)
            .map(|event| (event.data.u64(), event.flags)))
    }
}

impl std::fmt::Debug for Reactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reactor")
            .field("epoll", &self.epoll)
            .finish_non_exhaustive()
    }
}
