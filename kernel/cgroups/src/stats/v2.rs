//! Counters of version 2.

use super::{BlockIoEntry, BlockIoStats, CpuStats, MemoryStats, PressureLine, field, fields, number};
use crate::Result;
use crate::dir::Dir;

pub(super) fn processor_time(dir: &Dir, cpu: &mut CpuStats) -> Result<()> {
    let text = dir.read_if_there("cpu.stat")?.unwrap_or_default();
    // Microseconds there, nanoseconds here.
    let time = |name| field(&text, name).unwrap_or(0).saturating_mul(1000);
    cpu.total = time("usage_usec");
    cpu.user = time("user_usec");
    cpu.system = time("system_usec");
    cpu.periods = field(&text, "nr_periods").unwrap_or(0);
    cpu.throttled_periods = field(&text, "nr_throttled").unwrap_or(0);
    cpu.throttled_time = time("throttled_usec");
    Ok(())
}

pub(super) fn memory(dir: &Dir) -> Result<MemoryStats> {
    let events = dir.read_if_there("memory.events")?.unwrap_or_default();
    Ok(MemoryStats {
        usage: number(dir, "memory.current")?.unwrap_or(0),
        max_usage: number(dir, "memory.peak")?,
        limit: number(dir, "memory.max")?,
        swap_usage: number(dir, "memory.swap.current")?,
        swap_limit: number(dir, "memory.swap.max")?,
        failures: field(&events, "oom").unwrap_or(0),
        oom_kills: field(&events, "oom_kill").unwrap_or(0),
        stat: fields(&dir.read_if_there("memory.stat")?.unwrap_or_default()),
    })
}

/// `io.stat`: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
pub(super) fn block_io(dir: &Dir) -> Result<BlockIoStats> {
    let text = dir.read_if_there("io.stat")?.unwrap_or_default();
    let mut out = BlockIoStats::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let device = words.next().and_then(|device| device.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(a, b)| (a.parse(), b.parse())) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            let entry = |op: &str| BlockIoEntry {
                major,
                minor,
                op: op.to_owned(),
                value,
            };
            match key {
                "rbytes" => out.service_bytes.push(entry("read")),
                "wbytes" => out.service_bytes.push(entry("write")),
                "rios" => out.serviced.push(entry("read")),
                "wios" => out.serviced.push(entry("write")),
                _ => {}
            }
        }
    }
    Ok(out)
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same with `full`.
pub(super) fn pressure(text: &str) -> Option<PressureLine> {
    let mut out = PressureLine::default();
    let mut any = false;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (averages, total) = match words.next() {
            Some("some") => (&mut out.some, &mut out.some_total),
            Some("full") => (&mut out.full, &mut out.full_total),
            _ => continue,
        };
        any = true;
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            match key {
                "avg10" => averages[0] = value.parse().unwrap_or(0.0),
                "avg60" => averages[1] = value.parse().unwrap_or(0.0),
                "avg300" => averages[2] = value.parse().unwrap_or(0.0),
                "total" => *total = value.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
    any.then_some(out)
}
