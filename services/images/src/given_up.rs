//! Work on blocking threads that ends when nobody waits for it any more.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Held by the future that waits: dropped with it, and then what reads through a [`Wanted`] fails.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Wanted);

impl Waiting {
    /// For the work.
    pub(crate) fn wanted(&self) -> Wanted {
        self.0.clone()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.given_up.store(true, Ordering::Relaxed);
    }
}

/// Whether somebody still waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    given_up: Arc<AtomicBool>,
}

impl Wanted {
    /// Reads `inner` as long as somebody waits. It stands behind what decompresses: a few bytes of an archive may become
    /// gigabytes.
    pub(crate) fn reader<R: Read>(&self, inner: R) -> WantedReader<R> {
        let wanted = self.clone();
        WantedReader { inner, wanted }
    }
}

/// From [`Wanted::reader`].
#[derive(Debug)]
pub(crate) struct WantedReader<R> {
    inner: R,
    wanted: Wanted,
}

impl<R: Read> Read for WantedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.wanted.given_up.load(Ordering::Relaxed) {
            let gone = "nobody waits for it any more";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, gone));
        }
        self.inner.read(buffer)
    }
}
