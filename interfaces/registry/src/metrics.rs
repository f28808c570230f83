//! Counters of everything that is served, in the text format of Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;

/// What requests are counted by.
pub(crate) const KINDS: [&str; 10] = [
    "base",
    "catalog",
    "tags",
    "manifest",
    "blob",
    "upload",
    "referrers",
    "token",
    "other",
    "monitoring",
];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"];
/// Upper bounds of the classes of durations, in microseconds.
const BOUNDS: [u64; 8] = [500, 1_000, 5_000, 10_000, 50_000, 250_000, 1_000_000, 10_000_000];

/// The counters of one registry.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// By kind, method and hundred of the status.
    requests: [[[AtomicU64; 6]; METHODS.len()]; KINDS.len()],
    durations: [[AtomicU64; BOUNDS.len() + 1]; KINDS.len()],
    seconds: [AtomicU64; KINDS.len()],
    pub(crate) open: AtomicU64,
    pub(crate) received: AtomicU64,
    sent: AtomicU64,
    pub(crate) swept_blobs: AtomicU64,
    pub(crate) swept_bytes: AtomicU64,
    pub(crate) lost_notifications: AtomicU64,
}

/// What is true at the moment of the question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present {
    pub(crate) repositories: usize,
    pub(crate) manifests: usize,
    pub(crate) tags: usize,
    pub(crate) links: usize,
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: std::array::from_fn(|_| std::array::from_fn(|_| zeros())),
            durations: std::array::from_fn(|_| zeros()),
            seconds: zeros(),
            open: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            swept_blobs: AtomicU64::new(0),
            swept_bytes: AtomicU64::new(0),
            lost_notifications: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// Counts a request that was answered.
    pub(crate) fn count(&self, kind: usize, method: &Method, status: u16, took: Duration, bytes: u64) {
        let method = METHODS.iter().position(|name| *name == method.as_str());
        let method = method.unwrap_or(METHODS.len() - 1);
        let hundred = usize::from(status / 100).min(5);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = BOUNDS
            .iter()
            .position(|bound| micros <= *bound)
            .unwrap_or(BOUNDS.len());
        self.requests[kind][method][hundred].fetch_add(1, Ordering::Relaxed);
        self.durations[kind][class].fetch_add(1, Ordering::Relaxed);
        self.seconds[kind].fetch_add(micros, Ordering::Relaxed);
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Everything, as Prometheus reads it.
    pub(crate) fn text(&self, present: Present) -> String {
        let mut out = String::new();
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut single = |name: &str, kind: &str, help: &str, value: u64| {
            let _ = writeln!(
                out,
                "# HELP dhow_registry_{name} {help}\n# TYPE dhow_registry_{name} {kind}\ndhow_registry_{name} {value}"
            );
        };
        single(
            "connections",
            "gauge",
            "Clients that are connected.",
            number(&self.open),
        );
        single(
            "received_bytes_total",
            "counter",
            "Bytes of uploads.",
            number(&self.received),
        );
        single(
            "sent_bytes_total",
            "counter",
            "Bytes of replies' bodies.",
            number(&self.sent),
        );
        single(
            "repositories",
            "gauge",
            "Repositories.",
            present.repositories as u64,
        );
        single(
            "manifests",
            "gauge",
            "Manifests in all repositories.",
            present.manifests as u64,
        );
        single("tags", "gauge", "Tags in all repositories.", present.tags as u64);
        single(
            "blobs",
            "gauge",
            "Blobs in all repositories.",
            present.links as u64,
        );
        let swept = (number(&self.swept_blobs), number(&self.swept_bytes));
        single(
            "garbage_blobs_total",
            "counter",
            "Blobs that were garbage.",
            swept.0,
        );
        single("garbage_bytes_total", "counter", "Their bytes.", swept.1);
        let lost = number(&self.lost_notifications);
        single(
            "notifications_lost_total",
            "counter",
            "Events that a webhook never got.",
            lost,
        );

        out += "# HELP dhow_registry_requests_total Requests that were answered.\n# TYPE dhow_registry_requests_total counter\n";
        for (kind, by_method) in KINDS.iter().zip(&self.requests) {
            for (method, by_status) in METHODS.iter().zip(by_method) {
                for (hundred, count) in by_status
                    .iter()
                    .enumerate()
                    .filter(|(_, count)| number(count) > 0)
                {
                    let _ = writeln!(
                        out,
                        "dhow_registry_requests_total{{route=\"{kind}\",method=\"{method}\",code=\"{hundred}xx\"}} {}",
                        number(count)
                    );
                }
            }
        }
        out += "# HELP dhow_registry_request_seconds Time until the head of the reply.\n# TYPE dhow_registry_request_seconds histogram\n";
        for ((kind, classes), seconds) in KINDS.iter().zip(&self.durations).zip(&self.seconds) {
            let mut sum = 0;
            if classes.iter().all(|count| number(count) == 0) {
                continue;
            }
            for (class, count) in classes.iter().enumerate() {
                sum += number(count);
                let bound = BOUNDS
                    .get(class)
                    .map_or("+Inf".to_owned(), |b| (*b as f64 / 1e6).to_string());
                let _ = writeln!(
                    out,
                    "dhow_registry_request_seconds_bucket{{route=\"{kind}\",le=\"{bound}\"}} {sum}"
                );
            }
            let _ = writeln!(
                out,
                "dhow_registry_request_seconds_sum{{route=\"{kind}\"}} {}\ndhow_registry_request_seconds_count{{route=\"{kind}\"}} {sum}",
                number(seconds) as f64 / 1e6
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told() {
        let metrics = Metrics::default();
        let took = Duration::from_millis(2);
        metrics.count(3, &Method::GET, 200, took, 10);
        metrics.count(3, &Method::GET, 200, took, 10);
        metrics.count(
            4,
            &Method::from_bytes(b"BREW").unwrap(),
            405,
            Duration::from_secs(60),
            0,
        );
        let present = Present {
            repositories: 1,
            manifests: 2,
            tags: 3,
            links: 4,
        };
        let text = metrics.text(present);
        for line in [
            "dhow_registry_requests_total{route=\"manifest\",method=\"GET\",code=\"2xx\"} 2",
            "dhow_registry_requests_total{route=\"blob\",method=\"other\",code=\"4xx\"} 1",
            "dhow_registry_request_seconds_bucket{route=\"manifest\",le=\"0.001\"} 0",
            "dhow_registry_request_seconds_bucket{route=\"manifest\",le=\"0.005\"} 2",
            "dhow_registry_request_seconds_bucket{route=\"blob\",le=\"10\"} 0",
            "dhow_registry_request_seconds_bucket{route=\"blob\",le=\"+Inf\"} 1",
            "dhow_registry_request_seconds_sum{route=\"manifest\"} 0.004",
            "dhow_registry_sent_bytes_total 20",
            "dhow_registry_tags 3",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
    }
}
