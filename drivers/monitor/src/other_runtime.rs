//! Another OCI runtime (`docker run --runtime`), driven through its command line as containerd's shim does it.
//!
//! It makes the process and is gone. The process becomes a child of this one, which is a subreaper for that long, so that
//! all the rest is as with the built-in runtime: streams, log, signals, end. The root file system is mounted for the
//! runtime alone, in a mount namespace that ends with it ([`with_root`]).

mod bundle;
mod call;
mod with_root;

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use oci::runtime::{Process, Spec};
use rustix::process::Pid;

use self::call::{Call, Console};
use crate::plan::OtherRuntime;
use crate::protocol::Failure;

pub(crate) use bundle::Root;
pub(crate) use with_root::run as with_root;

/// A runtime at work for one container.
#[derive(Clone, Debug)]
pub(crate) struct Driver {
    runtime: OtherRuntime,
    /// The container.
    id: String,
    /// Directory for what passes between us: bundle, log, numbers, the terminal's socket.
    place: PathBuf,
}

/// A process that a runtime has made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    /// Of its terminal, if it has one.
    pub(crate) master: Option<OwnedFd>,
}

impl Driver {
    pub(crate) fn new(runtime: OtherRuntime, id: String, place: PathBuf) -> Self {
        Self { runtime, id, place }
    }

    /// Makes the container; its process waits for [`Driver::start`]. Without `streams` it gets a terminal.
    pub(crate) fn create(
        &self,
        spec: Spec,
        root: &Root<'_>,
        streams: Option<[BorrowedFd<'_>; 3]>,
    ) -> Result<Made, Failure> {
        let failed = |text: String| failure("create", &text);
        // Of a life whose monitor was killed.
        if self.runtime.root.join(&self.id).exists() {
            self.delete();
        }
        let (bundle, target) = bundle::write(&self.place, spec, root).map_err(failed)?;
        let verb = ["create", "--bundle", &text(&bundle)?]
            .map(str::to_owned)
            .to_vec();
        self.make(verb, streams, Some((root.mount, &target)))
            .map_err(failed)
    }

    /// Lets the container's process execute.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        let call = Call::new(vec!["start".into(), self.id.clone()]);
        call.run(&self.runtime, &self.place)
            .map(drop)
            .map_err(|text| failure("start", &text))
    }

    /// Runs one more process in the container: it is not waited for.
    pub(crate) fn exec(
        &self,
        process: &Process,
        streams: Option<[BorrowedFd<'_>; 3]>,
    ) -> Result<Made, Failure> {
        let failed = |text: String| Failure {
            message: format!("OCI runtime exec failed: {text}: unknown"),
            // Docker gives every failure of an exec but a missing program 126.
            exit_code: if exit_code(&text) == 127 { 127 } else { 126 },
        };
        let file = self.place.join("process.json");
        bundle::write_json(&file, process).map_err(failed)?;
        let verb = ["exec", "--detach", "--process", &text(&file)?]
            .map(str::to_owned)
            .to_vec();
        self.make(verb, streams, None).map_err(failed)
    }

    /// Makes the runtime forget the container, whatever state it is in.
    pub(crate) fn delete(&self) {
        let call = Call::new(vec!["delete".into(), "--force".into(), self.id.clone()]);
        // It has nothing to say that anybody could act upon: what is left has a name that says whose it is.
        drop(call.run(&self.runtime, &self.place));
    }

    fn make(
        &self,
        mut verb: Vec<String>,
        streams: Option<[BorrowedFd<'_>; 3]>,
        root: Option<(BorrowedFd<'_>, &PathBuf)>,
    ) -> Result<Made, String> {
        let said = |what: &str| {
            let what = what.to_owned();
            move |errno| format!("{what}: {}", runtime::errno_text(errno))
        };
        let pid_file = self.place.join("process.pid");
        verb.extend(["--pid-file".into(), pid_file.to_string_lossy().into_owned()]);
        let console = streams
            .is_none()
            .then(|| Console::listen(&self.place))
            .transpose()?;
        if let Some(console) = &console {
            verb.extend(["--console-socket".into(), console.path()]);
        }
        verb.push(self.id.clone());
        let call = Call {
            verb,
            streams,
            root,
            console: console.as_ref(),
        };
        linux::process::set_child_subreaper(true).map_err(said("become a subreaper"))?;
        let called = call.run(&self.runtime, &self.place);
        linux::process::set_child_subreaper(false).map_err(said("be no subreaper"))?;
        let master = called?;
        if console.is_some() && master.is_none() {
            return Err("the runtime did not send the terminal".into());
        }
        let number =
            fs::read_to_string(&pid_file).map_err(|error| format!("read {}: {error}", pid_file.display()))?;
        let pid = number.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| format!("{}: {number:?} is no process id", pid_file.display()))?;
        let pidfd = linux::process::pidfd_open(pid).map_err(said("open the process"))?;
        Ok(Made { pid, pidfd, master })
    }
}

/// The descriptors of streams that are no terminal.
pub(crate) fn borrowed(stdio: &runtime::Stdio) -> Option<[BorrowedFd<'_>; 3]> {
    match stdio {
        runtime::Stdio::Fds {
            stdin,
            stdout,
            stderr,
        } => Some([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]),
        _ => None,
    }
}

fn text(path: &std::path::Path) -> Result<String, Failure> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| failure("create", &format!("{} is not UTF-8", path.display())))
}

