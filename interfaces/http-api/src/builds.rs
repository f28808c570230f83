//! Builds: `POST /build` and its company.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use ::builds::{
    BuildRequest, Builds, ProgressReceiver, PruneOptions, Secret, Source, progress, step_messages,
};
use api_types::ApiVersion;
use api_types::container::{HostConfig, Ulimit};
use api_types::decode;
use api_types::progress::Message;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use buildkit::BuildKit;
use bytes::Bytes;
use distribution::Keyring;
use futures_util::stream::unfold;
use hyper::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::error::Failure;
use crate::images::reader;
use crate::query::Query;
use crate::reply::{self, Outcome};

/// Secrets for `RUN --mount=type=secret`: base64 of a JSON object of names and base64 values. Docker's own way
/// needs a BuildKit session.
const SECRETS: &str = "X-Dhow-Build-Secrets";

/// `POST /build`.
pub(crate) async fn build(builds: Arc<Builds>, buildkit: Arc<BuildKit>, call: Call) -> Outcome {
    if call.query.text("version") == "2" {
        return crate::buildkit::build(&buildkit, call).await;
    }
    refuse_what_is_not_classic(&call)?;
    let mut request = request(&call)?;
    request.check()?;
    request.client = buildkit.agents_of(&request.build_id, json(&call, "sshagents")?);
    let source = match call.query.text("kept").to_owned() {
        name if name.is_empty() => Source::Archive(Box::new(reader(call.body))),
        name => buildkit.listed_context(&name, reader(call.body)).await?,
    };
    // Whoever draws the steps itself, as `dhow build` does on a terminal, hears of them as they happen.
    let (sender, mut receiver) = match call.query.flag("steps") {
        true => step_messages(),
        false => progress(),
    };
    let running = tokio::spawn(async move { builds.build(request, source, sender).await.map(drop) });
    // What fails at once is a status of its own.
    let first = match tokio::time::timeout(BEAT, receiver.recv()).await {
        Ok(None) => {
            return match running.await {
                Ok(Ok(())) => reply::stream("application/json", futures_util::stream::empty()),
                Ok(Err(error)) => Err(error.into()),
                Err(error) => Err(std::io::Error::other(error).into()),
            };
        }
        Ok(first) => first,
        Err(_) => None,
    };
    let state = State {
        first,
        receiver,
        running: Some(running),
    };
    reply::stream(
        "application/json",
        unfold(state, |mut state| async move {
            let text = match tokio::time::timeout(BEAT, state.next()).await {
                Ok(message) => line(&message?),
                Err(_) => Bytes::from_static(b"\r\n"),
            };
            Some((Ok(text), state))
        }),
    )
}

/// `POST /build/context`, of `dhow build` only: a list of files; the reply says which of them are not here yet.
pub(crate) async fn list_context(buildkit: Arc<BuildKit>, call: Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Listed {
        id: String,
        wanted: Vec<u32>,
    }
    let key = call.query.text("key").to_owned();
    let (id, wanted) = buildkit.list_context(&key, reader(call.body)).await?;
    reply::ok(&Listed { id, wanted })
}

/// How often a silent build sends a blank line. A client may close its half of the connection and go on listening, so that
/// only writing shows that it is gone, and then the build ends.
pub(crate) const BEAT: Duration = Duration::from_secs(1);

/// A stream that is being told.
struct State {
    first: Option<Message>,
    receiver: ProgressReceiver,
    running: Option<tokio::task::JoinHandle<Result<(), ::builds::BuildError>>>,
}

impl State {
    /// The next line; an error is the last one.
    async fn next(&mut self) -> Option<Message> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if let Some(message) = self.receiver.recv().await {
            return Some(message);
        }
        let outcome = self.running.as_mut()?.await;
        self.running = None;
        match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.message()),
            Err(error) => Some(Message::error(error.to_string())),
        }
    }
}

pub(crate) fn line(message: &Message) -> Bytes {
    let mut text = serde_json::to_vec(message).unwrap_or_default();
    text.extend(b"\r\n");
    text.into()
}

