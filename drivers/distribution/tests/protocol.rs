//! The client against a registry that behaves, and one that does not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use distribution::access::Intent;
use distribution::{
    Access, BlobStream, Credentials, DistributionError, Limits, Mirror, Mounted, Names, Proxies, Settings,
};
use fake_registry::{Fault, Proxy, Registry};
use fault::{Fault as _, Kind};
use oci::image::{Descriptor, media_type};
use oci::reference::Reference;

/// What waits, waits this long: so much that a busy machine is not taken for a broken one.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings() -> Settings {
    let mut settings = Settings::new("dhow/test");
    settings.certificates.clear();
    settings.limits = Limits {
        stall: PATIENCE,
        backoff: Duration::from_millis(1),
        ..Limits::default()
    };
    settings
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(work)
}

fn name(registry: &Registry, path: &str) -> Reference {
    Reference::parse_normalized(&format!("{}/{path}", registry.address())).expect("name")
}

fn password(user: &str, password: &str) -> Credentials {
    let json = format!(r#"{{"username":"{user}","password":"{password}"}}"#);
    Credentials::from_json(json.as_bytes()).expect("credentials")
}

async fn open(registry: &Registry, settings: Settings, credentials: Credentials, intent: Intent) -> Access {
    Access::open(&Arc::new(settings), &credentials, &name(registry, "a/b"), intent)
        .await
        .expect("access")
}

async fn puller(registry: &Registry) -> Access {
    open(registry, settings(), Credentials::Anonymous, Intent::Pull).await
}

fn stored(registry: &Registry, bytes: &[u8]) -> Descriptor {
    let digest = registry.put_blob("a/b", bytes);
    Descriptor::new(
        media_type::OCI_LAYER,
        digest.parse().expect("digest"),
        bytes.len() as u64,
    )
}

async fn read(mut stream: BlobStream) -> Result<Vec<u8>, DistributionError> {
    let mut whole = Vec::new();
    while let Some(chunk) = stream.chunk().await? {
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 251) as u8).collect()
}

#[test]
fn manifests_and_blobs_come_whole() {
    let registry = Registry::start();
    let content = bytes(700_000);
    let descriptor = stored(&registry, &content);
    let digest = registry.put_manifest("a/b", "v1", media_type::OCI_MANIFEST, b"{}");
    run(async {
        let access = puller(&registry).await;
        let document = access.manifest("v1").await.expect("manifest");
        assert_eq!(
            (document.digest.to_string(), document.bytes),
            (digest.clone(), b"{}".to_vec())
        );
        assert_eq!(
            access.manifest(&digest).await.expect("by digest").media_type,
            media_type::OCI_MANIFEST
        );
        assert_eq!(access.tags().await.expect("tags"), ["v1"]);
        assert_eq!(
            access.blob_size(&descriptor.digest).await.expect("size"),
            Some(700_000)
        );
        let whole = read(BlobStream::new(access.clone(), descriptor))
            .await
            .expect("blob");
        assert!(whole == content);
        let error = access.manifest("v2").await.expect_err("none");
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
    });
}

#[test]
fn a_cut_or_stalled_blob_goes_on_where_it_broke_off() {
    for (fault, patience) in [
        (Fault::Cut(300_000), PATIENCE),
        (Fault::Stall(300_000), Duration::from_secs(5)),
    ] {
        let registry = Registry::start();
        let content = bytes(700_000);
        let descriptor = stored(&registry, &content);
        registry.fail("GET /blobs/", fault.clone(), 1);
        run(async {
            let mut settings = settings();
            settings.limits.stall = patience;
            let access = open(&registry, settings, Credentials::Anonymous, Intent::Pull).await;
            let whole = read(BlobStream::new(access, descriptor)).await.expect("blob");
            assert!(whole == content, "{fault:?}");
        });
        assert_eq!(
            registry.count("GET /blobs/ bytes=300000-"),
            1,
            "{:?}",
            registry.log()
        );
    }
}

#[test]
fn a_server_without_ranges_begins_again_and_nothing_comes_twice() {
    let registry = Registry::start();
    let content = bytes(700_000);
    let descriptor = stored(&registry, &content);
    registry.fail("GET /blobs/", Fault::Cut(300_000), 1);
    registry.fail("GET /blobs/", Fault::NoRange, 1);
    run(async {
        let access = puller(&registry).await;
        assert!(read(BlobStream::new(access, descriptor)).await.expect("blob") == content);
    });
}

