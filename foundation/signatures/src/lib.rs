//! Signatures of images in sigstore's form, as cosign and skopeo make and check them: keys, the signed text, its place.
//!
//! A signature says: this key vouches that this repository has this manifest. It is made over a small JSON text
//! ([`Claim`]), which lies as a layer of an image beside the one that is signed ([`place`]). Pure data: nothing here asks a
//! registry, reads a file or knows the time. Start at [`check`].

mod claim;
mod error;
mod key;
mod pem;
pub mod place;
mod secret_box;

pub use claim::Claim;
pub use error::SignatureError;
pub use key::{PrivateKey, PublicKey};

use oci::digest::Digest;
use oci::reference::Reference;

/// A signature as it was found: the signed text, and the signature in Base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The bytes that were signed.
    pub payload: Vec<u8>,
    /// An ECDSA signature in DER, in Base64.
    pub signature: String,
}

/// Whether `found` is a signature by `key` for `name`, of which the manifest has `digest`.
///
/// The repository must be the one that was signed for; if the signature is for a tag, and a tag is asked for, that must be the
/// same one, too: else an older image could be passed for a newer one.
///
/// # Errors
/// [`SignatureError`]: what is wrong with it.
pub fn check(
    found: &Found,
    key: &PublicKey,
    name: &Reference,
    digest: &Digest,
) -> Result<Claim, SignatureError> {
    key.verify(&found.payload, &found.signature)?;
    let claim = Claim::parse(&found.payload)?;
    claim.must_mean(name, digest)?;
    Ok(claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_key_its_image_and_its_name() {
        let (own, other) = (
            PrivateKey::from_random([7; 32]).unwrap(),
            PrivateKey::from_random([8; 32]).unwrap(),
        );
        let name: Reference = Reference::parse_docker("reg.example/app:1").unwrap();
        let digest = Digest::sha256("manifest");
        let payload = Claim::new(&name, &digest, "test 1", 1).to_json();
        let found = Found {
            signature: own.sign(&payload),
            payload,
        };
        let check = |key: &PrivateKey, name: &str, digest: &Digest| {
            let name = Reference::parse_docker(name).unwrap();
            check(&found, &key.public(), &name, digest).map(drop)
        };
        assert_eq!(check(&own, "reg.example/app:1", &digest), Ok(()));
        assert_eq!(check(&own, &format!("reg.example/app@{digest}"), &digest), Ok(()));
        assert_eq!(
            check(&other, "reg.example/app:1", &digest),
            Err(SignatureError::OtherKey)
        );
        let another = Digest::sha256("another");
        assert!(matches!(
            check(&own, "reg.example/app:1", &another),
            Err(SignatureError::OtherImage { .. })
        ));
        assert!(matches!(
            check(&own, "reg.example/app:2", &digest),
            Err(SignatureError::OtherName { .. })
        ));
        assert!(matches!(
            check(&own, "reg.example/application:1", &digest),
            Err(SignatureError::OtherName { .. })
        ));
        let changed = Found {
            payload: Claim::new(&name, &another, "test 1", 1).to_json(),
            signature: found.signature.clone(),
        };
        let changed = super::check(&changed, &own.public(), &name, &another);
        assert_eq!(changed.map(drop), Err(SignatureError::OtherKey));
    }
}
