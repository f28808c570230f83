//! A bus with a systemd that says yes: it writes down what it is asked, and makes the group that a scope stands for.

use std::io::{Read, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// One call, with the bytes of its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) member: String,
    pub(crate) body: Vec<u8>,
}

impl Call {
    /// Whether a text stands in the arguments.
    pub(crate) fn has(&self, text: &str) -> bool {
        find(&self.body, text.as_bytes()).is_some()
    }

    /// The property of that name, a number of 64 bits.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let at = find(&self.body, format!("{name}\0\x01t\0").as_bytes())? + name.len() + 4;
        let at = at.next_multiple_of(8);
        Some(u64::from_le_bytes(self.body.get(at..at + 8)?.try_into().ok()?))
    }

    /// The first of the `PIDs`.
    pub(crate) fn pid(&self) -> Option<u32> {
        let at = (find(&self.body, b"PIDs\0\x02au\0")? + 9).next_multiple_of(4) + 4;
        Some(u32::from_le_bytes(self.body.get(at..at + 4)?.try_into().ok()?))
    }

    /// The first text.
    fn text(&self) -> String {
        let length = u32::from_le_bytes(self.body[..4].try_into().expect("four bytes")) as usize;
        String::from_utf8_lossy(&self.body[4..4 + length]).into_owned()
    }
}

/// The bus; it listens as long as the test's process lives.
pub(crate) struct Bus {
    pub(crate) address: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Bus {
    /// A bus in this directory. Its systemd makes groups below `slice` in the version 2 tree, where there is one.
    pub(crate) fn new(directory: &Path, slice: &str) -> Self {
        let path = directory.join("bus");
        let listener = UnixListener::bind(&path).expect("bind");
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        let slice = slice.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is no failure of the test.
                let _ = serve(stream, &seen, &slice);
            }
        });
        Self {
            address: format!("unix:path={}", path.display()),
            calls,
        }
    }

    /// The calls of one method until now.
    pub(crate) fn calls(&self, member: &str) -> Vec<Call> {
        let calls = self.calls.lock().expect("calls");
        calls
            .iter()
            .filter(|call| call.member == member)
            .cloned()
            .collect()
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn serve(mut stream: UnixStream, seen: &Mutex<Vec<Call>>, slice: &str) -> std::io::Result<()> {
    let mut line = String::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte)?;
        line.push(char::from(byte[0]));
        if !line.ends_with("\r\n") {
            continue;
        }
        match line.trim_start_matches('\0').trim_end() {
            "AUTH EXTERNAL" => stream.write_all(b"DATA\r\n")?,
            "DATA" => stream.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n")?,
            "BEGIN" => break,
            other => panic!("unknown line {other:?}"),
        }
        line.clear();
    }
    loop {
        let mut front = [0; 16];
        stream.read_exact(&mut front)?;
        let word = |at: usize| u32::from_le_bytes(front[at..at + 4].try_into().expect("four bytes"));
        let (body, serial, fields) = (word(4) as usize, word(8), word(12) as usize);
        let mut rest = vec![0; fields.next_multiple_of(8) + body];
        stream.read_exact(&mut rest)?;
        let call = Call {
            member: member(&rest[..fields]).expect("a member"),
            body: rest.split_off(fields.next_multiple_of(8)),
        };
        let job = "/org/freedesktop/systemd1/job/1";
        let answer = match call.member.as_str() {
            "StartTransientUnit" => {
                start(&call, slice);
                Some(job)
            }
            "StopUnit" => Some(job),
            _ => None,
        };
        let unit = call.text_if(answer.is_some());
        seen.lock().expect("calls").push(call);
        stream.write_all(&reply(serial, answer))?;
        if let Some(unit) = unit {
            stream.write_all(&job_removed(job, &unit))?;
        }
    }
}

impl Call {
    fn text_if(&self, wanted: bool) -> Option<String> {
        wanted.then(|| self.text())
    }
}

/// As systemd does: the group in its own tree, with the process in it.
fn start(call: &Call, slice: &str) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let tree = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let Some(tree) = tree.and_then(|line| line.split(' ').nth(4)) else {
        return;
    };
    let group = PathBuf::from(tree).join(slice).join(call.text());
    std::fs::create_dir_all(&group).expect("group");
    let pid = call.pid().expect("a process").to_string();
    std::fs::write(group.join("cgroup.procs"), pid).expect("moved");
}

/// The header field with code 3.
fn member(fields: &[u8]) -> Option<String> {
    let mut at = 0;
    while at < fields.len() {
        at = at.next_multiple_of(8);
        let (code, kind) = (*fields.get(at)?, *fields.get(at + 2)?);
        at += 4;
        if kind == b'g' {
            at += usize::from(*fields.get(at)?) + 2;
            continue;
        }
        let length = u32::from_le_bytes(fields.get(at..at + 4)?.try_into().ok()?) as usize;
        let text = fields.get(at + 4..at + 4 + length)?;
        if code == 3 {
            return String::from_utf8(text.to_vec()).ok();
        }
        at += 4 + length + 1;
    }
    None
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
    out.push(0);
}

/// Fields of a header: code, type, and the value as the closure writes it.
fn message(kind: u8, fields: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = vec![b'l', kind, 1, 1];
    for number in [body.len(), 1, fields.len()] {
        out.extend((number as u32).to_le_bytes());
    }
    out.extend(fields);
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend(body);
    out
}

fn reply(serial: u32, path: Option<&str>) -> Vec<u8> {
    let mut fields = b"\x05\x01u\0".to_vec();
    fields.extend(serial.to_le_bytes());
    let mut body = Vec::new();
    if let Some(path) = path {
        fields.extend(b"\x08\x01g\0\x01o\0");
        text(&mut body, path);
    }
    message(2, &fields, &body)
}

fn job_removed(job: &str, unit: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    for (code, kind, value) in [
        (1, b'o', "/org/freedesktop/systemd1"),
        (2, b's', "org.freedesktop.systemd1.Manager"),
        (3, b's', "JobRemoved"),
    ] {
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend([code, 1, kind, 0]);
        text(&mut fields, value);
    }
    fields.resize(fields.len().next_multiple_of(8), 0);
    fields.extend(b"\x08\x01g\0\x04uoss\0");
    let mut body = 1_u32.to_le_bytes().to_vec();
    for value in [job, unit, "done"] {
        text(&mut body, value);
    }
    message(4, &fields, &body)
}
