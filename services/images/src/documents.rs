//! The documents of a registry themselves: manifests, indexes, signatures, and the small blobs beside them.
//!
//! What `manifest` and `trust` of the command work on. Nothing of it becomes an image here.

use std::sync::Arc;

use distribution::access::{Access, Intent};
use distribution::policy::Signature;
use distribution::{Credentials, DistributionError, Document, Manifest, Settings};
use oci::digest::Digest;
use oci::image::{Descriptor, Index, media_type};
use oci::reference::{DEFAULT_TAG, Reference};

use crate::error::registry;
use crate::{ImageError, Images};

/// Larger blobs are layers, which are pulled.
pub const SMALL_BLOB: usize = 8 << 20;

/// Which repository of which registry, and who asks.
#[derive(Clone, Debug)]
pub struct Asked {
    /// With a tag or a digest where a manifest is meant; without both, `latest` is.
    pub reference: Reference,
    /// Who asks.
    pub credentials: Credentials,
    /// The registry need not prove who it is, and may speak plain HTTP.
    pub insecure: bool,
}

impl Asked {
    /// The tag, or the digest.
    pub(crate) fn wanted(&self) -> String {
        match (self.reference.digest(), self.reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or(DEFAULT_TAG).to_owned(),
        }
    }

    async fn open(&self, settings: Arc<Settings>, intent: Intent) -> Result<Access, ImageError> {
        let settings = match self.insecure {
            true => {
                let mut changed = (*settings).clone();
                changed.insecure.push(self.reference.domain().to_owned());
                Arc::new(changed)
            }
            false => settings,
        };
        Access::open(&settings, &self.credentials, &self.reference, intent)
            .await
            .map_err(registry(&self.reference))
    }
}

impl Images {
    pub(crate) async fn repository(&self, asked: &Asked, intent: Intent) -> Result<Access, ImageError> {
        asked.open(self.registries.settings(), intent).await
    }

    /// The manifest or index that a name stands for, as it is.
    ///
    /// # Errors
    /// [`ImageError::Registry`].
    pub async fn remote_manifest(&self, asked: &Asked) -> Result<Document, ImageError> {
        let place = self.repository(asked, Intent::Look).await?;
        let found = place.manifest(&asked.wanted()).await;
        found.map_err(registry(&asked.reference))
    }

    /// Stores a manifest or an index under the name; with `from`, a repository of the same registry, what it names and the
    /// target lacks is brought from there.
    ///
    /// # Errors
    /// [`ImageError::Push`]; [`ImageError::Remote`] if the bytes are no manifest or not those of the name's digest.
    pub async fn put_remote_manifest(
        &self,
        asked: &Asked,
        media_type: &str,
        bytes: Vec<u8>,
        from: Option<&str>,
    ) -> Result<Digest, ImageError> {
        let name = asked.reference.familiar();
        let document = Document::new(&name, media_type, bytes).map_err(ImageError::Push)?;
        if let Some(digest) = asked.reference.digest()
            && !digest.verifies(&document.bytes)
        {
            return Err(ImageError::Remote(format!(
                "the manifest has digest {}, not that of {name}",
                document.digest
            )));
        }
        let mut target = self.repository(asked, Intent::Push).await?;
        if let Some(from) = from.filter(|from| *from != asked.reference.path()) {
            target.allow_sources([from.to_owned()]);
            let source = target.beside(from);
            for part in parts(document.parse().map_err(ImageError::Push)?) {
                target.bring(&part, &source).await.map_err(ImageError::Push)?;
            }
        }
        target
            .put_manifest(&asked.wanted(), &document.media_type, &document.bytes)
            .await
            .map_err(ImageError::Push)
    }

    /// Removes a manifest from a registry.
    ///
    /// # Errors
    /// [`ImageError::Registry`].
    pub async fn delete_remote_manifest(&self, asked: &Asked) -> Result<(), ImageError> {
        let place = self.repository(asked, Intent::Delete).await?;
        let done = place.delete_manifest(&asked.wanted()).await;
        done.map_err(registry(&asked.reference))
    }

    /// A small blob, such as a configuration or a signature.
    ///
    /// # Errors
    /// [`ImageError::Registry`], also if it is larger than [`SMALL_BLOB`].
    pub async fn remote_blob(&self, asked: &Asked, digest: &Digest) -> Result<Vec<u8>, ImageError> {
        let failed = registry(&asked.reference);
        let place = self.repository(asked, Intent::Look).await?;
        let size = place.blob_size(digest).await.map_err(&failed)?;
        let size = size.ok_or_else(|| failed(DistributionError::BlobUnknown(digest.clone())))?;
        let descriptor = Descriptor::new("", digest.clone(), size);
        place.small_blob(&descriptor, SMALL_BLOB).await.map_err(failed)
    }

    /// Stores a small blob, which has this digest.
    ///
    /// # Errors
    /// [`ImageError::Push`].
    pub async fn put_remote_blob(
        &self,
        asked: &Asked,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<(), ImageError> {
        let place = self.repository(asked, Intent::Push).await?;
        place.put_blob(digest, bytes).await.map_err(ImageError::Push)
    }

    /// All tags of the repository.
    ///
    /// # Errors
    /// [`ImageError::Registry`].
    pub async fn remote_tags(&self, asked: &Asked) -> Result<Vec<String>, ImageError> {
        let place = self.repository(asked, Intent::Look).await?;
        place.tags().await.map_err(registry(&asked.reference))
    }

    /// The signatures of the manifest that a name stands for, whoever made them; the daemon's policy has no part in it.
    ///
    /// # Errors
    /// [`ImageError::Registry`].
    pub async fn remote_signatures(&self, asked: &Asked) -> Result<Vec<Signature>, ImageError> {
        let failed = registry(&asked.reference);
        let place = self.repository(asked, Intent::Look).await?;
        let digest = match asked.reference.digest() {
            Some(digest) => digest.clone(),
            None => place.manifest(&asked.wanted()).await.map_err(&failed)?.digest,
        };
        place.signatures(&digest).await.map_err(failed)
    }

    /// What refers to the manifest that a name stands for: signatures, bills of materials and the like.
    ///
    /// # Errors
    /// [`ImageError::Registry`].
    pub async fn remote_referrers(&self, asked: &Asked) -> Result<Index, ImageError> {
        let failed = registry(&asked.reference);
        let place = self.repository(asked, Intent::Look).await?;
        let digest = match asked.reference.digest() {
            Some(digest) => digest.clone(),
            None => place.manifest(&asked.wanted()).await.map_err(&failed)?.digest,
        };
        let manifests = place.referrers(&digest).await.map_err(failed)?;
        Ok(Index {
            schema_version: 2,
            media_type: media_type::OCI_INDEX.to_owned(),
            manifests,
            annotations: Default::default(),
            extra: Default::default(),
        })
    }
}

/// The blobs that a manifest needs beside it; an index needs none.
pub(crate) fn parts(manifest: Manifest) -> Vec<Descriptor> {
    match manifest {
        Manifest::Image(image) => [vec![image.config], image.layers].concat(),
        Manifest::Index(_) => Vec::new(),
    }
}
