//! `GET /system/df`.

use std::sync::Arc;

use api_types::system::{BuildCache, Usage};
use api_types::volume::Volume;
use api_types::{ApiVersion, Filters, container, image};
use buildkit::BuildKit;
use containers::{Containers, ListRequest};
use images::Images;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use volumes::Volumes;

use crate::call::Call;
use crate::error::Failure;
use crate::gates;
use crate::reply::{self, Outcome};
use crate::volumes::shown as shown_volume;

/// Everything that takes space, as far as it was asked for.
#[derive(Debug, Default)]
struct Found {
    layers: i64,
    images: Option<Vec<image::Summary>>,
    containers: Option<Vec<container::Summary>>,
    volumes: Option<Vec<Volume>>,
    build_cache: Option<Vec<BuildCache>>,
}

/// `GET /system/df`.
pub(crate) async fn disk_usage(
    containers: Arc<Containers>,
    images: Arc<Images>,
    volumes: Arc<Volumes>,
    buildkit: Arc<BuildKit>,
    call: Call,
) -> Outcome {
    let wanted = Wanted::of(&call)?;
    let mut found = Found::default();
    if wanted.images {
        found.layers = i64::try_from(images.usage().size).unwrap_or(i64::MAX);
        found.images = Some(images.summaries(false, &Filters::default(), true)?);
    }
    if wanted.containers {
        let request = ListRequest {
            all: true,
            size: true,
            ..ListRequest::default()
        };
        found.containers = Some(containers.list(request).await?);
    }
    if wanted.volumes {
        let measured = volumes.usage().await?.into_iter();
        found.volumes = Some(
            measured
                .map(|(v, usage)| Volume {
                    usage_data: Some(usage),
                    ..shown_volume(v)
                })
                .collect(),
        );
    }
    if wanted.build_cache {
        let kept = buildkit.usage().await;
        found.build_cache = Some(kept.into_iter().map(record).collect());
    }
    reply::ok(&shown(call.version, call.query.flag("verbose"), found))
}

/// What is asked for: `type`, since 1.42.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    containers: bool,
    images: bool,
    volumes: bool,
    build_cache: bool,
}

impl Wanted {
    fn of(call: &Call) -> Result<Self, Failure> {
        let kinds: Vec<_> = call
            .query
            .all("type")
            .filter(|_| call.version.at_least(42))
            .collect();
        let known = ["container", "image", "volume", "build-cache"];
        if let Some(other) = kinds.iter().find(|k| !known.contains(k)) {
            return Err(Failure::bad(format!("unknown object type: {other}")));
        }
        let wants = |kind| kinds.is_empty() || kinds.contains(&kind);
        Ok(Self {
            containers: wants("container"),
            images: wants("image"),
            volumes: wants("volume"),
            build_cache: wants("build-cache"),
        })
    }
}

/// The reply: lists up to 1.51, both shapes in 1.52 (lists unless `verbose`), sums since.
fn shown(version: ApiVersion, verbose: bool, mut found: Found) -> Value {
    found.images.iter_mut().flatten().for_each(|i| {
        // The list of images says so only since 1.51; here it always did.
        let containers = i.containers;
        gates::image_summary(version, i);
        i.containers = containers;
    });
    found
        .containers
        .iter_mut()
        .flatten()
        .for_each(|c| gates::container_summary(version, c));
    found
        .build_cache
        .iter_mut()
        .flatten()
        .for_each(|record| gates::build_cache(version, record));
    let mut reply = Map::new();
    let mut put = |name: &str, value: Value| drop(reply.insert(name.to_owned(), value));
    if version.before(52) || (version.before(53) && !verbose) {
        put("LayersSize", json!(found.layers));
        put("Images", json!(found.images));
        put("Containers", json!(found.containers));
        put("Volumes", json!(found.volumes));
        put("BuildCache", json!(found.build_cache));
    }
    if version.before(42) {
        let records = found.build_cache.iter().flatten();
        put(
            "BuilderSize",
            json!(records.map(|record| record.size).sum::<i64>()),
        );
    }
    if version.at_least(52) {
        if let Some(images) = found.images {
            put("ImageUsage", image_usage(verbose, found.layers, images));
        }
        if let Some(containers) = found.containers {
            put("ContainerUsage", container_usage(verbose, containers));
        }
        if let Some(volumes) = found.volumes {
            put("VolumeUsage", volume_usage(verbose, volumes));
        }
        if let Some(records) = found.build_cache {
            put("BuildCacheUsage", build_cache_usage(verbose, records));
        }
    }
    Value::Object(reply)
}

