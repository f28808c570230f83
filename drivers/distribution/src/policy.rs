//! Signatures of images at a registry, and the policy that demands them.

use oci::digest::Digest;
use oci::image::Manifest as Image;
use oci::reference::Reference;
use signatures::{PublicKey, check, place};

use crate::access::{Access, is_absent};
use crate::error::DistributionError;
use crate::manifest::Manifest;

pub use signatures::Found as Signature;

/// What an image must have to be pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing.
    Nothing,
    /// It must not be pulled at all.
    Refuse,
    /// A signature by one of these keys.
    SignedBy(Vec<PublicKey>),
}

/// A line of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureRule {
    /// Which repositories: a registry, a registry with the beginning of a path, or `*`. The longest that fits counts.
    pub prefix: String,
    /// What is demanded of them.
    pub demand: Demand,
}

impl Access {
    /// All signatures of a manifest, whoever made them: under their own tag, and those that refer to it.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn signatures(&self, digest: &Digest) -> Result<Vec<Signature>, DistributionError> {
        let mut holders: Vec<Image> = Vec::new();
        match self.manifest(&place::tag(digest)).await {
            Ok(document) => {
                if let Manifest::Image(image) = document.parse()? {
                    holders.push(*image);
                }
            }
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error),
        }
        let referrers = self.referrers(digest).await?;
        let signing = referrers.iter().filter(|referrer| {
            referrer
                .extra
                .get("artifactType")
                .is_some_and(|kind| kind == place::ARTIFACT)
        });
        for referrer in signing.take(place::MOST) {
            if let Manifest::Image(image) = self.manifest(&referrer.digest.to_string()).await?.parse()? {
                holders.push(*image);
            }
        }
        let mut found = Vec::new();
        for (layer, signature) in holders.iter().flat_map(place::signatures).take(place::MOST) {
            found.push(Signature {
                payload: self.small_blob(layer, place::PAYLOAD_LIMIT).await?,
                signature: signature.to_owned(),
            });
        }
        Ok(found)
    }

    /// Holds the policy against what a name stands for.
    ///
    /// # Errors
    /// [`DistributionError::Untrusted`], or the registry's failure.
    pub async fn must_be_trusted(&self, name: &Reference, digest: &Digest) -> Result<(), DistributionError> {
        let Some(rule) = self.session.settings.signature_rule(&name.name()) else {
            return Ok(());
        };
        let refused = |reason: String| {
            Err(DistributionError::Untrusted {
                name: format!("{}@{digest}", name.name()),
                rule: rule.prefix.clone(),
                reason,
            })
        };
        let keys = match &rule.demand {
            Demand::Nothing => return Ok(()),
            Demand::Refuse => return refused("nothing may be pulled from there".to_owned()),
            Demand::SignedBy(keys) => keys,
        };
        let found = self.signatures(digest).await?;
        let mut reason = "it has no signature".to_owned();
        for (signature, key) in found
            .iter()
            .flat_map(|one| keys.iter().map(move |key| (one, key)))
        {
            match check(signature, key, name, digest) {
                Ok(_) => return Ok(()),
                // That a key of ours signed something else says more than that others signed, too.
                Err(error) => {
                    if error != signatures::SignatureError::OtherKey || reason.starts_with("it has no") {
                        reason = match error {
                            signatures::SignatureError::OtherKey => format!(
                                "none of its {} signatures is by a key that the policy names",
                                found.len()
                            ),
                            other => other.to_string(),
                        };
                    }
                }
            }
        }
        refused(reason)
    }
}
