//! RUN: a container like all others, made of the image before, whose changes become a layer.

mod caches;
mod devices;
mod mounts;
mod output;

use std::collections::HashSet;

use api_types::container::{Config, CreateRequest, LogConfig};
use containers::{AttachRequest, ClientSocket, RemoveRequest, WaitCondition};
use dockerfile::args::PREDEFINED;
use dockerfile::instruction::{Run, Script};
use images::{FilterArchive, Image};
use oci::image::ImageConfig;

use crate::BuildError;
use crate::configure::shell;
use crate::copy::clamp;
use crate::stage::Stage;

pub(crate) use caches::Caches;
use mounts::Mounted;

/// Runs a program and keeps what it changed.
pub(crate) async fn run(stage: &mut Stage, run: &Run) -> Result<(), BuildError> {
    let devices = devices::parse(run, &stage.engine.request.allow)?;
    if is_insecure(run) && !stage.engine.request.allow.iter().any(|name| name == INSECURE) {
        return Err(BuildError::Instruction(format!("{INSECURE} is not allowed")));
    }
    let mounted = mounts::prepare(stage, run).await?;
    let argv = argv(stage, run);
    let variables = variables(stage);
    let wanted = stage.wanted(cache_words(run, &mounted, &variables, &argv));
    let Some(_turn) = stage.probe_in_turn(&wanted).await? else {
        return Ok(());
    };
    let image = image_to_run(stage).await?;
    let mut request = request(stage, run, &image, &mounted, &variables, argv.clone());
    request.host_config.devices = (!devices.is_empty()).then_some(devices);
    let id = stage.engine.create_container(image, request).await?;
    durable::crash_point("builds.run.created");
    let short: String = id.chars().take(12).collect();
    stage.tell(format!(" ---> Running in {short}\n")).await;
    let code = execute(stage, &id).await?;
    durable::crash_point("builds.run.ended");
    if code != 0 {
        if !stage.engine.request.force_remove {
            stage.engine.keep(&id);
        }
        return Err(BuildError::Command {
            command: argv.join(" "),
            code,
        });
    }
    let filter = filter(stage, &id, &mounted).await?;
    let layer = stage
        .engine
        .images
        .container_layer(&id, filter)
        .await
        .map_err(BuildError::part)?;
    drop(mounted);
    if stage.engine.request.keep_containers {
        stage.engine.keep(&id);
    } else {
        let remove = RemoveRequest {
            force: true,
            volumes: true,
        };
        let removed = stage.engine.containers.remove(&id, remove).await;
        removed.map_err(BuildError::part)?;
        stage
            .tell(format!(" ---> Removed intermediate container {short}\n"))
            .await;
    }
    stage.commit(wanted, layer).await
}

/// What `--allow` says for `RUN --security=insecure`.
const INSECURE: &str = "security.insecure";

fn is_insecure(run: &Run) -> bool {
    run.security.as_deref() == Some("insecure")
}

/// What is executed.
fn argv(stage: &Stage, run: &Run) -> Vec<String> {
    let shell = shell(&stage.config.config);
    match run.script() {
        None => run.command.argv(&shell),
        Some(Script::Line(line)) => shell.into_iter().chain([line]).collect(),
        Some(Script::File { name, .. }) => vec![format!("{}/{name}", mounts::SCRIPTS)],
    }
}

/// Arguments that the program sees, as `NAME=value`; what ENV sets wins.
pub(crate) fn variables(stage: &Stage) -> Vec<String> {
    let is_env = |name: &str| {
        stage
            .config
            .config
            .env
            .iter()
            .any(|line| line.split('=').next() == Some(name))
    };
    let declared = stage.args.iter().filter(|(name, _)| !is_env(name));
    declared
        .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)))
        .collect()
}

/// The words by which the cache knows the step. Docker puts arguments in front: `|1 A=b /bin/sh -c …`.
fn cache_words(run: &Run, mounted: &Mounted, variables: &[String], argv: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    if !variables.is_empty() {
        words.push(format!("|{}", variables.len()));
        words.extend(variables.iter().cloned());
    }
    words.extend(run.network.iter().map(|network| format!("--network={network}")));
    if is_insecure(run) {
        words.push("--security=insecure".to_owned());
    }
    words.extend(run.devices.iter().map(|device| format!("--device={device}")));
    words.extend(mounted.keys().iter().cloned());
    words.extend(argv.iter().cloned());
    words
}

