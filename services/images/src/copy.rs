//! An image from one registry to another, with all its platforms, past the store of this machine.
//!
//! Blobs go straight through: nothing of them is kept here. What the target has is not sent, what it has in another
//! repository is mounted. A manifest is stored after all that it names, and the tag is set last: whoever breaks a copy off
//! leaves nothing that points nowhere.

mod walk;

use std::sync::{Arc, Mutex, PoisonError};

use api_types::progress::{Detail, Message};
use distribution::access::{Access, Intent};
use distribution::{Document, Mounted, SendError};
use oci::digest::Digest;
use oci::image::{Descriptor, Index, media_type};
use oci::platform::Platform;
use oci::reference::Reference;
use tokio::task::JoinSet;

use crate::bar::{Bar, layer_line, line};
use crate::documents::{Asked, parts};
use crate::error::{registry, stream};
use crate::load::Progress;
use crate::{ImageError, Images};
use walk::{Found, Walk};

/// What to copy.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// From where.
    pub from: Asked,
    /// To where; without a tag, to `latest`, and with a digest only what has that digest.
    pub to: Asked,
    /// Only the image of this platform; without, all of an index, and the index.
    pub platform: Option<Platform>,
    /// Also what refers to it: signatures, attestations, bills of materials.
    pub referrers: bool,
}

/// Between two repositories.
#[derive(Clone)]
struct Way {
    source: Access,
    target: Access,
    /// What the source is called in messages.
    from: Reference,
    /// Its path, if the target can mount from there.
    mount: Option<String>,
    progress: Progress,
}

impl Images {
    /// Copies an image from one registry to another.
    ///
    /// # Errors
    /// [`ImageError::Registry`] of the source, [`ImageError::Push`] of the target; what was complete before stays there.
    pub async fn copy_remote(
        self: &Arc<Self>,
        options: CopyOptions,
        progress: Progress,
    ) -> Result<(), ImageError> {
        let (from, to) = (&options.from.reference, &options.to.reference);
        progress(line(format!("Copying {} to {}", from.familiar(), to.familiar())));
        let source = self.repository(&options.from, Intent::Look).await?;
        let mut target = self.repository(&options.to, Intent::Push).await?;
        let mount = (from.domain() == to.domain()).then(|| from.path().to_owned());
        target.allow_sources(mount.clone());
        let way = Way {
            source,
            target,
            from: from.clone(),
            mount,
            progress,
        };
        let wanted = options.from.wanted();
        let found = Walk::new(&way.source, from, options.referrers)
            .find(&wanted, options.platform.as_ref())
            .await?;
        let top = found.top.digest.clone();
        if to.digest().is_some_and(|digest| *digest != top) {
            return Err(ImageError::Remote(format!(
                "{} has digest {top}, not that of {}",
                from.familiar(),
                to.familiar()
            )));
        }
        for document in &found.beneath {
            self.copy_manifest(&way, document, &document.digest.to_string())
                .await?;
        }
        for (tag, document) in &found.beside {
            self.copy_manifest(&way, document, tag).await?;
        }
        way.list_referrers(&found).await?;
        let name = options.to.wanted();
        self.copy_manifest(&way, &found.top, &name).await?;
        let size = found.top.bytes.len();
        (way.progress)(line(format!("{name}: digest: {top} size: {size}")));
        (way.progress)(Message {
            progress_detail: Some(Detail::default()),
            aux: Some(serde_json::json!({"Tag": name, "Digest": top, "Size": size})),
            ..Message::default()
        });
        Ok(())
    }

    /// Copies what a manifest names, and then the manifest.
    async fn copy_manifest(
        self: &Arc<Self>,
        way: &Way,
        document: &Document,
        name: &str,
    ) -> Result<(), ImageError> {
        let mut blobs = parts(document.parse().map_err(registry(&way.from))?);
        blobs.retain(|blob| {
            let foreign = blob.media_type.contains("foreign") || blob.media_type.contains("nondistributable");
            if foreign {
                (way.progress)(layer_line(blob.digest.short(), "Skipped foreign layer"));
            }
            !foreign
        });
        blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
        blobs.dedup_by(|a, b| a.digest == b.digest);
        let mut tasks = JoinSet::new();
        for blob in blobs {
            let (images, way) = (Arc::clone(self), way.clone());
            tasks.spawn(async move {
                let _leave = images.registries.upload().await.ok_or(ImageError::ShuttingDown)?;
                way.copy_blob(&blob).await
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.map_err(|error| stream("copy a blob")(std::io::Error::other(error)))??;
        }
        let stored = way
            .target
            .put_manifest(name, &document.media_type, &document.bytes);
        stored.await.map(drop).map_err(ImageError::Push)
    }
}

impl Way {
    async fn copy_blob(&self, blob: &Descriptor) -> Result<(), ImageError> {
        let failed = ImageError::Push;
        let tell = |status: &str| (self.progress)(layer_line(blob.digest.short(), status));
        if self
            .target
            .blob_size(&blob.digest)
            .await
            .map_err(failed)?
            .is_some()
        {
            tell("Already exists");
            return Ok(());
        }
        let mut begun = None;
        if let Some(path) = &self.mount {
            match self.target.mount(&blob.digest, path).await.map_err(failed)? {
                Mounted::There => {
                    tell(&format!("Mounted from {path}"));
                    return Ok(());
                }
                Mounted::Not(upload) => begun = Some(*upload),
            }
        }
        let bar = Mutex::new(Bar::new(
            &self.progress,
            blob.digest.short(),
            "Copying",
            blob.size,
        ));
        let seen = |bytes| bar.lock().unwrap_or_else(PoisonError::into_inner).at(bytes);
        match self.target.relay(blob, &self.source, begun, seen).await {
            Ok(()) => {
                tell("Copied");
                Ok(())
            }
            Err(SendError::Source(error)) => Err(registry(&self.from)(error)),
            Err(SendError::Registry(error)) => Err(failed(error)),
        }
    }

    /// A registry of the time before referrers keeps no list of them: then the list is stored beside the image
    /// (distribution-spec, «Referrers Tag Schema»).
    async fn list_referrers(&self, found: &Found) -> Result<(), ImageError> {
        for (subject, referrers) in &found.referrers {
            let mut listed = self.target.referrers(subject).await.map_err(ImageError::Push)?;
            let missing = |one: &&Descriptor| !listed.iter().any(|there| there.digest == one.digest);
            let missing: Vec<Descriptor> = referrers.iter().filter(missing).cloned().collect();
            if missing.is_empty() {
                continue;
            }
            listed.extend(missing);
            let index = Index {
                schema_version: 2,
                media_type: media_type::OCI_INDEX.to_owned(),
                manifests: listed,
                annotations: Default::default(),
                extra: Default::default(),
            };
            let text = serde_json::to_vec(&index).map_err(|source| ImageError::Document {
                path: "the list of referrers".to_owned(),
                source,
            })?;
            let tag = list_tag(subject);
            let stored = self.target.put_manifest(&tag, media_type::OCI_INDEX, &text).await;
            stored.map_err(ImageError::Push)?;
        }
        Ok(())
    }
}

/// The tag of the list of what refers to a manifest; those of signatures begin with it, too.
fn list_tag(subject: &Digest) -> String {
    format!("{}-{}", subject.algorithm().name(), subject.hex())
}
