//! Execs: further processes in a running container.

mod adopt;
mod probe;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_types::exec;
use monitor::plan::{ExecPlan, Fd, Stdio, UserLookup};
use monitor::protocol::{EndOfAttach, Failure, Report, Request};
use oci::runtime::{ConsoleSize, Process};
use security::landlock::ANNOTATION;
use tokio::sync::watch;

use crate::attach::{self, Client};
use crate::cell::{Cell, View};
use crate::create::new_id;
use crate::filters::Filter;
use crate::house::House;
use crate::link::Link;
use crate::record::Record;
use crate::requests::ClientSocket;
use crate::{Error, launch, links, spec};

pub(crate) use adopt::adopt;
pub(crate) use probe::Probe;

/// How long the end of a process may take to be told.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// How long somebody who asks for a size waits for the start of a process, as with docker.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// At most so many ended execs of one container are remembered.
const REMEMBERED: usize = 64;

/// The execs of all containers. They do not outlive the boot, and those that have not started not the daemon.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    all: Mutex<HashMap<String, Arc<Exec>>>,
}

#[derive(Debug)]
pub(crate) struct Exec {
    id: String,
    container: String,
    request: exec::CreateRequest,
    keys: Vec<u8>,
    state: watch::Sender<State>,
}

#[derive(Clone, Debug)]
enum State {
    Created,
    /// Claimed by whoever starts it.
    Starting,
    Running {
        pid: i32,
        /// `None` when the process was over before it could be opened.
        process: Option<Arc<OwnedFd>>,
        link: Arc<Link>,
    },
    Ended {
        code: i32,
        /// Of the process that was; 0 if there was none.
        pid: i32,
    },
}

/// An exec that may be started.
#[derive(Debug)]
pub struct ExecStart {
    house: Arc<House>,
    cell: Arc<Cell>,
    exec: Arc<Exec>,
    console: Option<[u32; 2]>,
    terminal: bool,
    raw: bool,
}

/// Why an exec was not started.
#[derive(Debug)]
pub struct NotStarted {
    /// The runtime's sentence, or why it was not even asked.
    pub error: Error,
    /// Whether the connected client has read that sentence on its stream already.
    pub told: bool,
    code: i32,
}

impl From<Error> for NotStarted {
    fn from(error: Error) -> Self {
        Self {
            error,
            told: false,
            code: 126,
        }
    }
}

impl Execs {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Exec>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, id: &str) -> Result<Arc<Exec>, Error> {
        self.lock()
            .get(id)
            .cloned()
            .ok_or_else(|| Error::NoSuchExec(id.to_owned()))
    }

    /// The execs of a container that run, for `inspect`.
    pub(crate) fn of_container(&self, container: &str) -> Vec<String> {
        let all = self.lock();
        let mut ids: Vec<String> = all
            .values()
            .filter(|exec| exec.container == container && exec.is_running())
            .map(|exec| exec.id.clone())
            .collect();
        ids.sort();
        ids
    }

    pub(crate) fn forget_container(&self, container: &str) {
        self.lock().retain(|_, exec| exec.container != container);
    }

    /// Forgets those of a container that were never started: its process is gone.
    pub(crate) fn forget_unstarted(&self, container: &str) {
        let unstarted = |exec: &Exec| matches!(*exec.state.borrow(), State::Created);
        self.lock()
            .retain(|_, exec| exec.container != container || !unstarted(exec));
    }

    /// Forgets an exec that nobody will ask for.
    pub(crate) fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    fn insert(&self, exec: Exec) {
        let mut all = self.lock();
        let ended: Vec<String> = all
            .values()
            .filter(|old| {
                old.container == exec.container && matches!(*old.state.borrow(), State::Ended { .. })
            })
            .map(|old| old.id.clone())
            .collect();
        if ended.len() >= REMEMBERED {
            for id in ended {
                all.remove(&id);
            }
        }
        all.insert(exec.id.clone(), Arc::new(exec));
    }
}

