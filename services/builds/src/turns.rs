//! Identical steps of builds that run at the same time are made once: the others wait, and then find it in the cache.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use oci::digest::Digest;
use oci::image::RunConfig;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// The steps that are being made now.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<Digest, Weak<Turn<()>>>>);

impl Turns {
    /// Waits until nobody else makes this step; nobody else begins it until the guard is dropped. Says whether somebody did.
    pub(crate) async fn take(
        &self,
        parent: Option<&Digest>,
        wanted: &RunConfig,
    ) -> (OwnedMutexGuard<()>, bool) {
        let parent = parent.map(ToString::to_string).unwrap_or_default();
        let words = serde_json::to_string(wanted).unwrap_or_default();
        let turn = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, turn| turn.strong_count() > 0);
            let known = all
                .entry(Digest::sha256(format!("{parent} {words}")))
                .or_default();
            let turn = known.upgrade().unwrap_or_default();
            *known = Arc::downgrade(&turn);
            turn
        };
        match Arc::clone(&turn).try_lock_owned() {
            Ok(mine) => (mine, false),
            Err(_) => (turn.lock_owned().await, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_same_step_waits_and_another_does_not() {
        let turns = Turns::default();
        let step = |word: &str| RunConfig {
            cmd: Some(vec![word.to_owned()]),
            ..RunConfig::default()
        };
        let first = turns.take(None, &step("a")).await;
        drop(turns.take(None, &step("b")).await);
        drop(turns.take(Some(&Digest::sha256("")), &step("a")).await);
        let same = step("a");
        let mut second = Box::pin(turns.take(None, &same));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        let (second, waited) = second.await;
        assert!(waited);
        drop(second);
        assert!(turns.0.lock().unwrap().len() <= 1, "what is over is forgotten");
    }
}
