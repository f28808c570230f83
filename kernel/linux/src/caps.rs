//! Capabilities of the calling thread, as bit sets. All functions are *async-signal-safe*.

use crate::{Errno, Result, check};

/// The three sets of `capset(2)`, each a bit set by capability number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// Effective.
    pub effective: u64,
    /// Permitted.
    pub permitted: u64,
    /// Inheritable.
    pub inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// The sets of the calling thread.
///
/// # Errors
/// None are known.
pub fn get() -> Result<Sets> {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 reads the header and writes two data records.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    let join = |low: u32, high: u32| u64::from(low) | (u64::from(high) << 32);
    Ok(Sets {
        effective: join(data[0].effective, data[1].effective),
        permitted: join(data[0].permitted, data[1].permitted),
        inheritable: join(data[0].inheritable, data[1].inheritable),
    })
}

/// Sets the three sets of the calling thread.
///
/// # Errors
/// `EPERM` when a set would grow beyond what is permitted.
pub fn set(sets: Sets) -> Result<()> {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let part = |shift: u32| Data {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [part(0), part(32)];
    // SAFETY: version 3 reads the header and two data records.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}

fn prctl(option: i32, a: libc::c_ulong, b: libc::c_ulong) -> Result<i32> {
    // SAFETY: these options take plain integers.
    check(libc::c_long::from(unsafe { libc::prctl(option, a, b, 0, 0) })).map(|value| value as i32)
}

/// Number of the highest capability that the kernel knows.
#[must_use]
pub fn last() -> u32 {
    // Binary search would save a dozen calls; the answer is 40 on all kernels since 5.9, so begin there.
    let known = |cap: u32| prctl(libc::PR_CAPBSET_READ, cap.into(), 0).is_ok();
    let mut cap = 40;
    while cap > 0 && !known(cap) {
        cap -= 1;
    }
    while cap < 63 && known(cap + 1) {
        cap += 1;
    }
    cap
}

/// Drops from the bounding set everything that is not in `keep`.
///
/// # Errors
/// `EPERM` without CAP_SETPCAP, unless nothing had to be dropped.
pub fn limit_bounding(keep: u64) -> Result<()> {
    for cap in (0..64_u32).filter(|cap| keep & (1 << cap) == 0) {
        match prctl(libc::PR_CAPBSET_DROP, cap.into(), 0) {
            Ok(_) => {}
            // Beyond the last capability of this kernel.
            Err(Errno::INVAL) => break,
            Err(error) if prctl(libc::PR_CAPBSET_READ, cap.into(), 0) != Ok(0) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(())
}

/// The bounding set.
#[must_use]
pub fn bounding() -> u64 {
    (0..64_u32)
        .map_while(|cap| {
            prctl(libc::PR_CAPBSET_READ, cap.into(), 0)
                .ok()
                .map(|value| (cap, value))
        })
        .fold(
            0,
            |set, (cap, value)| if value == 1 { set | (1 << cap) } else { set },
        )
}

/// Makes the ambient set exactly `wanted`, as far as permitted and inheritable allow.
///
/// # Errors
/// `EPERM` for one that is not both permitted and inheritable.
pub fn set_ambient(wanted: u64) -> Result<()> {
    prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong,
        0,
    )?;
    for cap in (0..64_u32).filter(|cap| wanted & (1 << cap) != 0) {
        prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong,
            cap.into(),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounding_set_ends_at_the_last_capability() {
        assert!(last() >= 37);
        assert_eq!(bounding() >> (last() + 1), 0);
        assert_eq!(
            get().expect("sets").effective & !get().expect("sets").permitted,
            0
        );
    }
}
