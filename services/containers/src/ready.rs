//! Descriptors that tokio waits on.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::unix::AsyncFd;

/// Registers `inner`. Tokio's safe constructor is deprecated because a type may change its descriptor while it is
/// registered; those that come here own theirs and never change it, and the other constructor is `unsafe`.
pub(crate) fn register<T: AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    #[expect(deprecated, reason = "see above")]
    AsyncFd::new(inner)
}
