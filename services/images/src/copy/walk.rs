//! What belongs to an image at a registry: the manifests of an index, and what refers to them.

use std::collections::BTreeSet;

use distribution::access::Access;
use distribution::{Document, Manifest, manifest};
use oci::digest::Digest;
use oci::image::Descriptor;
use oci::platform::Platform;
use oci::reference::Reference;
use signatures::place::is_beside;

use super::list_tag;
use crate::ImageError;
use crate::error::registry;

/// Indexes in indexes, and referrers of referrers, are followed so far.
const DEPTH: usize = 4;
/// An image with more manifests is one only by mistake.
const MOST_MANIFESTS: usize = 2_000;
/// The manifests of one image are held at once: together they may be so large, in bytes.
const MOST_BYTES: usize = 16 << 20;

/// All manifests to copy.
pub(super) struct Found {
    pub(super) top: Document,
    /// Those below it, and what refers to any of them; each after what it names.
    pub(super) beneath: Vec<Document>,
    /// Signatures and the like that are found by a tag, with that tag.
    pub(super) beside: Vec<(String, Document)>,
    /// What has referrers, with them.
    pub(super) referrers: Vec<(Digest, Vec<Descriptor>)>,
}

/// A step: to look into a document, or to have seen all that it names.
enum Step {
    Enter(Document, usize),
    Leave(Document),
}

pub(super) struct Walk<'a> {
    source: &'a Access,
    name: &'a Reference,
    referrers: bool,
    seen: BTreeSet<Digest>,
    bytes: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(source: &'a Access, name: &'a Reference, referrers: bool) -> Self {
        Self {
            source,
            name,
            referrers,
            seen: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// All that belongs to what `wanted`, a tag or a digest, stands for, or to its image for one platform.
    pub(super) async fn find(
        mut self,
        wanted: &str,
        platform: Option<&Platform>,
    ) -> Result<Found, ImageError> {
        let mut top = self.get(wanted).await?;
        if let Some(platform) = platform
            && let Manifest::Index(index) = self.parse(&top)?
        {
            let chosen = manifest::choose(&index, platform);
            let chosen = chosen.ok_or_else(|| ImageError::NoPlatform(platform.to_string()))?;
            top = self.get(&chosen.digest.to_string()).await?;
        }
        let mut found = Found {
            top: top.clone(),
            beneath: Vec::new(),
            beside: Vec::new(),
            referrers: Vec::new(),
        };
        self.follow(top, &mut found).await?;
        // The top itself is stored last, under its tag.
        found
            .beneath
            .retain(|document| document.digest != found.top.digest);
        if self.referrers {
            self.by_tag(&mut found).await?;
        }
        Ok(found)
    }

    async fn follow(&mut self, from: Document, found: &mut Found) -> Result<(), ImageError> {
        let mut steps = vec![Step::Enter(from, 0)];
        while let Some(step) = steps.pop() {
            let (document, depth) = match step {
                Step::Leave(document) => {
                    found.beneath.push(document);
                    continue;
                }
                Step::Enter(document, depth) => (document, depth),
            };
            if !self.seen.insert(document.digest.clone()) {
                continue;
            }
            let mut next = match self.parse(&document)? {
                Manifest::Index(index) => index.manifests,
                Manifest::Image(_) => Vec::new(),
            };
            if self.referrers {
                let asked = self.source.referrers(&document.digest).await;
                let referrers = asked.map_err(registry(self.name))?;
                next.extend_from_slice(&referrers);
                if !referrers.is_empty() {
                    found.referrers.push((document.digest.clone(), referrers));
                }
            }
            if depth == DEPTH && !next.is_empty() {
                return Err(self.too_much(format!("indexes are nested more than {DEPTH} deep")));
            }
            steps.push(Step::Leave(document));
            for child in next {
                if !self.seen.contains(&child.digest) {
                    let child = self.get(&child.digest.to_string()).await?;
                    steps.push(Step::Enter(child, depth + 1));
                }
            }
        }
        Ok(())
    }

    /// What signers put beside an image under a tag made of its digest.
    async fn by_tag(&mut self, found: &mut Found) -> Result<(), ImageError> {
        let own: BTreeSet<String> = self.seen.iter().map(list_tag).collect();
        for tag in self.source.tags().await.map_err(registry(self.name))? {
            let stem = tag.split('.').next().unwrap_or_default();
            // The bare list of referrers is made anew, if the target needs one.
            if stem != tag && is_beside(&tag) && own.contains(stem) {
                let document = self.get(&tag).await?;
                if let Manifest::Image(_) = self.parse(&document)? {
                    found.beside.push((tag, document));
                }
            }
        }
        Ok(())
    }

    async fn get(&mut self, wanted: &str) -> Result<Document, ImageError> {
        let document = self.source.manifest(wanted).await.map_err(registry(self.name))?;
        self.bytes += document.bytes.len();
        if self.seen.len() > MOST_MANIFESTS || self.bytes > MOST_BYTES {
            return Err(self.too_much(format!(
                "it has more than {MOST_MANIFESTS} manifests, or they are larger than {} MiB together",
                MOST_BYTES >> 20
            )));
        }
        Ok(document)
    }

    fn parse(&self, document: &Document) -> Result<Manifest, ImageError> {
        document.parse().map_err(registry(self.name))
    }

    fn too_much(&self, reason: String) -> ImageError {
        ImageError::Remote(format!("{}: {reason}", self.name.familiar()))
    }
}
