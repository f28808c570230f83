//! One layer instead of many.

use std::os::fd::AsFd;
use std::sync::Arc;

use jiff::Timestamp;
use oci::image::{History, ImageConfig};

use crate::compare::{View, differences, pack_error};
use crate::layers::{Pin, Staged, piped};
use crate::make::{EMPTY_LAYER, encode};
use crate::names::new_name;
use crate::{Image, ImageError, Images};

/// How to squash.
#[derive(Clone, Debug, Default)]
pub struct SquashOptions {
    /// The image whose layers stay as they are; without it, all become one.
    pub since: Option<String>,
    /// The name for the new image: `(repository, tag)`, the tag may be empty.
    pub reference: Option<(String, String)>,
}

impl Images {
    /// Makes an image with the same file system and settings, but with one layer instead of all those above `since`: what
    /// one layer brings and a later one deletes or changes takes no more room. The image itself stays as it is.
    ///
    /// # Errors
    /// [`ImageError`]; [`ImageError::NotAbove`] if the image does not stand on `since`.
    pub async fn squash(self: &Arc<Self>, name: &str, options: SquashOptions) -> Result<Image, ImageError> {
        let image = self.resolve(name)?;
        let base = match &options.since {
            None => None,
            Some(base) => Some(self.resolve(base)?),
        };
        if let Some(base) = base
            .as_ref()
            .filter(|base| !image.chain_ids.starts_with(&base.chain_ids))
        {
            return Err(ImageError::NotAbove {
                image: image.id.short().to_owned(),
                base: base.id.short().to_owned(),
            });
        }
        let name = match &options.reference {
            None => None,
            Some((repository, tag)) => Some(new_name(repository, tag)?),
        };
        let squashed = self
            .blocking(move |images| {
                let above = images.mount(&image)?;
                let below = base.as_ref().map(|base| images.mount(base)).transpose()?;
                let staged = images.squash_layer(&image, below.as_ref(), &above)?;
                let kept = base.as_ref().map_or(0, |base| base.chain_ids.len());
                let empty = staged.diff_id.to_string() == EMPTY_LAYER;
                let config = squashed(&image, kept, (!empty).then_some(&staged));
                let below = below.and_then(|below| below.pin);
                let pin = match empty {
                    true => below,
                    false => Some(images.layers.register(below.as_ref(), staged)?),
                };
                durable::crash_point("images.squash.registered");
                let names: Vec<_> = name.into_iter().collect();
                let (image, _) = images.put(&encode(&config)?, base.map(|base| base.id), pin, &names)?;
                Ok(image)
            })
            .await?;
        self.plan_sync();
        for name in &squashed.repo_tags {
            self.tell("tag", &squashed, name);
        }
        Ok(squashed)
    }

    /// What makes the tree `above` of the tree `below` (or of nothing), as a layer.
    fn squash_layer(
        self: &Arc<Self>,
        image: &Image,
        below: Option<&View>,
        above: &View,
    ) -> Result<Staged, ImageError> {
        let root = above.root.as_fd();
        let chain = below.and_then(|below| below.pin.as_ref()).map(Pin::chain);
        let (_, staged) = piped(
            |out| {
                let options = archive::PackOptions::default();
                let packed = match below {
                    None => archive::pack(root, out, options),
                    Some(below) => {
                        let changes = differences(image, below, above)?;
                        archive::pack_changes(root, &changes, out, options)
                    }
                };
                packed.map_err(|source| pack_error(image, source))
            },
            |archive| self.layers.stage(chain, archive),
        )?;
        Ok(staged)
    }
}

/// The configuration of the new image: `kept` layers of the old one, and one more if there is one. Steps whose layers are
/// gone stay in the history, as Docker's `build --squash` has it.
fn squashed(image: &Image, kept: usize, layer: Option<&Staged>) -> ImageConfig {
    let mut config = (*image.config).clone();
    let mut above = 0;
    for step in config.history.iter_mut().filter(|step| !step.empty_layer) {
        above += 1;
        step.empty_layer = above > kept;
    }
    let now = Timestamp::now().to_string();
    let comment = match kept {
        0 => format!("create new from {}", image.id),
        _ => format!("merge {} above {kept} layers", image.id),
    };
    config.history.push(History {
        created: Some(now.clone()),
        comment,
        empty_layer: layer.is_none(),
        ..History::default()
    });
    config.created = Some(now);
    config.rootfs.diff_ids.truncate(kept);
    config
        .rootfs
        .diff_ids
        .extend(layer.map(|layer| layer.diff_id.clone()));
    config
}
