//! One more process in a running container.

use std::os::fd::AsFd;
use std::path::PathBuf;

use cgroups::{Cgroup, Layout};
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

use super::container::{connect, engine_failure, take_terminal};
use super::{Job, Places, Process, Ready};
use crate::inherit;
use crate::other_runtime::{Driver, borrowed};
use crate::plan::ExecPlan;
use crate::prepare::apply_user;
use crate::protocol::{Failure, ResolvedUser};
use crate::pump::{Pump, Settings};
use crate::users;

/// A process to be created.
pub(crate) struct Exec {
    /// Taken by `create`.
    plan: Option<Box<ExecPlan>>,
}

impl Exec {
    pub(crate) fn new(plan: ExecPlan) -> Self {
        Exec {
            plan: Some(Box::new(plan)),
        }
    }

    pub(crate) fn places(plan: &ExecPlan) -> Places {
        Places {
            id: plan.id.clone(),
            state_dir: plan.state_dir.clone(),
            exit_file: plan.exit_file.clone(),
        }
    }

    pub(crate) fn settings(plan: &ExecPlan) -> Settings {
        Settings {
            tty: plan.stdio.tty,
            stdin_once: plan.stdio.stdin_once,
            spool: plan.spool_dir.clone(),
        }
    }
}

impl Job for Exec {
    fn create(&mut self) -> Result<Ready, Failure> {
        let Some(mut plan) = self.plan.take() else {
            return Err(engine_failure("the exec was created already".to_owned()));
        };
        let init = inherit::file(plan.init).map_err(|error| engine_failure(error.to_string()))?;
        let filter = plan
            .filter
            .map(inherit::filter)
            .transpose()
            .map_err(|error| engine_failure(error.to_string()))?;
        let pid = Pid::from_raw(plan.init_pid)
            .ok_or_else(|| engine_failure(format!("{} is no process id", plan.init_pid)))?;
        let mut user = ResolvedUser::default();
        if plan.user.user.is_some() {
            // Docker gives every failure of an exec but a missing program 126.
            user = find_user(&plan).map_err(|message| Failure {
                message,
                exit_code: 126,
            })?;
            apply_user(&mut plan.process, &user);
        }
        plan.process.terminal = plan.stdio.tty;
        plan.process.console_size = plan
            .stdio
            .console_size
            .clone()
            .or(plan.process.console_size.take());
        if let Some(runtime) = plan.runtime.take() {
            let driver = Driver::new(runtime, plan.container.clone(), plan.state_dir.clone());
            return exec_with(&driver, &plan, user);
        }
        let cgroup = if plan.cgroups_path.is_empty() {
            None
        } else {
            let opened = Layout::detect().and_then(|layout| Cgroup::open(&layout, &plan.cgroups_path));
            Some(opened.map_err(|error| self.start_failure(&runtime::Error::Cgroup(error)))?)
        };
        let (stdio, mut ends) = connect(&plan.stdio, &user)?;
        let target = runtime::Target {
            pid,
            pidfd: init.as_fd(),
        };
        let options = runtime::ExecOptions {
            stdio,
            cgroup: cgroup.as_ref(),
            seccomp: plan.seccomp.as_ref(),
            filter,
            landlock: plan.landlock.as_ref(),
            ..runtime::ExecOptions::default()
        };
        let mut process =
            runtime::exec(target, &plan.process, options).map_err(|error| self.start_failure(&error))?;
        take_terminal(process.master.take(), &mut ends)?;
        Ok(Ready {
            process: Process::BuiltIn(Box::new(process)),
            ends,
            user,
            cgroup: None,
            rootfs: None,
            ports: Vec::new(),
        })
    }

    fn complete(&mut self, _: &mut Pump) -> Result<(), Failure> {
        Ok(())
    }

    fn start_failure(&self, error: &runtime::Error) -> Failure {
        let exit_code = match error {
            runtime::Error::Exec(failure) => failure.exit_code(),
            // Docker gives every other failure of an exec 126, a missing working directory too.
            _ => 126,
        };
        Failure {
            message: error.docker_exec_text(),
            exit_code,
        }
    }

    fn tells_clients(&self) -> bool {
        true
    }

    fn compressed_log(&self) -> Option<(PathBuf, u32)> {
        None
    }
}

/// Has the container's own runtime run the process.
fn exec_with(driver: &Driver, plan: &ExecPlan, user: ResolvedUser) -> Result<Ready, Failure> {
    let (stdio, mut ends) = connect(&plan.stdio, &user)?;
    let mut made = driver.exec(&plan.process, borrowed(&stdio))?;
    take_terminal(made.master.take(), &mut ends)?;
    Ok(Ready {
        process: Process::Other(made, None),
        ends,
        user,
        cgroup: None,
        rootfs: None,
        ports: Vec::new(),
    })
}

/// Looks the user up in the container as it is now, volumes and later changes included.
fn find_user(plan: &ExecPlan) -> Result<ResolvedUser, String> {
    let path = format!("/proc/{}/root", plan.init_pid);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(path.as_str(), flags, Mode::empty())
        .map_err(|errno| format!("open {path}: {}", runtime::errno_text(errno)))?;
    users::resolve(root.as_fd(), &plan.user).map_err(|error| error.to_string())
}
