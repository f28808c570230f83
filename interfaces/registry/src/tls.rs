//! TLS: a certificate from files, or one of the registry's own making for a lab.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use fault::{Fault, Kind};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or is not what it should be.
    #[error("{what} {path}: {source}")]
    Pem {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate and the key do not fit each other.
    #[error("the certificate {path} cannot be used: {source}")]
    Unusable {
        /// The certificate.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// An own certificate could not be made.
    #[error("make a certificate: {0}")]
    Make(#[source] rcgen::Error),
    /// An own certificate could not be kept.
    #[error(transparent)]
    Keep(#[from] durable::AtomicWriteError),
    /// The folder for the own certificate.
    #[error("make the folder {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Files and a self-made certificate at once, or half of the files.
    #[error("tls: give both \"certificate\" and \"key\", or \"self-signed\": true")]
    Incomplete,
}

impl Fault for TlsError {
    fn kind(&self) -> Kind {
        match self {
            Self::Pem { .. } | Self::Unusable { .. } | Self::Incomplete => Kind::InvalidParameter,
            _ => Kind::System,
        }
    }
}

/// The certificate that is shown, and where it comes from.
pub(crate) struct Shown {
    tls: Tls,
    root: PathBuf,
    listen: String,
    now: RwLock<(TlsAcceptor, Stamps)>,
}

/// What the files of the certificate and the key were like: time, number and size.
type Stamps = Vec<Option<(SystemTime, u64, u64)>>;

impl Shown {
    pub(crate) fn open(tls: &Tls, root: &Path, listen: &str) -> Result<Self, TlsError> {
        let stamps = stamps(tls);
        let acceptor = acceptor(tls, root, listen)?;
        Ok(Self {
            tls: tls.clone(),
            root: root.to_owned(),
            listen: listen.to_owned(),
            now: RwLock::new((acceptor, stamps)),
        })
    }

    /// What turns a connection into an encrypted one, with the certificate of this moment.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.0.clone()
    }

    /// Reads the files again; connections from now on get what is in them. After an error it stays as it was.
    pub(crate) fn renew(&self) -> Result<(), TlsError> {
        let stamps = stamps(&self.tls);
        let acceptor = acceptor(&self.tls, &self.root, &self.listen);
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        // What is wrong is told once, until it is another thing.
        now.1 = stamps;
        now.0 = acceptor?;
        Ok(())
    }

    /// Whether the files are others than those that were read.
    pub(crate) fn is_outdated(&self) -> bool {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.1 != stamps(&self.tls)
    }
}

fn stamps(tls: &Tls) -> Stamps {
    let stamp = |path: &PathBuf| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.modified().ok()?, file.ino(), file.len()))
    };
    let files = [&tls.certificate, &tls.key];
    files.into_iter().flatten().map(stamp).collect()
}

fn acceptor(tls: &Tls, root: &Path, listen: &str) -> Result<TlsAcceptor, TlsError> {
    let (certificate, key) = match (&tls.certificate, &tls.key, tls.self_signed) {
        (Some(certificate), Some(key), false) => (certificate.clone(), key.clone()),
        (None, None, true) => self_made(&root.join("tls"), &names(tls, listen))?,
        _ => return Err(TlsError::Incomplete),
    };
    let wrong = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { what, path, source }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&certificate)
        .map_err(wrong("the certificate", &certificate))?
        .collect();
    let chain = chain.map_err(wrong("the certificate", &certificate))?;
    let key = PrivateKeyDer::from_pem_file(&key).map_err(wrong("the key", &key))?;
    let unusable = |source| TlsError::Unusable {
        path: certificate.clone(),
        source,
    };
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What the own certificate is for: this machine, the address it listens on, and what the configuration adds.
fn names(tls: &Tls, listen: &str) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    names.push(host.trim().to_owned());
    if let Some((host, _)) = listen.rsplit_once(':') {
        let host = host.trim_matches(['[', ']']);
        let any = host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_unspecified());
        if !any {
            names.push(host.to_owned());
        }
    }
    names.extend(tls.names.iter().cloned());
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    names
}

