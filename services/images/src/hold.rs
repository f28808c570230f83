//! Holds: who needs an image.

use std::sync::{Arc, PoisonError};

use oci::digest::Digest;

use crate::Images;

/// How an image is used; Docker treats the two differently when the image is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// By something that runs: deletion cannot be forced.
    Running,
    /// By something that does not run now: deletion must be forced.
    Stopped,
}

#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) label: String,
    pub(crate) how: Use,
}

/// The promise that an image is not deleted (unless forced, see [`Use`]); ends when dropped.
#[derive(Debug)]
#[must_use = "a hold that is dropped holds nothing"]
pub struct Hold {
    images: Arc<Images>,
    image: Digest,
    number: u64,
}

impl Hold {
    pub(crate) fn new(images: Arc<Images>, image: Digest, number: u64) -> Self {
        Self {
            images,
            image,
            number,
        }
    }

    /// The image.
    pub fn image(&self) -> &Digest {
        &self.image
    }

    /// The holder was started or has ended.
    pub fn set_use(&self, how: Use) {
        let mut state = self.images.state.write().unwrap_or_else(PoisonError::into_inner);
        let entry = state.images.get_mut(&self.image);
        if let Some(holder) = entry.and_then(|entry| entry.holders.get_mut(&self.number)) {
            holder.how = how;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.images.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = state.images.get_mut(&self.image) {
            entry.holders.remove(&self.number);
        }
        drop(state);
        self.images.note_use(&self.image);
    }
}