/// In the words of dockerd.
fn failure(verb: &str, text: &str) -> Failure {
    let text = &in_words_of_runc(text);
    Failure {
        message: format!(
            "failed to {verb} task for container: failed to {verb} shim task: OCI runtime {verb} failed: {text}: unknown"
        ),
        exit_code: exit_code(text),
    }
}

/// Clients of Docker look for runc's sentences and find out by them why nothing runs; crun puts the same otherwise.
fn in_words_of_runc(text: &str) -> String {
    let text = text
        .replace("No such file or directory", "no such file or directory")
        .replace("Permission denied", "permission denied");
    let missing = text.split_once("executable file `").and_then(|(before, rest)| {
        let (name, after) = rest.split_once("` not found in $PATH")?;
        Some(format!(
            "{before}exec: \"{name}\": executable file not found in $PATH{after}"
        ))
    });
    missing.unwrap_or(text)
}

/// What dockerd makes of a runtime's text: 127 not found, 126 not executable, 128 everything else.
fn exit_code(text: &str) -> i32 {
    let text = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["executable file not found", "no such file or directory"]) {
        127
    } else if has(&["permission denied", "is a directory", "not a directory"]) {
        126
    } else {
        128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_dockerd() {
        for (text, code) in [
            ("exec: \"nope\": executable file not found in $PATH", 127),
            ("exec: \"/etc\": is a directory", 126),
            ("exec: \"/x\": Permission denied", 126),
            ("cgroups: cannot find cgroup mount destination", 128),
        ] {
            assert_eq!(exit_code(text), code, "{text}");
        }
    }

    #[test]
    fn the_sentences_of_crun_are_those_that_clients_look_for() {
        for (text, expected, code) in [
            (
                "executable file `nope` not found in $PATH: No such file or directory",
                "exec: \"nope\": executable file not found in $PATH: no such file or directory",
                127,
            ),
            (
                "open executable: Permission denied",
                "open executable: permission denied",
                126,
            ),
            (
                "mount `/x`: Invalid argument",
                "mount `/x`: Invalid argument",
                128,
            ),
        ] {
            let failure = failure("create", text);
            assert!(
                failure.message.contains(&format!("failed: {expected}: unknown")),
                "{}",
                failure.message
            );
            assert_eq!(failure.exit_code, code);
        }
    }
}
