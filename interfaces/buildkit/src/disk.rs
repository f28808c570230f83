//! What builds keep on disk for later: copies of clients' directories, and the directories of cache mounts.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{
    DiskUsageRequest, DiskUsageResponse, PruneRequest, UsageRecord,
};
use builds::{PruneOptions, Pruned, Usage};
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
    let record = kit.usage().await.into_iter().map(|kept| UsageRecord {
        id: kept.id,
        mutable: true,
        in_use: kept.in_use,
        size: number(kept.size),
        created_at: Some(timestamp(kept.created)),
        last_used_at: Some(timestamp(kept.used)),
        usage_count: number(kept.count),
        description: kept.description,
        record_type: kept.kind.to_owned(),
        ..UsageRecord::default()
    });
    Ok(DiskUsageResponse {
        record: record.collect(),
    })
}

/// `Prune`: what no build uses now goes, as far as the bounds say.
pub(crate) async fn prune(kit: &BuildKit, request: PruneRequest) -> Result<Reply, Status> {
    no_filters(&request.filter)?;
    if request.min_free_space != 0 {
        let text =
            "min-free-space is not available in this version of dhow: reserved-space and max-used-space are";
        return Err(Status::new(Code::Unimplemented, text));
    }
    let bytes = |number: i64| u64::try_from(number).unwrap_or_default();
    let age = Duration::from_nanos(bytes(request.keep_duration));
    let options = PruneOptions {
        before: (!age.is_zero()).then(|| SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH)),
        keep: bytes(request.reserved_space).max(bytes(request.max_used_space)),
        ..PruneOptions::default()
    };
    let pruned = kit.prune(options).await;
    let (sender, receiver) = mpsc::channel(pruned.len().max(1));
    for gone in pruned {
        // There is room for each.
        let _ = sender.try_send(Ok(record(gone.id, gone.size, gone.kind)));
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
    /// What builds keep for later: copies of clients' directories, and cache mounts.
    pub async fn usage(&self) -> Vec<Usage> {
        let kept = Arc::clone(&self.workshop.kept);
        let listing = tokio::task::spawn_blocking(move || kept.list());
        let mut all = listing.await.unwrap_or_default();
        all.extend(self.workshop.builds.usage().await);
        all.sort_by(|a, b| (a.used, &a.id).cmp(&(b.used, &b.id)));
        all
    }

    /// Removes what builds keep for later and no build uses: copies of clients' directories, and cache mounts.
    pub async fn prune(&self, options: PruneOptions) -> Vec<Pruned> {
        let kept = Arc::clone(&self.workshop.kept);
        let listing = tokio::task::spawn_blocking(move || kept.prunable());
        let copies = listing.await.unwrap_or_default();
        self.workshop.builds.prune(copies, options).await
    }
}
