//! Reading: resolve, list, inspect, history. All from memory.

use std::collections::BTreeMap;

use api_types::Filters;
use api_types::container::{Empty, GraphDriver, HealthConfig};
use api_types::image::{HistoryItem, ImageConfig, Inspect, Metadata, RootFs, Summary};
use jiff::Timestamp;
use oci::digest::Digest;
use oci::reference::{Reference, familiar_match};

use crate::state::State;
use crate::{Image, ImageError, Images};

/// What all layers take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerUsage {
    /// How many there are.
    pub layers: usize,
    /// Bytes of their files.
    pub size: u64,
}

impl Images {
    /// The image with this name (`alpine`, `alpine:3`, `alpine@sha256:…`), id, or beginning of an id.
    ///
    /// # Errors
    /// [`ImageError::NotFound`], [`ImageError::Reference`].
    pub fn resolve(&self, name: &str) -> Result<Image, ImageError> {
        let state = self.read();
        let id = state.find(name)?;
        state
            .snapshot(&id)
            .ok_or_else(|| ImageError::NotFound(name.to_owned()))
    }

    /// The image with this id.
    pub fn get(&self, id: &Digest) -> Option<Image> {
        self.read().snapshot(id)
    }

    /// The images that pass the filters (`before`, `since`, `reference`, `dangling`, `label`, `until`), the newest
    /// first; `all` shows unnamed parents too.
    ///
    /// # Errors
    /// [`ImageError`] for filters that are unknown or name no image.
    pub fn list(&self, all: bool, filters: &Filters) -> Result<Vec<Image>, ImageError> {
        let state = self.read();
        let wanted = Wanted::new(&state, filters)?;
        let mut images: Vec<Image> = Vec::new();
        for (id, entry) in &state.images {
            let mut image = entry.snapshot(id);
            if !wanted.passes(&image, filters) {
                continue;
            }
            if filters.contains("reference") {
                let fits = |name: &Reference| {
                    filters
                        .values("reference")
                        .any(|pattern| familiar_match(pattern, name).unwrap_or(false))
                };
                let fitting: Vec<String> = entry
                    .names
                    .iter()
                    .filter(|name| fits(name))
                    .map(Reference::familiar)
                    .collect();
                image.repo_tags.retain(|name| fitting.contains(name));
                image.repo_digests.retain(|name| fitting.contains(name));
            }
            let is_named = !image.repo_tags.is_empty() || !image.repo_digests.is_empty();
            let shown = if is_named {
                wanted.dangling != Some(true) || image.repo_tags.is_empty()
            } else {
                (all || !state.has_children(id))
                    && wanted.dangling != Some(false)
                    && !filters.contains("reference")
            };
            if shown {
                images.push(image);
            }
        }
        images.sort_by_cached_key(|image| (std::cmp::Reverse(created(image)), image.id.clone()));
        Ok(images)
    }

    /// [`Images::list`] as `GET /images/json` shows it; with `shared_size`, that is computed (else -1).
    ///
    /// # Errors
    /// As [`Images::list`].
    pub fn summaries(
        &self,
        all: bool,
        filters: &Filters,
        shared_size: bool,
    ) -> Result<Vec<Summary>, ImageError> {
        let images = self.list(all, filters)?;
        let mut users: BTreeMap<Digest, usize> = BTreeMap::new();
        if shared_size {
            let everything = self.read();
            for entry in everything.images.values() {
                for chain in entry.chain_ids.iter() {
                    *users.entry(chain.clone()).or_default() += 1;
                }
            }
        }
        let shared = |image: &Image| {
            let shared = image
                .chain_ids
                .iter()
                .filter(|chain| users.get(chain).is_some_and(|n| *n > 1));
            shared
                .filter_map(|chain| self.layers.row(chain))
                .map(|row| row.size)
                .sum::<u64>()
        };
        let summary = |image: &Image| Summary {
            containers: signed(image.containers as u64),
            created: created(image).map_or(0, |time| time.as_second()),
            id: image.id.to_string(),
            labels: Some(image.config.config.labels.clone()).filter(|labels| !labels.is_empty()),
            parent_id: image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
            repo_digests: image.repo_digests.clone(),
            repo_tags: image.repo_tags.clone(),
            shared_size: if shared_size { signed(shared(image)) } else { -1 },
            size: signed(image.size),
            ..Summary::default()
        };
        Ok(images.iter().map(summary).collect())
    }

