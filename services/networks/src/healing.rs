//! The watch over the firewall: whoever changes the ruleset, ours is whole again a moment later.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use netlink::nft::Watcher;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::Error;
use crate::service::{Networks, blocking};

/// A reload of somebody's rules comes as many notifications; look once at their end.
const SETTLE: Duration = Duration::from_millis(30);

/// Begin the watch; it ends with the service.
pub(crate) fn start(networks: &Arc<Networks>) -> Result<(), Error> {
    if networks.firewall.is_none() {
        return Ok(());
    }
    let watcher = Watcher::open().map_err(|e| Error::Watch(std::io::Error::other(e)))?;
    #[allow(
        deprecated,
        reason = "its successor is unsafe; the watcher owns its descriptor and never changes it"
    )]
    let watcher = AsyncFd::with_interest(watcher, Interest::READABLE).map_err(Error::Watch)?;
    let task = tokio::spawn(watch(watcher, Arc::downgrade(networks)));
    *networks
        .healer
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(task);
    Ok(())
}

async fn watch(mut watcher: AsyncFd<Watcher>, networks: Weak<Networks>) {
    let mut warned = BTreeSet::new();
    loop {
        match watcher.readable_mut().await {
            Ok(mut ready) => ready.clear_ready(),
            Err(error) => {
                tracing::error!(%error, "the watch over the firewall ended");
                return;
            }
        }
        tokio::time::sleep(SETTLE).await;
        if let Err(error) = watcher.get_mut().drain() {
            tracing::error!(%error, "the watch over the firewall ended");
            return;
        }
        let Some(networks) = networks.upgrade() else {
            return;
        };
        let Some(firewall) = networks.firewall.clone() else {
            return;
        };
        drop(networks);
        match blocking(move || firewall.heal().map_err(Error::from)).await {
            Ok(healed) => {
                if healed.restored {
                    tracing::info!("somebody changed dhow's firewall table: it was restored");
                }
                for chain in healed.opened {
                    tracing::info!(
                        chain,
                        "this chain drops forwarded packets: dhow's bridges are accepted in it"
                    );
                }
                for chain in healed.blocking.into_iter().filter(|c| warned.insert(c.clone())) {
                    tracing::warn!(
                        chain,
                        "this chain drops forwarded packets: containers may be cut off"
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "the firewall could not be healed"),
        }
    }
}