/// Makes an authority and a certificate for `names`, or finds those that were made before for the same names. The key of the
/// authority is not kept: whoever trusts it trusts this one certificate and nothing else.
fn self_made(folder: &Path, names: &[String]) -> Result<(PathBuf, PathBuf), TlsError> {
    let path = |name: &str| folder.join(name);
    let (authority, certificate, key, for_names) = (
        path("ca.pem"),
        path("certificate.pem"),
        path("key.pem"),
        path("names"),
    );
    let list = names.join("\n") + "\n";
    let made = std::fs::read_to_string(&for_names).is_ok_and(|known| known == list);
    if !made {
        std::fs::create_dir_all(folder).map_err(|source| TlsError::Folder {
            path: folder.to_owned(),
            source,
        })?;
        let pems = make(names).map_err(TlsError::Make)?;
        durable::atomic_write(&key, pems.key.as_bytes(), 0o600)?;
        durable::atomic_write(&certificate, pems.certificate.as_bytes(), 0o644)?;
        durable::atomic_write(&authority, pems.authority.as_bytes(), 0o644)?;
        // Last: what is not there after a crash is made again.
        durable::atomic_write(&for_names, list.as_bytes(), 0o644)?;
    }
    tracing::info!(
        authority = %authority.display(),
        names = names.join(" "),
        "a certificate of our own: clients must trust the authority, for docker as /etc/docker/certs.d/HOST:PORT/ca.crt"
    );
    Ok((certificate, key))
}

struct Pems {
    authority: String,
    certificate: String,
    key: String,
}

fn make(names: &[String]) -> Result<Pems, rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "dhow-registry lab authority");
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate()?;
    let mut own = CertificateParams::new(names.to_vec())?;
    own.distinguished_name.push(DnType::CommonName, "dhow-registry");
    own.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    own.use_authority_key_identifier_extension = true;
    let certificate = own.signed_by(&key, &issuer)?;
    Ok(Pems {
        authority: authority_certificate.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_certificate_is_made_once_for_the_same_names() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls {
            self_signed: true,
            names: vec!["registry.lab".to_owned()],
            ..Tls::default()
        };
        let read = || std::fs::read(folder.path().join("tls/ca.pem")).unwrap();
        assert!(acceptor(&tls, folder.path(), "0.0.0.0:5000").is_ok());
        let first = read();
        assert!(acceptor(&tls, folder.path(), "0.0.0.0:5000").is_ok());
        assert_eq!(read(), first);
        assert!(acceptor(&tls, folder.path(), "10.1.2.3:5000").is_ok());
        assert_ne!(read(), first, "another address is another name");
    }

    #[test]
    fn a_new_certificate_is_shown_once_it_fits_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let tls = Tls {
            certificate: Some(path("chain.pem")),
            key: Some(path("key.pem")),
            ..Tls::default()
        };
        let (old, new) = (make(&["a".to_owned()]).unwrap(), make(&["b".to_owned()]).unwrap());
        std::fs::write(path("chain.pem"), &old.certificate).unwrap();
        std::fs::write(path("key.pem"), &old.key).unwrap();
        let shown = Shown::open(&tls, folder.path(), "").unwrap();
        let config = || Arc::as_ptr(shown.acceptor().config());
        let first = shown.acceptor();
        assert!(!shown.is_outdated());
        // As programs do that renew certificates: one file after the other, each by a rename.
        let replace = |name: &str, text: &str| {
            std::fs::write(path("new"), text).unwrap();
            std::fs::rename(path("new"), path(name)).unwrap();
        };
        replace("chain.pem", &new.certificate);
        assert!(shown.is_outdated());
        assert!(shown.renew().is_err(), "the key is the old one");
        assert!(
            !shown.is_outdated(),
            "it is not tried again before something changes"
        );
        assert_eq!(config(), Arc::as_ptr(first.config()));
        replace("key.pem", &new.key);
        assert!(shown.is_outdated());
        shown.renew().unwrap();
        assert_ne!(config(), Arc::as_ptr(first.config()));
    }

    #[test]
    fn half_a_configuration_and_broken_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pem");
        let half = Tls {
            certificate: Some(path.clone()),
            ..Tls::default()
        };
        assert!(matches!(
            acceptor(&half, folder.path(), ""),
            Err(TlsError::Incomplete)
        ));
        let missing = Tls {
            certificate: Some(path.clone()),
            key: Some(path.clone()),
            ..Tls::default()
        };
        let text = acceptor(&missing, folder.path(), "").err().unwrap().to_string();
        assert!(text.contains("x.pem"), "{text}");
        std::fs::write(&path, "nonsense").unwrap();
        assert!(acceptor(&missing, folder.path(), "").is_err());
    }
}