    /// What `GET /images/{name}/json` shows.
    ///
    /// # Errors
    /// As [`Images::resolve`].
    pub fn inspect(&self, name: &str) -> Result<Inspect, ImageError> {
        let image = self.resolve(name)?;
        let config = &image.config;
        let layers: Vec<String> = config.rootfs.diff_ids.iter().map(ToString::to_string).collect();
        Ok(Inspect {
            id: image.id.to_string(),
            repo_tags: image.repo_tags.clone(),
            repo_digests: image.repo_digests.clone(),
            parent: image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
            comment: comment(config),
            created: config.created.clone().unwrap_or_default(),
            docker_version: config.docker_version.clone(),
            author: config.author.clone(),
            config: api_config(&config.config),
            architecture: config.architecture.clone(),
            variant: config.variant.clone(),
            os: config.os.clone(),
            os_version: config.os_version.clone(),
            size: signed(image.size),
            graph_driver: self.graph_driver(&image),
            root_fs: RootFs {
                kind: "layers".to_owned(),
                layers: Some(layers).filter(|layers| !layers.is_empty()),
            },
            metadata: Metadata {
                last_tag_time: image.last_tagged.map_or_else(
                    || "0001-01-01T00:00:00Z".to_owned(),
                    |nanos| {
                        Timestamp::from_nanosecond(i128::from(nanos))
                            .unwrap_or_default()
                            .to_string()
                    },
                ),
            },
            container: config.container.clone(),
            ..Inspect::default()
        })
    }

    /// Where the layers of an image are, in the words of Docker's overlay2.
    fn graph_driver(&self, image: &Image) -> GraphDriver {
        let mut data = BTreeMap::new();
        if let Ok(storage_drivers::Recipe::Overlay { lowers, .. }) = self.image_recipe(&image.id) {
            let mut lowers = lowers.iter().map(|path| path.display().to_string());
            data.extend(lowers.next().map(|top| ("UpperDir".to_owned(), top)));
            let rest: Vec<String> = lowers.collect();
            if !rest.is_empty() {
                data.insert("LowerDir".to_owned(), rest.join(":"));
            }
        }
        GraphDriver {
            name: self.driver_name().to_owned(),
            data: Some(data),
        }
    }

    /// The steps that made an image, the newest first.
    ///
    /// # Errors
    /// As [`Images::resolve`].
    pub fn history(&self, name: &str) -> Result<Vec<HistoryItem>, ImageError> {
        let image = self.resolve(name)?;
        let mut chain = image.chain_ids.iter();
        let size = |chain: &Digest| self.layers.row(chain).map_or(0, |row| row.size);
        let mut items: Vec<HistoryItem> = image
            .config
            .history
            .iter()
            .map(|step| HistoryItem {
                comment: step.comment.clone(),
                created: step
                    .created
                    .as_deref()
                    .and_then(parse_time)
                    .map_or(0, |time| time.as_second()),
                created_by: step.created_by.clone(),
                id: "<missing>".to_owned(),
                size: if step.empty_layer {
                    0
                } else {
                    signed(chain.next().map_or(0, size))
                },
                tags: None,
            })
            .collect();
        items.reverse();
        // The newest steps belong to the image and to those it was made from, as far as they are here.
        let state = self.read();
        let mut next = Some(image.id.clone());
        for item in &mut items {
            let Some((id, entry)) = next.as_ref().and_then(|id| state.images.get_key_value(id)) else {
                break;
            };
            item.id = id.to_string();
            item.tags = Some(entry.snapshot(id).repo_tags).filter(|tags| !tags.is_empty());
            next.clone_from(&entry.row.parent);
        }
        Ok(items)
    }

    /// How many images there are.
    pub fn count(&self) -> usize {
        self.read().images.len()
    }

    /// What all layers take, for `docker system df`.
    pub fn usage(&self) -> LayerUsage {
        let (layers, size) = self.layers.usage();
        LayerUsage { layers, size }
    }

    /// The storage driver's name.
    pub fn driver_name(&self) -> &'static str {
        self.layers.driver().name()
    }

    /// The storage driver's rows for `docker info`.
    pub fn driver_status(&self) -> Vec<(String, String)> {
        self.layers.driver().status()
    }
}

