//! The record of the daemon's services: opened here in the order of their dependencies, closed in reverse.

use std::sync::Arc;

use anyhow::{Context, Result};
use buildkit::BuildKit;
use builds::Builds;
use containers::{Containers, Parts};
use durable::{InstanceTag, Store};
use events::Events;
use http_api::{Api, Daemon};
use images::Images;
use networks::Networks;
use volumes::Volumes;

use crate::config::Settings;
use crate::runtime_file::RuntimeFile;
use crate::{registries, storage, translate};

/// All services.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) events: Arc<Events>,
    pub(crate) images: Arc<Images>,
    pub(crate) volumes: Arc<Volumes>,
    pub(crate) networks: Arc<Networks>,
    pub(crate) containers: Arc<Containers>,
    pub(crate) builds: Arc<Builds>,
    pub(crate) buildkit: Arc<BuildKit>,
}

impl Services {
    /// Opens everything; `new_boot` says that the exec root holds nothing of this boot.
    pub(crate) async fn open(settings: &Settings, runtime: RuntimeFile, new_boot: bool) -> Result<Self> {
        let root = &settings.data_root;
        let tag = InstanceTag::of(root);
        let store = Store::open(&root.join("state.redb")).context("open the tables")?;
        let events = Arc::new(Events::open(&root.join("events.jsonl")).context("open the events")?);
        let volumes = Volumes::open(volumes::OpenOptions {
            data_root: root.clone(),
            tables: store.scope("volumes"),
            events: Arc::clone(&events),
        })
        .context("open the volumes")?;
        let images = Images::open(images::OpenOptions {
            data_root: root.clone(),
            driver: settings.storage_driver.clone(),
            storage: storage::options(&settings.storage_opts)?,
            tables: store.scope("images"),
            events: Arc::clone(&events),
        })
        .context("open the images")?;
        images.set_registries(registries::options(settings));
        let policy = storage::gc_policy(settings.image_gc.as_ref())?;
        let networks = Networks::open(
            translate::networks(settings, &tag)?,
            store.scope("networks"),
            Arc::clone(&events),
        )
        .await
        .context("open the networks")?;
        let exec_root = settings.exec_root.clone();
        let settings = translate::containers(settings, &tag, &runtime.path)?;
        let parts = Parts {
            events: Arc::clone(&events),
            images: Arc::clone(&images),
            volumes: Arc::clone(&volumes),
            networks: Arc::clone(&networks),
            runtime: Arc::new(runtime.sealed),
        };
        let containers = Containers::open(settings, store.scope("containers"), parts, new_boot)
            .await
            .context("open the containers")?;
        let builds = Builds::open(builds::OpenOptions {
            data_root: root.clone(),
            exec_root,
            events: Arc::clone(&events),
            images: Arc::clone(&images),
            containers: Arc::clone(&containers),
        })
        .await
        .context("open the builds")?;
        let buildkit = BuildKit::open(root, new_boot, Arc::clone(&builds), Arc::clone(&images))
            .context("open the place of clients' directories")?;
        // Not before the containers have taken their holds.
        if let Some(policy) = policy {
            images.keep_tidy(policy);
        }
        Ok(Self {
            events,
            images,
            volumes,
            networks,
            containers,
            builds,
            buildkit,
        })
    }

    /// The services as the API calls them.
    pub(crate) fn api(&self, daemon: Arc<Daemon>) -> Arc<Api> {
        Arc::new(Api {
            daemon,
            events: Arc::clone(&self.events),
            images: Arc::clone(&self.images),
            volumes: Arc::clone(&self.volumes),
            networks: Arc::clone(&self.networks),
            containers: Arc::clone(&self.containers),
            builds: Arc::clone(&self.builds),
            buildkit: Arc::clone(&self.buildkit),
        })
    }

    /// Closes everything; with `stop` the containers end too.
    pub(crate) async fn shutdown(&self, stop: bool) {
        self.containers.shutdown(stop).await;
        tracing::debug!("containers are closed");
        self.networks.shutdown().await;
        tracing::debug!("networks are closed");
        self.images.shutdown().await;
        tracing::debug!("images are closed");
    }
}
