//! Memory at rest: what a burst of work has used goes back to the kernel when it is over.

use std::sync::Arc;
use std::time::Duration;

use api_types::Filters;
use events::Events;

/// The allocator's heaps: one for the thread of all that is asynchronous, one for what blocks.
const HEAPS: i32 = 2;
/// At most so much unused memory stays at the end of each, in bytes.
const FREE: i32 = 256 << 10;
/// Blocks of so many bytes go back to the kernel as soon as they are freed.
const MAPPED: i32 = 1 << 20;
/// A burst is over when nothing has happened for so long.
const QUIET: Duration = Duration::from_secs(1);

/// Call it before the first thread is started.
pub(crate) fn prepare() {
    linux::process::share_heap(HEAPS);
    linux::process::bound_free_memory(FREE, MAPPED);
}

/// Gives memory back after each burst; ends with the bus.
pub(crate) async fn tidy(events: Arc<Events>) {
    // A filter that filters nothing is always known.
    let Ok(mut happened) = events.subscribe(None, None, Filters::default()) else {
        return;
    };
    while happened.next().await.is_some() {
        while let Ok(Some(_)) = tokio::time::timeout(QUIET, happened.next()).await {}
        // It walks through all heaps, which may take milliseconds.
        let _ = tokio::task::spawn_blocking(|| {
            linux::process::release_free_memory();
            linux::process::release_program();
        })
        .await;
    }
}
