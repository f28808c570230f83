//! Running another program from any process, multi-threaded or not, without copying its memory.
//!
//! The child shares the caller's memory until it executes (`CLONE_VM | CLONE_VFORK`), on a stack of its own, and does
//! nothing there but system calls. So the cost does not grow with the caller's memory, as that of `fork` does.

use std::ffi::{CStr, CString, c_void};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::Pid;

use super::{CStringArray, Exit};
use crate::{Errno, Result};

/// What to execute.
#[derive(Clone, Copy, Debug)]
pub enum Program<'a> {
    /// An open file, such as a sealed memfd.
    Fd(BorrowedFd<'a>),
    /// A path; `PATH` is not searched.
    Path(&'a CStr),
}

/// A program to run. Every descriptor that is not in [`Spawn::fd`]'s list is closed by the exec.
#[derive(Debug)]
pub struct Spawn<'a> {
    program: Program<'a>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    fds: Vec<(BorrowedFd<'a>, RawFd)>,
    new_session: bool,
    directory: Option<&'a CStr>,
    death_signal: i32,
    cgroup_tasks: Vec<BorrowedFd<'a>>,
}

/// A program that is running.
#[derive(Debug)]
pub struct Child {
    /// Its number.
    pub pid: Pid,
    /// Its descriptor, readable when it has ended.
    pub pidfd: OwnedFd,
}

impl Child {
    /// Waits for its end and reaps it.
    ///
    /// # Errors
    /// `ECHILD` when somebody else has reaped it.
    pub fn wait(&self) -> Result<Exit> {
        super::wait(&self.pidfd)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// `ESRCH` when it has ended.
    pub fn signal(&self, signal: i32) -> Result<()> {
        super::send_signal(&self.pidfd, signal)
    }
}

impl<'a> Spawn<'a> {
    /// Prepares to run `program` with these arguments (the first is argv[0]) and an empty environment.
    #[must_use]
    pub fn new(program: Program<'a>, arguments: Vec<CString>) -> Self {
        Self {
            program,
            arguments,
            environment: Vec::new(),
            fds: Vec::new(),
            new_session: false,
            directory: None,
            death_signal: 0,
            cgroup_tasks: Vec::new(),
        }
    }

    /// The environment, as `NAME=value`.
    #[must_use]
    pub fn environment(mut self, environment: Vec<CString>) -> Self {
        self.environment = environment;
        self
    }

    /// Gives the program `source` under the number `target`. Targets may be 0, 1, 2 and any above.
    #[must_use]
    pub fn fd(mut self, source: BorrowedFd<'a>, target: RawFd) -> Self {
        self.fds.push((source, target));
        self
    }

    /// Starts it as the leader of a session of its own.
    #[must_use]
    pub fn new_session(mut self) -> Self {
        self.new_session = true;
        self
    }

    /// Starts it in this directory.
    #[must_use]
    pub fn directory(mut self, directory: &'a CStr) -> Self {
        self.directory = Some(directory);
        self
    }

    /// Sends it this signal when the *thread* that spawns it ends.
    #[must_use]
    pub fn death_signal(mut self, signal: i32) -> Self {
        self.death_signal = signal;
        self
    }

    /// Moves it into these version 1 cgroups first, by writing `0` into their open `tasks` files.
    #[must_use]
    pub fn cgroup_tasks(mut self, tasks: Vec<BorrowedFd<'a>>) -> Self {
        self.cgroup_tasks = tasks;
        self
    }

    /// Starts the program. Returns when it has been executed, or why it could not be.
    ///
    /// # Errors
    /// Of the clone, of a step in the child, or of the exec itself (`ENOENT`, `EACCES`, ...).
    pub fn start(self) -> Result<Child> {
        let first_free = self
            .fds
            .iter()
            .map(|(_, target)| target + 1)
            .max()
            .unwrap_or(0)
            .max(3);
        let mut plan = Plan {
            program: self.program,
            arguments: CStringArray::new(self.arguments),
            environment: CStringArray::new(self.environment),
            fds: self
                .fds
                .iter()
                .map(|(source, target)| (source.as_raw_fd(), *target))
                .collect(),
            first_free,
            new_session: self.new_session,
            directory: self.directory,
            death_signal: self.death_signal,
            cgroup_tasks: self.cgroup_tasks,
            failure: 0,
        };
        let mut stack = vec![0_u8; 64 * 1024];
        let top = stack.as_mut_ptr_range().end.cast::<c_void>();
        // SAFETY: rounding down stays within the allocation.
        let top = unsafe { top.sub(top as usize % 16) };
        let mut pidfd: RawFd = -1;
        let old = block_all_signals();
        // SAFETY: CLONE_VFORK suspends this thread until the child has executed or ended, so stack, plan and pidfd
        // outlive its use of them; `in_child` only makes system calls. Signals are blocked in the child until their
        // handlers have been reset, so that no handler runs on shared memory.
        let pid = unsafe {
            libc::clone(
                in_child,
                top,
                libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD,
                (&raw mut plan).cast(),
                &raw mut pidfd,
            )
        };
        let clone_error = crate::last_errno();
        restore_signals(&old);
        drop(stack);
        // Asked in this order, because -1 makes no `Pid`: with debug assertions it would be a panic.
        let pid = (pid > 0).then(|| Pid::from_raw(pid)).flatten();
        let pid = pid.ok_or(clone_error)?;
        // SAFETY: the kernel has just made this descriptor for us.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        if plan.failure != 0 {
            let _ = super::wait(pidfd.as_fd());
            return Err(Errno::from_raw_os_error(plan.failure));
        }
        Ok(Child { pid, pidfd })
    }
}