fn refuse_what_is_not_classic(call: &Call) -> Result<(), Failure> {
    let query = &call.query;
    if !matches!(query.text("outputs"), "" | "[]" | "null") {
        return Err(Failure::bad(
            "the classic builder doesn't support additional outputs",
        ));
    }
    Ok(())
}

/// What is the same for both builders.
pub(crate) fn request(call: &Call) -> Result<BuildRequest, Failure> {
    let query = &call.query;
    if !["", "default"].contains(&query.text("isolation")) {
        return Err(Failure::bad(
            "Unsupported isolation: only default is there on linux",
        ));
    }
    let build_args: BTreeMap<String, Option<String>> = json(call, "buildargs")?;
    Ok(BuildRequest {
        dockerfile: query.text("dockerfile").to_owned(),
        tags: query
            .all("t")
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect(),
        build_args,
        labels: json(call, "labels")?,
        target: query.text("target").to_owned(),
        platform: query.text("platform").to_owned(),
        pull: query.flag("pull"),
        // As with `X-Registry-Auth`: what cannot be read is no key.
        keyring: Keyring::from_header(call.header("x-registry-config").unwrap_or_default())
            .unwrap_or_default(),
        no_cache: query.flag("nocache"),
        no_cache_filter: json(call, "nocachefilter")?,
        cache_from: json(call, "cachefrom")?,
        cache_only_from: true,
        quiet: query.flag("q"),
        explain: query.flag("explain"),
        check: query.flag("check"),
        unset: json(call, "unset")?,
        allow: json(call, "allow")?,
        squash: query.flag("squash"),
        keep_containers: !query.flag_or("rm", true) && !query.flag("forcerm"),
        force_remove: query.flag("forcerm"),
        network: query.text("networkmode").to_owned(),
        host_config: host_config(call)?,
        secrets: secrets(call)?,
        client: None,
        remote: query.text("remote").to_owned(),
        contexts: json(call, "contexts")?,
        directories: BTreeMap::new(),
        debug: query.flag("debug"),
        tell_stages: query.flag("stages"),
        build_id: query.text("buildid").to_owned(),
        epoch: None,
    })
}

/// A parameter that is JSON; absent and `null` are the zero value.
pub(crate) fn json<T: DeserializeOwned + Default>(call: &Call, name: &str) -> Result<T, Failure> {
    let text = call.query.text(name);
    if text.is_empty() {
        return Ok(T::default());
    }
    let value: Option<T> = decode::from_slice(text.as_bytes())
        .map_err(|error| Failure::bad(format!("error reading {name}: {error}")))?;
    Ok(value.unwrap_or_default())
}

fn host_config(call: &Call) -> Result<HostConfig, Failure> {
    let query = &call.query;
    let number = |name: &str| query.number(name).map(Option::unwrap_or_default);
    let ulimits: Vec<Ulimit> = json(call, "ulimits")?;
    let list = |values: Vec<String>| (!values.is_empty()).then_some(values);
    let hosts = query
        .all("extrahosts")
        .flat_map(|text| text.split(','))
        .filter(|text| !text.is_empty());
    Ok(HostConfig {
        memory: number("memory")?,
        memory_swap: number("memswap")?,
        cpu_shares: number("cpushares")?,
        cpu_period: number("cpuperiod")?,
        cpu_quota: number("cpuquota")?,
        cpuset_cpus: query.text("cpusetcpus").to_owned(),
        cpuset_mems: query.text("cpusetmems").to_owned(),
        cgroup_parent: query.text("cgroupparent").to_owned(),
        shm_size: number("shmsize")?,
        ulimits: (!ulimits.is_empty()).then_some(ulimits),
        security_opt: list(json(call, "securityopt")?),
        extra_hosts: list(hosts.map(str::to_owned).collect()),
        ..HostConfig::default()
    })
}