/// `POST /containers/{id}/exec`.
///
/// # Errors
/// No command; a container that does not run.
pub(crate) fn create(house: &House, cell: &Cell, request: exec::CreateRequest) -> Result<String, Error> {
    let view = cell.view();
    check_running(&view)?;
    if request.cmd.as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::Invalid("No exec command specified".into()));
    }
    for entry in &request.env {
        if entry.is_empty() || entry.starts_with('=') {
            return Err(Error::Invalid(format!("invalid environment variable: {entry}")));
        }
    }
    let keys = attach::keys(&request.detach_keys)?;
    let id = new_id();
    let command = request
        .cmd
        .iter()
        .flatten()
        .cloned()
        .collect::<Vec<_>>()
        .join(" ");
    house.execs.insert(Exec {
        id: id.clone(),
        container: cell.id.clone(),
        request,
        keys,
        state: watch::Sender::new(State::Created),
    });
    house.event(
        &view.record,
        &format!("exec_create: {command}"),
        &[("execID", id.clone())],
    );
    Ok(id)
}

fn check_running(view: &View) -> Result<(), Error> {
    let id = &view.record.id;
    match view.status() {
        "running" => Ok(()),
        "paused" => Err(Error::Conflict(format!(
            "container {id} is paused, unpause the container before exec"
        ))),
        "restarting" => Err(Error::Conflict(format!(
            "container {id} is restarting, wait until the container is running"
        ))),
        _ => Err(Error::Conflict(format!("container {id} is not running"))),
    }
}

/// Checks that an exec can be started.
///
/// # Errors
/// It runs or has run already; its container does not run.
pub(crate) fn prepare(house: &Arc<House>, id: &str, request: exec::StartRequest) -> Result<ExecStart, Error> {
    let exec = house.execs.find(id)?;
    let cell = house.find(&exec.container)?;
    check_running(&cell.view())?;
    match *exec.state.borrow() {
        State::Created => {}
        State::Starting | State::Running { .. } => {
            return Err(Error::Conflict(format!("exec command {id} is already running")));
        }
        State::Ended { .. } => {
            return Err(Error::Conflict(format!("exec command {id} has already run")));
        }
    }
    if request.console_size.is_some() && !(request.tty || exec.request.tty) {
        return Err(Error::Invalid(
            "console size is only supported when TTY is enabled".into(),
        ));
    }
    Ok(ExecStart {
        terminal: exec.request.tty,
        raw: request.tty,
        console: request.console_size.or(exec.request.console_size),
        house: house.clone(),
        cell,
        exec,
    })
}

impl Exec {
    fn is_running(&self) -> bool {
        matches!(*self.state.borrow(), State::Running { .. })
    }

    /// `GET /exec/{id}/json`. Whoever has read the end of the stream asks at once for the exit code: when the process
    /// is over, its end is waited for, which is on its way. A short one may be over before its start is known here.
    pub(crate) async fn inspect(&self) -> exec::Inspect {
        if matches!(*self.state.borrow(), State::Starting) {
            let mut state = self.state.subscribe();
            let started = state.wait_for(|state| !matches!(state, State::Starting));
            // A monitor that hangs is no reason to hang as well.
            drop(tokio::time::timeout(END_PATIENCE, started).await);
        }
        let is_over = match &*self.state.borrow() {
            State::Running { process, .. } => process.as_ref().is_none_or(|process| has_ended(process)),
            _ => false,
        };
        if is_over {
            let mut state = self.state.subscribe();
            let ended = state.wait_for(|state| matches!(state, State::Ended { .. }));
            drop(tokio::time::timeout(END_PATIENCE, ended).await);
        }
        let (running, exit_code, pid) = match *self.state.borrow() {
            State::Created | State::Starting => (false, None, 0),
            State::Running { pid, .. } => (true, None, pid),
            State::Ended { code, pid } => (false, Some(code), pid),
        };
        let words: Vec<String> = self.request.cmd.iter().flatten().cloned().collect();
        exec::Inspect {
            id: self.id.clone(),
            running,
            exit_code: exit_code.map(i64::from),
            process_config: exec::ProcessConfig {
                tty: self.request.tty,
                entrypoint: words.first().cloned().unwrap_or_default(),
                arguments: words.get(1..).unwrap_or_default().to_vec(),
                privileged: Some(self.request.privileged),
                user: self.request.user.clone(),
            },
            open_stdin: self.request.attach_stdin,
            open_stderr: self.request.attach_stderr,
            open_stdout: self.request.attach_stdout,
            can_remove: matches!(*self.state.borrow(), State::Ended { .. }),
            container_id: self.container.clone(),
            detach_keys: String::new(),
            pid: pid.into(),
        }
    }