fn count<T>(items: &[T], is: impl Fn(&T) -> bool) -> i64 {
    i64::try_from(items.iter().filter(|i| is(i)).count()).unwrap_or(i64::MAX)
}

fn image_usage(verbose: bool, layers: i64, images: Vec<image::Summary>) -> Value {
    // What an image in use has for itself is not reclaimable.
    let used: i64 = images
        .iter()
        .filter(|i| i.containers > 0)
        .map(|i| i.size - i.shared_size.max(0))
        .sum();
    json!(Usage {
        active_count: count(&images, |i| i.containers > 0),
        total_count: count(&images, |_| true),
        reclaimable: (layers - used).max(0),
        total_size: layers,
        items: verbose.then_some(images),
    })
}

fn container_usage(verbose: bool, containers: Vec<container::Summary>) -> Value {
    let active = |c: &container::Summary| matches!(c.state.as_str(), "running" | "paused" | "restarting");
    let size = |c: &container::Summary| c.size_rw.unwrap_or(0);
    json!(Usage {
        active_count: count(&containers, active),
        total_count: count(&containers, |_| true),
        reclaimable: containers.iter().filter(|c| !active(c)).map(size).sum(),
        total_size: containers.iter().map(size).sum(),
        items: verbose.then_some(containers),
    })
}

fn volume_usage(verbose: bool, volumes: Vec<Volume>) -> Value {
    let used = |v: &Volume| v.usage_data.as_ref().is_some_and(|u| u.ref_count > 0);
    let size = |v: &Volume| v.usage_data.as_ref().map_or(0, |u| u.size.max(0));
    json!(Usage {
        active_count: count(&volumes, used),
        total_count: count(&volumes, |_| true),
        reclaimable: volumes.iter().filter(|v| !used(v)).map(size).sum(),
        total_size: volumes.iter().map(size).sum(),
        items: verbose.then_some(volumes),
    })
}

/// What the API calls something that builds keep. Nothing of it is a layer of an image, so nothing is shared, and nothing
/// stands on anything else.
fn record(kept: builds::Usage) -> BuildCache {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let shown = |time| {
        Timestamp::try_from(time)
            .unwrap_or(Timestamp::UNIX_EPOCH)
            .to_string()
    };
    BuildCache {
        id: kept.id,
        parents: None,
        kind: kept.kind.to_owned(),
        description: kept.description,
        in_use: kept.in_use,
        shared: false,
        size: number(kept.size),
        created_at: shown(kept.created),
        last_used_at: Some(shown(kept.used)),
        usage_count: number(kept.count),
    }
}

