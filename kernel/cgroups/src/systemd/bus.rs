//! The connection with systemd: find the bus, say who we are, call, wait for a job.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::wire::{self, Arguments, Call, Kind, Message, Properties, Value};
use crate::{Error, Result};

/// Where the system's bus listens, unless somebody says otherwise (D-Bus Specification, "System message bus").
const SYSTEM: &str = "unix:path=/run/dbus/system_bus_socket";
/// systemd's own socket, for root, where no bus runs.
const PRIVATE: &str = "unix:path=/run/systemd/private";
/// How long systemd may take for one step.
const PATIENCE: Duration = Duration::from_secs(30);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const PLACE: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// Names of errors.
pub(super) const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
pub(super) const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// Where a systemd is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bus {
    /// Address in D-Bus's form, as `unix:path=/run/dbus/system_bus_socket`.
    pub address: String,
    /// It is the manager of a user, not the system's.
    pub user: bool,
}

impl Bus {
    /// The system's, at its usual place.
    pub fn system() -> Bus {
        Bus {
            address: SYSTEM.to_owned(),
            user: false,
        }
    }
}

/// An open connection.
pub(super) struct Connection {
    stream: UnixStream,
    serial: u32,
    /// Straight to systemd, which then needs no name.
    private: bool,
    address: String,
    /// Jobs that have ended, by their paths, with what came of them.
    ended: Vec<(String, String)>,
}

impl Connection {
    pub(super) fn open(bus: &Bus) -> Result<Connection> {
        let (stream, address) = match connect(&bus.address) {
            Err(first) if !bus.user && bus.address == SYSTEM => {
                (connect(PRIVATE).map_err(|_| first)?, PRIVATE.to_owned())
            }
            other => (other?, bus.address.clone()),
        };
        let mut connection = Connection {
            stream,
            serial: 0,
            private: address == PRIVATE,
            address,
            ended: Vec::new(),
        };
        connection.authenticate()?;
        if !connection.private {
            connection.bus("Hello", Arguments::default())?;
        }
        Ok(connection)
    }

    fn failed(&self, what: &str) -> impl FnOnce(std::io::Error) -> Error {
        let what = format!("{what} {}", self.address);
        |source| Error::Bus { what, source }
    }

