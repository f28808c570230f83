//! Taking names away and deleting images, by the rules of `docker rmi` and `docker image prune`.

use std::collections::BTreeSet;
use std::sync::Arc;

use api_types::Filters;
use api_types::image::{DeleteItem, PruneReport};
use events::Kind;
use oci::digest::Digest;
use oci::reference::Reference;

use crate::lookup::{created, until};
use crate::state::{Entry, stored_form};
use crate::{Image, ImageError, Images, Use};

/// How to delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Delete although stopped containers hold it or it has several names.
    pub force: bool,
    /// Keep parents that have no name.
    pub no_prune: bool,
}

/// Which obstacles stand against a deletion.
#[derive(Clone, Copy)]
struct Obstacles {
    /// Names: an obstacle only where the id was given and nothing is forced.
    names: bool,
    /// Holders that do not run.
    stopped: bool,
}

impl Images {
    /// Takes a name away, or deletes the image, by Docker's rules.
    ///
    /// # Errors
    /// [`ImageError::NotFound`], [`ImageError::NameInUse`], [`ImageError::InUse`].
    pub async fn remove(
        self: &Arc<Self>,
        name: &str,
        options: RemoveOptions,
    ) -> Result<Vec<DeleteItem>, ImageError> {
        let name = name.to_owned();
        self.blocking(move |images| {
            let _changing = images.lock_changes();
            images.remove_now(&name, options)
        })
        .await
    }

    fn remove_now(&self, name: &str, options: RemoveOptions) -> Result<Vec<DeleteItem>, ImageError> {
        let image = self.resolve(name)?;
        let is_id = image.id.to_string().starts_with(name) || image.id.hex().starts_with(name);
        let mut done = Vec::new();
        let single = is_single_reference(&self.names_of(&image.id));
        if is_id {
            if single {
                let obstacles = Obstacles {
                    names: false,
                    stopped: !options.force,
                };
                self.check(&image.id, obstacles)?;
                let names = self.names_of(&image.id);
                self.untag(&image, &names, &mut done)?;
            }
        } else {
            if !options.force && single {
                self.check_name_free(name, &image)?;
            }
            let given = stored_form(&Reference::parse_normalized(name)?);
            let mut gone = vec![given.clone()];
            let rest = self.names_of(&image.id);
            let same_repository = |other: &&Reference| **other != given && other.name() == given.name();
            if given.digest().is_none()
                && !rest
                    .iter()
                    .filter(same_repository)
                    .any(|other| other.digest().is_none())
            {
                // Digests of a repository without any tag left would be names that nobody sees.
                gone.extend(rest.iter().filter(same_repository).cloned());
            }
            self.untag(&image, &gone, &mut done)?;
            if !self.names_of(&image.id).is_empty() {
                return Ok(done);
            }
        }
        match self.delete(&image.id, options.force, &mut done) {
            // The name is gone; that the image itself stays because a container or a child needs it is no failure then.
            Err(ImageError::InUse { used: true, .. }) if !is_id => return Ok(done),
            other => other?,
        }
        if !options.no_prune {
            self.delete_unnamed_parents(image.parent.as_ref(), &mut done);
        }
        Ok(done)
    }

    pub(crate) fn delete_unnamed_parents(&self, parent: Option<&Digest>, done: &mut Vec<DeleteItem>) {
        let mut next = parent.cloned();
        while let Some(id) = next.take() {
            let Some(image) = self.get(&id) else { break };
            if self.delete(&id, false, done).is_err() {
                break;
            }
            next = image.parent;
        }
    }