#[test]
fn a_blob_that_is_never_whole_fails_after_all_attempts() {
    let registry = Registry::start();
    let descriptor = stored(&registry, &bytes(1000));
    registry.fail("GET /blobs/", Fault::Cut(0), usize::MAX);
    run(async {
        let access = puller(&registry).await;
        let error = read(BlobStream::new(access, descriptor)).await.expect_err("cut");
        assert!(error.to_string().contains("unexpected EOF"), "{error}");
    });
    assert_eq!(registry.count("GET /blobs/"), 5);
}

#[test]
fn another_digest_or_size_is_never_accepted() {
    let registry = Registry::start();
    let descriptor = stored(&registry, &bytes(1000));
    let check = |fault: Fault, expected: &str| {
        registry.fail("GET /blobs/", fault, 1);
        run(async {
            let access = puller(&registry).await;
            let error = read(BlobStream::new(access, descriptor.clone()))
                .await
                .expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.is_passing());
        });
    };
    check(Fault::Lie, "content has digest");
    check(
        Fault::Body(b"short".to_vec()),
        "the registry sent 5 bytes where 1000 were promised",
    );
    check(Fault::Longer(1), "the registry sent 1001 bytes");
    check(
        Fault::Encoding("gzip"),
        "compressed although that was not asked for",
    );
    registry.put_manifest("a/b", "v1", media_type::OCI_MANIFEST, b"{}");
    registry.fail("GET /manifests/", Fault::Body(b"{ }".to_vec()), 1);
    run(async {
        let access = puller(&registry).await;
        let digest = fake_registry::digest(b"{}");
        let error = access.manifest(&digest).await.expect_err("another manifest");
        assert!(
            error.to_string().starts_with("manifest: content has digest"),
            "{error}"
        );
    });
}

#[test]
fn documents_without_end_are_not_read_to_their_end() {
    let registry = Registry::start();
    registry.put_manifest("a/b", "v1", media_type::OCI_MANIFEST, b"{}");
    let huge = vec![b' '; distribution::manifest::MANIFEST_LIMIT + 1];
    registry.fail("GET /manifests/", Fault::Body(huge.clone()), 1);
    registry.fail("GET /tags/", Fault::Body(vec![b'['; 100_000]), 1);
    run(async {
        let access = puller(&registry).await;
        let error = access.manifest("v1").await.expect_err("huge");
        assert!(error.to_string().contains("larger than"), "{error}");
        let error = access.tags().await.expect_err("brackets");
        assert!(error.to_string().contains("cannot be read"), "{error}");
    });
}

#[test]
fn what_is_busy_is_asked_again_and_what_refuses_is_not() {
    let registry = Registry::start();
    registry.put_manifest("a/b", "v1", media_type::OCI_MANIFEST, b"{}");
    registry.fail(
        "GET /manifests/",
        Fault::Status(429, vec!["Retry-After: 0".to_owned()]),
        2,
    );
    registry.fail("GET /manifests/", Fault::Status(503, Vec::new()), 1);
    run(async {
        let access = puller(&registry).await;
        access.manifest("v1").await.expect("the fourth time");
        assert_eq!(registry.count("GET /manifests/v1"), 4);
        registry.fail("GET /manifests/", Fault::Status(403, Vec::new()), 1);
        let error = access.manifest("v1").await.expect_err("forbidden");
        assert_eq!(
            (error.kind(), registry.count("GET /manifests/v1")),
            (Kind::Forbidden, 5)
        );
    });
}

#[test]
fn redirects_are_followed_but_not_in_circles_and_never_with_our_token() {
    let registry = Registry::start();
    let other = Registry::start();
    other.require_password("x", "y");
    let content = bytes(1000);
    let descriptor = stored(&registry, &content);
    registry.require_password("u", "p");
    run(async {
        let access = open(&registry, settings(), password("u", "p"), Intent::Pull).await;
        let here = format!("/v2/a/b/blobs/{}", descriptor.digest);
        registry.fail("GET /blobs/", Fault::Redirect(here.clone()), 3);
        assert!(
            read(BlobStream::new(access.clone(), descriptor.clone()))
                .await
                .expect("blob")
                == content
        );
        registry.fail("GET /blobs/", Fault::Redirect(here), 100);
        let error = read(BlobStream::new(access.clone(), descriptor.clone()))
            .await
            .expect_err("circle");
        assert!(
            error.to_string().contains("stopped after 10 redirects"),
            "{error}"
        );
        registry.behave();
        // The other server would let us in if it were shown what the first one is shown.
        other.require_password("u", "p");
        registry.fail(
            "GET /blobs/",
            Fault::Redirect(format!("http://{}/v2/", other.address())),
            1,
        );
        let error = read(BlobStream::new(access, descriptor))
            .await
            .expect_err("stranger");
        assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
    });
}

