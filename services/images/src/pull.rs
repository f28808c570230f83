//! Images from a registry.
//!
//! All layers come at once (as many as are allowed), each is unpacked while it arrives, and they become layers of the
//! store from the lowest up. What has come stays in a [spool](crate::spool) until the image is whole, so that a pull
//! that was broken off, or whose daemon was killed, goes on where it was. Dropping the future gives the pull up.

mod layers;
mod remote;

use std::sync::Arc;

use distribution::Credentials;
use distribution::access::{Access, Intent};
use oci::digest::Digest;
use oci::platform::Platform;
use oci::reference::Reference;
use signatures::place::is_beside;

use crate::bar::line;
use crate::error::{is_full, registry};
use crate::load::Progress;
use crate::origins::Origin;
use crate::{ImageError, Images};

pub use remote::RemoteImage;
use remote::Resolved;

/// What to pull.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// With a tag or a digest; with neither, all tags are meant.
    pub reference: Reference,
    /// The platform, if not the host's.
    pub platform: Option<Platform>,
    /// Who asks.
    pub credentials: Credentials,
}

impl PullOptions {
    /// From what a client says: a name, and a tag or a digest beside it, which may be empty.
    ///
    /// # Errors
    /// [`ImageError::Reference`].
    pub fn new(name: &str, tag: &str) -> Result<Self, ImageError> {
        // `pull -a` of old clients sends the name with a colon behind it.
        let mut reference = Reference::parse_normalized(name.strip_suffix(':').unwrap_or(name))?;
        if let Ok(digest) = tag.parse::<Digest>() {
            reference = reference.without_tag_and_digest().with_digest(digest);
        } else if !tag.is_empty() {
            reference = reference.with_tag(tag)?;
        }
        if reference.familiar_name() == "scratch" {
            return Err(ImageError::Name("'scratch' is a reserved name"));
        }
        Ok(Self {
            reference,
            platform: None,
            credentials: Credentials::Anonymous,
        })
    }
}

impl Images {
    /// Pulls an image, or all tags of a repository.
    ///
    /// # Errors
    /// [`ImageError`]; what was complete before the failure stays.
    pub async fn pull(self: &Arc<Self>, options: PullOptions, progress: Progress) -> Result<(), ImageError> {
        let settings = self.registries.settings();
        let places = Access::places(&settings, &options.credentials, &options.reference, Intent::Pull)
            .map_err(registry(&options.reference))?;
        let mut last = None;
        for place in places {
            let mirror = place.is_mirror();
            let tried = self.pull_from(&place, &options, &progress).await;
            match tried {
                Ok(()) => {
                    self.plan_sync();
                    return Ok(());
                }
                Err(ImageError::Registry { cause, reference }) if cause.may_be_elsewhere() => {
                    // A registry that answers is the one; only who stands in for it, or does not answer, may be passed over.
                    let over = mirror || cause.is_passing();
                    tracing::debug!(error = %cause, %reference, mirror, "pull failed at one place");
                    let error = ImageError::Registry { cause, reference };
                    if !over {
                        return Err(error);
                    }
                    last = Some(error);
                }
                Err(other) => return Err(other),
            }
        }
        Err(last.unwrap_or_else(|| ImageError::NotFound(options.reference.familiar())))
    }

    /// Forgets what was kept of layers, but not where another pull is at one of them.
    fn drop_spools(&self, layers: &[Digest]) {
        for digest in layers {
            if !self.registries.is_busy(&digest.to_string()) {
                self.spools.remove(digest);
            }
        }
    }

    async fn pull_from(
        self: &Arc<Self>,
        place: &Access,
        options: &PullOptions,
        progress: &Progress,
    ) -> Result<(), ImageError> {
        let name = &options.reference;
        place.ping().await.map_err(registry(name))?;
        let mut news = false;
        if name.is_name_only() {
            for tag in place.tags().await.map_err(registry(name))? {
                // A registry may call anything a tag; what is none cannot be named here.
                let Ok(tagged) = name.with_tag(&tag) else { continue };
                // Signatures and lists of referrers have tags, too.
                if is_beside(&tag) {
                    continue;
                }
                news |= self.pull_one(place, &tagged, options, progress).await?;
            }
        } else {
            news = self.pull_one(place, name, options, progress).await?;
        }
        let status = match news {
            true => format!("Status: Downloaded newer image for {}", name.familiar()),
            false => format!("Status: Image is up to date for {}", name.familiar()),
        };
        progress(line(status));
        Ok(())
    }