    fn names_of(&self, id: &Digest) -> Vec<Reference> {
        let state = self.read();
        state
            .images
            .get(id)
            .map(|entry| entry.names.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Whether an image that would lose its last name is not in use.
    fn check_name_free(&self, name: &str, image: &Image) -> Result<(), ImageError> {
        let state = self.read();
        let holder = state
            .images
            .get(&image.id)
            .and_then(|entry| entry.holders.values().next());
        match holder {
            None => Ok(()),
            Some(holder) => Err(ImageError::NameInUse {
                name: name.to_owned(),
                user: holder.label.clone(),
                image: image.id.short().to_owned(),
            }),
        }
    }

    fn check(&self, id: &Digest, obstacles: Obstacles) -> Result<(), ImageError> {
        let state = self.read();
        let has_children = state.has_children(id);
        match state.images.get(id) {
            None => Err(ImageError::NotFound(id.to_string())),
            Some(entry) => check_entry(id, entry, has_children, obstacles),
        }
    }

    fn untag(
        &self,
        image: &Image,
        names: &[Reference],
        done: &mut Vec<DeleteItem>,
    ) -> Result<(), ImageError> {
        let mut transaction = self.tables.transaction();
        for name in names {
            transaction = transaction.delete(&self.name_table, &name.to_string());
        }
        transaction.commit().wait()?;
        durable::crash_point("images.remove.untagged");
        let mut state = self.write();
        for name in names {
            state.remove_name(name);
        }
        drop(state);
        for name in names {
            self.tell("untag", image, &image.id.to_string());
            done.push(DeleteItem {
                untagged: name.familiar(),
                ..DeleteItem::default()
            });
        }
        Ok(())
    }

    /// Deletes an image with its names. From the check on nobody can take a hold.
    fn delete(&self, id: &Digest, force: bool, done: &mut Vec<DeleteItem>) -> Result<(), ImageError> {
        let mut state = self.write();
        let has_children = state.has_children(id);
        let obstacles = Obstacles {
            names: !force,
            stopped: !force,
        };
        match state.images.get(id) {
            None => return Err(ImageError::NotFound(id.to_string())),
            Some(entry) => check_entry(id, entry, has_children, obstacles)?,
        }
        let Some(mut entry) = state.images.remove(id) else {
            return Err(ImageError::NotFound(id.to_string()));
        };
        let image = entry.snapshot(id);
        for name in &entry.names {
            state.names.remove(name);
        }
        drop(state);

        let mut transaction = self
            .tables
            .transaction()
            .delete(&self.image_table, &id.to_string())
            .delete(&self.origins, &id.to_string())
            .delete(&self.uses, &id.to_string());
        for name in &entry.names {
            transaction = transaction.delete(&self.name_table, &name.to_string());
        }
        durable::crash_point("images.remove.begun");
        if let Err(error) = transaction.commit().wait() {
            let mut state = self.write();
            for name in &entry.names {
                state.names.insert(name.clone(), id.clone());
            }
            state.images.insert(id.clone(), entry);
            return Err(error.into());
        }
        durable::crash_point("images.remove.recorded");
        for name in &entry.names {
            self.tell("untag", &image, &id.to_string());
            done.push(DeleteItem {
                untagged: name.familiar(),
                ..DeleteItem::default()
            });
        }
        let deleted = |deleted: String| DeleteItem {
            deleted,
            ..DeleteItem::default()
        };
        done.push(deleted(id.to_string()));
        let layers = entry
            .pin
            .take()
            .map(crate::layers::Pin::release)
            .unwrap_or_default();
        durable::crash_point("images.remove.released");
        done.extend(layers.iter().map(|chain| deleted(chain.to_string())));
        self.tell("delete", &image, &id.to_string());
        Ok(())
    }

    /// Deletes what nobody needs: unnamed images, or with the filter `dangling=false` all that no container holds.
    ///
    /// # Errors
    /// [`ImageError`] for unknown filters.
    pub async fn prune(self: &Arc<Self>, filters: &Filters) -> Result<PruneReport, ImageError> {
        let refuse = |error: api_types::filters::FilterError| ImageError::Filter(error.to_string());
        let known = ["dangling", "label", "label!", "until"];
        filters.accept_only(&known).map_err(refuse)?;
        let dangling_only = filters.flag("dangling", true).map_err(refuse)?;
        let before = filters.values("until").next().map(until).transpose()?;
        let filters = filters.clone();
        self.blocking(move |images| {
            let (_, size_before) = images.layers.usage();
            let mut removed = Vec::new();
            for id in images.prunable(dangling_only) {
                let Some(image) = images.get(&id) else { continue };
                let wanted = filters.matches_map("label", &image.config.config.labels)
                    && filters.matches_no_pair("label!", &image.config.config.labels)
                    && before.is_none_or(|before| created(&image) < Some(before));
                if !wanted {
                    continue;
                }
                let _changing = images.lock_changes();
                if images.prune_one(&image, dangling_only, &mut removed) {
                    images.delete_unnamed_parents(image.parent.as_ref(), &mut removed);
                }
            }
            let spooled = images
                .spools
                .sweep(true, |digest| !images.registries.is_busy(digest));
            let (_, size_after) = images.layers.usage();
            let reclaimed = size_before.saturating_sub(size_after) + spooled;
            let attributes = [("reclaimed".to_owned(), reclaimed.to_string())].into();
            images.events.publish(Kind::Image, "prune", "", attributes);
            Ok(PruneReport {
                images_deleted: Some(removed).filter(|removed| !removed.is_empty()),
                space_reclaimed: reclaimed,
            })
        })
        .await
    }

    pub(crate) fn prunable(&self, dangling_only: bool) -> Vec<Digest> {
        let state = self.read();
        let parents: BTreeSet<&Digest> = state
            .images
            .values()
            .filter_map(|entry| entry.row.parent.as_ref())
            .collect();
        let wanted = |(id, entry): &(&Digest, &Entry)| {
            let is_dangling = entry.names.is_empty() && !parents.contains(id);
            entry.holders.is_empty() && (is_dangling || !dangling_only && !parents.contains(id))
        };
        state
            .images
            .iter()
            .filter(wanted)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Whether the image is gone.
    pub(crate) fn prune_one(
        &self,
        image: &Image,
        dangling_only: bool,
        removed: &mut Vec<DeleteItem>,
    ) -> bool {
        let names = self.names_of(&image.id);
        let in_use = self.check(
            &image.id,
            Obstacles {
                names: dangling_only,
                stopped: true,
            },
        );
        let done = in_use
            .and_then(|()| self.untag(image, &names, removed))
            .and_then(|()| self.delete(&image.id, false, removed));
        match done {
            Ok(()) => true,
            // Somebody took a hold or a name meanwhile.
            Err(ImageError::InUse { .. } | ImageError::NotFound(_)) => false,
            Err(error) => {
                tracing::warn!(%error, image = %image.id, "image is not pruned");
                false
            }
        }
    }
}

fn check_entry(
    id: &Digest,
    entry: &Entry,
    has_children: bool,
    obstacles: Obstacles,
) -> Result<(), ImageError> {
    let refuse = |hard, used, reason: String| {
        Err(ImageError::InUse {
            image: id.short().to_owned(),
            hard,
            reason,
            used,
        })
    };
    let holder = |how| entry.holders.values().find(|holder| holder.how == how);
    if has_children {
        return refuse(true, true, "image has dependent child images".to_owned());
    }
    if let Some(holder) = holder(Use::Running) {
        return refuse(
            true,
            true,
            format!("image is being used by running {}", holder.label),
        );
    }
    if obstacles.names && !entry.names.is_empty() {
        return refuse(
            false,
            false,
            "image is referenced in multiple repositories".to_owned(),
        );
    }
    if let Some(holder) = holder(Use::Stopped).filter(|_| obstacles.stopped) {
        return refuse(
            false,
            true,
            format!("image is being used by stopped {}", holder.label),
        );
    }
    Ok(())
}

/// Docker's notion of «only one name»: at most one tag, and digests of its repository only.
fn is_single_reference(names: &[Reference]) -> bool {
    if names.len() <= 1 {
        return true;
    }
    let mut tags = names.iter().filter(|name| name.digest().is_none());
    let (tag, second) = (tags.next(), tags.next());
    if second.is_some() {
        return false;
    }
    let repositories: BTreeSet<String> = names
        .iter()
        .filter(|name| name.digest().is_some())
        .map(Reference::name)
        .collect();
    let single = tag.unwrap_or(&names[0]).name();
    repositories.len() == 1 && repositories.contains(&single)
}