#[test]
fn basic_and_tokens_open_what_they_are_for() {
    let registry = Registry::start();
    registry.put_manifest("a/b", "v1", media_type::OCI_MANIFEST, b"{}");
    registry.require_password("u", "p");
    run(async {
        let access = open(&registry, settings(), password("u", "p"), Intent::Pull).await;
        access.manifest("v1").await.expect("with the password");
        let access = open(&registry, settings(), password("u", "wrong"), Intent::Pull).await;
        assert_eq!(
            access.manifest("v1").await.expect_err("wrong").kind(),
            Kind::Unauthorized
        );
    });
    // A token is good for two requests here: it is renewed in the middle of things.
    registry.require_token("u", "p", 2);
    registry.clear_log();
    run(async {
        let access = open(&registry, settings(), password("u", "p"), Intent::Push).await;
        for _ in 0..5 {
            access.manifest("v1").await.expect("with a token");
        }
        assert_eq!(
            registry.count("GET /token scope=repository%3Aa%2Fb%3Apull%2Cpush account=u"),
            3
        );
        let settings = Arc::new(settings());
        let server = format!("http://{}", registry.address());
        let identity = distribution::login::login(&settings, &password("u", "p"), &server).await;
        let identity = identity.expect("login").expect("an identity token");
        let credentials = Credentials::IdentityToken(identity);
        let access = Access::open(&settings, &credentials, &name(&registry, "a/b"), Intent::Pull).await;
        access
            .expect("access")
            .manifest("v1")
            .await
            .expect("by the identity token");
        let error = distribution::login::login(&settings, &password("u", "q"), &server)
            .await
            .expect_err("wrong");
        assert!(
            error
                .to_string()
                .contains("unauthorized: incorrect username or password"),
            "{error}"
        );
    });
}

#[test]
fn docker_io_is_asked_by_its_own_name_over_tls() {
    let registry = Registry::start_tls(&["registry-1.docker.io"]);
    registry.put_manifest("library/alpine", "latest", media_type::OCI_MANIFEST, b"{}");
    registry.require_token("u", "p", 9);
    let folder = tempfile::tempdir().expect("folder");
    let certificates = folder.path().join("docker.io");
    std::fs::create_dir(&certificates).expect("folder");
    let alpine = Reference::parse_normalized("alpine").expect("name");
    let mut settings = settings();
    let known = BTreeMap::from([("registry-1.docker.io:443".to_owned(), registry.address())]);
    settings.names = Names::Fixed(known);
    settings.certificates = vec![folder.path().to_owned()];
    run(async {
        let stranger = Access::open(
            &Arc::new(settings.clone()),
            &Credentials::Anonymous,
            &alpine,
            Intent::Pull,
        )
        .await;
        let error = stranger.expect_err("unknown authority").to_string();
        assert!(error.contains("Get \"https://registry-1.docker.io/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown authority"), "{error}");
        std::fs::write(certificates.join("ca.crt"), registry.authority()).expect("authority");
        let access = Access::open(&Arc::new(settings), &password("u", "p"), &alpine, Intent::Pull).await;
        access
            .expect("access")
            .manifest("latest")
            .await
            .expect("manifest");
    });
}