/// The image that the container is made of; `scratch` gets one without layers.
async fn image_to_run(stage: &Stage) -> Result<Image, BuildError> {
    let mut image = match &stage.image {
        Some(image) => image.clone(),
        None => stage
            .engine
            .images
            .add(&stage.config, None)
            .await
            .map_err(BuildError::part)?,
    };
    // The request says everything itself: neither volumes, health check nor entry point of the image are for a step.
    image.config = std::sync::Arc::new(ImageConfig {
        config: oci::image::RunConfig::default(),
        ..(*image.config).clone()
    });
    Ok(image)
}

fn request(
    stage: &Stage,
    run: &Run,
    image: &Image,
    mounted: &Mounted,
    variables: &[String],
    argv: Vec<String>,
) -> CreateRequest {
    let engine = &stage.engine;
    let config = &stage.config.config;
    let proxies = engine
        .request
        .build_args
        .iter()
        .filter(|(name, _)| PREDEFINED.contains(&name.as_str()));
    let proxies = proxies.filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
    let mut env: Vec<String> = proxies.chain(variables.iter().cloned()).collect();
    env.extend(mounted.variables().iter().cloned());
    env.extend(config.env.iter().cloned());
    let mut host = engine.request.host_config.clone();
    host.network_mode = match (run.network.as_deref(), engine.request.network.as_str()) {
        (Some("none"), _) => "none".to_owned(),
        (Some("host"), _) => "host".to_owned(),
        (_, network) => network.to_owned(),
    };
    host.privileged = is_insecure(run);
    host.log_config = LogConfig {
        kind: "none".to_owned(),
        ..LogConfig::default()
    };
    host.mounts = Some(mounted.mounts().to_vec());
    CreateRequest {
        config: Config {
            image: image.id.to_string(),
            cmd: Some(argv),
            env: Some(env),
            user: config.user.clone(),
            working_dir: config.working_dir.clone(),
            attach_stdout: true,
            attach_stderr: true,
            ..Config::default()
        },
        host_config: host,
        ..CreateRequest::default()
    }
}

/// Starts the container, passes its output on, and answers its exit code.
async fn execute(stage: &Stage, id: &str) -> Result<i64, BuildError> {
    let containers = &stage.engine.containers;
    let request = AttachRequest {
        stream: true,
        stdout: true,
        stderr: true,
        ..AttachRequest::default()
    };
    let attachment = containers.attach(id, request).await.map_err(BuildError::part)?;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(BuildError::part)?;
    let socket = ClientSocket {
        fd: theirs.into(),
        read_ahead: Vec::new(),
        relayed: false,
    };
    attachment.serve(socket).await.map_err(BuildError::part)?;
    let ended = containers
        .wait(id, WaitCondition::NextExit)
        .map_err(BuildError::part)?;
    containers.start(id).await.map_err(BuildError::part)?;
    durable::crash_point("builds.run.started");
    output::pass_on(stage, ours).await?;
    Ok(ended.outcome().await.status_code)
}

/// What of the container's changes is not the program's: the places of mounts. Nothing when all is.
async fn filter(stage: &Stage, id: &str, mounted: &Mounted) -> Result<Option<FilterArchive>, BuildError> {
    let epoch = stage.engine.epoch;
    let places = mounted.places();
    let mut drop: HashSet<Vec<u8>> = HashSet::new();
    if !places.is_empty() {
        let changes = stage
            .engine
            .images
            .container_changes(id)
            .await
            .map_err(BuildError::part)?;
        let paths: Vec<Vec<u8>> = changes.into_iter().map(|change| trimmed(&change.path)).collect();
        // The deepest first: a directory made for a place goes if nothing else is in it.
        for place in places.iter().rev() {
            let place = place.as_bytes();
            let below = |path: &Vec<u8>| {
                path.len() > place.len() && path.starts_with(place) && path[place.len()] == b'/'
            };
            if paths
                .iter()
                .filter(|path| below(path))
                .all(|path| drop.contains(path))
            {
                drop.insert(place.to_vec());
            }
        }
    }
    if drop.is_empty() && epoch.is_none() {
        return Ok(None);
    }
    Ok(Some(Box::new(move |read, write| {
        clamp(read, write, &drop, epoch)
    })))
}

fn trimmed(path: &[u8]) -> Vec<u8> {
    path.strip_prefix(b"/").unwrap_or(path).to_vec()
}
