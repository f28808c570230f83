//! What builds keep on disk for later: copies of clients' directories, and the directories of cache mounts.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{
    DiskUsageRequest, DiskUsageResponse, PruneRequest, UsageRecord,
};
use tokio::sync::mpsc;

use crate::grpc::{self, Code, Reply, Status};
use crate::service::BuildKit;

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: number(since.as_secs()),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    }
}

fn no_filters(filter: &[String]) -> Result<(), Status> {
    match filter.first() {
        None => Ok(()),
        Some(filter) => {
            let text =
                format!("the filter {filter} of the build cache is not available in this version of dhow");
            Err(Status::new(Code::Unimplemented, text))
        }
    }
}

/// `DiskUsage`.
pub(crate) async fn usage(kit: &BuildKit, request: DiskUsageRequest) -> Result<DiskUsageResponse, Status> {
    no_filters(&request.filter)?;
    let kept = Arc::clone(&kit.workshop.kept);
    let listed = tokio::task::spawn_blocking(move || kept.list())
        .await
        .map_err(Status::broken)?;
    let record = listed.into_iter().map(|(name, size, used, in_use)| UsageRecord {
        id: name,
        mutable: true,
        in_use,
        size: number(size),
        last_used_at: Some(timestamp(used)),
        description: "local source".to_owned(),
        record_type: "source.local".to_owned(),
        ..UsageRecord::default()
    });
    Ok(DiskUsageResponse {
        record: record.collect(),
    })
}

/// `Prune`: everything goes that no build uses now.
pub(crate) async fn prune(kit: &BuildKit, request: PruneRequest) -> Result<Reply, Status> {
    no_filters(&request.filter)?;
    let bounds = [
        ("keep-duration", request.keep_duration),
        ("reserved-space", request.reserved_space),
        ("max-used-space", request.max_used_space),
        ("min-free-space", request.min_free_space),
    ];
    if let Some((name, _)) = bounds.iter().find(|(_, value)| *value != 0) {
        let text = format!(
            "{name} is not available in this version of dhow: all caches are removed that no step uses"
        );
        return Err(Status::new(Code::Unimplemented, text));
    }
    let contexts = kit.prune_contexts().await;
    let caches = kit.workshop.builds.prune().await;
    let mut records: Vec<UsageRecord> = contexts
        .into_iter()
        .map(|(id, size)| record(id, size, "source.local"))
        .collect();
    // The builder knows how much they were in all.
    let mut size = caches.reclaimed;
    for id in caches.deleted {
        records.push(record(id, std::mem::take(&mut size), "exec.cachemount"));
    }
    let (sender, receiver) = mpsc::channel(records.len().max(1));
    for record in records {
        // There is room for each.
        let _ = sender.try_send(Ok(record));
    }
    Ok(grpc::stream(receiver))
}

fn record(id: String, size: u64, kind: &str) -> UsageRecord {
    UsageRecord {
        id,
        size: number(size),
        record_type: kind.to_owned(),
        ..UsageRecord::default()
    }
}

impl BuildKit {
    /// Removes the copies of clients' directories that no build uses; answers their names and sizes in bytes.
    pub async fn prune_contexts(&self) -> Vec<(String, u64)> {
        let kept = Arc::clone(&self.workshop.kept);
        tokio::task::spawn_blocking(move || kept.prune())
            .await
            .unwrap_or_default()
    }
}
