//! A kernel that answers anything.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use netlink::Route;
use netlink::conntrack::{Conntrack, Filter};
use netlink::nft::{Family, Nft};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, shutdown, socketpair};

/// The first byte chooses the question, the rest is the answer: messages, of which those with the sequence number 1
/// (and 2 to 8, where a dump is asked for again) are taken for the answer.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let (socket, _kernel) = answering(data);
    match choice % 12 {
        0 => drop(Route::from_fd(socket).links()),
        1 => drop(Route::from_fd(socket).link("eth0")),
        2 => drop(Route::from_fd(socket).addresses()),
        3 => drop(Route::from_fd(socket).routes()),
        4 => drop(Route::from_fd(socket).neighbours()),
        5 => drop(Nft::from_fd(socket).chains()),
        6 => drop(Nft::from_fd(socket).rules(Family::Inet, "t", Some("c"))),
        7 => drop(Nft::from_fd(socket).elements(Family::Inet, "t", "s")),
        8 => drop(Nft::from_fd(socket).tables()),
        9 => drop(Nft::from_fd(socket).generation()),
        10 => drop(Route::from_fd(socket).delete_link("eth0")),
        _ => drop(Conntrack::from_fd(socket).count(Filter::ReplySource(IpAddr::from([10, 0, 0, 1])))),
    }
}

/// A socket, and its other end, which has answered already and will not do so again.
fn answering(data: &[u8]) -> (OwnedFd, OwnedFd) {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .expect("a pair of sockets");
    // Two datagrams, as a long dump comes in.
    let (first, second) = data.split_at((data.len() / 2) & !3);
    for part in [data, first, second] {
        if !part.is_empty() {
            rustix::net::send(&theirs, part, SendFlags::empty()).expect("sent");
        }
    }
    // Questions can still be sent; nobody reads them.
    shutdown(&theirs, rustix::net::Shutdown::Write).expect("the end of the answer");
    (ours, theirs)
}
