//! PID 1 of a container with `--init`: starts the program, passes signals on to it, and reaps whatever ends.

use std::ffi::{CString, OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use linux::fd::SignalFd;
use linux::process::{CStringArray, CloneArgs, Cloned, Exit};
use rustix::io::Errno;

/// Signals that mean a fault of this very program (or cannot be caught): they are not passed on.
const OWN: [i32; 9] = [
    4,  // ILL
    5,  // TRAP
    6,  // ABRT
    7,  // BUS
    8,  // FPE
    9,  // KILL
    11, // SEGV
    19, // STOP
    31, // SYS
];
const SIGCHLD: i32 = 17;
const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;
/// Kept by the C library for itself, up to 33.
const FIRST_RESERVED: i32 = 32;

/// The face: `args` is the program with its arguments, perhaps after `--`. The exit code.
pub(crate) fn run(args: &[OsString]) -> i32 {
    let args = match args.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => args,
    };
    match start(args) {
        Ok((child, signals)) => supervise(&child, &signals),
        Err(Failure { what, errno }) => {
            complain(&format!("{what}: {}", runtime::errno_text(errno)));
            1
        }
    }
}

struct Failure {
    what: &'static str,
    errno: Errno,
}

struct Child {
    pid: rustix::process::Pid,
    pidfd: std::os::fd::OwnedFd,
}

fn complain(text: &str) {
    // If nobody reads it there is nothing else to be done.
    drop(writeln!(
        std::io::stderr(),
        "[FATAL docker-init ({})] {text}",
        std::process::id()
    ));
}

fn start(args: &[OsString]) -> Result<(Child, SignalFd), Failure> {
    let failed = |what| move |errno| Failure { what, errno };
    let Some(program) = args.first() else {
        return Err(Failure {
            what: "no program was given",
            errno: Errno::INVAL,
        });
    };
    let passed: Vec<i32> = (1..=64)
        .filter(|n| !OWN.contains(n) && !(FIRST_RESERVED..=33).contains(n))
        .collect();
    let signals = SignalFd::new(&passed).map_err(failed("signalfd"))?;
    let candidates: Vec<CString> = candidates(program);
    let strings = |list: Vec<OsString>| {
        list.into_iter()
            .filter_map(|text| CString::new(text.into_vec()).ok())
            .collect()
    };
    let arguments = CStringArray::new(strings(args.to_vec()));
    let environment = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    });
    let environment = CStringArray::new(strings(environment.collect()));
    match linux::process::clone3(&CloneArgs::default()).map_err(failed("clone3"))? {
        Cloned::Parent { pid, pidfd } => Ok((Child { pid, pidfd }, signals)),
        Cloned::Child => {
            // A group of its own in the foreground, so that the terminal's Ctrl-C reaches it directly and once. Without a
            // terminal the second call fails, which is fine. (SIGTTOU is still blocked here.)
            let _ = rustix::process::setpgid(None, None);
            let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid());
            linux::process::clear_child_signals();
            let mut worst = Errno::NOENT;
            for candidate in &candidates {
                let errno = arguments.execve(candidate, &environment);
                if errno != Errno::NOENT && errno != Errno::NOTDIR {
                    worst = errno;
                }
            }
            complain(&format!(
                "exec {} failed: {}",
                program.display(),
                runtime::errno_text(worst)
            ));
            linux::process::exit_now(if worst == Errno::NOENT { 127 } else { 126 })
        }
    }
}

/// Where the program may be: a path as it is, a bare name in every directory of PATH.
fn candidates(program: &OsStr) -> Vec<CString> {
    let c_string = |bytes: Vec<u8>| CString::new(bytes).ok();
    if program.as_bytes().contains(&b'/') {
        return c_string(program.as_bytes().to_vec()).into_iter().collect();
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    path.as_bytes()
        .split(|byte| *byte == b':')
        .filter_map(|directory| {
            let directory = if directory.is_empty() { b"." } else { directory };
            c_string([directory, b"/", program.as_bytes()].concat())
        })
        .collect()
}

fn supervise(child: &Child, signals: &SignalFd) -> i32 {
    loop {
        let mut poll = [rustix::event::PollFd::new(signals, rustix::event::PollFlags::IN)];
        if rustix::event::poll(&mut poll, None).is_err() {
            continue;
        }
        while let Ok(Some(info)) = signals.read() {
            match info.signal {
                SIGCHLD => {
                    if let Some(exit) = reap(child) {
                        return exit.code();
                    }
                }
                // Only this program is stopped by the terminal, if at all; it does not use it.
                SIGTTIN | SIGTTOU => {}
                // It may have ended this moment.
                signal => drop(linux::process::send_signal(&child.pidfd, signal)),
            }
        }
    }
}

/// Reaps all that have ended; `Some` if the child is among them.
fn reap(child: &Child) -> Option<Exit> {
    let mut ended = None;
    while let Ok(Some((pid, exit))) = linux::process::reap() {
        if pid == child.pid {
            ended = Some(exit);
        }
    }
    ended
}
