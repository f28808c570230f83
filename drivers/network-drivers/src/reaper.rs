//! Deletion of veth pairs off everybody's path: the kernel waits for all readers of the network stack for each
//! deletion (synchronize_net), but only once for a whole group of links.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use netlink::{LinkChange, Route};

use crate::driver::Gone;

/// The group number that dying links are put in («dhow» in ASCII); deleted together.
const GROUP: u32 = 0x6468_6f77;
/// How long the first dying link waits for company.
const GATHER: Duration = Duration::from_millis(20);
/// Groups larger than this would hold the kernel's lock for too long.
const MOST: usize = 64;

struct Dying {
    link: String,
    gone: Gone,
}

/// The thread that deletes, ended by the drop of this value after it has done all.
pub(crate) struct Reaper {
    queue: Option<Sender<Dying>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Reaper {
    /// Start it; it uses `route` for itself.
    pub(crate) fn start(route: Route) -> std::io::Result<Reaper> {
        let (queue, work) = channel();
        let thread = std::thread::Builder::new()
            .name("veth-reaper".to_owned())
            .stack_size(256 << 10)
            .spawn(move || run(route, &work))?;
        Ok(Reaper {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Delete `link` soon, then call `gone`.
    pub(crate) fn delete(&self, link: String, gone: Gone) {
        if let Some(queue) = &self.queue {
            // The thread ends only after this sender does.
            let _ = queue.send(Dying { link, gone });
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut route: Route, work: &Receiver<Dying>) {
    while let Ok(first) = work.recv() {
        let mut batch = vec![first];
        let until = Instant::now() + GATHER;
        while batch.len() < MOST {
            match work.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(next) => batch.push(next),
                Err(_) => break,
            }
        }
        delete_together(&mut route, &batch);
        for dying in batch {
            (dying.gone)();
        }
    }
}

/// Failures are not reported: the link is gone with its namespace, or the sweep of the next start finds it.
fn delete_together(route: &mut Route, batch: &[Dying]) {
    if let [only] = batch {
        let _ = route.delete_link(&only.link);
        return;
    }
    for dying in batch {
        if let Ok(Some(link)) = route.link(&dying.link) {
            let _ = route.set_link(
                link.index,
                &LinkChange {
                    group: Some(GROUP),
                    ..LinkChange::default()
                },
            );
        }
    }
    let _ = route.delete_group(GROUP);
}
