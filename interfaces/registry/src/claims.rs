//! Who is busy with which content: keeps the sweep away from what is being pushed.
//!
//! A push *pins* a digest from before it looks whether the content is there until the row that refers to it is durable. A
//! sweep *dooms* a digest before it removes the content, and may not doom what is pinned or was pinned since the sweep
//! began; a push waits until the doomed content is gone and stores it anew.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use oci::digest::Digest;
use tokio::sync::Notify;

/// The pins and dooms of one registry.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    pinned: HashMap<Digest, usize>,
    doomed: HashSet<Digest>,
    /// Everything that was pinned since the sweep began, while one is under way.
    since: Option<HashSet<Digest>>,
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the sweep away from `digest` until the pin is dropped.
    pub(crate) async fn pin(&self, digest: &Digest) -> Pin<'_> {
        loop {
            let changed = self.changed.notified();
            {
                let mut inner = self.lock();
                if !inner.doomed.contains(digest) {
                    *inner.pinned.entry(digest.clone()).or_default() += 1;
                    if let Some(since) = &mut inner.since {
                        since.insert(digest.clone());
                    }
                    return Pin {
                        claims: self,
                        digest: digest.clone(),
                    };
                }
            }
            changed.await;
        }
    }

    /// Begins a sweep; from now on every pin is remembered. There may be one at a time.
    pub(crate) fn begin_sweep(&self) -> Sweep<'_> {
        let mut inner = self.lock();
        inner.since = Some(inner.pinned.keys().cloned().collect());
        Sweep(self)
    }
}

/// See [`Claims::pin`].
#[derive(Debug)]
pub(crate) struct Pin<'a> {
    claims: &'a Claims,
    digest: Digest,
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut inner = self.claims.lock();
        if let Some(count) = inner.pinned.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                inner.pinned.remove(&self.digest);
            }
        }
    }
}

/// A sweep under way.
#[derive(Debug)]
pub(crate) struct Sweep<'a>(&'a Claims);

impl<'a> Sweep<'a> {
    /// Claims `digest` for removal, unless somebody needs it or has needed it since the sweep began.
    pub(crate) fn doom(&self, digest: &Digest) -> Option<Doom<'a>> {
        let mut inner = self.0.lock();
        let needed = inner.since.as_ref().is_none_or(|since| since.contains(digest));
        if needed || !inner.doomed.insert(digest.clone()) {
            return None;
        }
        Some(Doom {
            claims: self.0,
            digest: digest.clone(),
        })
    }
}

impl Drop for Sweep<'_> {
    fn drop(&mut self) {
        self.0.lock().since = None;
    }
}

/// Content that is being removed; pushes of it wait until this is dropped.
#[derive(Debug)]
pub(crate) struct Doom<'a> {
    claims: &'a Claims,
    digest: Digest,
}

impl Drop for Doom<'_> {
    fn drop(&mut self) {
        self.claims.lock().doomed.remove(&self.digest);
        self.claims.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_or_was_pinned_during_a_sweep_is_not_doomed() {
        let claims = Claims::default();
        let (before, during, after) = (Digest::sha256("1"), Digest::sha256("2"), Digest::sha256("3"));
        let pin = claims.pin(&before).await;
        let sweep = claims.begin_sweep();
        drop(pin);
        drop(claims.pin(&during).await);
        assert!(sweep.doom(&before).is_none() && sweep.doom(&during).is_none());
        assert!(sweep.doom(&after).is_some());
        drop(sweep);
        let sweep = claims.begin_sweep();
        assert!(sweep.doom(&before).is_some(), "the next sweep may");
    }

    #[tokio::test]
    async fn a_push_waits_until_doomed_content_is_gone() {
        let claims = Claims::default();
        let digest = Digest::sha256("1");
        let sweep = claims.begin_sweep();
        let doom = sweep.doom(&digest).unwrap();
        let mut pin = Box::pin(claims.pin(&digest));
        let mut now = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(pin.as_mut().poll(&mut now).is_pending());
        drop(doom);
        drop(pin.await);
    }
}