    /// Sets the size of the terminal. Commands ask as soon as the connection is upgraded, which may be before the start.
    pub(crate) async fn resize(&self, rows: u16, columns: u16) -> Result<(), Error> {
        let link = self.started().await?;
        link.send(&Request::Resize { rows, columns }, &[])
            .await
            .map_err(Error::part)
    }

    /// The way to the monitor, once the process runs.
    async fn started(&self) -> Result<Arc<Link>, Error> {
        let mut state = self.state.subscribe();
        let started = state.wait_for(|state| !matches!(state, State::Created | State::Starting));
        if let Ok(Ok(state)) = tokio::time::timeout(START_PATIENCE, started).await
            && let State::Running { link, .. } = &*state
        {
            return Ok(link.clone());
        }
        Err(Error::Conflict(format!("exec {} is not running", self.id)))
    }

    fn claim(&self) -> bool {
        self.state.send_if_modified(|state| {
            let free = matches!(state, State::Created);
            if free {
                *state = State::Starting;
            }
            free
        })
    }
}

fn open_process(pid: i32) -> Option<OwnedFd> {
    linux::process::pidfd_open(rustix::process::Pid::from_raw(pid)?).ok()
}

/// Whether a process has ended, reaped or not: its pidfd is readable then.
pub(crate) fn has_ended(process: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut ready = [PollFd::new(process, PollFlags::IN)];
    poll(
        &mut ready,
        Some(&Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }),
    )
    .is_ok_and(|count| count > 0)
}

impl ExecStart {
    /// Whether its stream is raw: the start says so, not the terminal that the exec was created with. A client reads the
    /// stream as it asked for it, and Docker's keep to that.
    pub fn is_raw(&self) -> bool {
        self.raw
    }

    /// Starts it in the background (`exec -d`).
    ///
    /// # Errors
    /// The runtime's sentence.
    pub async fn detached(self) -> Result<(), Error> {
        self.start(None).await.map_err(|failure| failure.error)
    }

    /// Starts it with the client connected; returns when the process runs. The client must read of a failure on its
    /// stream: [`NotStarted::told`] says whether it has.
    ///
    /// # Errors
    /// The runtime's sentence.
    pub async fn serve(self, socket: ClientSocket) -> Result<(), NotStarted> {
        let request = &self.exec.request;
        let client = Client {
            stdin: request.attach_stdin,
            stdout: request.attach_stdout,
            stderr: request.attach_stderr,
            raw: self.raw,
            keys: self.exec.keys.clone(),
            relayed: socket.relayed || !socket.read_ahead.is_empty(),
            replay: None,
            socket: attach::relay_read_ahead(socket)?,
        };
        self.start(Some(client)).await
    }

    async fn start(self, client: Option<Client>) -> Result<(), NotStarted> {
        if !self.exec.claim() {
            let text = format!("exec command {} is already running", self.exec.id);
            return Err(Error::Conflict(text).into());
        }
        let has_input = client.as_ref().is_some_and(|client| client.stdin);
        let started = match self.spawn(has_input).await {
            Ok(link) => self.converse(link, client).await,
            Err(error) => Err(error.into()),
        };
        let (link, pid) = match started {
            Ok(started) => started,
            Err(failure) => {
                self.exec.state.send_replace(State::Ended {
                    code: failure.code,
                    pid: 0,
                });
                let _ = std::fs::remove_dir_all(self.state_dir());
                return Err(failure);
            }
        };
        let process = open_process(pid).map(Arc::new);
        let running = State::Running {
            pid,
            process,
            link: link.clone(),
        };
        self.exec.state.send_replace(running);
        let command = self
            .exec
            .request
            .cmd
            .iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
            .join(" ");
        let id = self.exec.id.clone();
        self.house.event(
            &self.cell.view().record,
            &format!("exec_start: {command}"),
            &[("execID", id)],
        );
        tokio::spawn(self.listen(link));
        Ok(())
    }

