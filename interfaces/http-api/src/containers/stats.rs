//! `GET /containers/{name}/stats`.

use std::sync::Arc;
use std::time::Duration;

use ::containers::Containers;
use api_types::ApiVersion;
use api_types::container::{CpuStats, Stats};
use bytes::Bytes;
use futures_util::stream::unfold;

use crate::call::Call;
use crate::reply::{self, Outcome};

/// Time between two samples.
const INTERVAL: Duration = Duration::from_secs(1);
/// Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Samples of one container, each with the one before it.
struct Sampler {
    containers: Arc<Containers>,
    id: String,
    version: ApiVersion,
    before: Option<Stats>,
}

impl Sampler {
    async fn next(&mut self) -> Result<Stats, ::containers::Error> {
        let mut sample = self.containers.stats(&self.id).await?;
        let (preread, precpu) = match &self.before {
            Some(before) => (before.read.clone(), before.cpu_stats.clone()),
            None => (NEVER.to_owned(), CpuStats::default()),
        };
        (sample.preread, sample.precpu_stats) = (preread, precpu);
        self.before = Some(sample.clone());
        Ok(known(self.version, sample))
    }
}

/// What a client of this version has heard of.
fn known(version: ApiVersion, mut sample: Stats) -> Stats {
    if version.before(52) {
        sample.os_type.clear();
    }
    if version.before(27) {
        (sample.cpu_stats.online_cpus, sample.precpu_stats.online_cpus) = (0, 0);
    }
    sample
}

/// `GET /containers/{name}/stats`: a sample each second, or one only.
pub(crate) async fn stats(containers: Arc<Containers>, call: Call) -> Outcome {
    let version = call.version;
    let id = containers.resolve(call.name())?;
    let one_shot = version.at_least(41) && call.query.flag("one-shot");
    let stream = call.query.flag_or("stream", true);
    if stream && one_shot {
        return Err(crate::error::Failure::bad(
            "cannot have stream=true and one-shot=true",
        ));
    }
    let mut sampler = Sampler {
        containers,
        id,
        version,
        before: None,
    };
    let first = sampler.next().await?;
    if !stream {
        let idle = first.read == NEVER;
        if one_shot || idle {
            return reply::ok(&first);
        }
        tokio::time::sleep(INTERVAL).await;
        return reply::ok(&sampler.next().await?);
    }
    // Ends with the container; the status is sent already then.
    let samples = unfold((sampler, Some(first)), |(mut sampler, first)| async move {
        let sample = match first {
            Some(sample) => sample,
            None => {
                tokio::time::sleep(INTERVAL).await;
                sampler.next().await.ok()?
            }
        };
        let mut text = serde_json::to_vec(&sample).unwrap_or_default();
        text.push(b'\n');
        Some((Ok(Bytes::from(text)), (sampler, None)))
    });
    reply::stream("application/json", samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_sample_came_one_by_one() {
        let cpu = CpuStats {
            online_cpus: 4,
            ..CpuStats::default()
        };
        let sample = Stats {
            os_type: "linux".into(),
            cpu_stats: cpu.clone(),
            precpu_stats: cpu,
            ..Stats::default()
        };
        let shown = |minor| serde_json::to_value(known(ApiVersion::new(1, minor), sample.clone())).unwrap();
        for stats in ["cpu_stats", "precpu_stats"] {
            assert_eq!(shown(26)[stats].get("online_cpus"), None);
            assert_eq!(shown(27)[stats]["online_cpus"], 4);
        }
        assert_eq!(shown(51).get("os_type"), None);
        assert_eq!(shown(52)["os_type"], "linux");
    }
}