#[test]
fn who_asks_shows_the_certificate_of_its_folder() {
    let registry = Registry::start_mutual_tls(&["reg.test"]);
    registry.put_manifest("a/b", "v1", media_type::OCI_MANIFEST, b"{}");
    let (certificate, key) = registry.certificate_for_client();
    // As /etc/docker/certs.d and /etc/dhow/certs.d: what lies in either counts.
    let (docker, dhow) = (
        tempfile::tempdir().expect("folder"),
        tempfile::tempdir().expect("folder"),
    );
    let folder = |root: &tempfile::TempDir| root.path().join("reg.test:5000");
    for root in [&docker, &dhow] {
        std::fs::create_dir(folder(root)).expect("folder");
    }
    std::fs::write(folder(&docker).join("ca.crt"), registry.authority()).expect("authority");
    let mut settings = settings();
    settings.names = Names::Fixed(BTreeMap::from([("reg.test:5000".to_owned(), registry.address())]));
    settings.certificates = vec![docker.path().to_owned(), dhow.path().to_owned()];
    let settings = Arc::new(settings);
    let name = Reference::parse_normalized("reg.test:5000/a/b").expect("name");
    let open = || Access::open(&settings, &Credentials::Anonymous, &name, Intent::Pull);
    let client = |extension: &str| folder(&dhow).join(format!("client.{extension}"));
    run(async {
        let error = open().await.expect_err("no certificate").to_string();
        assert_eq!(
            error,
            "Get \"https://reg.test:5000/v2/\": remote error: tls: certificate required"
        );
        std::fs::write(client("cert"), &certificate).expect("certificate");
        let error = open().await.expect_err("no key").to_string();
        assert!(
            error.contains(
                "client.cert: missing key client.key for it. CA certificates must use the extension .crt"
            ),
            "{error}"
        );
        std::fs::write(client("key"), &key).expect("key");
        let access = open().await.expect("both");
        access.manifest("v1").await.expect("manifest");
        std::fs::remove_file(client("cert")).expect("file");
        let error = open().await.expect_err("a key alone").to_string();
        assert!(
            error.contains("client.key: missing client certificate client.cert for it"),
            "{error}"
        );
    });
}

#[test]
fn of_several_certificates_the_one_is_shown_that_the_registry_can_judge() {
    let registries = [
        Registry::start_mutual_tls(&["one.test"]),
        Registry::start_mutual_tls(&["two.test"]),
    ];
    let root = tempfile::tempdir().expect("folder");
    for host in ["one.test", "two.test"] {
        let folder = root.path().join(host);
        std::fs::create_dir(&folder).expect("folder");
        for (own, registry) in registries.iter().enumerate() {
            let file = |name: String| folder.join(name);
            let (certificate, key) = registry.certificate_for_client();
            std::fs::write(file(format!("client{own}.cert")), certificate).expect("certificate");
            std::fs::write(file(format!("client{own}.key")), key).expect("key");
            std::fs::write(file(format!("ca{own}.crt")), registry.authority()).expect("authority");
        }
    }
    let mut settings = settings();
    let places = ["one.test", "two.test"].into_iter().zip(&registries);
    let places = places.map(|(host, registry)| (format!("{host}:443"), registry.address()));
    settings.names = Names::Fixed(places.collect());
    settings.certificates = vec![root.path().to_owned()];
    let settings = Arc::new(settings);
    run(async {
        for host in ["one.test", "two.test"] {
            let name = Reference::parse_normalized(&format!("{host}/a/b")).expect("name");
            let opened = Access::open(&settings, &Credentials::Anonymous, &name, Intent::Pull).await;
            opened.unwrap_or_else(|error| panic!("{host}: {error}"));
        }
    });
}

