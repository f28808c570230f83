//! What the daemon says about itself: fixed at its start, except for what a reload changes.

use std::sync::{PoisonError, RwLock};

use api_types::{ApiVersion, system};

/// Facts and settings of the daemon, for `/version` and `/info`.
#[derive(Debug)]
pub struct Daemon {
    pub(crate) version: system::Version,
    info: RwLock<system::Info>,
    pub(crate) unified_cgroups: bool,
    pub(crate) api_floor: ApiVersion,
}

impl Daemon {
    /// `version` and `info` are the answers of those endpoints, but for what changes by itself (counts, time).
    /// `unified_cgroups` says that containers are under cgroup v2, on which some old versions' defaults depend;
    /// `api_floor` is the oldest version to serve.
    pub fn new(
        version: system::Version,
        info: system::Info,
        unified_cgroups: bool,
        api_floor: ApiVersion,
    ) -> Self {
        Self {
            version,
            info: RwLock::new(info),
            unified_cgroups,
            api_floor,
        }
    }

    /// The present facts.
    pub fn info(&self) -> system::Info {
        self.info.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes facts after a reload of the configuration.
    pub fn update(&self, change: impl FnOnce(&mut system::Info)) {
        change(&mut self.info.write().unwrap_or_else(PoisonError::into_inner));
    }
}
