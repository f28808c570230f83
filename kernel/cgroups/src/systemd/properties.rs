//! Limits as properties of a unit (systemd.resource-control(5)), so that systemd keeps them over a reload.
//!
//! What has no property is set in the group's files alone. The names and conversions are runc's.

use oci::runtime::{DeviceRule, Resources};

use super::wire::Value;
use crate::limits::convert;
use crate::{Error, Mode, Result};

/// systemd's «no limit».
const INFINITY: u64 = u64::MAX;
/// The kernel's period, and systemd's.
const PERIOD: u64 = 100_000;

type List = Vec<(&'static str, Value)>;

/// The properties that say what `resources` says.
pub(super) fn of(resources: &Resources, mode: Mode) -> Result<List> {
    let mut list = List::new();
    let v2 = mode == Mode::V2;
    if !resources.devices.is_empty() {
        devices(&resources.devices, &mut list);
    }
    memory(resources, v2, &mut list)?;
    processors(resources, v2, &mut list)?;
    if let Some(weight) = resources
        .block_io
        .as_ref()
        .and_then(|io| io.weight)
        .filter(|w| *w != 0)
    {
        if v2 {
            list.push(("IOWeight", Value::Number(convert::block_weight(weight))));
        } else {
            list.push(("BlockIOWeight", Value::Number(weight.into())));
        }
    }
    match resources.pids.as_ref().and_then(|pids| pids.limit) {
        Some(limit @ 1..) => list.push(("TasksMax", Value::Number(limit.unsigned_abs()))),
        Some(_) => list.push(("TasksMax", Value::Number(INFINITY))),
        None => {}
    }
    if v2 {
        unified(resources, &mut list);
    }
    Ok(list)
}

/// Bytes; -1 is no limit.
fn bytes(value: i64) -> Value {
    Value::Number(u64::try_from(value).unwrap_or(INFINITY))
}

fn memory(resources: &Resources, v2: bool, list: &mut List) -> Result<()> {
    let Some(memory) = &resources.memory else {
        return Ok(());
    };
    let limit = memory.limit.filter(|limit| *limit != 0);
    if !v2 {
        list.extend(limit.map(|limit| ("MemoryLimit", bytes(limit))));
        return Ok(());
    }
    list.extend(limit.map(|limit| ("MemoryMax", bytes(limit))));
    let reservation = memory.reservation.filter(|low| *low != 0);
    list.extend(reservation.map(|low| ("MemoryLow", bytes(low))));
    if let Some(swap) = convert::swap(memory)? {
        list.push(("MemorySwapMax", Value::Number(swap.parse().unwrap_or(INFINITY))));
    }
    Ok(())
}

fn processors(resources: &Resources, v2: bool, list: &mut List) -> Result<()> {
    let Some(cpu) = &resources.cpu else { return Ok(()) };
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        if v2 {
            list.push(("CPUWeight", Value::Number(convert::shares_to_weight(shares))));
        } else {
            list.push(("CPUShares", Value::Number(shares)));
        }
    }
    let period = cpu.period.filter(|period| *period != 0);
    if let Some(period) = period {
        list.push(("CPUQuotaPeriodUSec", Value::Number(period)));
    }
    if let Some(quota) = cpu.quota.filter(|quota| *quota != 0) {
        let each_second = u64::try_from(quota).map_or(INFINITY, |quota| {
            let exact = quota.saturating_mul(1_000_000) / period.unwrap_or(PERIOD).max(1);
            // systemd counts in whole percents; rounded up, lest the container gets less than was asked for.
            exact.next_multiple_of(10_000)
        });
        list.push(("CPUQuotaPerSecUSec", Value::Number(each_second)));
    }
    for (text, name) in [(&cpu.cpus, "AllowedCPUs"), (&cpu.mems, "AllowedMemoryNodes")] {
        if !text.is_empty() && v2 {
            list.push((name, Value::Bytes(bits(text)?)));
        }
    }
    Ok(())
}

/// `0-2,4` as bits, the lowest first.
fn bits(text: &str) -> Result<Vec<u8>> {
    let invalid = || Error::InvalidLimit {
        what: "cpu.cpus",
        why: format!("{text:?} is no list such as 0-2,4"),
    };
    let mut out = Vec::new();
    for range in text.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| {
            text.parse::<usize>()
                .ok()
                .filter(|n| *n < 8192)
                .ok_or_else(invalid)
        };
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return Err(invalid());
        }
        for number in first..=last {
            if out.len() <= number / 8 {
                out.resize(number / 8 + 1, 0);
            }
            out[number / 8] |= 1 << (number % 8);
        }
    }
    Ok(out)
}

/// Files of version 2 that have a property; the others are only written.
fn unified(resources: &Resources, list: &mut List) {
    for (file, value) in &resources.unified {
        let name = match file.as_str() {
            "memory.high" => "MemoryHigh",
            "memory.low" => "MemoryLow",
            "memory.min" => "MemoryMin",
            "memory.max" => "MemoryMax",
            "memory.swap.max" => "MemorySwapMax",
            "pids.max" => "TasksMax",
            "cpu.weight" => "CPUWeight",
            _ => continue,
        };
        let value = value.trim();
        let number = if value == "max" {
            Some(INFINITY)
        } else {
            value.parse().ok()
        };
        list.retain(|(known, _)| *known != name);
        list.extend(number.map(|number| (name, Value::Number(number))));
    }
}