    /// The kernel tells the other side who we are, also from within a user namespace; so nothing is claimed.
    fn authenticate(&mut self) -> Result<()> {
        let hello = b"\0AUTH EXTERNAL\r\nDATA\r\n";
        self.stream.write_all(hello).map_err(self.failed("write to"))?;
        for wanted in ["DATA", "OK"] {
            let line = self.line()?;
            if !line.starts_with(wanted) {
                let error = std::io::Error::other(format!("it said {line:?} to AUTH EXTERNAL"));
                return Err(self.failed("authenticate with")(error));
            }
        }
        self.stream
            .write_all(b"BEGIN\r\n")
            .map_err(self.failed("write to"))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") && line.len() < 512 {
            self.stream
                .read_exact(&mut byte)
                .map_err(self.failed("read from"))?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn receive(&mut self) -> Result<Message> {
        let mut bytes = vec![0; wire::FRONT];
        self.stream
            .read_exact(&mut bytes)
            .map_err(self.failed("read from"))?;
        let malformed = || std::io::Error::other("this is no D-Bus message");
        let front = bytes.as_slice().try_into().ok();
        let rest = front.and_then(wire::rest);
        let rest = rest.ok_or_else(|| self.failed("read from")(malformed()))?;
        // Not made at once: the length is what the other side claims.
        let read = (&self.stream).take(rest as u64).read_to_end(&mut bytes);
        match read.map_err(self.failed("read from"))? {
            read if read == rest => {}
            _ => return Err(self.failed("read from")(std::io::ErrorKind::UnexpectedEof.into())),
        }
        let message = Message::read(&bytes).ok_or_else(|| self.failed("read from")(malformed()))?;
        if message.kind == Kind::Signal as u8 && message.member == "JobRemoved" {
            // Number, job, unit, result.
            if let [job, _, result] = message.texts().as_slice() {
                self.ended.push((job.clone(), result.clone()));
            }
        }
        Ok(message)
    }

    fn call(&mut self, call: &Call<'_>, arguments: &Arguments) -> Result<Message> {
        self.serial += 1;
        let bytes = call.bytes(self.serial, arguments);
        self.stream.write_all(&bytes).map_err(self.failed("write to"))?;
        loop {
            let message = self.receive()?;
            if message.reply_to != self.serial {
                continue;
            }
            if message.kind == Kind::Error as u8 {
                return Err(Error::Systemd {
                    what: call.member.to_owned(),
                    text: message.texts().into_iter().next().unwrap_or_default(),
                    name: message.error,
                });
            }
            return Ok(message);
        }
    }

    /// Calls the bus itself.
    fn bus(&mut self, member: &str, arguments: Arguments) -> Result<Message> {
        let call = Call {
            path: "/org/freedesktop/DBus",
            destination: "org.freedesktop.DBus",
            interface: "org.freedesktop.DBus",
            member,
        };
        self.call(&call, &arguments)
    }

    fn manager(&mut self, interface: &str, member: &str, arguments: Arguments) -> Result<Message> {
        let call = Call {
            path: PLACE,
            destination: if self.private { "" } else { SYSTEMD },
            interface,
            member,
        };
        self.call(&call, &arguments)
    }

    /// Asks to be told of the ends of jobs.
    fn subscribe(&mut self) -> Result<()> {
        if !self.private {
            let rule = format!("type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'");
            self.bus("AddMatch", Arguments::default().text(&rule))?;
        }
        self.manager(MANAGER, "Subscribe", Arguments::default()).map(drop)
    }

    /// Starts a job and waits for its end.
    fn job(&mut self, member: &str, unit: &str, arguments: Arguments) -> Result<()> {
        self.subscribe()?;
        let reply = self.manager(MANAGER, member, arguments)?;
        let job = reply.texts().into_iter().next().unwrap_or_default();
        let result = loop {
            if let Some(at) = self.ended.iter().position(|(ended, _)| *ended == job) {
                break self.ended.remove(at).1;
            }
            self.receive()?;
        };
        if result == "done" {
            return Ok(());
        }
        Err(Error::Systemd {
            what: format!("{member} {unit}"),
            name: String::new(),
            text: format!("the job has ended as {result:?}"),
        })
    }

    pub(super) fn start_scope(&mut self, unit: &str, properties: &Properties<'_>) -> Result<()> {
        let arguments = Arguments::default()
            .text(unit)
            .text("replace")
            .properties(properties)
            .no_more_units();
        self.job("StartTransientUnit", unit, arguments)
    }

    pub(super) fn stop(&mut self, unit: &str) -> Result<()> {
        let arguments = Arguments::default().text(unit).text("replace");
        self.job("StopUnit", unit, arguments)
    }

    /// Lets go of a unit that has failed; one that has not is no error here.
    pub(super) fn forget(&mut self, unit: &str) {
        let _ = self.manager(MANAGER, "ResetFailedUnit", Arguments::default().text(unit));
    }

    pub(super) fn set_properties(&mut self, unit: &str, properties: &Properties<'_>) -> Result<()> {
        // For this run only: transient units have no other.
        let arguments = Arguments::default()
            .text(unit)
            .with(&Value::Flag(true))
            .properties(properties);
        self.manager(MANAGER, "SetUnitProperties", arguments).map(drop)
    }

    pub(super) fn attach(&mut self, unit: &str, pid: i32) -> Result<()> {
        let arguments = Arguments::default()
            .text(unit)
            .text("")
            .with(&Value::Numbers(vec![pid.unsigned_abs()]));
        self.manager(MANAGER, "AttachProcessesToUnit", arguments)
            .map(drop)
    }

    /// The group that the manager itself lives in.
    pub(super) fn control_group(&mut self) -> Result<String> {
        let arguments = Arguments::default().text(MANAGER).text("ControlGroup");
        let reply = self.manager("org.freedesktop.DBus.Properties", "Get", arguments)?;
        let path = reply.texts().into_iter().next().unwrap_or_default();
        Ok(path.trim_end_matches('/').to_owned())
    }
}

/// The first place of an address that answers.
fn connect(address: &str) -> Result<UnixStream> {
    let mut last = std::io::Error::other("no unix socket in this address");
    for place in address.split(';') {
        let Some(keys) = place.strip_prefix("unix:") else {
            continue;
        };
        for key in keys.split(',') {
            let opened = match key.split_once('=') {
                Some(("path", path)) => UnixStream::connect(unescape(path)),
                Some(("abstract", name)) => {
                    use std::os::linux::net::SocketAddrExt as _;
                    std::os::unix::net::SocketAddr::from_abstract_name(unescape(name))
                        .and_then(|address| UnixStream::connect_addr(&address))
                }
                _ => continue,
            };
            let ready = opened.and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(stream)
            });
            match ready {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
    }
    Err(Error::Bus {
        what: format!("reach systemd at {address}"),
        source: last,
    })
}

/// Undoes `%2f` and the like (D-Bus Specification, "Server Addresses").
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let code = rest
            .get(at + 1..at + 3)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        let Some(byte) = code.filter(u8::is_ascii) else {
            break;
        };
        out.push_str(&rest[..at]);
        out.push(char::from(byte));
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_name_several_places() {
        assert_eq!(unescape("/run/a%20b%2fc"), "/run/a b/c");
        let error = connect("tcp:host=a;unix:path=/nowhere/bus").expect_err("nobody listens");
        assert!(error.to_string().contains("/nowhere/bus"), "{error}");
    }
}