#[test]
fn proxies_are_asked_for_everything_but_what_is_reached_directly() {
    let plain = Registry::start();
    let secure = Registry::start_tls(&["reg.test"]);
    let content = bytes(300_000);
    let authorization = "Basic dXM6ZXI6c2VjJXJldA==";
    let http = Proxy::start(plain.address(), None);
    let https = Proxy::start(secure.address(), Some(authorization));
    let folder = tempfile::tempdir().expect("folder");
    std::fs::create_dir(folder.path().join("reg.test")).expect("folder");
    std::fs::write(folder.path().join("reg.test/ca.crt"), secure.authority()).expect("authority");
    let mut settings = settings();
    settings.certificates = vec![folder.path().to_owned()];
    settings.insecure = vec!["reg.test:80".to_owned(), "direct.test:5000".to_owned()];
    // Who goes by a proxy need not know the address; who does not must.
    let known = BTreeMap::from([("direct.test".to_owned(), plain.address())]);
    settings.names = Names::Fixed(known);
    settings.proxies = Proxies {
        http: format!("http://{}", http.address()),
        https: format!("http://us%3Aer:sec%25ret@{}", https.address()),
        none_for: ".direct.test".to_owned(),
    };
    let fetched = |settings: &Settings, name: &str| {
        let settings = Arc::new(settings.clone());
        let name = Reference::parse_normalized(name).expect("name");
        let blob = content.clone();
        run(async move {
            let access = Access::open(&settings, &Credentials::Anonymous, &name, Intent::Pull).await?;
            let digest: oci::digest::Digest = fake_registry::digest(&blob).parse().expect("digest");
            let layer = Descriptor::new(media_type::OCI_LAYER, digest, blob.len() as u64);
            read(BlobStream::new(access, layer)).await
        })
    };
    for registry in [&plain, &secure] {
        registry.put_blob("a/b", &content);
        // The rest is asked for by the same way.
        registry.fail("GET /blobs/", Fault::Cut(100_000), 1);
    }
    assert_eq!(fetched(&settings, "reg.test/a/b").expect("by tunnel"), content);
    assert!(
        https
            .log()
            .iter()
            .all(|line| line == "CONNECT reg.test:443 HTTP/1.1")
    );
    assert_eq!(https.log().len(), 2, "one connection, and one after the cut");
    assert_eq!(http.log(), [""; 0]);

    assert_eq!(
        fetched(&settings, "direct.test:5000/a/b").expect("directly"),
        content
    );
    assert_eq!(http.log(), [""; 0], "not by the proxy");
    settings.proxies.none_for.clear();
    settings.insecure.push("plain.test:5000".to_owned());
    // Nobody speaks TLS behind that tunnel: as a registry that knows plain HTTP only.
    settings.proxies.https = format!("http://{}", http.address());
    assert_eq!(fetched(&settings, "plain.test:5000/a/b").expect("plain"), content);
    let log = http.log();
    assert!(
        log.contains(&"CONNECT plain.test:5000 HTTP/1.1".to_owned()),
        "{log:?}"
    );
    assert!(
        log.contains(&"GET http://plain.test:5000/v2/ HTTP/1.1".to_owned()),
        "{log:?}"
    );

    settings.proxies.https = format!("http://{}", https.address());
    let error = fetched(&settings, "reg.test/a/b")
        .expect_err("no password")
        .to_string();
    assert!(
        error.contains("proxyconnect tcp: the proxy refuses: HTTP/1.1 407 Proxy Authentication Required"),
        "{error}"
    );
    settings.proxies.https = "socks5://127.0.0.1:1080".to_owned();
    let error = fetched(&settings, "reg.test/a/b").expect_err("socks").to_string();
    assert!(error.contains("a proxy by socks5 is not supported"), "{error}");
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_if_it_is_away() {
    let (mirror, registry) = (Registry::start(), Registry::start());
    registry.put_manifest("a/b", "v1", media_type::OCI_MANIFEST, b"{}");
    let mut settings = settings();
    settings.mirrors = vec![Mirror {
        prefix: registry.address().to_string(),
        url: format!("http://{}", mirror.address()),
    }];
    let settings = Arc::new(settings);
    run(async {
        let places = Access::places(
            &settings,
            &password("u", "p"),
            &name(&registry, "a/b"),
            Intent::Pull,
        )
        .expect("places");
        assert!(places[0].is_mirror() && !places[1].is_mirror());
        let access = Access::open(
            &settings,
            &Credentials::Anonymous,
            &name(&registry, "a/b"),
            Intent::Pull,
        )
        .await;
        assert!(access.expect("access").is_mirror());
        let push = Access::open(
            &settings,
            &Credentials::Anonymous,
            &name(&registry, "a/b"),
            Intent::Push,
        )
        .await;
        assert!(!push.expect("access").is_mirror());
    });
    mirror.fail("GET", Fault::Status(500, Vec::new()), usize::MAX);
    run(async {
        let access = Access::open(
            &settings,
            &Credentials::Anonymous,
            &name(&registry, "a/b"),
            Intent::Pull,
        )
        .await;
        access
            .expect("the registry")
            .manifest("v1")
            .await
            .expect("manifest");
    });
}

#[test]
fn nobody_there_is_said_in_dockers_words() {
    let registry = Registry::start();
    let gone = name(&registry, "a/b");
    let address = registry.address();
    drop(registry);
    run(async {
        let settings = Arc::new(settings());
        let error = Access::open(&settings, &Credentials::Anonymous, &gone, Intent::Pull)
            .await
            .expect_err("nobody");
        assert_eq!(
            error.to_string(),
            format!("Get \"http://{address}/v2/\": dial tcp {address}: connect: connection refused")
        );
        let nowhere = Reference::parse_normalized("registry.invalid/a").expect("name");
        let error = Access::open(&settings, &Credentials::Anonymous, &nowhere, Intent::Pull)
            .await
            .expect_err("nowhere");
        assert_eq!(
            error.to_string(),
            "Get \"https://registry.invalid/v2/\": dial tcp: lookup registry.invalid: no such host"
        );
    });
}

#[test]
fn blobs_are_sent_mounted_and_not_sent_twice() {
    let registry = Registry::start();
    let content = bytes(500_000);
    let digest: oci::digest::Digest = fake_registry::digest(&content).parse().expect("digest");
    run(async {
        let mut access = open(&registry, settings(), Credentials::Anonymous, Intent::Push).await;
        let (sender, chunks) = tokio::sync::mpsc::channel(2);
        let parts: Vec<_> = content
            .chunks(100_000)
            .map(bytes::Bytes::copy_from_slice)
            .collect();
        let feed = async {
            for part in parts {
                sender.send(part).await.expect("wanted");
            }
            drop(sender);
        };
        let send = async {
            let mut upload = access.upload().await?;
            upload.send(chunks, 0).await?;
            upload.commit(&digest).await
        };
        let (sent, ()) = tokio::join!(send, feed);
        sent.expect("sent");
        assert_eq!(
            registry.blob("a/b", &digest.to_string()).as_deref(),
            Some(&content[..])
        );
        access.put_blob(&digest, &content).await.expect("there");
        assert_eq!(registry.count("POST uploads"), 1);

        access.allow_sources(["a/b".to_owned(), "c".to_owned()]);
        registry.put_blob("c", b"other");
        let other = fake_registry::digest(b"other").parse().expect("digest");
        assert!(matches!(
            access.mount(&other, "c").await.expect("mount"),
            Mounted::There
        ));
        let Mounted::Not(upload) = access.mount(&other, "nowhere").await.expect("mount") else {
            panic!("there is nothing to mount");
        };
        upload.cancel().await;
        assert!(registry.blob("a/b", &other.to_string()).is_some());
        assert_eq!(
            access
                .put_manifest("v9", media_type::OCI_MANIFEST, b"{}")
                .await
                .expect("manifest")
                .to_string(),
            fake_registry::digest(b"{}")
        );
    });
}

#[test]
fn referrers_are_found_by_the_endpoint_or_by_the_tag() {
    let registry = Registry::start();
    let subject: oci::digest::Digest = fake_registry::digest(b"subject").parse().expect("digest");
    run(async {
        let access = puller(&registry).await;
        assert!(access.referrers(&subject).await.expect("none").is_empty());
        let signature = fake_registry::digest(b"signature");
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"m","digest":"{signature}","size":1}}]}}"#
        );
        registry.put_manifest(
            "a/b",
            &subject.to_string().replace(':', "-"),
            media_type::OCI_INDEX,
            index.as_bytes(),
        );
        let found = access.referrers(&subject).await.expect("one");
        assert_eq!(found[0].digest.to_string(), signature);
    });
}

#[test]
fn a_url_is_fetched_and_its_failures_are_clear() {
    let server = Registry::start();
    server.fail("GET /file.tar", Fault::Body(b"content".to_vec()), 1);
    run(async {
        let settings = Arc::new(settings());
        let url = format!("http://{}/file.tar", server.address());
        let mut fetched = distribution::fetch::fetch(&settings, &url).await.expect("file");
        assert_eq!(fetched.length(), Some(7));
        let mut whole = Vec::new();
        while let Some(chunk) = fetched.chunk().await.expect("chunk") {
            whole.extend_from_slice(&chunk);
        }
        assert_eq!((whole, fetched.seen()), (b"content".to_vec(), 7));
        let error = distribution::fetch::fetch(&settings, &url)
            .await
            .expect_err("gone");
        assert!(error.to_string().contains("404"), "{error}");
        let error = distribution::fetch::fetch(&settings, "ftp://x/y")
            .await
            .expect_err("ftp");
        assert!(error.to_string().contains("only http and https"), "{error}");
    });
}
