//! Host and domain name of the UTS namespace. Both are *async-signal-safe*.

use crate::{Result, check};

/// Sets the host name.
///
/// # Errors
/// `EPERM`, `EINVAL` when it is longer than 64 bytes.
pub fn set_host_name(name: &[u8]) -> Result<()> {
    // SAFETY: the kernel reads `len` bytes.
    check(libc::c_long::from(unsafe {
        libc::sethostname(name.as_ptr().cast(), name.len())
    }))
    .map(drop)
}

/// Sets the NIS domain name.
///
/// # Errors
/// `EPERM`, `EINVAL` when it is longer than 64 bytes.
pub fn set_domain_name(name: &[u8]) -> Result<()> {
    // SAFETY: the kernel reads `len` bytes.
    check(libc::c_long::from(unsafe {
        libc::setdomainname(name.as_ptr().cast(), name.len())
    }))
    .map(drop)
}
