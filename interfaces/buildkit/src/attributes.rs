//! The attributes by which BuildKit's Dockerfile frontend is told what to build.

use std::collections::HashMap;

use api_types::container::Ulimit;
use builds::BuildRequest;

use crate::grpc::{Code, Status};
use crate::job::Files;
use crate::upload;

/// What a build is asked with.
#[derive(Debug)]
pub(crate) struct Attributes {
    pub(crate) request: BuildRequest,
    /// The name by which the client offers the context.
    context: String,
    /// The name by which it offers the Dockerfile's directory.
    dockerfile: String,
    /// The path of the archive that it offers instead.
    upload: Option<String>,
    /// Named contexts that are directories of the client's: their names, and those by which it offers them.
    locals: Vec<(String, String)>,
}

/// Attributes that describe the build to others and change nothing of it.
const DESCRIBING: [&str; 4] = ["vcs:", "cmdline", "local-sessionid:", "build-arg:BUILDKIT_SYNTAX"];
/// Abilities of a frontend that a client may ask for.
const ABILITIES: [&str; 2] = [
    "moby.buildkit.frontend.inputs",
    "moby.buildkit.frontend.subrequests",
];

fn wrong(text: String) -> Status {
    Status::new(Code::InvalidArgument, text)
}

fn absent(what: &str) -> Status {
    let text = format!("{what} is not available in this version of dhow");
    Status::new(Code::Unimplemented, text)
}

impl Attributes {
    /// Reads the attributes of a frontend.
    ///
    /// # Errors
    /// One makes no sense or cannot be done; it is named.
    pub(crate) fn read(frontend: &str, attributes: &HashMap<String, String>) -> Result<Self, Status> {
        match frontend {
            "dockerfile.v0" => {}
            // `# syntax=` and BUILDKIT_SYNTAX: the Dockerfile frontend in an image is the one that is here.
            "gateway.v0" if is_dockerfile_frontend(attributes.get("source")) => {}
            "gateway.v0" => {
                let source = attributes.get("source").map(String::as_str).unwrap_or_default();
                return Err(absent(&format!("the frontend image {source:?}")));
            }
            other => return Err(absent(&format!("the frontend {other:?}"))),
        }
        let mut read = Self {
            request: BuildRequest::default(),
            context: "context".to_owned(),
            dockerfile: "dockerfile".to_owned(),
            upload: None,
            locals: Vec::new(),
        };
        for (key, value) in attributes {
            read.attribute(key, value)?;
        }
        Ok(read)
    }

    /// Where the files are.
    pub(crate) fn files(self) -> (BuildRequest, Files, Vec<(String, String)>) {
        let files = match self.upload {
            Some(path) => Files::Upload(path),
            None if !self.request.remote.is_empty() => Files::Elsewhere,
            None => Files::Client {
                context: self.context,
                dockerfile: self.dockerfile,
            },
        };
        (self.request, files, self.locals)
    }

    fn context(&mut self, name: &str, value: &str) -> Result<(), Status> {
        if name.contains("::") {
            return Err(absent(&format!(
                "the named context {name}, which is for one platform only"
            )));
        }
        match value.split_once(':') {
            Some(("local", directory)) => self.locals.push((name.to_owned(), directory.to_owned())),
            Some(("input" | "oci-layout", _)) => {
                return Err(absent(&format!("the named context {name}={value}")));
            }
            _ => _ = self.request.contexts.insert(name.to_owned(), value.to_owned()),
        }
        Ok(())
    }

