//! TLS: whose certificates are believed, and which of our own is shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::choice::Choice;
use crate::error::DistributionError;

/// A file of certificates or keys is larger than this only by mistake.
const FILE_LIMIT: u64 = 4 << 20;

/// A configuration for one registry; reads files.
pub(crate) fn config(
    folders: &[PathBuf],
    names: &[String],
    verify: bool,
) -> Result<Arc<ClientConfig>, DistributionError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(names, Path::new("-"), error))?;
    let own = Own::read(folders, names)?;
    let builder = if verify {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::debug!(%error, "a system certificate cannot be read");
        }
        // A machine has certificates that are not for us, or that are damaged: what remains is believed.
        roots.add_parsable_certificates(system.certs);
        roots.add_parsable_certificates(own.authorities);
        builder.with_root_certificates(roots)
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    };
    let provider = builder.crypto_provider().clone();
    let certify = |identity: Identity| {
        CertifiedKey::from_der(identity.chain, identity.key, &provider)
            .map(Arc::new)
            .map_err(|error| failed(names, &identity.path, error))
    };
    let identities: Vec<_> = own
        .identities
        .into_iter()
        .map(certify)
        .collect::<Result<_, _>>()?;
    let config = match identities.is_empty() {
        true => builder.with_no_client_auth(),
        false => builder.with_client_cert_resolver(Arc::new(Choice::new(identities))),
    };
    Ok(Arc::new(config))
}

/// A certificate that may be shown, with its key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    path: PathBuf,
}

/// What the folders of one registry hold.
#[derive(Default)]
struct Own {
    authorities: Vec<CertificateDer<'static>>,
    identities: Vec<Identity>,
}

impl Own {
    fn read(folders: &[PathBuf], names: &[String]) -> Result<Self, DistributionError> {
        let mut own = Self::default();
        for (folder, name) in folders.iter().flat_map(|f| names.iter().map(move |n| (f, n))) {
            let folder = folder.join(name);
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(names, &folder, error)),
            };
            let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            files.sort();
            for path in &files {
                match path.extension().and_then(|e| e.to_str()) {
                    Some("crt") => own.authorities.extend(certificates(names, path)?),
                    Some("key") if !files.contains(&path.with_extension("cert")) => {
                        let certificate = path.with_extension("cert");
                        let lost = format!("missing client certificate {} for it", file_name(&certificate));
                        return Err(failed(names, path, lost));
                    }
                    Some("cert") => {
                        let key = path.with_extension("key");
                        if !files.contains(&key) {
                            let lost = format!(
                                "missing key {} for it. CA certificates must use the extension .crt",
                                file_name(&key)
                            );
                            return Err(failed(names, path, lost));
                        }
                        let chain = certificates(names, path)?;
                        let text = read(names, &key)?;
                        let private = PrivateKeyDer::from_pem_slice(&text)
                            .map_err(|error| failed(names, &key, error))?;
                        own.identities.push(Identity {
                            chain,
                            key: private,
                            path: path.clone(),
                        });
                    }
                    _ => {}
                }
            }
        }
        Ok(own)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn certificates(names: &[String], path: &Path) -> Result<Vec<CertificateDer<'static>>, DistributionError> {
    let text = read(names, path)?;
    CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(names, path, error))
}

fn read(names: &[String], path: &Path) -> Result<Vec<u8>, DistributionError> {
    use std::io::Read as _;
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_LIMIT).read_to_end(&mut text))
        .map_err(|error| failed(names, path, error))?;
    Ok(text)
}

fn failed(names: &[String], path: &Path, error: impl ToString) -> DistributionError {
    DistributionError::Certificate {
        host: names.first().cloned().unwrap_or_default(),
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}

/// Believes every certificate: for registries that are listed as insecure. Signatures are still checked, so that the
/// connection is at least with the one who showed the certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