/// systemd knows what is allowed and nothing else. The group's own filter, set behind it, has the last word.
fn devices(rules: &[DeviceRule], list: &mut List) {
    let is_all = |rule: &DeviceRule| {
        matches!(rule.kind.as_deref(), None | Some("" | "a"))
            && [rule.major, rule.minor]
                .iter()
                .all(|n| matches!(n, None | Some(-1)))
    };
    let last = rules.iter().rposition(is_all);
    let open = last.is_some_and(|at| rules[at].allow);
    let rest = last.map_or(rules, |at| &rules[at + 1..]);
    // What is forbidden again cannot be said: then systemd lets through what the group's filter will judge.
    if open || rest.iter().any(|rule| !rule.allow) {
        list.push(("DevicePolicy", Value::Text("auto".to_owned())));
        list.push(("DeviceAllow", Value::Pairs(Vec::new())));
        return;
    }
    list.push(("DevicePolicy", Value::Text("strict".to_owned())));
    // The empty list forgets those of before.
    list.push(("DeviceAllow", Value::Pairs(Vec::new())));
    list.push((
        "DeviceAllow",
        Value::Pairs(rest.iter().flat_map(entries).collect()),
    ));
}

/// A device as systemd names it.
fn entries(rule: &DeviceRule) -> Vec<(String, String)> {
    let given = |number: Option<i64>| number.filter(|n| *n >= 0);
    let access = if rule.access.is_empty() {
        "rwm"
    } else {
        &rule.access
    };
    let kinds: &[(&str, &str)] = match rule.kind.as_deref() {
        Some("c" | "u") => &[("char", "Character devices:")],
        Some("b") => &[("block", "Block devices:")],
        _ => &[("char", "Character devices:"), ("block", "Block devices:")],
    };
    let mut out = Vec::new();
    for (kind, heading) in kinds {
        let paths = match (given(rule.major), given(rule.minor)) {
            (None, _) => vec![format!("{kind}-*")],
            (Some(major), Some(minor)) => vec![format!("/dev/{kind}/{major}:{minor}")],
            (Some(major), None) => drivers(heading, major)
                .into_iter()
                .map(|driver| format!("{kind}-{driver}"))
                .collect(),
        };
        out.extend(paths.into_iter().map(|path| (path, access.to_owned())));
    }
    out
}

/// Names of the drivers with a major number (proc(5), `/proc/devices`).
fn drivers(heading: &str, major: i64) -> Vec<String> {
    let text = std::fs::read_to_string("/proc/devices").unwrap_or_default();
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.trim().split_once(' '))
        .filter(|(number, _)| number.parse() == Ok(major))
        .map(|(_, name)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(json: &str, mode: Mode) -> Vec<String> {
        let resources: Resources = serde_json::from_str(json).expect("resources");
        let list = of(&resources, mode).expect("properties");
        list.into_iter()
            .map(|(name, value)| format!("{name} {value:?}"))
            .collect()
    }

    #[test]
    fn limits_are_said_in_systemd_s_words() {
        let json = r#"{"memory":{"limit":100,"swap":150,"reservation":50},"pids":{"limit":7},"blockIO":{"weight":10},
            "cpu":{"shares":1024,"quota":15000,"period":10000,"cpus":"0,2-3,9"}}"#;
        assert_eq!(
            listed(json, Mode::V2),
            [
                "MemoryMax Number(100)",
                "MemoryLow Number(50)",
                "MemorySwapMax Number(50)",
                "CPUWeight Number(100)",
                "CPUQuotaPeriodUSec Number(10000)",
                "CPUQuotaPerSecUSec Number(1500000)",
                "AllowedCPUs Bytes([13, 2])",
                "IOWeight Number(1)",
                "TasksMax Number(7)",
            ]
        );
        assert_eq!(
            listed(json, Mode::Hybrid),
            [
                "MemoryLimit Number(100)",
                "CPUShares Number(1024)",
                "CPUQuotaPeriodUSec Number(10000)",
                "CPUQuotaPerSecUSec Number(1500000)",
                "BlockIOWeight Number(10)",
                "TasksMax Number(7)",
            ]
        );
        let none = r#"{"memory":{"limit":-1},"pids":{"limit":-1},"cpu":{"quota":-1},"unified":{"memory.high":"max","cpu.weight":"7"}}"#;
        let infinite = u64::MAX;
        assert_eq!(
            listed(none, Mode::V2),
            [
                format!("MemoryMax Number({infinite})"),
                format!("MemorySwapMax Number({infinite})"),
                format!("CPUQuotaPerSecUSec Number({infinite})"),
                format!("TasksMax Number({infinite})"),
                "CPUWeight Number(7)".to_owned(),
                format!("MemoryHigh Number({infinite})"),
            ]
        );
    }

    #[test]
    fn devices_are_a_list_of_what_is_allowed() {
        let json = r#"{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"rw"},
            {"allow":true,"type":"b","access":"m"}]}"#;
        let pairs = r#"DeviceAllow Pairs([("/dev/char/1:3", "rw"), ("block-*", "m")])"#;
        let strict = ["DevicePolicy Text(\"strict\")", "DeviceAllow Pairs([])", pairs];
        assert_eq!(listed(json, Mode::V2), strict);
        let open = ["DevicePolicy Text(\"auto\")", "DeviceAllow Pairs([])"];
        assert_eq!(listed(r#"{"devices":[{"allow":true}]}"#, Mode::V2), open);
        let later =
            r#"{"devices":[{"allow":false},{"allow":true,"type":"c"},{"allow":false,"type":"c","major":1}]}"#;
        assert_eq!(listed(later, Mode::V2), open);
    }

    #[test]
    fn lists_of_processors_are_checked() {
        for wrong in ["x", "3-1", "1-", "99999"] {
            assert!(bits(wrong).is_err(), "{wrong}");
        }
    }
}
