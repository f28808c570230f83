//! Version 2 and the order of writes, on directories that stand for groups.

use std::fs;
use std::path::Path;

use oci::runtime::{BlockIo, Cpu, DeviceRule, Memory, ThrottleDevice};
use tempfile::TempDir;

use super::*;

/// A directory with the given files, empty where no text matters.
fn files(list: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().expect("temporary directory");
    list.iter()
        .for_each(|(name, text)| fs::write(dir.path().join(name), text).expect("file"));
    dir
}

fn v2(dir: &TempDir) -> Cgroup {
    let all: &[&str] = &["cpu", "cpuset", "memory", "io", "pids", "hugetlb", "rdma"];
    Cgroup::for_test(Mode::V2, vec![(true, all, dir.path().to_path_buf())])
}

fn v1(dir: &TempDir) -> Cgroup {
    let all: &[&str] = &[
        "cpu", "cpuset", "memory", "blkio", "pids", "hugetlb", "devices", "net_cls", "net_prio",
    ];
    Cgroup::for_test(Mode::V1, vec![(false, all, dir.path().to_path_buf())])
}

fn text(dir: &TempDir, name: &str) -> String {
    fs::read_to_string(dir.path().join(Path::new(name))).expect("file")
}

#[test]
fn shares_meet_the_weights_of_version_2_at_both_ends_and_at_the_default() {
    for (shares, weight) in [
        (0, 1),
        (2, 1),
        (1024, 100),
        (2000, 170),
        (262_144, 10_000),
        (1 << 40, 10_000),
    ] {
        assert_eq!(convert::shares_to_weight(shares), weight, "{shares}");
    }
    assert_eq!(
        (convert::block_weight(10), convert::block_weight(1000)),
        (1, 10_000)
    );
}

#[test]
fn swap_of_version_2_is_without_memory() {
    let swap = |limit, swap| {
        convert::swap(&Memory {
            limit,
            swap,
            ..Memory::default()
        })
    };
    assert_eq!(swap(Some(100), Some(300)).expect("swap").as_deref(), Some("200"));
    assert_eq!(swap(Some(100), Some(100)).expect("swap").as_deref(), Some("0"));
    assert_eq!(swap(Some(100), Some(-1)).expect("swap").as_deref(), Some("max"));
    assert_eq!(swap(Some(-1), None).expect("swap").as_deref(), Some("max"));
    assert_eq!(swap(Some(100), None).expect("swap"), None);
    assert!(swap(None, Some(300)).is_err());
    assert!(swap(Some(300), Some(100)).is_err());
}

#[test]
fn limits_of_version_2_are_written() {
    let dir = files(&[
        ("memory.max", ""),
        ("memory.low", ""),
        ("memory.swap.max", ""),
        ("cpu.weight", ""),
        ("cpu.max", "max 100000\n"),
        ("cpu.max.burst", ""),
        ("cpuset.cpus", ""),
        ("pids.max", ""),
        ("io.max", ""),
        ("io.weight", ""),
        ("hugetlb.2MB.max", ""),
        ("hugetlb.2MB.rsvd.max", ""),
        ("memory.high", ""),
    ]);
    let resources = Resources {
        memory: Some(Memory {
            limit: Some(1 << 20),
            swap: Some(3 << 20),
            reservation: Some(4096),
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: Some(1024),
            quota: Some(50_000),
            burst: Some(10),
            cpus: "0".to_owned(),
            ..Cpu::default()
        }),
        pids: Some(Pids { limit: Some(-1) }),
        block_io: Some(BlockIo {
            weight: Some(1000),
            throttle_write_bps_device: vec![ThrottleDevice {
                major: 8,
                minor: 1,
                rate: 77,
            }],
            ..BlockIo::default()
        }),
        hugepage_limits: vec![HugepageLimit {
            page_size: "2MB".to_owned(),
            limit: 0,
        }],
        unified: [("memory.high".to_owned(), "5".to_owned())].into(),
        ..Resources::default()
    };
    apply(&v2(&dir), &resources).expect("apply");
    for (file, expect) in [
        ("memory.max", "1048576"),
        ("memory.swap.max", "2097152"),
        ("memory.low", "4096"),
        ("cpu.weight", "100"),
        ("cpu.max", "50000 100000"),
        ("cpu.max.burst", "10"),
        ("cpuset.cpus", "0"),
        ("pids.max", "max"),
        ("io.weight", "default 10000"),
        ("io.max", "8:1 wbps=77"),
        ("hugetlb.2MB.max", "0"),
        ("hugetlb.2MB.rsvd.max", "0"),
        ("memory.high", "5"),
    ] {
        assert_eq!(text(&dir, file), expect, "{file}");
    }
}

#[test]
fn a_new_period_keeps_the_quota_of_version_2() {
    let dir = files(&[("cpu.max", "20000 50000\n")]);
    let cpu = Some(Cpu {
        period: Some(100_000),
        ..Cpu::default()
    });
    apply(
        &v2(&dir),
        &Resources {
            cpu,
            ..Resources::default()
        },
    )
    .expect("apply");
    assert_eq!(text(&dir, "cpu.max"), "20000 100000");
}

#[test]
fn a_limit_below_the_present_use_is_refused_when_asked_to() {
    let dir = files(&[("memory.max", ""), ("memory.current", "5000\n")]);
    let memory = Some(Memory {
        limit: Some(4000),
        check_before_update: Some(true),
        ..Memory::default()
    });
    let error = apply(
        &v2(&dir),
        &Resources {
            memory,
            ..Resources::default()
        },
    )
    .expect_err("refused");
    assert!(error.to_string().contains("present use of 5000"), "{error}");
}

