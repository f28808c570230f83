//! One call of a runtime's command line.

use std::ffi::CString;
use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use linux::process::{Child, Exit, Program, Spawn};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};

use crate::plan::OtherRuntime;

/// What runtimes find their helpers by; the monitor itself has no environment.
const PATH: &std::ffi::CStr = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// More of a log than this says nothing.
const MOST_LOG: u64 = 64 << 10;

/// One call.
pub(super) struct Call<'a> {
    /// The verb with its flags and arguments.
    pub(super) verb: Vec<String>,
    /// The streams, which the container's process inherits; without them `/dev/null`.
    pub(super) streams: Option<[BorrowedFd<'a>; 3]>,
    /// A detached mount, and where the runtime shall see it.
    pub(super) root: Option<(BorrowedFd<'a>, &'a PathBuf)>,
    /// Where the terminal's master comes from.
    pub(super) console: Option<&'a Console>,
}

impl Call<'_> {
    pub(super) fn new(verb: Vec<String>) -> Self {
        Self {
            verb,
            streams: None,
            root: None,
            console: None,
        }
    }

    /// Calls it and waits for its end; the terminal's master if one was sent, or what the runtime said of its failure.
    pub(super) fn run(self, runtime: &OtherRuntime, place: &Path) -> Result<Option<OwnedFd>, String> {
        let log = place.join("runtime.log");
        let _ = fs::remove_file(&log);
        let child = self.spawn(runtime, &log)?;
        let (exit, master) = attend(&child, self.console).map_err(|errno| {
            format!(
                "wait for {}: {}",
                runtime.program.display(),
                runtime::errno_text(errno)
            )
        })?;
        if exit == Exit::Code(0) {
            return Ok(master);
        }
        Err(said(&log).unwrap_or_else(|| format!("{} ended with {exit:?}", runtime.program.display())))
    }

    fn spawn(&self, runtime: &OtherRuntime, log: &Path) -> Result<Child, String> {
        let program = runtime.program.as_path();
        let failed = |errno| format!("fork/exec {}: {}", program.display(), runtime::errno_text(errno));
        let string =
            |bytes: &[u8]| CString::new(bytes).map_err(|_| format!("{bytes:?} has a NUL byte in it"));
        let path = |path: &Path| string(path.as_os_str().as_bytes());
        let program_name = path(program)?;
        let mut arguments = Vec::new();
        if let Some((_, target)) = self.root {
            arguments.extend([
                c"dhow-runtime".to_owned(),
                c"with-root".to_owned(),
                path(log)?,
                path(target)?,
            ]);
        }
        arguments.push(program_name.clone());
        for argument in &runtime.arguments {
            arguments.push(string(argument.as_bytes())?);
        }
        arguments.extend([c"--root".to_owned(), path(&runtime.root)?]);
        arguments.extend([
            c"--log".to_owned(),
            path(log)?,
            c"--log-format".to_owned(),
            c"json".to_owned(),
        ]);
        for argument in &self.verb {
            arguments.push(string(argument.as_bytes())?);
        }
        let own = crate::own_program().map_err(failed)?;
        let face = if self.root.is_some() {
            Program::Fd(own.as_fd())
        } else {
            Program::Path(&program_name)
        };
        let null =
            rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
        let streams = self.streams.unwrap_or([null.as_fd(); 3]);
        let mut spawn = Spawn::new(face, arguments)
            .environment(vec![PATH.to_owned()])
            .directory(c"/")
            .death_signal(crate::SIGKILL);
        for (number, stream) in (0..).zip(streams) {
            spawn = spawn.fd(stream, number);
        }
        if let Some((mount, _)) = self.root {
            spawn = spawn.fd(mount, super::with_root::ROOT_FD);
        }
        spawn.start().map_err(failed)
    }
}

/// Waits for the end of a runtime, and takes the terminal that it sends meanwhile.
fn attend(child: &Child, console: Option<&Console>) -> linux::Result<(Exit, Option<OwnedFd>)> {
    let mut master = None;
    while let Some(console) = console.filter(|_| master.is_none()) {
        let mut ready = [
            PollFd::new(&console.listener, PollFlags::IN),
            PollFd::new(&child.pidfd, PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Err(linux::Errno::INTR) => continue,
            other => other?,
        };
        // Looked at first: the runtime may have sent it and ended.
        if ready[0].revents().contains(PollFlags::IN) {
            master = console.accept()?;
        } else {
            break;
        }
    }
    Ok((child.wait()?, master))
}

/// The last error in a log of runc's JSON format; otherwise its last line.
fn said(log: &Path) -> Option<String> {
    let mut text = Vec::new();
    fs::File::open(log)
        .ok()?
        .take(MOST_LOG)
        .read_to_end(&mut text)
        .ok()?;
    let text = String::from_utf8_lossy(&text);
    let message = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_error = matches!(entry["level"].as_str(), Some("error" | "fatal"));
        is_error.then(|| entry["msg"].as_str().map(str::to_owned))?
    };
    let lines = || text.lines().rev().filter(|line| !line.trim().is_empty());
    lines()
        .find_map(message)
        .or_else(|| lines().next().map(str::to_owned))
}

/// The socket to which a runtime sends a terminal's master.
pub(super) struct Console {
    listener: UnixListener,
    directory: OwnedFd,
}

/// Its name.
const SOCKET: &str = "console.sock";

impl Console {
    pub(super) fn listen(place: &Path) -> Result<Self, String> {
        let failed =
            |error: std::io::Error| format!("listen for the terminal in {}: {error}", place.display());
        let _ = fs::remove_file(place.join(SOCKET));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::open(place, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let listener = UnixListener::bind(socket(&directory)).map_err(failed)?;
        Ok(Self { listener, directory })
    }

    /// For the runtime.
    pub(super) fn path(&self) -> String {
        socket(&self.directory)
    }

    fn accept(&self) -> linux::Result<Option<OwnedFd>> {
        let (stream, _) = self
            .listener
            .accept()
            .map_err(|error| linux::Errno::from_io_error(&error).unwrap_or(linux::Errno::IO))?;
        let mut name = [0; 4096];
        Ok(linux::fd::receive(&stream, &mut name)?.fds.into_iter().next())
    }
}

/// Through the directory's descriptor, because a unix address holds 107 bytes.
fn socket(directory: &OwnedFd) -> String {
    let own = rustix::process::getpid();
    format!("/proc/{}/fd/{}/{SOCKET}", own.as_raw_pid(), directory.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_a_log_is_the_reason() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let text = "{\"level\":\"error\",\"msg\":\"first\"}\n{\"level\":\"error\",\"msg\":\"why\"}\n\
                    {\"level\":\"warning\",\"msg\":\"other\"}\n";
        fs::write(file.path(), text).expect("written");
        assert_eq!(said(file.path()).as_deref(), Some("why"));
        fs::write(file.path(), "plain words\n\n").expect("written");
        assert_eq!(said(file.path()).as_deref(), Some("plain words"));
        fs::write(file.path(), "").expect("written");
        assert_eq!(said(file.path()), None);
    }
}
