//! Version 1 values in terms of version 2.

use oci::runtime::Memory;

use crate::{Error, Result};

/// `cpu.shares` (2 to 262144, default 1024) as `cpu.weight` (1 to 10000, default 100).
///
/// The curve of runc 1.3.2 and crun 1.23: minimum, default and maximum meet each other's, which a straight line cannot do.
pub(crate) fn shares_to_weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            // A hair less than the exact value, lest rounding errors push a whole number up.
            (10_f64.powf(exponent) - 1e-9).ceil() as u64
        }
    }
}

/// `blkio.weight` (10 to 1000) as `io.weight` (1 to 10000).
pub(crate) fn block_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).clamp(10, 1000) - 10) * 9999 / 990
}

/// `memory.swap.max`: version 1 limits memory plus swap, version 2 swap alone. `None`: leave it as it is.
pub(crate) fn swap(memory: &Memory) -> Result<Option<String>> {
    let invalid = |why: &str| Error::InvalidLimit {
        what: "memory.swap",
        why: why.to_owned(),
    };
    match (memory.swap.unwrap_or(0), memory.limit.unwrap_or(0)) {
        // No limit of memory means none of swap either, unless it is given.
        (0, -1) => Ok(Some("max".to_owned())),
        (0, _) => Ok(None),
        (-1, _) => Ok(Some("max".to_owned())),
        (swap, _) if swap < 0 => Err(invalid("negative")),
        (_, 0 | -1) => Err(invalid("unable to set swap limit without memory limit")),
        (swap, limit) if swap < limit => Err(invalid("memory+swap limit should be >= memory limit")),
        (swap, limit) => Ok(Some((swap - limit).to_string())),
    }
}

/// -1 as the kernel of version 2 writes it.
pub(super) fn or_max(value: i64) -> String {
    if value < 0 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}