    fn state_dir(&self) -> PathBuf {
        self.house
            .state_dir(&self.cell.id)
            .join("execs")
            .join(&self.exec.id)
    }

    /// Starts the process that will start the process.
    async fn spawn(&self, has_input: bool) -> Result<Arc<Link>, Error> {
        let view = self.cell.view();
        check_running(&view)?;
        let init = self.open_init(&view)?;
        let state_dir = self.state_dir();
        launch::make_dir(&state_dir)?;
        adopt::note(&state_dir, &self.exec.request).map_err(Error::part)?;
        let container = self.container(&view);
        let mut plan = self.plan(&view, &container, has_input)?;
        plan.runtime = crate::runtime::of(&self.house, &view.record)?;
        // Another runtime gives a process the filter that it has given the container.
        let filter = match plan.runtime {
            None => self.house.filters.of(&container, &self.house.settings)?,
            Some(_) => Filter::None,
        };
        plan.seccomp = filter.description();
        plan.filter = filter.file().map(|_| Fd(1));
        let runtime = self.house.parts.runtime.clone();
        let work = move || {
            let fds = [Some(&init), filter.file()];
            let fds: Vec<_> = fds.into_iter().flatten().map(AsFd::as_fd).collect();
            monitor::spawn_exec(runtime.as_fd(), &plan, &fds)
        };
        let spawned = tokio::task::spawn_blocking(work).await;
        let spawned = spawned
            .map_err(|error| self.problem(error))?
            .map_err(Error::part)?;
        tokio::spawn(launch::reap(spawned.pidfd));
        Ok(Arc::new(Link::new(spawned.control).map_err(Error::part)?))
    }

    /// Opens PID 1 of the container, and makes sure that it is still PID 1 of the container.
    fn open_init(&self, view: &View) -> Result<OwnedFd, Error> {
        let pid = view.record.run.pid;
        let not_running = || Error::Conflict(format!("container {} is not running", self.cell.id));
        let raw = rustix::process::Pid::from_raw(pid).ok_or_else(not_running)?;
        let init = linux::process::pidfd_open(raw).map_err(|_| not_running())?;
        let now = self.cell.view();
        if now.phase.has_process() && now.record.run.pid == pid {
            Ok(init)
        } else {
            Err(not_running())
        }
    }

    /// The container as far as it counts for this process.
    fn container(&self, view: &View) -> Record {
        let mut container = (*view.record).clone();
        container.host_config.privileged |= self.exec.request.privileged;
        container.config.tty = self.terminal;
        container
    }

    /// The plan of a face that inherits the container's init; runtime and filter are still to come.
    fn plan(&self, view: &View, container: &Record, has_input: bool) -> Result<ExecPlan, Error> {
        let (record, request) = (&view.record, &self.exec.request);
        let settings = &self.house.settings;
        // One that has gone away since tells nothing; that is no reason not to start.
        let linked = links::environment(&self.house, record).unwrap_or_default();
        let mut env = spec::environment(container, settings, &linked);
        for entry in &request.env {
            match entry.split_once('=') {
                Some((name, _)) => spec::set_variable(&mut env, name, entry),
                None => env.retain(|old| old.split('=').next() != Some(entry)),
            }
        }
        let directory = [&request.working_dir, &record.config.working_dir];
        let cwd = directory
            .into_iter()
            .find(|path| !path.is_empty())
            .map_or("/", String::as_str);
        let mut frame = spec::process_frame(container, settings, self.house.apparmor)?;
        if request.privileged {
            // More privileges are not another profile.
            frame.apparmor_profile = spec::apparmor_profile(record, self.house.apparmor)?;
        }
        let process = Process {
            args: request.cmd.clone().unwrap_or_default(),
            env,
            cwd: cwd.to_owned(),
            ..frame
        };
        let user = if request.user.is_empty() {
            &record.config.user
        } else {
            &request.user
        };
        let annotations = record.host_config.annotations.as_ref();
        let state_dir = self.state_dir();
        Ok(ExecPlan {
            id: self.exec.id.clone(),
            container: record.id.clone(),
            exit_file: state_dir.join("exit.json"),
            state_dir,
            spool_dir: self.house.data_dir(&record.id),
            init: Fd(0),
            init_pid: record.run.pid,
            process,
            user: UserLookup {
                user: Some(user.clone()),
                group_add: record.host_config.group_add.clone().unwrap_or_default(),
            },
            seccomp: None,
            filter: None,
            landlock: annotations.and_then(|all| all.get(ANNOTATION)).cloned(),
            cgroups_path: spec::cgroup_path(record, settings),
            stdio: Stdio {
                tty: self.terminal,
                open_stdin: has_input,
                stdin_once: true,
                console_size: self
                    .console
                    .filter(|size| *size != [0, 0])
                    .map(|[height, width]| ConsoleSize {
                        height: height.into(),
                        width: width.into(),
                    }),
            },
            runtime: None,
        })
    }