/// The filters, as far as they are looked up once.
struct Wanted {
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    dangling: Option<bool>,
}

impl Wanted {
    fn new(state: &State, filters: &Filters) -> Result<Self, ImageError> {
        let refuse = |error: api_types::filters::FilterError| ImageError::Filter(error.to_string());
        let known = [
            "before",
            "dangling",
            "label",
            "label!",
            "reference",
            "since",
            "until",
        ];
        filters.accept_only(&known).map_err(refuse)?;
        for pattern in filters.values("reference") {
            let any = Reference::parse_normalized("a")?;
            familiar_match(pattern, &any).map_err(|error| ImageError::Filter(error.to_string()))?;
        }
        let time_of = |name: &str| -> Result<Option<Timestamp>, ImageError> {
            let Some(image) = filters.values(name).next() else {
                return Ok(None);
            };
            let id = state.find(image)?;
            Ok(state.snapshot(&id).as_ref().and_then(created))
        };
        let dangling = match filters.contains("dangling") {
            true => Some(filters.flag("dangling", false).map_err(refuse)?),
            false => None,
        };
        Ok(Self {
            before: time_of("before")?,
            since: time_of("since")?,
            until: filters.values("until").next().map(until).transpose()?,
            dangling,
        })
    }

    fn passes(&self, image: &Image, filters: &Filters) -> bool {
        let made = created(image);
        self.before.is_none_or(|before| made < Some(before))
            && self.since.is_none_or(|since| made > Some(since))
            && self.until.is_none_or(|until| made <= Some(until))
            && filters.matches_map("label", &image.config.config.labels)
            && filters.matches_no_pair("label!", &image.config.config.labels)
    }
}

/// A point in time as filters give it: RFC 3339, seconds since 1970, or a Go duration before now.
pub(crate) fn until(text: &str) -> Result<Timestamp, ImageError> {
    if let Some(time) = parse_time(text) {
        return Ok(time);
    }
    if let Ok(seconds) = text.parse::<f64>()
        && let Ok(time) = Timestamp::from_millisecond((seconds * 1000.0) as i64)
    {
        return Ok(time);
    }
    let unreadable = || ImageError::Filter(format!("failed to parse value as time or duration: {text:?}"));
    if let Some(nanos) = oci::duration::parse(text) {
        return Timestamp::now()
            .checked_sub(jiff::SignedDuration::from_nanos(nanos))
            .map_err(|_| unreadable());
    }
    // A date, or a date and time without zone, as Docker takes them: in the zone of the daemon, which is UTC here.
    let day = format!("{text}T00:00:00Z");
    let time = format!("{text}Z");
    parse_time(&time)
        .or_else(|| parse_time(&day))
        .ok_or_else(unreadable)
}

pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

pub(crate) fn created(image: &Image) -> Option<Timestamp> {
    image.config.created.as_deref().and_then(parse_time)
}

/// The comment of the image, or that of its last step (Docker keeps it there).
fn comment(config: &oci::image::ImageConfig) -> String {
    match (config.comment.as_str(), config.history.last()) {
        ("", Some(step)) => step.comment.clone(),
        (comment, _) => comment.to_owned(),
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn api_config(config: &oci::image::RunConfig) -> ImageConfig {
    let set = |map: &BTreeMap<String, oci::image::Empty>| {
        let keys: BTreeMap<String, Empty> = map.keys().map(|key| (key.clone(), Empty::default())).collect();
        Some(keys).filter(|keys| !keys.is_empty())
    };
    let list = |list: &[String]| Some(list.to_vec()).filter(|list| !list.is_empty());
    ImageConfig {
        user: config.user.clone(),
        exposed_ports: set(&config.exposed_ports),
        env: list(&config.env),
        cmd: config.cmd.clone(),
        healthcheck: config.healthcheck.as_ref().map(|check| HealthConfig {
            test: list(&check.test),
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: check.retries,
        }),
        args_escaped: config.args_escaped,
        volumes: set(&config.volumes),
        working_dir: config.working_dir.clone(),
        entrypoint: config.entrypoint.clone(),
        on_build: list(&config.on_build),
        labels: Some(config.labels.clone()).filter(|labels| !labels.is_empty()),
        stop_signal: config.stop_signal.clone(),
        shell: list(&config.shell),
    }
}
