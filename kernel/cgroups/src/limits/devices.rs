//! Which devices the group may use.

use oci::runtime::DeviceRule;

use super::need;
use crate::cgroup::Seat;
use crate::device_filter::{self, Kind, Rule};
use crate::{Cgroup, Error, Result};

pub(super) fn apply(group: &Cgroup, rules: &[DeviceRule]) -> Result<()> {
    let rules: Vec<Rule> = rules.iter().map(parse).collect::<Result<_>>()?;
    match need(group, "devices", "devices")? {
        // The kernel itself works the rules off one after the other.
        Seat::V1(dir) => {
            let (allow, deny) = (dir.writer("devices.allow")?, dir.writer("devices.deny")?);
            rules
                .iter()
                .flat_map(|rule| lines(rule).map(|line| (rule.allow, line)))
                .try_for_each(|(allowed, line)| if allowed { &allow } else { &deny }.write(&line))
        }
        Seat::V2(dir) => device_filter::install(dir, &rules),
    }
}

fn parse(rule: &DeviceRule) -> Result<Rule> {
    let invalid = |why: String| Error::InvalidLimit { what: "devices", why };
    let kind = match rule.kind.as_deref() {
        None | Some("" | "a") => Kind::All,
        Some("c" | "u") => Kind::Char,
        Some("b") => Kind::Block,
        Some(other) => return Err(invalid(format!("unknown type {other:?}"))),
    };
    let number = |value: Option<i64>, name: &str| match value {
        None | Some(-1) => Ok(None),
        Some(n) => u32::try_from(n)
            .map(Some)
            .map_err(|_| invalid(format!("invalid {name} number {n}"))),
    };
    let mut access = 0;
    for letter in rule.access.chars() {
        access |= match letter {
            'm' => device_filter::MKNOD,
            'r' => device_filter::READ,
            'w' => device_filter::WRITE,
            // Everything, as with the kernel's own lists; runc's users write it, too.
            'a' => device_filter::MKNOD | device_filter::READ | device_filter::WRITE,
            other => return Err(invalid(format!("unknown access {other:?}"))),
        };
    }
    if rule.access.is_empty() {
        access = device_filter::ANY;
    }
    let (major, minor) = (number(rule.major, "major")?, number(rule.minor, "minor")?);
    if kind == Kind::All && (major.is_some() || minor.is_some()) {
        // Version 1 would take such a line for "everything".
        return Err(invalid("type \"a\" goes with no device number".to_owned()));
    }
    Ok(Rule {
        allow: rule.allow,
        kind,
        major,
        minor,
        access,
    })
}

/// A rule as version 1 reads it. Type `a` means every access there, so a narrower one becomes a line for each type.
fn lines(rule: &Rule) -> impl Iterator<Item = String> {
    let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
    let letters = [
        (device_filter::READ, 'r'),
        (device_filter::WRITE, 'w'),
        (device_filter::MKNOD, 'm'),
    ];
    let access: String = letters
        .iter()
        .filter(|(bit, _)| rule.access & bit != 0)
        .map(|(_, c)| *c)
        .collect();
    let rest = format!(" {}:{} {access}", number(rule.major), number(rule.minor));
    let kinds = match rule.kind {
        Kind::All if rule.access == device_filter::ANY => return vec!["a".to_owned()].into_iter(),
        Kind::All => vec!["c", "b"],
        Kind::Char => vec!["c"],
        Kind::Block => vec!["b"],
    };
    kinds
        .into_iter()
        .map(|kind| format!("{kind}{rest}"))
        .collect::<Vec<_>>()
        .into_iter()
}