#[test]
fn a_missing_controller_is_named() {
    let dir = files(&[]);
    let group = Cgroup::for_test(Mode::V2, vec![(true, &["pids"], dir.path().to_path_buf())]);
    let memory = Some(Memory {
        limit: Some(4000),
        ..Memory::default()
    });
    let error = apply(
        &group,
        &Resources {
            memory,
            ..Resources::default()
        },
    )
    .expect_err("refused");
    assert_eq!(
        error.to_string(),
        "memory: the memory cgroup controller is not available"
    );
}

#[test]
fn files_of_version_2_cannot_be_named_by_path() {
    let dir = files(&[]);
    for name in ["../x.y", "a/b.c", ".hidden", "nodot", "no.such"] {
        let unified = [(name.to_owned(), "1".to_owned())].into();
        let error = apply(
            &v2(&dir),
            &Resources {
                unified,
                ..Resources::default()
            },
        );
        assert!(
            matches!(error, Err(Error::InvalidLimit { what: "unified", .. })),
            "{name}"
        );
    }
    let unified = [("memory.high".to_owned(), "1".to_owned())].into();
    assert!(
        apply(
            &v1(&dir),
            &Resources {
                unified,
                ..Resources::default()
            }
        )
        .is_err()
    );
}

#[test]
fn page_sizes_cannot_be_paths() {
    let dir = files(&[]);
    for size in ["../2MB", "MB", "2", "2mb", ""] {
        let hugepage_limits = vec![HugepageLimit {
            page_size: size.to_owned(),
            limit: 1,
        }];
        let error = apply(
            &v2(&dir),
            &Resources {
                hugepage_limits,
                ..Resources::default()
            },
        );
        assert!(matches!(error, Err(Error::InvalidLimit { .. })), "{size}");
    }
}

#[test]
fn values_of_version_1_are_written() {
    let dir = files(&[
        ("memory.limit_in_bytes", ""),
        ("memory.memsw.limit_in_bytes", "9223372036854771712"),
        ("memory.swappiness", ""),
        ("memory.oom_control", "oom_kill_disable 0"),
        ("cpu.shares", ""),
        ("cpu.cfs_period_us", ""),
        ("cpu.cfs_quota_us", ""),
        ("pids.max", ""),
        ("net_cls.classid", ""),
        ("net_prio.ifpriomap", ""),
        ("blkio.throttle.read_iops_device", ""),
        ("blkio.bfq.weight", ""),
    ]);
    let resources = Resources {
        memory: Some(Memory {
            limit: Some(100),
            swap: Some(200),
            swappiness: Some(7),
            disable_oom_killer: Some(true),
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: Some(2),
            quota: Some(-1),
            period: Some(1000),
            ..Cpu::default()
        }),
        pids: Some(Pids { limit: Some(9) }),
        network: Some(Network {
            class_id: Some(0x10001),
            priorities: vec![oci::runtime::InterfacePriority {
                name: "eth0".to_owned(),
                priority: 5,
            }],
        }),
        block_io: Some(BlockIo {
            weight: Some(300),
            throttle_read_iops_device: vec![ThrottleDevice {
                major: 8,
                minor: 0,
                rate: 3,
            }],
            ..BlockIo::default()
        }),
        ..Resources::default()
    };
    apply(&v1(&dir), &resources).expect("apply");
    for (file, expect) in [
        ("memory.limit_in_bytes", "100"),
        ("memory.memsw.limit_in_bytes", "200"),
        ("memory.swappiness", "7"),
        ("memory.oom_control", "1"),
        ("cpu.shares", "2"),
        ("cpu.cfs_quota_us", "-1"),
        ("cpu.cfs_period_us", "1000"),
        ("pids.max", "9"),
        ("net_cls.classid", "65537"),
        ("net_prio.ifpriomap", "eth0 5"),
        ("blkio.throttle.read_iops_device", "8:0 3"),
        ("blkio.bfq.weight", "300"),
    ] {
        assert_eq!(text(&dir, file), expect, "{file}");
    }
}

#[test]
fn a_device_rule_that_makes_no_sense_is_refused() {
    let dir = files(&[("devices.allow", ""), ("devices.deny", "")]);
    let rule = |kind: &str, major, access: &str| DeviceRule {
        allow: true,
        kind: Some(kind.to_owned()),
        major,
        minor: None,
        access: access.to_owned(),
    };
    for bad in [
        rule("x", None, "r"),
        rule("c", Some(-7), "r"),
        rule("c", None, "rx"),
        rule("a", Some(1), "r"),
    ] {
        let resources = Resources {
            devices: vec![bad.clone()],
            ..Resources::default()
        };
        assert!(
            matches!(apply(&v1(&dir), &resources), Err(Error::InvalidLimit { .. })),
            "{bad:?}"
        );
    }
    let devices = vec![
        rule("c", Some(1), "rm"),
        DeviceRule {
            allow: false,
            ..DeviceRule::default()
        },
    ];
    apply(
        &v1(&dir),
        &Resources {
            devices,
            ..Resources::default()
        },
    )
    .expect("apply");
    assert_eq!(text(&dir, "devices.allow"), "c 1:* rm");
    assert_eq!(text(&dir, "devices.deny"), "a");
}
