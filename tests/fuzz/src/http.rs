//! What comes over wires: requests, headers, streams.

use api_types::Filters;
use api_types::container::CreateRequest;
use client::frames::{Splitter, copy};
use distribution::challenge::{Challenge, parse};
use distribution::{Credentials, Keyring};
use http_api::Query;
use registry::Config;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The bytes are what stands behind the `?`; its `filters` are read too.
pub(crate) fn query(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let query = Query::parse(text);
    for name in ["all", "filters", "name", "t"] {
        assert_eq!(query.get(name).unwrap_or_default(), query.text(name));
        assert_eq!(query.all(name).next(), query.get(name));
        if query.get(name).is_none() {
            assert!(query.flag_or(name, true) && !query.flag(name));
        }
        assert!(query.text(name).len() <= text.len(), "nothing grows");
    }
    for json in [query.text("filters"), text] {
        let Ok(filters) = Filters::parse(json) else {
            continue;
        };
        let written = filters.to_json();
        let again = Filters::parse(&written).expect("what was written can be read");
        assert_eq!(again, filters, "{json:?}");
        assert_eq!(again.to_json(), written);
        let _ = filters.accept_only(&["label", "name"]);
        let _ = filters.flag("dangling", false);
        let _ = filters.exact("name", "a") || filters.prefix("id", "a");
    }
}

/// The bytes are a body: of a container, a network, a volume, an exec.
pub(crate) fn create_body(data: &[u8]) {
    if let Ok(request) = CreateRequest::from_slice(data) {
        let text = serde_json::to_string(&request).expect("it can be written");
        let again = CreateRequest::from_slice(text.as_bytes()).expect("what was written can be read");
        assert_eq!(again, request);
    }
    stable::<api_types::network::CreateRequest>(data);
    stable::<api_types::volume::CreateRequest>(data);
    stable::<api_types::exec::CreateRequest>(data);
}

fn stable<T: DeserializeOwned + Serialize>(data: &[u8]) {
    let Ok(value) = api_types::decode::from_slice::<T>(data) else {
        return;
    };
    let text = serde_json::to_string(&value).expect("it can be written");
    let again: T = api_types::decode::from_slice(text.as_bytes()).expect("what was written can be read");
    assert_eq!(
        serde_json::to_string(&again).expect("twice"),
        text,
        "writing is stable"
    );
}

/// The bytes are a header `WWW-Authenticate`.
pub(crate) fn challenge(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let found = parse(text);
    assert!(found.len() <= text.len());
    let written: Vec<String> = found.iter().map(write).collect();
    assert_eq!(parse(&written.join(", ")), found, "{text:?}");
}

fn write(challenge: &Challenge) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    match challenge {
        Challenge::Basic => "Basic".to_owned(),
        Challenge::Bearer {
            realm,
            service,
            scope,
        } => format!(
            "Bearer realm=\"{}\",service=\"{}\",scope=\"{}\"",
            quoted(realm),
            quoted(service),
            quoted(scope)
        ),
    }
}

/// The bytes are `X-Registry-Auth`, `X-Registry-Config` or what they carry.
pub(crate) fn credentials(data: &[u8]) {
    let _ = Credentials::from_json(data);
    let Ok(text) = str::from_utf8(data) else { return };
    let _ = Credentials::from_header(text);
    if let Ok(ring) = Keyring::from_header(text) {
        let _ = ring.of("docker.io");
        let _ = ring.of("localhost:5000");
    }
}

/// The first byte says how large the pieces are in which the stream comes.
pub(crate) fn frames(data: &[u8]) {
    let Some((size, data)) = data.split_first() else {
        return;
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let whole = copy(&mut &*data, &mut out, &mut err);
    assert!(out.len() + err.len() <= data.len(), "no more out than in");
    let (mut out_pieces, mut err_pieces) = (Vec::new(), Vec::new());
    let mut splitter = Splitter::default();
    let mut fed = Ok(());
    for piece in data.chunks(usize::from(*size).max(1)) {
        fed = splitter.feed(piece, &mut out_pieces, &mut err_pieces);
        if fed.is_err() {
            break;
        }
    }
    let fed = fed.and_then(|()| splitter.finish());
    assert_eq!(whole.map_err(|e| e.to_string()), fed.map_err(|e| e.to_string()));
    assert_eq!((out, err), (out_pieces, err_pieces), "whatever the pieces");
}

/// The bytes are the registry's configuration.
pub(crate) fn registry_config(data: &[u8]) {
    match (Config::parse(data), Config::parse(data)) {
        (Ok(config), Ok(again)) => assert_eq!(format!("{config:?}"), format!("{again:?}")),
        (Err(error), Err(again)) => {
            let text = error.to_string();
            assert_eq!(text, again.to_string());
            assert!(!text.is_empty());
        }
        _ => panic!("read once, refused once"),
    }
}
