//! The socket: requests, dumps and batches, each with its answer awaited.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::error::Error;
use crate::message::{self, ACK, Buffer, DUMP, HEADER, Message};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
/// How often a dump that was disturbed by a change is tried again.
const DUMP_ATTEMPTS: u32 = 8;

/// A netlink socket; the requests are answered in order, so it is used by one caller at a time.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

/// Room for the largest answer of the kernel; it lives as long as one operation, because sockets are kept: one for each
/// network namespace.
fn room() -> Vec<u8> {
    Vec::with_capacity(64 << 10)
}

impl Socket {
    /// Open a socket of `protocol` (`None` is routing) in the namespace of this thread, subscribed to the multicast groups in the mask.
    pub(crate) fn open(protocol: Option<Protocol>, groups: u32) -> Result<Socket, Error> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )
        .map_err(|e| Error::Socket {
            doing: "socket",
            source: e.into(),
        })?;
        rustix::net::bind(&fd, &rustix::net::netlink::SocketAddrNetlink::new(0, groups)).map_err(|e| {
            Error::Socket {
                doing: "bind",
                source: e.into(),
            }
        })?;
        // Without explanations errors are still errors.
        let _ = linux::net::explain_netlink_errors(&fd);
        // Bigger buffers are a wish: the limits of the host may forbid them.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&fd, 4 << 20);
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&fd, 4 << 20);
        Ok(Socket::from_fd(fd))
    }

    /// A socket that somebody else has opened, perhaps in another namespace.
    pub(crate) fn from_fd(fd: OwnedFd) -> Socket {
        Socket { fd, sequence: 0 }
    }

    /// The sequence number for the next message.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Send one message and await its acknowledgement.
    pub(crate) fn request(
        &mut self,
        kind: u16,
        flags: u16,
        doing: impl FnOnce() -> String,
        fill: impl FnOnce(&mut Buffer),
    ) -> Result<(), Error> {
        let sequence = self.next_sequence();
        let mut buffer = Buffer::default();
        buffer.begin(kind, message::REQUEST | ACK | flags, sequence);
        fill(&mut buffer);
        buffer.end();
        self.send(&buffer)?;
        self.await_acks(sequence, sequence, doing)
    }

    /// Send messages prepared with [`Socket::next_sequence`]; await answers up to that of `last`. The first error
    /// wins; an error for `first` of a transaction may stand for the whole.
    pub(crate) fn exchange(
        &mut self,
        buffer: &Buffer,
        first: u32,
        last: u32,
        doing: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        self.send(buffer)?;
        self.await_acks(first, last, doing)
    }

    /// Ask for one object and read the answer with `read`.
    pub(crate) fn get<T>(
        &mut self,
        kind: u16,
        doing: impl FnOnce() -> String,
        fill: impl FnOnce(&mut Buffer),
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, Error> {
        let sequence = self.next_sequence();
        let mut buffer = Buffer::default();
        buffer.begin(kind, message::REQUEST, sequence);
        fill(&mut buffer);
        buffer.end();
        self.send(&buffer)?;
        let mut answers = room();
        loop {
            self.receive(&mut answers)?;
            if let Some(answer) = message::messages(&answers).find(|m| m.sequence == sequence) {
                if answer.kind == NLMSG_ERROR {
                    return Err(refusal(&answer, doing));
                }
                return read(answer.payload).ok_or_else(|| Error::Malformed(doing()));
            }
        }
    }

    /// Ask for all objects; `read` returns `None` for those that do not matter.
    pub(crate) fn dump<T>(
        &mut self,
        kind: u16,
        doing: impl Fn() -> String,
        fill: impl Fn(&mut Buffer),
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            let sequence = self.next_sequence();
            let mut buffer = Buffer::default();
            buffer.begin(kind, message::REQUEST | DUMP, sequence);
            fill(&mut buffer);
            buffer.end();
            self.send(&buffer)?;
            if let Some(all) = self.read_dump(sequence, &doing, &read)? {
                return Ok(all);
            }
        }
        Err(Error::Refused {
            doing: doing(),
            errno: Errno::AGAIN,
            detail: Some("the dump kept changing".into()),
        })
    }

    fn read_dump<T>(
        &mut self,
        sequence: u32,
        doing: &impl Fn() -> String,
        read: &impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<Vec<T>>, Error> {
        let mut all = Vec::new();
        let mut disturbed = false;
        let mut answers = room();
        loop {
            self.receive(&mut answers)?;
            for answer in message::messages(&answers).filter(|m| m.sequence == sequence) {
                disturbed |= answer.flags & NLM_F_DUMP_INTR != 0;
                match answer.kind {
                    NLMSG_DONE => return Ok((!disturbed).then_some(all)),
                    NLMSG_ERROR => return Err(refusal(&answer, doing)),
                    _ => all.extend(read(answer.payload)),
                }
            }
        }
    }

    /// Throw away all notifications that wait in the socket; says whether there were any.
    pub(crate) fn drain(&mut self) -> Result<bool, Error> {
        let mut any = false;
        // What does not fit is thrown away as well.
        let mut byte = [0];
        loop {
            match rustix::net::recv(&self.fd, &mut byte, RecvFlags::DONTWAIT) {
                Ok(_) => any = true,
                // An overrun means that there was something, too.
                Err(Errno::NOBUFS) => any = true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(any),
                Err(e) => {
                    return Err(Error::Socket {
                        doing: "recv",
                        source: e.into(),
                    });
                }
            }
        }
    }

    fn send(&mut self, buffer: &Buffer) -> Result<(), Error> {
        loop {
            match rustix::net::send(&self.fd, buffer.as_slice(), SendFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(e) => {
                    return Err(Error::Socket {
                        doing: "send",
                        source: e.into(),
                    });
                }
            }
        }
    }

    /// Replaces what `answers` holds by the next datagram.
    fn receive(&mut self, answers: &mut Vec<u8>) -> Result<(), Error> {
        answers.clear();
        loop {
            match rustix::net::recv(&self.fd, spare_capacity(answers), RecvFlags::empty()) {
                // The kernel never sends nothing: the other end is gone, and no answer will come.
                Ok((0, _)) => {
                    return Err(Error::Socket {
                        doing: "recv",
                        source: std::io::ErrorKind::UnexpectedEof.into(),
                    });
                }
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(e) => {
                    return Err(Error::Socket {
                        doing: "recv",
                        source: e.into(),
                    });
                }
            }
        }
    }

    fn await_acks(&mut self, first: u32, last: u32, doing: impl FnOnce() -> String) -> Result<(), Error> {
        let mut failure: Option<(Errno, Option<String>)> = None;
        let mut answers = room();
        'answers: loop {
            self.receive(&mut answers)?;
            for answer in message::messages(&answers) {
                let offset = answer.sequence.wrapping_sub(first);
                if answer.kind != NLMSG_ERROR || offset > last.wrapping_sub(first) {
                    continue;
                }
                if let Some(error) = parse_error(&answer) {
                    failure.get_or_insert(error);
                    if answer.sequence == first {
                        break 'answers;
                    }
                }
                if answer.sequence == last {
                    break 'answers;
                }
            }
        }
        match failure {
            None => Ok(()),
            Some((errno, detail)) => Err(Error::Refused {
                doing: doing(),
                errno,
                detail,
            }),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn refusal(answer: &Message<'_>, doing: impl FnOnce() -> String) -> Error {
    match parse_error(answer) {
        Some((errno, detail)) => Error::Refused {
            doing: doing(),
            errno,
            detail,
        },
        None => Error::Malformed(doing()),
    }
}

/// The error number and explanation of an `NLMSG_ERROR`; `None` when it is an acknowledgement.
fn parse_error(answer: &Message<'_>) -> Option<(Errno, Option<String>)> {
    const CAPPED: u16 = 0x100;
    const HAS_TLVS: u16 = 0x200;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let code = message::number(answer.payload)?.cast_signed();
    if code == 0 {
        return None;
    }
    // The kernel's numbers are below MAX_ERRNO (4096); what else stands there is no error number.
    let number = code.checked_neg().filter(|number| (1..4096).contains(number));
    let errno = number.map_or(Errno::IO, Errno::from_raw_os_error);
    let mut detail = None;
    if answer.flags & HAS_TLVS != 0 {
        // The request's header is repeated; its payload too, unless the answer is capped.
        let echoed = match answer.flags & CAPPED {
            0 => answer.payload.get(4..).and_then(message::number)? as usize,
            _ => HEADER,
        };
        let rest = answer
            .payload
            .get(4 + echoed.next_multiple_of(4)..)
            .unwrap_or_default();
        detail = message::find(rest, NLMSGERR_ATTR_MSG).map(message::text);
    }
    Some((errno, detail))
}
