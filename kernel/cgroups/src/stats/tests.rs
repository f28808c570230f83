//! Counters as real kernels write them.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::Mode;

fn group(mode: Mode, controllers: &[&str], list: &[(&str, &str)]) -> (TempDir, Cgroup) {
    let dir = TempDir::new().expect("temporary directory");
    list.iter()
        .for_each(|(name, text)| fs::write(dir.path().join(name), text).expect("file"));
    let group = Cgroup::for_test(
        mode,
        vec![(mode == Mode::V2, controllers, dir.path().to_path_buf())],
    );
    (dir, group)
}

#[test]
fn version_2_is_measured() {
    let (_dir, group) = group(
        Mode::V2,
        &["cpu", "memory", "io", "pids"],
        &[
            (
                "cpu.stat",
                "usage_usec 3\nuser_usec 1\nsystem_usec 2\nnr_periods 4\nnr_throttled 5\nthrottled_usec 6\n",
            ),
            ("memory.current", "4096\n"),
            ("memory.max", "max\n"),
            ("memory.peak", "8192\n"),
            ("memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\n"),
            ("memory.stat", "anon 100\nfile 200\ninactive_file 50\n"),
            (
                "io.stat",
                "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n254:1 \n",
            ),
            ("pids.current", "7\n"),
            ("pids.max", "max\n"),
            (
                "cpu.pressure",
                "some avg10=1.50 avg60=0.20 avg300=0.00 total=99\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
            ),
        ],
    );
    let stats = group.stats().expect("stats");
    assert_eq!(
        (stats.cpu.total, stats.cpu.user, stats.cpu.system),
        (3000, 1000, 2000)
    );
    assert_eq!(
        (
            stats.cpu.periods,
            stats.cpu.throttled_periods,
            stats.cpu.throttled_time
        ),
        (4, 5, 6000)
    );
    let memory = &stats.memory;
    assert_eq!(
        (memory.usage, memory.limit, memory.max_usage),
        (4096, None, Some(8192))
    );
    assert_eq!(
        (memory.failures, memory.oom_kills, memory.stat["inactive_file"]),
        (2, 1, 50)
    );
    assert_eq!(
        stats
            .block_io
            .service_bytes
            .iter()
            .map(|e| (e.op.as_str(), e.value))
            .collect::<Vec<_>>(),
        [("read", 1), ("write", 2)]
    );
    assert_eq!((stats.pids.current, stats.pids.limit), (7, None));
    let cpu = stats.pressure.cpu.expect("pressure");
    assert_eq!(
        (cpu.some, cpu.some_total, cpu.full_total),
        ([1.5, 0.2, 0.0], 99, 1)
    );
}

#[test]
fn version_1_is_measured() {
    let (_dir, group) = group(
        Mode::V1,
        &["cpu", "cpuacct", "memory", "blkio", "pids"],
        &[
            ("cpuacct.usage", "300\n"),
            ("cpuacct.stat", "user 1\nsystem 2\n"),
            ("cpuacct.usage_percpu", "100 200 \n"),
            ("cpu.stat", "nr_periods 1\nnr_throttled 2\nthrottled_time 3\n"),
            ("memory.usage_in_bytes", "4096\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            (
                "memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
            ),
            ("memory.stat", "cache 1\ntotal_inactive_file 2\n"),
            ("memory.failcnt", "8\n"),
            (
                "blkio.throttle.io_service_bytes_recursive",
                "8:0 Read 5\n8:0 Write 6\nTotal 11\n",
            ),
            ("pids.current", "1\n"),
            ("pids.max", "100\n"),
        ],
    );
    let stats = group.stats().expect("stats");
    assert_eq!(
        (stats.cpu.total, stats.cpu.user, stats.cpu.system),
        (300, 10_000_000, 20_000_000)
    );
    assert_eq!(
        (stats.cpu.per_cpu.as_slice(), stats.cpu.throttled_time),
        ([100, 200].as_slice(), 3)
    );
    assert_eq!(
        (
            stats.memory.usage,
            stats.memory.limit,
            stats.memory.oom_kills,
            stats.memory.failures
        ),
        (4096, None, 3, 8)
    );
    assert_eq!(stats.block_io.service_bytes.len(), 2);
    assert_eq!(stats.pids.limit, Some(100));
}

#[test]
fn page_sizes_are_named_as_the_controller_does() {
    assert_eq!(
        [size_name(2048), size_name(64), size_name(1 << 20)],
        ["2MB", "64KB", "1GB"]
    );
}
