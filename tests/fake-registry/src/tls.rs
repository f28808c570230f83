//! An authority, a certificate for one server, and certificates for those who may ask it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

pub(crate) struct Identity {
    pub(crate) authority: String,
    pub(crate) config: Arc<ServerConfig>,
    issuer: Issuer<'static, KeyPair>,
    /// Only those with a certificate of the same authority are answered.
    pub(crate) asks_back: bool,
}

impl Identity {
    pub(crate) fn new(names: &[&str], asks_back: bool) -> Self {
        let authority_key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        let called = format!("authority of {}", names.join(" "));
        params.distinguished_name.push(DnType::CommonName, called);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).expect("authority");
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().expect("key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &issuer).expect("certificate");
        let private = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = if asks_back {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).expect("authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let config = builder
            .with_single_cert(vec![certificate.der().clone()], private.into())
            .expect("certificate");
        Self {
            authority: authority.pem(),
            config: Arc::new(config),
            issuer,
            asks_back,
        }
    }

    /// A certificate for one who asks, and its key; PEM.
    pub(crate) fn for_client(&self) -> (String, String) {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(vec!["client".to_owned()]).expect("name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("certificate");
        (certificate.pem(), key.serialize_pem())
    }
}