fn build_cache_usage(verbose: bool, records: Vec<BuildCache>) -> Value {
    let size = |of: &dyn Fn(&BuildCache) -> bool| -> i64 {
        let counted = records.iter().filter(|record| !record.shared && of(record));
        counted.map(|record| record.size).sum()
    };
    json!(Usage {
        active_count: count(&records, |record| record.in_use),
        total_count: count(&records, |_| true),
        reclaimable: size(&|record| !record.in_use),
        total_size: size(&|_| true),
        items: verbose.then_some(records),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        let image = |containers, size, shared_size| image::Summary {
            containers,
            size,
            shared_size,
            ..Default::default()
        };
        let container = |state: &str, size| container::Summary {
            state: state.into(),
            size_rw: Some(size),
            ..container::Summary::default()
        };
        Found {
            layers: 100,
            images: Some(vec![image(1, 40, 10), image(0, 60, 10)]),
            containers: Some(vec![container("running", 5), container("exited", 7)]),
            ..Found::default()
        }
    }

    #[test]
    fn lists_became_sums() {
        let old = shown(ApiVersion::new(1, 51), false, found());
        assert_eq!(
            (old["LayersSize"].as_i64(), old["Images"].as_array().map(Vec::len)),
            (Some(100), Some(2))
        );
        let oldest = shown(ApiVersion::new(1, 40), false, found());
        assert_eq!(oldest["Images"][0]["Containers"], 1);
        assert!(
            old.get("ImageUsage").is_none() && old["Volumes"].is_null() && old.get("BuilderSize").is_none()
        );
        let both = shown(ApiVersion::new(1, 52), false, found());
        assert!(both.get("Images").is_some() && both.get("ImageUsage").is_some());
        assert!(
            shown(ApiVersion::new(1, 52), true, found())
                .get("Images")
                .is_none()
        );
        let new = shown(ApiVersion::new(1, 53), false, found());
        assert!(new.get("Images").is_none() && new["ImageUsage"].get("Items").is_none());
        assert_eq!(shown(ApiVersion::new(1, 41), false, found())["BuilderSize"], 0);
    }

    #[test]
    fn the_build_cache_is_a_list_a_sum_or_both() {
        let kept = |id: &str, in_use, size| builds::Usage {
            id: id.to_owned(),
            kind: "source.local",
            description: "local source for context".to_owned(),
            in_use,
            size,
            created: std::time::SystemTime::UNIX_EPOCH,
            used: std::time::SystemTime::UNIX_EPOCH,
            count: 3,
        };
        let shown = |minor, verbose| {
            let mut records: Vec<_> = [kept("a", false, 5), kept("b", true, 7)].map(record).into();
            records[1].parents = Some(vec!["a".to_owned()]);
            let found = Found {
                build_cache: Some(records),
                ..Found::default()
            };
            shown(ApiVersion::new(1, minor), verbose, found)
        };
        let old = shown(41, false);
        assert_eq!(old["BuilderSize"], 12);
        let since = shown(42, false);
        assert!(since.get("BuilderSize").is_none());
        // A parent was never told of; the parents are since 1.42.
        let parents = |reply: &Value| {
            assert!(reply["BuildCache"][1].get("Parent").is_none());
            reply["BuildCache"][1]["Parents"].clone()
        };
        assert_eq!((parents(&old), parents(&since)), (Value::Null, json!(["a"])));
        let expected = json!({
            "ID": "a", "Type": "source.local", "Description": "local source for context", "InUse": false, "Shared": false,
            "Size": 5, "CreatedAt": "1970-01-01T00:00:00Z", "LastUsedAt": "1970-01-01T00:00:00Z", "UsageCount": 3,
        });
        assert_eq!(since["BuildCache"][0], expected);
        let new = shown(53, true);
        let sums = json!({
            "ActiveCount": 1, "TotalCount": 2, "Reclaimable": 5, "TotalSize": 12, "Items": since["BuildCache"],
        });
        assert!(new.get("BuildCache").is_none());
        assert_eq!(new["BuildCacheUsage"], sums);
        assert!(shown(53, false)["BuildCacheUsage"].get("Items").is_none());
    }

    #[test]
    fn reclaimable_is_what_nothing_in_use_needs() {
        let new = shown(ApiVersion::MAX, true, found());
        let image = &new["ImageUsage"];
        assert_eq!(
            (image["Reclaimable"].as_i64(), image["ActiveCount"].as_i64()),
            (Some(70), Some(1))
        );
        let container = &new["ContainerUsage"];
        assert_eq!(
            (container["Reclaimable"].as_i64(), container["TotalSize"].as_i64()),
            (Some(7), Some(12))
        );
        assert_eq!(container["Items"].as_array().map(Vec::len), Some(2));
    }
}