struct Plan<'a> {
    program: Program<'a>,
    arguments: CStringArray,
    environment: CStringArray,
    fds: Vec<(RawFd, RawFd)>,
    first_free: RawFd,
    new_session: bool,
    directory: Option<&'a CStr>,
    death_signal: i32,
    cgroup_tasks: Vec<BorrowedFd<'a>>,
    failure: i32,
}

extern "C" fn in_child(argument: *mut c_void) -> libc::c_int {
    // SAFETY: `start` passes its plan and waits until we are done with it.
    let plan = unsafe { &mut *argument.cast::<Plan<'_>>() };
    let error = prepare_and_execute(plan).err().unwrap_or(Errno::INVAL);
    plan.failure = error.raw_os_error();
    super::exit_now(127)
}

/// Runs in the child: system calls only.
fn prepare_and_execute(plan: &mut Plan<'_>) -> Result<()> {
    for tasks in &plan.cgroup_tasks {
        rustix::io::write(tasks, b"0")?;
    }
    if plan.death_signal != 0 {
        super::set_parent_death_signal(plan.death_signal)?;
    }
    if plan.new_session {
        rustix::process::setsid()?;
    }
    if let Some(directory) = plan.directory {
        rustix::process::chdir(directory)?;
    }
    let mut program = match plan.program {
        Program::Fd(fd) => fd.as_raw_fd(),
        Program::Path(_) => -1,
    };
    if program >= 0 {
        program = duplicate_above(program, plan.first_free)?;
    }
    // First out of the way, then into place: a target may be the source of another.
    for (source, _) in &mut plan.fds {
        *source = duplicate_above(*source, plan.first_free)?;
    }
    for (source, target) in &plan.fds {
        // SAFETY: plain integers; the target numbers belong to this process alone.
        if unsafe { libc::dup2(*source, *target) } < 0 {
            return Err(crate::last_errno());
        }
    }
    crate::fd::close_on_exec_from(plan.first_free)?;
    // Numbers below `first_free` that were not asked for must not leak into the program; 0 to 2 stay as they are.
    for number in 3..plan.first_free {
        if !plan.fds.iter().any(|(_, target)| *target == number) {
            crate::fd::close_on_exec(number, number)?;
        }
    }
    super::clear_child_signals();
    Err(match plan.program {
        // SAFETY: `program` was duplicated above and is open.
        Program::Fd(_) => plan
            .arguments
            .execveat(unsafe { BorrowedFd::borrow_raw(program) }, &plan.environment),
        Program::Path(path) => plan.arguments.execve(path, &plan.environment),
    })
}

fn duplicate_above(fd: RawFd, lowest: RawFd) -> Result<RawFd> {
    // SAFETY: plain integers.
    crate::check(libc::c_long::from(unsafe {
        libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest)
    }))
    .map(|fd| fd as RawFd)
}

fn block_all_signals() -> libc::sigset_t {
    // SAFETY: both sets are initialised by the calls.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut old: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut old);
        old
    }
}

fn restore_signals(old: &libc::sigset_t) {
    // SAFETY: an initialised set.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old, std::ptr::null_mut()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn strings(list: &[&str]) -> Vec<CString> {
        list.iter().map(|s| CString::new(*s).expect("no zero")).collect()
    }

    #[test]
    fn a_full_table_of_descriptors_is_an_error() {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        if limit.is_none_or(|limit| limit > 2_000_000) {
            #[allow(clippy::print_stdout, reason = "a skipped test must say so")]
            {
                println!("skipped: a process may open {limit:?} files, too many to do so");
            }
            return;
        }
        let null = std::fs::File::open("/dev/null").expect("null");
        let started = std::thread::spawn(move || {
            // SAFETY: a table of its own for a thread that ends with it: other tests go on opening files.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
            // SAFETY: plain integers; the copies are closed with the table.
            while unsafe { libc::dup(null.as_raw_fd()) } >= 0 {}
            let spawn = Spawn::new(Program::Path(c"/bin/true"), strings(&["true"]));
            spawn.start().map(|child| child.pid)
        });
        assert_eq!(started.join().expect("no panic"), Err(Errno::MFILE));
    }

    #[test]
    fn a_program_gets_exactly_the_descriptors_it_was_given() {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
        let extra = std::fs::File::open("/dev/null").expect("null");
        let child = Spawn::new(
            Program::Path(c"/bin/sh"),
            strings(&["sh", "-c", "ls /proc/$$/fd; exit 7"]),
        )
        .environment(strings(&["PATH=/bin:/usr/bin"]))
        .fd(write.as_fd(), 1)
        .fd(extra.as_fd(), 9)
        .new_session()
        .start()
        .expect("spawned");
        drop(write);
        let mut text = String::new();
        std::fs::File::from(read)
            .read_to_string(&mut text)
            .expect("output");
        assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "9"]);
        assert_eq!(child.wait(), Ok(Exit::Code(7)));
    }

    #[test]
    fn a_missing_program_is_told_by_its_error_number() {
        let error = Spawn::new(Program::Path(c"/nonexistent"), strings(&["x"]))
            .start()
            .expect_err("missing");
        assert_eq!(error, Errno::NOENT);
    }
}
