//! Setting the limits of a runtime-spec in whatever version a controller is of.

mod block_io;
pub(crate) mod convert;
mod cpu;
mod devices;
mod memory;

use oci::runtime::{HugepageLimit, Network, Pids, Rdma, Resources};

use crate::cgroup::Seat;
use crate::dir::Dir;
use crate::{Cgroup, Error, Mode, Result};

/// Sets what is present in `resources`.
pub(crate) fn apply(group: &Cgroup, resources: &Resources) -> Result<()> {
    if let Some(limits) = &resources.memory {
        memory::apply(group, limits)?;
    }
    if let Some(limits) = &resources.cpu {
        cpu::apply(group, limits)?;
    }
    if let Some(limits) = &resources.pids {
        pids(group, limits)?;
    }
    if let Some(limits) = &resources.block_io {
        block_io::apply(group, limits)?;
    }
    resources
        .hugepage_limits
        .iter()
        .try_for_each(|limit| hugetlb(group, limit))?;
    if let Some(limits) = &resources.network {
        network(group, limits)?;
    }
    for (device, limit) in &resources.rdma {
        rdma(group, device, limit)?;
    }
    if !resources.devices.is_empty() {
        devices::apply(group, &resources.devices)?;
    }
    // Last, so that raw values have the last word, as in runc and crun.
    for (file, value) in &resources.unified {
        unified(group, file, value)?;
    }
    Ok(())
}

/// The seat of a controller, or the error that names the limit in want of it.
fn need<'a>(group: &'a Cgroup, controller: &'static str, what: &'static str) -> Result<Seat<'a>> {
    group
        .seat(controller)
        .ok_or(Error::NoController { what, controller })
}

fn pids(group: &Cgroup, limits: &Pids) -> Result<()> {
    let Some(limit) = limits.limit else { return Ok(()) };
    let unlimited = limit <= 0;
    let (Seat::V1(dir) | Seat::V2(dir)) = match group.seat("pids") {
        Some(seat) => seat,
        None if unlimited => return Ok(()),
        None => {
            return Err(Error::NoController {
                what: "pids.limit",
                controller: "pids",
            });
        }
    };
    dir.write(
        "pids.max",
        &if unlimited {
            "max".to_owned()
        } else {
            limit.to_string()
        },
    )
}

fn hugetlb(group: &Cgroup, limit: &HugepageLimit) -> Result<()> {
    let size = &limit.page_size;
    let digits = size.trim_end_matches(|c: char| c.is_ascii_uppercase());
    let known = matches!(&size[digits.len()..], "KB" | "MB" | "GB");
    if !known || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::InvalidLimit {
            what: "hugepageLimits.pageSize",
            why: format!("{size:?} is not of the form 2MB"),
        });
    }
    let (dir, last) = match need(group, "hugetlb", "hugepageLimits")? {
        Seat::V1(dir) => (dir, "limit_in_bytes"),
        Seat::V2(dir) => (dir, "max"),
    };
    dir.write(&format!("hugetlb.{size}.{last}"), &limit.limit.to_string())?;
    // Reservations are counted apart since Linux 5.7; without this limit, mmap alone could take every page.
    let reserved = format!("hugetlb.{size}.rsvd.{last}");
    if dir.has(&reserved) {
        dir.write(&reserved, &limit.limit.to_string())
    } else {
        Ok(())
    }
}

fn network(group: &Cgroup, limits: &Network) -> Result<()> {
    if let Some(class) = limits.class_id {
        let (Seat::V1(dir) | Seat::V2(dir)) = need(group, "net_cls", "network.classID")?;
        dir.write("net_cls.classid", &class.to_string())?;
    }
    for entry in &limits.priorities {
        let (Seat::V1(dir) | Seat::V2(dir)) = need(group, "net_prio", "network.priorities")?;
        if entry.name.contains(char::is_whitespace) {
            let why = format!("{:?} is no interface name", entry.name);
            return Err(Error::InvalidLimit {
                what: "network.priorities",
                why,
            });
        }
        dir.write(
            "net_prio.ifpriomap",
            &format!("{} {}", entry.name, entry.priority),
        )?;
    }
    Ok(())
}

fn rdma(group: &Cgroup, device: &str, limit: &Rdma) -> Result<()> {
    let (Seat::V1(dir) | Seat::V2(dir)) = need(group, "rdma", "rdma")?;
    if device.is_empty() || device.contains(char::is_whitespace) {
        return Err(Error::InvalidLimit {
            what: "rdma",
            why: format!("{device:?} is no device name"),
        });
    }
    let mut line = device.to_owned();
    if let Some(handles) = limit.hca_handles {
        line.push_str(&format!(" hca_handle={handles}"));
    }
    if let Some(objects) = limit.hca_objects {
        line.push_str(&format!(" hca_object={objects}"));
    }
    dir.write("rdma.max", &line)
}

fn unified(group: &Cgroup, file: &str, value: &str) -> Result<()> {
    let invalid = |why: String| Error::InvalidLimit { what: "unified", why };
    if group.mode() != Mode::V2 {
        return Err(Error::OnlyV2 {
            file: file.to_owned(),
        });
    }
    if file.contains('/') || !file.contains('.') || file.starts_with('.') {
        return Err(invalid(format!("{file:?} must be a file name (no slashes)")));
    }
    let dir = group.unified().ok_or(Error::NoHierarchy)?;
    if !dir.has(file) {
        return Err(invalid(format!("{file} does not exist in this cgroup")));
    }
    // Several lines are several writes: the kernel reads one line of io.max or rdma.max at a time.
    value.lines().try_for_each(|line| dir.write(file, line))
}

/// A value for one file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    file: &'static str,
    value: String,
}

/// Writes values whose allowed ranges depend on one another (quota and period, burst and quota): what the kernel
/// refuses with EINVAL is tried again after the others, as long as something changes.
fn write_interdependent(dir: &Dir, mut settings: Vec<Setting>) -> Result<()> {
    while !settings.is_empty() {
        let before = settings.len();
        let mut refused = None;
        let mut left = Vec::new();
        for setting in settings {
            match dir.write(setting.file, &setting.value) {
                Ok(()) => {}
                Err(Error::Write { path, value, source }) if source.raw_os_error() == Some(22) => {
                    refused = Some(Error::Write { path, value, source });
                    left.push(setting);
                }
                Err(other) => return Err(other),
            }
        }
        match refused {
            Some(error) if left.len() == before => return Err(error),
            _ => settings = left,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