fn secrets(call: &Call) -> Result<Vec<Secret>, Failure> {
    let Some(text) = call.header(SECRETS) else {
        return Ok(Vec::new());
    };
    let wrong = || {
        Failure::bad(format!(
            "{SECRETS}: must be base64 of a JSON object of base64 values"
        ))
    };
    let object = STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .map_err(|_| wrong())?;
    let object: BTreeMap<String, String> = serde_json::from_slice(&object).map_err(|_| wrong())?;
    let secret = |(id, value): (String, String)| {
        let value = STANDARD.decode(value).map_err(|_| wrong())?;
        Ok(Secret { id, value })
    };
    object.into_iter().map(secret).collect()
}

/// `POST /build/prune`; `all` makes no difference, as what is kept for later is never dangling.
pub(crate) async fn prune(buildkit: Arc<BuildKit>, call: Call) -> Outcome {
    let keep = kept(call.version, &call.query)?;
    let filters = call.query.filters()?;
    // What is kept for later has no labels; `docker system prune --filter label=…` says them to every prune.
    let known = filters.accept_only(&["until", "unused-for", "id", "type", "label", "label!"]);
    known.map_err(|error| Failure::bad(error.to_string()))?;
    let all = |name: &str| -> Vec<String> { filters.values(name).map(str::to_owned).collect() };
    let mut before = None;
    for text in all("until").iter().chain(&all("unused-for")) {
        let seconds = u64::try_from(crate::instant::seconds(text)?).unwrap_or_default();
        before = Some(UNIX_EPOCH + Duration::from_secs(seconds));
    }
    let options = PruneOptions {
        before,
        ids: all("id"),
        kinds: all("type"),
        keep,
    };
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Report {
        /// Docker's `null` for none.
        caches_deleted: Option<Vec<String>>,
        space_reclaimed: u64,
    }
    let pruned = buildkit.prune(options).await;
    reply::ok(&Report {
        space_reclaimed: pruned.iter().map(|gone| gone.size).sum(),
        caches_deleted: (!pruned.is_empty()).then(|| pruned.into_iter().map(|gone| gone.id).collect()),
    })
}

/// The bytes that a prune leaves. What was `keep-storage` has another name since 1.48, and the old one is not heard since
/// 1.52.
fn kept(version: ApiVersion, query: &Query) -> Result<u64, Failure> {
    let names: &[&str] = match version {
        version if version.before(48) => &["keep-storage"],
        version if version.before(52) => &["keep-storage", "reserved-space", "max-used-space"],
        _ => &["reserved-space", "max-used-space"],
    };
    if version.at_least(48) && !matches!(query.text("min-free-space"), "" | "0") {
        return Err(Failure::new(
            fault::Kind::NotImplemented,
            "min-free-space is not available in this version of dhow: reserved-space and max-used-space are",
        ));
    }
    let mut keep = 0;
    for name in names {
        let bytes = query.number(name)?.and_then(|bytes| u64::try_from(bytes).ok());
        keep = keep.max(bytes.unwrap_or_default());
    }
    Ok(keep)
}

/// `POST /build/cancel`.
pub(crate) async fn cancel(builds: Arc<Builds>, call: Call) -> Outcome {
    let id = call.query.text("id");
    if id.is_empty() {
        return Err(Failure::bad("build ID not provided"));
    }
    builds.cancel(id);
    reply::empty(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_prune_keeps_has_other_names_since_1_48_and_lost_the_old_one_by_1_52() {
        let heard = |minor, name: &str| {
            kept(ApiVersion::new(1, minor), &Query::parse(&format!("{name}=7")))
                .map_err(|f| f.status.as_u16())
        };
        let old = |minor| heard(minor, "keep-storage");
        assert_eq!((old(47), old(48), old(51), old(52)), (Ok(7), Ok(7), Ok(7), Ok(0)));
        for name in ["reserved-space", "max-used-space"] {
            assert_eq!(
                (heard(47, name), heard(48, name), heard(52, name)),
                (Ok(0), Ok(7), Ok(7))
            );
        }
        assert_eq!(
            (heard(47, "min-free-space"), heard(48, "min-free-space")),
            (Ok(0), Err(501))
        );
    }
}
