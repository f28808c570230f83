//! Block devices: weights and rates.

use oci::runtime::{BlockIo, ThrottleDevice};

use super::{convert, need};
use crate::cgroup::Seat;
use crate::dir::Dir;
use crate::{Cgroup, Error, Result};

pub(super) fn apply(group: &Cgroup, io: &BlockIo) -> Result<()> {
    if *io == BlockIo::default() {
        return Ok(());
    }
    match need(group, "blkio", "blockIO")? {
        Seat::V1(dir) => v1(dir, io),
        Seat::V2(dir) => v2(dir, io),
    }
}

/// The first of these files that the kernel offers: which one depends on the block layer's schedulers.
fn one_of(dir: &Dir, files: &[&'static str], what: &'static str) -> Result<&'static str> {
    let found = files.iter().copied().find(|file| dir.has(file));
    found.ok_or(Error::NoController {
        what,
        controller: "blkio (weights)",
    })
}

fn v1(dir: &Dir, io: &BlockIo) -> Result<()> {
    if let Some(weight) = io.weight.filter(|w| *w != 0) {
        dir.write(
            one_of(dir, &["blkio.weight", "blkio.bfq.weight"], "blockIO.weight")?,
            &weight.to_string(),
        )?;
    }
    if let Some(weight) = io.leaf_weight.filter(|w| *w != 0) {
        dir.write(
            one_of(dir, &["blkio.leaf_weight"], "blockIO.leafWeight")?,
            &weight.to_string(),
        )?;
    }
    for device in &io.weight_device {
        let line = |weight: u16| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(weight) = device.weight {
            let files = ["blkio.weight_device", "blkio.bfq.weight_device"];
            dir.write(one_of(dir, &files, "blockIO.weightDevice")?, &line(weight))?;
        }
        if let Some(weight) = device.leaf_weight {
            dir.write(
                one_of(dir, &["blkio.leaf_weight_device"], "blockIO.leafWeight")?,
                &line(weight),
            )?;
        }
    }
    for (devices, file) in [
        (&io.throttle_read_bps_device, "blkio.throttle.read_bps_device"),
        (&io.throttle_write_bps_device, "blkio.throttle.write_bps_device"),
        (&io.throttle_read_iops_device, "blkio.throttle.read_iops_device"),
        (&io.throttle_write_iops_device, "blkio.throttle.write_iops_device"),
    ] {
        devices
            .iter()
            .try_for_each(|d| dir.write(file, &format!("{}:{} {}", d.major, d.minor, d.rate)))?;
    }
    Ok(())
}

fn v2(dir: &Dir, io: &BlockIo) -> Result<()> {
    if let Some(weight) = io.weight.filter(|w| *w != 0) {
        match one_of(dir, &["io.bfq.weight", "io.weight"], "blockIO.weight")? {
            "io.bfq.weight" => dir.write("io.bfq.weight", &weight.to_string())?,
            file => dir.write(file, &format!("default {}", convert::block_weight(weight)))?,
        }
    }
    for device in &io.weight_device {
        let Some(weight) = device.weight else { continue };
        let at = format!("{}:{}", device.major, device.minor);
        match one_of(dir, &["io.bfq.weight", "io.weight"], "blockIO.weightDevice")? {
            "io.bfq.weight" => dir.write("io.bfq.weight", &format!("{at} {weight}"))?,
            file => dir.write(file, &format!("{at} {}", convert::block_weight(weight)))?,
        }
    }
    let throttle = |devices: &[ThrottleDevice], key: &str| {
        devices.iter().try_for_each(|d| {
            // 0 lifts a limit in version 1.
            let rate = if d.rate == 0 {
                "max".to_owned()
            } else {
                d.rate.to_string()
            };
            dir.write("io.max", &format!("{}:{} {key}={rate}", d.major, d.minor))
        })
    };
    throttle(&io.throttle_read_bps_device, "rbps")?;
    throttle(&io.throttle_write_bps_device, "wbps")?;
    throttle(&io.throttle_read_iops_device, "riops")?;
    throttle(&io.throttle_write_iops_device, "wiops")
}
