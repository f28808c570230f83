//! Finding a step again: among the children of the image before it, or in the history of `--cache-from`.

use images::{Image, Images};
use oci::digest::Digest;
use oci::image::{ImageConfig, RunConfig};

/// Whether two configurations are the same for the cache: what one container differs in does not count.
fn same(known: &RunConfig, wanted: &RunConfig) -> bool {
    let essence = |config: &RunConfig| {
        let mut config = config.clone();
        config.extra.clear();
        config.entrypoint = config.entrypoint.filter(|words| !words.is_empty());
        config
    };
    essence(known) == essence(wanted)
}

/// The newest image that was made from `parent` by the step `wanted`.
pub(crate) fn child(
    images: &Images,
    parent: Option<&Digest>,
    wanted: &RunConfig,
    base: &ImageConfig,
) -> Option<Image> {
    let is_it = |image: &Image| {
        let made_by = image.config.container_config.as_ref();
        made_by.is_some_and(|made_by| same(made_by, wanted))
            && image.config.platform() == base.platform()
            // Images without a parent may stand on anything.
            && (parent.is_some() || image.config.history.len() == base.history.len() + 1)
    };
    let children = images.children(parent).into_iter().filter(is_it);
    children.max_by(|a, b| a.config.created.cmp(&b.config.created))
}

/// The configuration that a step gives according to an image of `--cache-from`: its layers and history up to the step.
pub(crate) fn from_history(sources: &[Image], before: &ImageConfig, wanted: &RunConfig) -> Option<Restored> {
    let created_by = wanted.cmd.as_deref().unwrap_or_default().join(" ");
    let length = before.history.len();
    let known = |source: &&Image| {
        let config = &source.config;
        config.history.len() > length
            && config.history[..length] == before.history[..]
            && config.history[length].created_by == created_by
            && config.rootfs.diff_ids.starts_with(&before.rootfs.diff_ids)
            && config.platform() == before.platform()
    };
    let source = sources.iter().find(known)?;
    let step = source.config.history[length].clone();
    let layers = before.rootfs.diff_ids.len();
    let diff_id = match step.empty_layer {
        true => None,
        false => Some(source.config.rootfs.diff_ids.get(layers)?.clone()),
    };
    Some(Restored { step, diff_id })
}

/// A step out of a history.
#[derive(Clone, Debug)]
pub(crate) struct Restored {
    pub(crate) step: oci::image::History,
    pub(crate) diff_id: Option<Digest>,
}
