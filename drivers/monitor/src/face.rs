//! The faces of `dhow-runtime` that this crate provides: what `main` calls after it has looked at its first argument.
//!
//! Each is single-threaded and never returns. They have no one to talk to but their control socket: what cannot be said
//! there becomes the exit code.

use std::ffi::OsString;

use crate::channel::Channel;
use crate::plan::{ExecPlan, FilesPlan, Plan};
use crate::protocol::{Failure, Report};
use crate::pump::Pump;
use crate::supervise::Supervisor;
use crate::supervise::container::Container;
use crate::supervise::exec::Exec;
use crate::{compress, files, inherit, init as pid1, other_runtime, proxy as ports, write_log};

/// Exit code of a face that was not started as [`crate::spawn()`] does it.
const MISUSED: i32 = 2;

/// `dhow-runtime monitor`: the parent of one container.
pub fn monitor() -> ! {
    let code = with_plan(|plan: Plan, control| {
        let places = Container::places(&plan);
        let pump = Pump::new(Container::settings(&plan));
        Supervisor::new(Container::new(plan), places, pump, control)?.run()
    });
    std::process::exit(code)
}

/// `dhow-runtime exec`: one more process in a running container.
pub fn exec() -> ! {
    let code = with_plan(|plan: ExecPlan, control| {
        let places = Exec::places(&plan);
        let pump = Pump::new(Exec::settings(&plan));
        Supervisor::new(Exec::new(plan), places, pump, control)?.run()
    });
    std::process::exit(code)
}

/// `dhow-runtime files`: one file operation.
pub fn files() -> ! {
    let code = with_plan(|plan: FilesPlan, control| {
        files::run(plan, &control);
        Ok(())
    });
    std::process::exit(code)
}

/// `dhow-runtime proxy tcp=ADDRESS udp=ADDRESS ...`: serves published ports.
pub fn proxy(args: &[OsString]) -> ! {
    std::process::exit(ports::run(args))
}

/// `dhow-runtime compress-log PATH MAX-FILE`: compresses rotated logs.
pub fn compress_log(args: &[OsString]) -> ! {
    std::process::exit(compress::run(args))
}

/// `dhow-runtime write-log`: writes the log of one container in the mode `non-blocking`.
pub fn write_log() -> ! {
    std::process::exit(with_plan(|config, control| write_log::run(&config, &control)))
}

/// `dhow-runtime with-root LOG TARGET PROGRAM ...`: becomes another OCI runtime that sees a container's root file system.
pub fn with_root(args: &[OsString]) -> ! {
    std::process::exit(other_runtime::with_root(args))
}

/// PID 1 of a container with `--init`, executed as `/sbin/docker-init`: `args` is the program and its arguments, perhaps
/// after `--`.
pub fn init(args: &[OsString]) -> ! {
    std::process::exit(pid1::run(args))
}

fn with_plan<P: serde::de::DeserializeOwned>(run: impl FnOnce(P, Channel) -> linux::Result<()>) -> i32 {
    let Ok(control) = inherit::control() else {
        return MISUSED;
    };
    report_panics(&control);
    let plan = match inherit::plan() {
        Ok(plan) => plan,
        Err(error) => {
            let failure = Failure {
                message: error.to_string(),
                exit_code: 128,
            };
            // The daemon may be gone; the exit code says it as well.
            drop(control.send(&Report::CreateFailed(failure), &[]));
            return MISUSED;
        }
    };
    match run(plan, control) {
        Ok(()) => 0,
        Err(errno) => errno.raw_os_error(),
    }
}

/// A face has no standard error that anybody reads: the daemon shall know of a bug that ended it.
fn report_panics(control: &Channel) {
    let Ok(spare) = rustix::io::fcntl_dupfd_cloexec(control, 3) else {
        return;
    };
    let spare = Channel::from_socket(spare);
    std::panic::set_hook(Box::new(move |info| {
        let failure = Failure {
            message: format!("internal error of dhow-runtime: {info}"),
            exit_code: 128,
        };
        let _ = spare.send(&Report::CreateFailed(failure), &[]);
    }));
}
