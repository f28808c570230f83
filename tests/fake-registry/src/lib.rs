//! A registry inside of a test: pull, push, tokens, TLS, and every kind of misbehaviour on demand.
//!
//! [`Registry::start`] serves from a thread of the test's process; everything is in memory. [`Registry::fail`] makes the
//! next requests that fit misbehave: stall, cut, lie, redirect, refuse. [`Registry::log`] tells what was asked for. A
//! [`Proxy`] stands before it where a test wants one.

mod content;
mod door;
mod http;
mod proxy;
mod serve;
mod tls;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use door::Door;
pub use proxy::Proxy;

/// How a request goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another status, with further headers (`Retry-After: 1`).
    Status(u16, Vec<String>),
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// So many bytes of what is sent are taken, and perhaps some more; then the connection is closed without an answer.
    Break(usize),
    /// Nothing more comes after so many bytes of the body; ends when the client goes.
    Stall(usize),
    /// The first byte of the body is another one.
    Lie,
    /// So many bytes come after the promised ones; nothing is promised.
    Longer(usize),
    /// This stands in `Content-Encoding`.
    Encoding(&'static str),
    /// To another place.
    Redirect(String),
    /// This is the body.
    Body(Vec<u8>),
    /// `Range` is not obeyed.
    NoRange,
}

#[derive(Clone, Debug)]
struct Planned {
    /// Method and a part of the path: `GET /blobs/`.
    what: String,
    fault: Fault,
    times: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    Open,
    Basic(String, String),
    /// Tokens from `/token`, good for so many requests each.
    Token {
        user: String,
        password: String,
        uses: usize,
    },
}

pub(crate) struct Shared {
    pub(crate) content: Mutex<content::Content>,
    pub(crate) guard: Mutex<Guard>,
    pub(crate) tokens: Mutex<BTreeMap<String, usize>>,
    faults: Mutex<Vec<Planned>>,
    log: Mutex<Vec<String>>,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<tls::Identity>,
}

/// A running registry; it ends when dropped.
pub struct Registry {
    shared: Arc<Shared>,
    _door: Door,
}

impl Registry {
    /// Serves plain HTTP on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// Without a port, as everything here.
    pub fn start() -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").expect("a port"), None)
    }

    /// Serves TLS with a certificate for `names` by an authority of its own ([`Registry::authority`]).
    pub fn start_tls(names: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        Self::serve(listener, Some(tls::Identity::new(names, false)))
    }

    /// The same, and whoever asks must show a certificate by that authority ([`Registry::certificate_for_client`]).
    pub fn start_mutual_tls(names: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        Self::serve(listener, Some(tls::Identity::new(names, true)))
    }

    fn serve(listener: TcpListener, tls: Option<tls::Identity>) -> Self {
        let shared = Arc::new(Shared {
            content: Mutex::default(),
            guard: Mutex::new(Guard::Open),
            tokens: Mutex::default(),
            faults: Mutex::default(),
            log: Mutex::default(),
            address: listener.local_addr().expect("address"),
            tls,
        });
        let own = Arc::clone(&shared);
        let door = Door::open(listener, move |stream| serve::connection(&own, stream));
        Self { shared, _door: door }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The certificate of its authority, PEM.
    pub fn authority(&self) -> String {
        self.shared.tls.as_ref().expect("TLS").authority.clone()
    }

    /// A certificate that a client may show, and its key; PEM.
    pub fn certificate_for_client(&self) -> (String, String) {
        self.shared.tls.as_ref().expect("TLS").for_client()
    }

    /// From now on requests need nothing again.
    pub fn require_nothing(&self) {
        *lock(&self.shared.guard) = Guard::Open;
    }

    /// From now on requests need this name and password.
    pub fn require_password(&self, user: &str, password: &str) {
        *lock(&self.shared.guard) = Guard::Basic(user.to_owned(), password.to_owned());
    }

    /// From now on requests need a token from `/token`; each is good for so many requests.
    pub fn require_token(&self, user: &str, password: &str, uses: usize) {
        *lock(&self.shared.guard) = Guard::Token {
            user: user.to_owned(),
            password: password.to_owned(),
            uses,
        };
    }

    /// The next `times` requests whose `METHOD PATH` contains all words of `what` go wrong.
    pub fn fail(&self, what: &str, fault: Fault, times: usize) {
        lock(&self.shared.faults).push(Planned {
            what: what.to_owned(),
            fault,
            times,
        });
    }

    /// No further faults.
    pub fn behave(&self) {
        lock(&self.shared.faults).clear();
    }

    /// All requests so far: `GET /v2/a/blobs/sha256:… bytes=3-`.
    pub fn log(&self) -> Vec<String> {
        lock(&self.shared.log).clone()
    }

    /// How many requests contained all words of `what`.
    pub fn count(&self, what: &str) -> usize {
        self.log().iter().filter(|line| fits(line, what)).count()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        lock(&self.shared.log).clear();
    }

    /// Stores a blob in a repository; its digest.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        lock(&self.shared.content).put_blob(repository, &digest, bytes.to_vec());
        digest
    }

    /// Stores a manifest under a tag (and its digest); its digest.
    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        lock(&self.shared.content).put_manifest(repository, tag, media_type, bytes.to_vec())
    }

    /// The media type and the bytes of a manifest.
    pub fn manifest(&self, repository: &str, tag: &str) -> Option<(String, Vec<u8>)> {
        lock(&self.shared.content).manifest(repository, tag)
    }

    /// The bytes of a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        lock(&self.shared.content).blob(repository, digest)
    }

    /// Stores an image: layers as they are to be sent, each with the digest of its plain archive. The manifest's digest.
    pub fn put_image(
        &self,
        repository: &str,
        tag: &str,
        config: &serde_json::Value,
        layers: &[Layer],
    ) -> String {
        let mut config = config.clone();
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        config["rootfs"] = serde_json::json!({"type": "layers", "diff_ids": diff_ids});
        let config = config.to_string();
        let of = |media_type: &str, bytes: &[u8]| {
            serde_json::json!({
                "mediaType": media_type,
                "digest": self.put_blob(repository, bytes),
                "size": bytes.len(),
            })
        };
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": of("application/vnd.docker.container.image.v1+json", config.as_bytes()),
            "layers": layers.iter().map(|l| of(&l.media_type, &l.bytes)).collect::<Vec<_>>(),
        });
        let media_type = "application/vnd.docker.distribution.manifest.v2+json";
        self.put_manifest(repository, tag, media_type, manifest.to_string().as_bytes())
    }
}

/// A layer as it is sent.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The digest of its plain archive.
    pub diff_id: String,
}

impl Layer {
    /// An archive that is sent as it is.
    pub fn plain(archive: &[u8]) -> Layer {
        Layer {
            media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
            bytes: archive.to_owned(),
            diff_id: digest(archive),
        }
    }
}

/// `sha256:` and the digits.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

impl Shared {
    pub(crate) fn note(&self, line: String) {
        lock(&self.log).push(line);
    }

    /// The fault planned for this request, if there is one.
    pub(crate) fn fault(&self, line: &str) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        let planned = faults.iter_mut().find(|p| p.times > 0 && fits(line, &p.what))?;
        planned.times -= 1;
        Some(planned.fault.clone())
    }
}

fn fits(line: &str, what: &str) -> bool {
    what.split(' ').all(|word| line.contains(word))
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
