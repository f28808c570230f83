//! `create`: from a request to a container that can be started.

mod check;
mod kernel;
mod merge;

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::container::{CreateRequest, CreateResponse, HostConfig};
use images::{Image, Use};
use log_drivers::Timestamp;
use rand::RngExt;

pub(crate) use check::policy as check_policy;

use crate::house::{Holds, House};
use crate::machine::{Machine, Phase};
use crate::record::{NetworkMode, Record, Run};
use crate::{Error, actor, house, launch, links, mounts, names};

/// How many generated names are tried before the engine gives up.
const NAME_ATTEMPTS: u32 = 20;

/// Makes a container. Nothing is left behind when it fails.
pub(crate) async fn create(
    house: &Arc<House>,
    name: Option<&str>,
    platform: Option<&str>,
    request: CreateRequest,
) -> Result<CreateResponse, Error> {
    let has = |words: &Option<Vec<String>>| words.as_ref().is_some_and(|words| !words.is_empty());
    if request.config.image.is_empty() && !has(&request.config.cmd) && !has(&request.config.entrypoint) {
        return Err(Error::Invalid("no command specified".into()));
    }
    let image = house
        .parts
        .images
        .resolve(&request.config.image)
        .map_err(Error::part)?;
    check_platform(&image, platform)?;
    let id = new_id();
    let (mut record, mut warnings) =
        draft(house, &id, &image, request).map_err(Error::not_about_the_image)?;
    warnings.extend(foreign(&image).filter(|_| platform.is_none()));
    record.name = take_name(house, name, &id)?;
    let result = make(house, &image, &mut record).await;
    if let Err(error) = result {
        undo(house, &record).await;
        return Err(error.not_about_the_image());
    }
    Ok(CreateResponse { id, warnings })
}

/// Makes a container of an image that the caller has at hand, whose configuration gives the defaults. Nothing is left
/// behind when it fails.
pub(crate) async fn create_from(
    house: &Arc<House>,
    name: &str,
    image: &Image,
    request: CreateRequest,
) -> Result<String, Error> {
    let id = new_id();
    let (mut record, _) = draft(house, &id, image, request).map_err(Error::not_about_the_image)?;
    record.name = take_name(house, Some(name), &id)?;
    if let Err(error) = make(house, image, &mut record).await {
        undo(house, &record).await;
        return Err(error.not_about_the_image());
    }
    Ok(id)
}

fn check_platform(image: &Image, platform: Option<&str>) -> Result<(), Error> {
    let Some(asked) = platform.filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    let wanted: oci::platform::Platform = asked.parse().map_err(Error::part)?;
    let have = image.config.platform();
    if wanted.accepts(&have) {
        return Ok(());
    }
    Err(Error::NoSuchImageForPlatform {
        image: image
            .repo_tags
            .first()
            .cloned()
            .unwrap_or_else(|| image.id.to_string()),
        wanted: asked.to_owned(),
    })
}

/// What docker says of an image for another machine that nobody asked for by its platform.
fn foreign(image: &Image) -> Option<String> {
    let (host, own) = (oci::platform::Platform::host(), image.config.platform());
    // An old image may not say what it is for.
    let is_known = !own.os.is_empty() && !own.architecture.is_empty();
    (is_known && !host.accepts(&own)).then(|| {
        format!(
            "The requested image's platform ({own}) does not match the detected host platform ({host}) and no specific \
             platform was requested"
        )
    })
}

/// 64 random hexadecimal digits; the first twelve are never a number only, since they become a host name.
pub(crate) fn new_id() -> String {
    loop {
        let bytes: [u8; 32] = rand::rng().random();
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if id[..12].bytes().any(|digit| !digit.is_ascii_digit()) {
            return id;
        }
    }
}