    fn attribute(&mut self, key: &str, value: &str) -> Result<(), Status> {
        let request = &mut self.request;
        if DESCRIBING
            .iter()
            .any(|known| key == *known || (known.ends_with(':') && key.starts_with(known)))
        {
            return Ok(());
        }
        if let Some(name) = key.strip_prefix("build-arg:") {
            request.build_args.insert(name.to_owned(), Some(value.to_owned()));
            return Ok(());
        }
        if let Some(name) = key.strip_prefix("label:") {
            request.labels.insert(name.to_owned(), value.to_owned());
            return Ok(());
        }
        if let Some(name) = key.strip_prefix("context:") {
            return self.context(name, value);
        }
        if let Some(kind) = key.strip_prefix("attest:") {
            return match attest(value) {
                true => Ok(()),
                false => Err(absent(&format!("the attestation {kind}"))),
            };
        }
        match key {
            "source" => {}
            "filename" => request.dockerfile = value.to_owned(),
            "target" => request.target = value.to_owned(),
            "platform" if value.contains(',') => {
                return Err(absent("building for several platforms at once"));
            }
            "platform" => request.platform = value.to_owned(),
            "no-cache" if value.is_empty() => request.no_cache = true,
            "no-cache" => {
                return Err(absent(
                    "building some stages without the cache (--no-cache-filter)",
                ));
            }
            "image-resolve-mode" => {
                request.pull = match value {
                    "pull" => true,
                    "" | "default" | "local" | "preferlocal" => false,
                    other => return Err(wrong(format!("invalid image-resolve-mode: {other}"))),
                }
            }
            "add-hosts" => request.host_config.extra_hosts = Some(hosts(value)?),
            "force-network-mode" => {
                request.network = match value {
                    "host" | "none" => value.to_owned(),
                    "" | "default" | "sandbox" => String::new(),
                    other => return Err(wrong(format!("invalid network mode: {other}"))),
                }
            }
            "shm-size" => {
                let bytes = value
                    .parse()
                    .map_err(|_| wrong(format!("invalid shm-size: {value}")))?;
                request.host_config.shm_size = bytes;
            }
            "ulimit" => request.host_config.ulimits = Some(ulimits(value)?),
            "cgroup-parent" => request.host_config.cgroup_parent = value.to_owned(),
            "hostname" if value.is_empty() => {}
            "contextkey" => self.context = value.to_owned(),
            "dockerfilekey" => self.dockerfile = value.to_owned(),
            "context" => match upload::path(value) {
                Some(path) => self.upload = Some(path.to_owned()),
                None => request.remote = value.to_owned(),
            },
            "cache-from" => request.cache_from.extend(list(value)),
            "cache-imports" => {
                let entries: Vec<CacheImport> =
                    serde_json::from_str(value).map_err(|error| wrong(format!("cache-imports: {error}")))?;
                for entry in entries {
                    import(request, &entry.kind, &entry.attributes)?;
                }
            }
            "multi-platform" if matches!(value, "" | "false" | "0") => {}
            "frontend.caps" => {
                for ability in value.split(',').filter(|ability| !ability.is_empty()) {
                    // What ends so is for a frontend in an image only.
                    if !ability.ends_with("+forward") && !ABILITIES.contains(&ability) {
                        return Err(absent(&format!("the frontend's ability {ability}")));
                    }
                }
            }
            "requestid" => return Err(absent(&format!("the request {value} to the frontend"))),
            other => return Err(absent(&format!("the attribute {other}={value}"))),
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct CacheImport {
    #[serde(rename = "Type", default)]
    kind: String,
    #[serde(rename = "Attrs", default)]
    attributes: HashMap<String, String>,
}

/// A cache to look in: an image that is here.
pub(crate) fn import(
    request: &mut BuildRequest,
    kind: &str,
    attributes: &HashMap<String, String>,
) -> Result<(), Status> {
    match (kind, attributes.get("ref")) {
        ("registry", Some(name)) => request.cache_from.push(name.clone()),
        ("registry", None) => return Err(wrong("a cache of a registry needs ref=".to_owned())),
        (kind, _) => return Err(absent(&format!("a cache of type {kind}"))),
    }
    Ok(())
}

fn is_dockerfile_frontend(source: Option<&String>) -> bool {
    let Some(source) = source else { return false };
    let name = source.trim_start_matches("docker.io/");
    ["docker/dockerfile", "docker/dockerfile-upstream"]
        .iter()
        .any(|known| {
            name.strip_prefix(known)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']))
        })
}

/// Whether an attestation is one that no exporter of ours would write, or none at all.
fn attest(value: &str) -> bool {
    let on = |name: &str| {
        value
            .split(',')
            .filter_map(|field| field.strip_prefix(name)?.strip_prefix('='))
            .any(|value| matches!(value, "true" | "1"))
    };
    on("disabled") || on("inline-only")
}

fn list(value: &str) -> impl Iterator<Item = String> {
    value
        .split(',')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
}

/// `name=address,…` as Docker's own `name:address`.
fn hosts(value: &str) -> Result<Vec<String>, Status> {
    let mut hosts = Vec::new();
    for host in list(value) {
        let (name, address) = host
            .split_once('=')
            .ok_or_else(|| wrong(format!("invalid add-hosts: {host}")))?;
        hosts.push(format!("{name}:{}", address.trim_matches(['[', ']'])));
    }
    Ok(hosts)
}

/// `name=soft[:hard],…`.
fn ulimits(value: &str) -> Result<Vec<Ulimit>, Status> {
    let mut limits = Vec::new();
    for text in list(value) {
        let limit = || {
            let (name, values) = text.split_once('=')?;
            let (soft, hard) = values.split_once(':').unwrap_or((values, values));
            Some(Ulimit {
                name: name.to_owned(),
                soft: soft.parse().ok()?,
                hard: hard.parse().ok()?,
            })
        };
        limits.push(limit().ok_or_else(|| wrong(format!("invalid ulimit: {text}")))?);
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(attributes: &[(&str, &str)]) -> Result<Attributes, Status> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Attributes::read("dockerfile.v0", &attributes.iter().map(owned).collect())
    }

    #[test]
    fn what_buildx_sends_becomes_a_request() {
        let read = read(&[
            ("filename", "D"),
            ("target", "t"),
            ("build-arg:A", "b=c"),
            ("label:l", "m"),
            ("no-cache", ""),
            ("image-resolve-mode", "pull"),
            ("add-hosts", "a=1.2.3.4,b=[::1]"),
            ("force-network-mode", "none"),
            ("ulimit", "nofile=1:2,core=3"),
            ("shm-size", "1048576"),
            ("vcs:revision", "x"),
            ("attest:provenance", "mode=min,inline-only=true"),
            ("frontend.caps", "moby.buildkit.frontend.subrequests,x+forward"),
            ("cache-imports", r#"[{"Type":"registry","Attrs":{"ref":"r/i"}}]"#),
            ("local-sessionid:context", "s"),
            ("contextkey", "c"),
        ])
        .unwrap();
        let request = &read.request;
        assert_eq!((request.dockerfile.as_str(), request.target.as_str()), ("D", "t"));
        assert_eq!(request.build_args["A"].as_deref(), Some("b=c"));
        assert!(request.no_cache && request.pull && request.labels["l"] == "m");
        let hosts = request.host_config.extra_hosts.as_deref().unwrap();
        assert_eq!(hosts, ["a:1.2.3.4", "b:::1"]);
        let limits = request.host_config.ulimits.as_ref().unwrap();
        assert_eq!((limits[0].soft, limits[0].hard, limits[1].hard), (1, 2, 3));
        assert_eq!(
            (request.host_config.shm_size, request.network.as_str()),
            (1 << 20, "none")
        );
        assert_eq!(request.cache_from, ["r/i"]);
        assert_eq!(
            (read.context.as_str(), read.dockerfile.as_str()),
            ("c", "dockerfile")
        );
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (key, value) in [
            ("platform", "linux/amd64,linux/arm64"),
            ("attest:sbom", "generator=x"),
            ("no-cache", "stage"),
            ("unheard-of", "1"),
            ("frontend.caps", "moby.buildkit.frontend.unheard-of"),
            ("cache-imports", r#"[{"Type":"gha"}]"#),
            ("ulimit", "nofile"),
            ("requestid", "frontend.outline"),
        ] {
            assert!(read(&[(key, value)]).is_err(), "{key}={value}");
        }
        let source = |source: &str| HashMap::from([("source".to_owned(), source.to_owned())]);
        assert!(Attributes::read("gateway.v0", &source("docker/dockerfile:1.9")).is_ok());
        assert!(Attributes::read("gateway.v0", &source("docker/dockerfile-evil")).is_err());
        assert!(Attributes::read("nix.v0", &HashMap::new()).is_err());
    }
}
