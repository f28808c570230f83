//! Giving names.

use std::sync::Arc;

use oci::digest::Digest;
use oci::reference::Reference;

use crate::service::now;
use crate::state::stored_form;
use crate::{ImageError, Images};

impl Images {
    /// Gives the image `source` the further name `repository:tag` (`tag` may be empty).
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn tag(self: &Arc<Self>, source: &str, repository: &str, tag: &str) -> Result<(), ImageError> {
        let image = self.resolve(source)?;
        let name = new_name(repository, tag)?;
        self.set_reference(&image.id, &name).await?;
        self.tell("tag", &image, &name.familiar());
        Ok(())
    }

    /// Gives the image `id` the canonical name `reference` (with tag or digest), taking it from another image.
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn set_reference(
        self: &Arc<Self>,
        id: &Digest,
        reference: &Reference,
    ) -> Result<(), ImageError> {
        let (id, name) = (id.clone(), stored_form(reference));
        self.blocking(move |images| {
            let _changing = images.lock_changes();
            let row = images.read().images.get(&id).map(|entry| entry.row.clone());
            let mut row = row.ok_or_else(|| ImageError::NotFound(id.to_string()))?;
            row.last_tagged = Some(now());
            let transaction = images
                .tables
                .transaction()
                .put(&images.image_table, &id.to_string(), &row);
            let transaction = images.name_rows(transaction, &id, std::slice::from_ref(&name));
            transaction.commit().wait()?;
            durable::crash_point("images.tag.recorded");
            let mut state = images.write();
            if let Some(entry) = state.images.get_mut(&id) {
                entry.row = row;
            }
            state.add_name(name, &id);
            Ok(())
        })
        .await
    }
}

/// A name that a person gives to an image.
pub(crate) fn new_name(repository: &str, tag: &str) -> Result<Reference, ImageError> {
    let mut name = Reference::parse_normalized(repository)?;
    if !tag.is_empty() {
        name = name.with_tag(tag)?;
    }
    if name.digest().is_some() {
        return Err(ImageError::Name(
            "refusing to create a tag with a digest reference",
        ));
    }
    if name.familiar_name() == "sha256" {
        return Err(ImageError::Name(
            "refusing to create an ambiguous tag using digest algorithm as name",
        ));
    }
    Ok(name.tag_or_latest())
}
