//! Keys: ECDSA over P-256, the kind that `cosign generate-key-pair` makes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _};
use sha2::{Digest as _, Sha256};

use crate::{SignatureError, pem, secret_box};

const PUBLIC: &str = "PUBLIC KEY";
/// cosign's label since version 2, and the one before, which every reader knows.
const SEALED: [&str; 2] = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];
const PLAIN: &str = "PRIVATE KEY";

/// Checks signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// Makes signatures. Never shown by `Debug`.
pub struct PrivateKey(SigningKey);

impl PublicKey {
    /// From a PEM text (SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// [`SignatureError::Key`]: no key, or one of another kind than ECDSA P-256.
    pub fn from_pem(text: &str) -> Result<Self, SignatureError> {
        let key = VerifyingKey::from_public_key_der(&pem::decode(text, &[PUBLIC])?);
        key.map(Self)
            .map_err(|_| SignatureError::Key("it is no public key for ECDSA P-256"))
    }

    fn der(&self) -> Vec<u8> {
        // A point of the curve has a DER form.
        self.0
            .to_public_key_der()
            .map(|der| der.into_vec())
            .unwrap_or_default()
    }

    /// As a PEM text.
    pub fn to_pem(&self) -> String {
        pem::encode(PUBLIC, &self.der())
    }

    /// The SHA-256 of its DER form in hexadecimal digits: a name for people to compare.
    pub fn id(&self) -> String {
        let hash = Sha256::digest(self.der());
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether `signature` (DER in Base64) is this key's for `text`.
    ///
    /// # Errors
    /// [`SignatureError::Form`], [`SignatureError::OtherKey`].
    pub fn verify(&self, text: &[u8], signature: &str) -> Result<(), SignatureError> {
        let der = STANDARD.decode(signature);
        let der = der.map_err(|_| SignatureError::Form("it is not Base64"))?;
        let signature =
            Signature::from_der(&der).map_err(|_| SignatureError::Form("it is no ECDSA signature"))?;
        let verified = self.0.verify(text, &signature);
        verified.map_err(|_| SignatureError::OtherKey)
    }
}

impl PrivateKey {
    /// From 32 random bytes; one in 2^32 cannot be a key, and others must be tried.
    ///
    /// # Errors
    /// [`SignatureError::Key`].
    pub fn from_random(random: [u8; 32]) -> Result<Self, SignatureError> {
        let key = SigningKey::from_slice(&random);
        key.map(Self)
            .map_err(|_| SignatureError::Key("these bytes are no key"))
    }

    /// From a PEM text: sealed as cosign seals, or PKCS #8 without a passphrase.
    ///
    /// # Errors
    /// [`SignatureError::Passphrase`], [`SignatureError::Key`].
    pub fn from_pem(text: &str, passphrase: &[u8]) -> Result<Self, SignatureError> {
        let der = match Self::is_sealed(text) {
            true => secret_box::open(&pem::decode(text, &SEALED)?, passphrase)?,
            false => pem::decode(text, &[PLAIN])?,
        };
        let key = SigningKey::from_pkcs8_der(&der);
        key.map(Self)
            .map_err(|_| SignatureError::Key("it is no private key for ECDSA P-256"))
    }

    /// Whether a PEM text holds a key that needs a passphrase.
    pub fn is_sealed(text: &str) -> bool {
        SEALED.iter().any(|label| text.contains(label))
    }

    /// As a PEM text, sealed; `random` must never be used again.
    ///
    /// # Errors
    /// [`SignatureError::Key`], which only a broken machine has.
    pub fn to_pem(&self, passphrase: &[u8], random: &[u8; 56]) -> Result<String, SignatureError> {
        let der = self.0.to_pkcs8_der();
        let der = der.map_err(|_| SignatureError::Key("it has no DER form"))?;
        let sealed = secret_box::seal(der.as_bytes(), passphrase, random)?;
        Ok(pem::encode(SEALED[1], &sealed))
    }

    /// The other half.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.verifying_key())
    }

    /// A signature of `text`: DER in Base64. The same for the same text (RFC 6979).
    pub fn sign(&self, text: &[u8]) -> String {
        let signature: Signature = self.0.sign(text);
        STANDARD.encode(signature.to_der())
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PrivateKey").field(&self.public().id()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_and_read() {
        let key = PrivateKey::from_random([5; 32]).unwrap();
        let public = PublicKey::from_pem(&key.public().to_pem()).unwrap();
        assert_eq!(public, key.public());
        assert_eq!(public.id().len(), 64);
        let sealed = key.to_pem(b"word", &[1; 56]).unwrap();
        assert!(PrivateKey::is_sealed(&sealed));
        let opened = PrivateKey::from_pem(&sealed, b"word").unwrap();
        assert_eq!(opened.public(), public);
        assert_eq!(public.verify(b"text", &opened.sign(b"text")), Ok(()));
        assert!(matches!(
            PrivateKey::from_pem(&sealed, b""),
            Err(SignatureError::Passphrase)
        ));
    }

    #[test]
    fn what_is_no_key_or_no_signature_is_named() {
        let error = |text: &str| PublicKey::from_pem(text).unwrap_err().to_string();
        assert!(error("").contains("no PEM block of the right kind"));
        assert!(error("-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----").contains("not Base64"));
        assert!(error("-----BEGIN PUBLIC KEY-----\n").contains("last line"));
        assert!(error("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----").contains("P-256"));
        let public = PrivateKey::from_random([5; 32]).unwrap().public();
        assert!(matches!(public.verify(b"", "?"), Err(SignatureError::Form(_))));
        assert!(matches!(public.verify(b"", "AAAA"), Err(SignatureError::Form(_))));
    }
}
