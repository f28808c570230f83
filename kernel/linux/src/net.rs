//! Of the network, what rustix lacks: `lo` without netlink for the init of a container, options of netlink sockets.

use std::os::fd::{AsFd, AsRawFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::{Result, check};

/// Sets the interface `lo` of the calling thread's network namespace up. *Async-signal-safe.*
///
/// # Errors
/// `EPERM` when the namespace is not ours to change.
pub fn loopback_up() -> Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: `ifreq` is plain data; zero is a valid value of all its fields.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = *byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request lives through the call and has the type that SIOCSIFFLAGS reads.
    check(libc::c_long::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    }))
    .map(drop)
}

/// Lets the kernel explain its refusals on a netlink socket (extended acknowledgements, netlink(7)), and repeat only
/// the header of the refused request.
///
/// # Errors
/// `ENOPROTOOPT` before Linux 4.12, or when it is not a netlink socket.
pub fn explain_netlink_errors(socket: impl AsFd) -> Result<()> {
    const NETLINK_CAP_ACK: libc::c_int = 10;
    const NETLINK_EXT_ACK: libc::c_int = 11;
    let on: libc::c_int = 1;
    for option in [NETLINK_CAP_ACK, NETLINK_EXT_ACK] {
        // SAFETY: the value is an int that lives through the call, and its length is given.
        check(libc::c_long::from(unsafe {
            libc::setsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_NETLINK,
                option,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        }))?;
    }
    Ok(())
}
