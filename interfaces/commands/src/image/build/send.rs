//! From the flags to the call, and what becomes of it.

use std::collections::BTreeMap;
use std::path::Path;

use client::Query;

use super::named::Named;
use super::outputs::Outputs;
use super::{agents, cache, context, debug, listing, metadata, secrets, show};
use crate::app::App;
use crate::container::options::ulimit;
use crate::failure::{Failure, Outcome};
use crate::flags::Parsed;
use crate::{console, credentials};

pub(super) async fn execute(app: &App, args: &Parsed) -> Outcome {
    let progress = show::Progress::of(args)?;
    if !args.on("disable-content-trust") {
        return Err(Failure::new(
            "content trust is not available in this version of dhow",
        ));
    }
    let secrets = secrets::header(&args.all("secret"))?;
    for name in ["provenance", "sbom"] {
        if !["", "false", "0"].contains(&args.text(name)) {
            return Err(Failure::new(format!(
                "--{name}={} is not available in this version of dhow: no attestations are made",
                args.text(name)
            )));
        }
    }
    let environment = std::env::var("SSH_AUTH_SOCK")
        .ok()
        .filter(|path| !path.is_empty());
    let agents = agents::parse(&args.all("ssh"), environment.as_deref())?;
    let outputs = Outputs::parse(args)?;
    let keep = cache::targets(&args.all("cache-to"))?;
    let all_stages = keep.iter().any(cache::To::wants_stages);
    let cache_from = cache::sources(app, &args.all("cache-from")).await?;
    let mut query =
        query(args, progress == show::Progress::Quiet)?.with_some("cachefrom", json(&cache_from)?);
    query = query.with_some("stages", if all_stages { "1" } else { "" });
    query = query.with_some("steps", if progress == show::Progress::Tty { "1" } else { "" });
    for tag in &outputs.tags {
        query = query.with("t", tag);
    }
    let iidfile = args.text("iidfile");
    if !iidfile.is_empty() && Path::new(iidfile).exists() {
        std::fs::remove_file(iidfile)
            .map_err(|error| Failure::new(format!("removing image ID file: {error}")))?;
    }
    let build_id = name_of_build();
    if !agents.is_empty() {
        let ids: Vec<&str> = agents.iter().map(|agent| agent.id.as_str()).collect();
        query = query.with("buildid", &build_id).with("sshagents", json(&ids)?);
    }
    let named = Named::parse(&args.all("build-context"))?;
    let query = query.with_some("contexts", json(&named.values)?);
    let context = context::open(args.arg(0), args.text("file"), args.on("compress"), named.trees)?;
    let query = query
        .with_some("dockerfile", &context.dockerfile)
        .with_some("remote", &context.remote);
    let logins = credentials::header_for_all(app);
    let (query, body) = match context.files {
        context::Files::Archive(body) => (query, body),
        context::Files::Directory(tree) => listing::offer(app, tree, query).await?,
    };
    let reply = app.client()?.build(query, secrets, logins, body).await?;
    let mut told = show::Told::default();
    let shown = tokio::select! {
        shown = show::show(reply, progress, outputs.print(), &outputs.tags, &mut told) => shown,
        () = agents::offer(app.client()?, &build_id, &agents) => Err(Failure::new("no build")),
    };
    drop(context.temporary);
    if let (Err(failure), Some(state)) = (&shown, &told.failed_step) {
        console::error(&failure.message);
        debug::enter(app, state).await?;
        // It has been said.
        return Err(Failure::new("").code(failure.code));
    }
    let id = shown?;
    if !iidfile.is_empty() {
        if id.is_empty() {
            return Err(Failure::new(format!(
                "server did not provide an image ID. Cannot write {iidfile}"
            )));
        }
        std::fs::write(iidfile, &id).map_err(|error| Failure::new(format!("write {iidfile}: {error}")))?;
    }
    if args.on("check") {
        return Ok(());
    }
    let quiet = progress == show::Progress::Quiet;
    let digest = outputs.give(app, &id, quiet).await?;
    cache::keep(app, &keep, &id, &told.stages).await?;
    match args.text("metadata-file") {
        "" => Ok(()),
        path => metadata::write(path, &id, &outputs.tags, digest.as_deref()),
    }
}

fn query(args: &Parsed, quiet: bool) -> Result<Query, Failure> {
    let on = |name| if args.on(name) { "1" } else { "" };
    let mut query = Query::new()
        .with_some("q", if quiet { "1" } else { "" })
        .with_some("nocache", on("no-cache"))
        .with_some("pull", on("pull"))
        .with_some("squash", on("squash"))
        .with_some("explain", on("explain"))
        .with_some("check", on("check"))
        .with_some("debug", on("debug"))
        .with("rm", if args.on("rm") { "1" } else { "0" })
        .with_some("forcerm", on("force-rm"))
        .with_some("networkmode", args.text("network"))
        .with_some("target", args.text("target"))
        .with_some("platform", args.text("platform"))
        .with_some("isolation", args.text("isolation"))
        .with_some("cpusetcpus", args.text("cpuset-cpus"))
        .with_some("cpusetmems", args.text("cpuset-mems"))
        .with_some("cgroupparent", args.text("cgroup-parent"))
        .with_some("buildargs", json(&build_args(&args.all("build-arg")))?)
        .with_some("labels", json(&labels(&args.all("label")))?)
        .with_some("unset", json(&args.all("unset"))?)
        .with_some("allow", json(&args.all("allow"))?)
        .with_some("nocachefilter", json(&args.all("no-cache-filter"))?)
        .with_some("securityopt", json(&args.all("security-opt"))?);
    let numbers = [
        ("memory", args.bytes("memory")),
        ("memswap", args.bytes("memory-swap")),
        ("shmsize", args.bytes("shm-size")),
        ("cpushares", args.int("cpu-shares").unwrap_or(0)),
        ("cpuperiod", args.int("cpu-period").unwrap_or(0)),
        ("cpuquota", args.int("cpu-quota").unwrap_or(0)),
    ];
    for (name, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
        query = query.with(name, number.to_string());
    }
    for host in args.all("add-host") {
        query = query.with("extrahosts", host);
    }
    let limits = args.all("ulimit");
    let limits = limits
        .iter()
        .map(|text| ulimit(text))
        .collect::<Result<Vec<_>, _>>();
    let limits = limits.map_err(Failure::new)?;
    if !limits.is_empty() {
        query = query.with("ulimits", json(&limits)?);
    }
    Ok(query)
}

/// A name that no other build has.
fn name_of_build() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!(
        "dhow-{}-{}",
        std::process::id(),
        now.unwrap_or_default().as_nanos()
    )
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::new(error.to_string()))?;
    Ok(if ["{}", "[]"].contains(&text.as_str()) {
        String::new()
    } else {
        text
    })
}

/// `NAME=value`; a name alone takes the value that it has here, or none. SOURCE_DATE_EPOCH of the environment counts.
fn build_args(list: &[String]) -> BTreeMap<String, Option<String>> {
    const EPOCH: &str = "SOURCE_DATE_EPOCH";
    let mut args = BTreeMap::new();
    if let Ok(epoch) = std::env::var(EPOCH) {
        args.insert(EPOCH.to_owned(), Some(epoch));
    }
    for text in list {
        match text.split_once('=') {
            Some((name, value)) => args.insert(name.to_owned(), Some(value.to_owned())),
            None => args.insert(text.clone(), std::env::var(text).ok()),
        };
    }
    args
}

fn labels(list: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    list.iter().map(pair).collect()
}