    /// Pulls one tag or digest; whether anything is new here.
    async fn pull_one(
        self: &Arc<Self>,
        place: &Access,
        name: &Reference,
        options: &PullOptions,
        progress: &Progress,
    ) -> Result<bool, ImageError> {
        let resolved = remote::resolve(place, name, options.platform.as_ref()).await?;
        place
            .must_be_trusted(name, &resolved.top)
            .await
            .map_err(registry(name))?;
        let shown = match (name.tag(), name.digest()) {
            (_, Some(digest)) => digest.to_string(),
            (Some(tag), None) => tag.to_owned(),
            (None, None) => String::new(),
        };
        progress(api_types::progress::Message {
            id: shown,
            ..line(format!("Pulling from {}", path(name)))
        });
        durable::crash_point("images.pull.resolved");
        let names = [
            stored(name),
            name.without_tag_and_digest().with_digest(resolved.top.clone()),
        ];
        let id = resolved.manifest.config.digest.clone();
        // Whoever wants the same image waits for the first one, and finds it here.
        let _alone = self.registries.alone(&id.to_string()).await;
        let news = !self.has_name(&id, &names[0]);
        let layers = &resolved.manifest.layers;
        let spent: Vec<Digest> = layers.iter().map(|layer| layer.digest.clone()).collect();
        if !self.name_if_here(&id, &names).await?
            && let Err(error) = self.fetch(place, name, &resolved, &names, progress).await
        {
            if is_full(&error) {
                // What would spare the next pull some of its way must not keep the whole daemon out of room.
                self.blocking(move |images| {
                    images.drop_spools(&spent);
                    Ok(())
                })
                .await?;
            }
            return Err(error);
        }
        let origin = Origin {
            repository: name.name(),
            media_type: resolved.document.media_type.clone(),
            manifest: String::from_utf8_lossy(&resolved.document.bytes).into_owned(),
        };
        let (image, told) = (id.clone(), name.familiar());
        self.blocking(move |images| {
            images.remember(&image, origin)?;
            images.drop_spools(&spent);
            Ok(())
        })
        .await?;
        durable::crash_point("images.pull.remembered");
        if let Some(image) = self.get(&id) {
            self.tell("pull", &image, &told);
        }
        progress(line(format!("Digest: {}", resolved.top)));
        Ok(news)
    }

    /// Gives an image these names; false when it is not here, or is deleted at this moment.
    async fn name_if_here(self: &Arc<Self>, id: &Digest, names: &[Reference]) -> Result<bool, ImageError> {
        if self.get(id).is_none() {
            return Ok(false);
        }
        for name in names.iter().filter(|name| !self.has_name(id, name)) {
            match self.set_reference(id, name).await {
                Err(ImageError::NotFound(_)) => return Ok(false),
                other => other?,
            }
        }
        Ok(true)
    }

    /// Gets what is missing of an image, and makes it.
    async fn fetch(
        self: &Arc<Self>,
        place: &Access,
        name: &Reference,
        resolved: &Resolved,
        names: &[Reference],
        progress: &Progress,
    ) -> Result<(), ImageError> {
        let (text, config) = remote::configuration(place, name, &resolved.manifest).await?;
        let pin = self
            .fetch_layers(
                place,
                name,
                &resolved.manifest.layers,
                &config.rootfs.diff_ids,
                progress,
            )
            .await?;
        durable::crash_point("images.pull.unpacked");
        let names = names.to_vec();
        self.blocking(move |images| images.put(&text, None, pin, &names))
            .await?;
        durable::crash_point("images.pull.put");
        Ok(())
    }
}

/// The name that the image gets: a digest wins over a tag.
fn stored(name: &Reference) -> Reference {
    crate::state::stored_form(name)
}

/// The repository as docker shows it while pulling: `library/alpine`, `host:5000/a`… without the registry.
fn path(name: &Reference) -> String {
    name.path().to_owned()
}