    fn problem(&self, problem: impl std::fmt::Display) -> Error {
        Error::Monitor {
            container: self.cell.id.clone(),
            problem: format!("did not start exec {}: {problem}", self.exec.id),
        }
    }

    async fn converse(
        &self,
        link: Arc<Link>,
        client: Option<Client>,
    ) -> Result<(Arc<Link>, i32), NotStarted> {
        let broken = |error: monitor::channel::ChannelError| NotStarted::from(self.problem(error));
        let failed = |failure: Failure, told: bool| NotStarted {
            error: Error::Launch {
                message: failure.message,
                code: failure.exit_code,
                kind: fault::Kind::InvalidParameter,
            },
            code: failure.exit_code,
            told,
        };
        if let Some(client) = client {
            // An exec that fails at once (no such user, for one) may have closed its end by now: why it failed lies in
            // the socket, and is told instead of the broken pipe.
            match client.connect(&link).await {
                Ok(()) | Err(monitor::channel::ChannelError::Closed) => {}
                Err(error) => return Err(broken(error)),
            }
        }
        // It waits in the socket until the process exists.
        match link.send(&Request::Start, &[]).await {
            Ok(()) | Err(monitor::channel::ChannelError::Closed) => {}
            Err(error) => return Err(broken(error)),
        }
        let mut pid = 0;
        // The monitor tells those whom it has; whoever came too late for it is told by the daemon.
        let mut attached = false;
        loop {
            match link.receive().await.map_err(broken)?.message {
                Report::Attached { .. } => attached = true,
                Report::Created { pid: created, .. } => pid = created,
                Report::Started { .. } => return Ok((link, pid)),
                Report::CreateFailed(failure) | Report::StartFailed(failure) => {
                    return Err(failed(failure, attached));
                }
                other => link.heard(&other),
            }
        }
    }

    /// Follows the exec to its end.
    async fn listen(self, link: Arc<Link>) {
        let mut code = 137;
        while let Ok(received) = link.receive::<Report>().await {
            match received.message {
                Report::Exited(exit) => {
                    code = exit.exit_code;
                    self.end(code);
                }
                Report::AttachEnded {
                    why: EndOfAttach::Detached,
                    ..
                } => {
                    let id = [("execID", self.exec.id.clone())];
                    self.house.event(&self.cell.view().record, "exec_detach", &id);
                }
                _ => {}
            }
        }
        link.close();
        if self.exec.is_running() {
            self.end(code);
        }
        let _ = std::fs::remove_dir_all(self.state_dir());
    }

    fn end(&self, code: i32) {
        self.exec.state.send_modify(|state| {
            let pid = match state {
                State::Running { pid, .. } => *pid,
                _ => 0,
            };
            *state = State::Ended { code, pid };
        });
        let more = [("execID", self.exec.id.clone()), ("exitCode", code.to_string())];
        self.house.event(&self.cell.view().record, "exec_die", &more);
    }
}