/// The record without name, mounts and layer; pure but for looking at other containers.
fn draft(
    house: &House,
    id: &str,
    image: &Image,
    request: CreateRequest,
) -> Result<(Record, Vec<String>), Error> {
    let CreateRequest {
        mut config,
        mut host_config,
        networking_config,
    } = request;
    merge::merge(&mut config, &image.config.config)?;
    check::fill(house, &mut config, &mut host_config, id)?;
    check::check(house, &config, &host_config)?;
    let mut warnings = discard_unsupported(house, &mut host_config)?;
    warnings.extend(crate::health::warning(config.healthcheck.as_ref()));
    if matches!(NetworkMode::parse(&host_config.network_mode), NetworkMode::Host)
        && host_config
            .port_bindings
            .as_ref()
            .is_some_and(|ports| !ports.is_empty())
    {
        warnings.push("Published ports are discarded when using host network mode".into());
        host_config.port_bindings = None;
    }
    let networks = networking_config
        .endpoints_config
        .into_iter()
        .map(|(name, settings)| (network_name(name), settings.unwrap_or_default()))
        .collect::<BTreeMap<_, _>>();
    for name in networks.keys() {
        house.parts.networks.resolve(name).map_err(Error::part)?;
    }
    if let NetworkMode::Network(name) = NetworkMode::parse(&host_config.network_mode) {
        house.parts.networks.resolve(name).map_err(Error::part)?;
    }
    let links = links::register(house, &host_config)?;
    host_config.links = None;
    let record = Record {
        id: id.to_owned(),
        name: String::new(),
        created: Timestamp::now(),
        image_id: image.id.to_string(),
        args: merge::words(&config),
        config,
        host_config,
        networks,
        mounts: Vec::new(),
        layer: None,
        platform: "linux".into(),
        storage_driver: house.parts.images.driver_name().to_owned(),
        run: Run::default(),
        restart_count: 0,
        manually_stopped: false,
        dead: false,
        remove_volumes: false,
        left_first: false,
        links,
    };
    // Whatever can be refused is refused now, not at the start.
    launch::port_requests(&record)?;
    launch::check_endpoints(house, &record)?;
    launch::extra_hosts(&record, house.parts.networks.host_gateway())?;
    launch::log_config(house, &record)?;
    crate::spec::capabilities(&record)?;
    house.filters.of(&record, &house.settings)?;
    Ok((record, warnings))
}

/// Takes off the limits that this machine does not have; answers the warnings.
///
/// # Errors
/// A limit without which docker does not make the container.
pub(crate) fn discard_unsupported(house: &House, host: &mut HostConfig) -> Result<Vec<String>, Error> {
    if !kernel::asks(host) {
        return Ok(Vec::new());
    }
    kernel::discard(host, &house.layout.features())
}

fn network_name(name: String) -> String {
    if name == "default" { "bridge".into() } else { name }
}

fn take_name(house: &House, name: Option<&str>, id: &str) -> Result<String, Error> {
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        let name = name.strip_prefix('/').unwrap_or(name);
        if !names::is_valid(name) {
            return Err(Error::InvalidName(name.into()));
        }
        house.directory.reserve(name, id)?;
        return Ok(name.to_owned());
    }
    let mut attempt = 0;
    loop {
        let name = names::generate(attempt);
        match house.directory.reserve(&name, id) {
            Ok(()) => return Ok(name),
            Err(error) if attempt == NAME_ATTEMPTS => return Err(error),
            Err(_) => attempt += 1,
        }
    }
}

async fn make(house: &Arc<House>, image: &Image, record: &mut Record) -> Result<(), Error> {
    let label = format!("container {}", &record.id[..12]);
    let hold = house
        .parts
        .images
        .hold(&image.id, &label, Use::Stopped)
        .map_err(Error::part)?;
    let (specs, volumes) = mounts::collect(house, record).await?;
    record.mounts = specs;
    house.keep_holds(
        &record.id,
        Holds {
            image: Some(hold),
            volumes,
        },
    );
    durable::crash_point("containers.create.held");
    let layer = house
        .parts
        .images
        .create_container_layer(&record.id, &image.id)
        .await;
    record.layer = Some(layer.map_err(Error::part)?);
    let size = check::layer_size(&record.host_config)?;
    let images = &house.parts.images;
    images
        .limit_container_layer(&record.id, size)
        .await
        .map_err(Error::part)?;
    durable::crash_point("containers.create.layer-made");
    launch::make_dir(&house.data_dir(&record.id))?;
    durable::crash_point("containers.create.directory-made");
    if let Some(commit) = house.write(record)? {
        commit.await.map_err(Error::part)?;
    }
    durable::crash_point("containers.create.recorded");
    let machine = Machine::new(
        Phase::Created,
        house::policy(&record.host_config),
        record.host_config.auto_remove,
    );
    let cell = actor::spawn(house, record.clone(), machine);
    house.directory.insert(&record.id, cell);
    house.event(record, "create", &[]);
    Ok(())
}

async fn undo(house: &Arc<House>, record: &Record) {
    house.directory.release(&record.name, &record.id);
    // The anonymous volumes were made for this container alone.
    if let Err(error) = crate::teardown::delete(house, record, true).await {
        tracing::warn!(container = %record.id, %error, "a container that could not be made was not removed");
    }
}
