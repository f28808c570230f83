//! The life of one process, from its creation to its recorded end: what the monitor and the exec face have in common.
//!
//! One epoll loop. The daemon may be there, go and come back at any time ([`peers`]); the streams are [`crate::pump`]'s
//! business; what is special to a container or to an exec is in [`Job`].

pub(crate) mod container;
mod ending;
pub(crate) mod exec;
mod job;
mod peers;
mod process;

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use cgroups::{Cgroup, OomEvents};
use linux::fd::SignalFd;
use linux::process::Child;
use log_drivers::Timestamp;
use rustix::event::epoll::EventFlags;

pub(crate) use self::job::{Job, Places, Ready};
use self::peers::{PEERS, Peers};
pub(crate) use self::process::Process;
use crate::channel::{Channel, Listener};
use crate::plan::StateFile;
use crate::protocol::{Failure, Phase, PortTarget, Report, Request, VERSION};
use crate::pump::{CLIENTS, Ends, LOG, Pump};
use crate::reactor::{Reactor, Watch};
use crate::{SIGHUP, SIGINT, SIGKILL, SIGTERM, proxy, record};

const PROCESS: u64 = 10;
const OOM: u64 = 11;
const LISTENER: u64 = 12;
const SIGNALS: u64 = 13;
const COMPRESSOR: u64 = 14;

/// After this time without work, memory that only bursts need is given back.
const IDLE: Duration = Duration::from_secs(1);

pub(crate) struct Supervisor<J> {
    job: J,
    places: Places,
    reactor: Reactor,
    pump: Pump,
    peers: Peers,
    listener: Option<(Listener, Watch)>,
    signals: Option<(SignalFd, Watch)>,
    process: Option<(Process, Watch)>,
    /// The streams of a process that runs already, until its start was asked for.
    early: Option<Ends>,
    cgroup: Option<Cgroup>,
    oom: Option<(OomEvents, Watch)>,
    rootfs: Option<OwnedFd>,
    ports: Vec<(PortTarget, OwnedFd)>,
    proxy: Option<Child>,
    compressor: Option<(Child, Watch)>,
    /// Something was rotated while the compressor ran.
    uncompressed: bool,
    phase: Phase,
    /// Failed to be created or started: nothing is recorded.
    failed: bool,
}

impl<J: Job> Supervisor<J> {
    pub(crate) fn new(job: J, places: Places, pump: Pump, control: Channel) -> linux::Result<Self> {
        let reactor = Reactor::new()?;
        let mut peers = Peers::default();
        peers.add(&reactor, control);
        let mut supervisor = Supervisor {
            job,
            places,
            reactor,
            pump,
            peers,
            listener: None,
            signals: None,
            process: None,
            early: None,
            cgroup: None,
            oom: None,
            rootfs: None,
            ports: Vec::new(),
            proxy: None,
            compressor: None,
            uncompressed: false,
            phase: Phase::Creating,
            failed: false,
        };
        // Being told to end means ending the container in order; the terminal of a human who tries things out is no reason.
        let signals = SignalFd::new(&[SIGTERM, SIGINT, SIGHUP])?;
        let mut watch = Watch::new(SIGNALS);
        watch.set(&supervisor.reactor, &signals, EventFlags::IN)?;
        supervisor.signals = Some((signals, watch));
        Ok(supervisor)
    }

    /// Lives the process's life; returns when it is recorded and every client has everything.
    pub(crate) fn run(mut self) -> linux::Result<()> {
        // An old record must not be taken for this life's.
        let _ = record::remove(&self.places.exit_file);
        match self.job.create() {
            Ok(ready) => self.created(ready)?,
            Err(failure) => self.fail(Report::CreateFailed(failure)),
        }
        loop {
            self.pump.flush_log(&self.reactor);
            if self.pump.take_rotated() {
                self.compress_log();
            }
            while let Some(report) = self.pump.take_report() {
                self.peers.broadcast(&self.reactor, &report, &[]);
            }
            if self.is_over() && self.pump.is_deserted() {
                return Ok(());
            }
            let now = Instant::now();
            let idle = self.pump.is_bloated().then(|| now + IDLE);
            let deadline = [self.pump.deadline(), idle].into_iter().flatten().min();
            let timeout = deadline.map(|deadline| deadline.saturating_duration_since(now));
            let mut quiet = true;
            for (token, flags) in self.reactor.wait(timeout)? {
                quiet = false;
                self.event(token, flags);
            }
            self.pump.expire(&self.reactor, Instant::now());
            if quiet && idle.is_some_and(|idle| idle <= Instant::now()) {
                self.pump.shrink();
            }
        }
    }

    fn is_over(&self) -> bool {
        self.failed || matches!(self.phase, Phase::Exited(_))
    }

    fn event(&mut self, token: u64, flags: EventFlags) {
        match token {
            PROCESS => self.exited(),
            OOM => self.note_oom(),
            LISTENER => {
                if let Some((listener, _)) = &self.listener
                    && let Ok(channel) = listener.accept()
                {
                    let hello = self.hello();
                    self.peers.welcome(&self.reactor, channel, &hello);
                }
            }
            SIGNALS => self.signalled(),
            COMPRESSOR => {
                if let Some((child, _)) = self.compressor.take() {
                    let _ = child.wait();
                }
                if std::mem::take(&mut self.uncompressed) {
                    self.compress_log();
                }
            }
            _ if token >= PEERS => {
                while let Some((request, fds)) = self.peers.receive(&self.reactor, token) {
                    self.request(token, request, fds);
                }
                if self.peers.is_empty() {
                    self.pump.release_all(&self.reactor);
                }
            }
            LOG => self.pump.event(&self.reactor, token, flags),
            _ if token >= CLIENTS || self.process.is_some() => self.pump.event(&self.reactor, token, flags),
            _ => {}
        }
    }

    fn hello(&self) -> Report {
        Report::Hello {
            version: VERSION,
            id: self.places.id.clone(),
            state: self.phase.clone(),
            clients: self.pump.clients(),
        }
    }

    fn broadcast(&mut self, report: &Report) {
        self.peers.broadcast(&self.reactor, report, &[]);
    }

    /// The process exists: tell it first, then do what the daemon need not wait for.
    fn created(&mut self, ready: Ready) -> linux::Result<()> {
        let pid = ready.process.pid().as_raw_pid();
        let start_time = linux::process::start_time(ready.process.pid()).unwrap_or(0);
        self.phase = Phase::Created { pid, start_time };
        let hello = self.hello();
        self.broadcast(&hello);
        self.broadcast(&Report::Created {
            pid,
            start_time,
            user: ready.user,
        });
        let mut watch = Watch::new(PROCESS);
        let early = ready.process.runs_already();
        if !early {
            watch.set(&self.reactor, ready.process.pidfd(), EventFlags::IN)?;
        }
        self.process = Some((ready.process, watch));
        self.cgroup = ready.cgroup;
        self.rootfs = ready.rootfs;
        self.ports = ready.ports;
        let ends = if early {
            self.early = Some(ready.ends);
            Ends::default()
        } else {
            ready.ends
        };
        let completed = self.complete(ends);
        if let Err(failure) = completed {
            self.give_up(failure);
        }
        Ok(())
    }

    fn complete(&mut self, ends: Ends) -> Result<(), Failure> {
        let failed = |what: &str, error: &dyn std::fmt::Display| Failure {
            message: format!("{what}: {error}"),
            exit_code: 128,
        };
        self.job.complete(&mut self.pump)?;
        self.pump
            .connect(&self.reactor, ends)
            .map_err(|errno| failed("watch the streams", &errno))?;
        if let Some(cgroup) = &self.cgroup
            && let Ok(oom) = cgroup.oom_events()
        {
            let mut watch = Watch::new(OOM);
            watch
                .set(&self.reactor, &oom, EventFlags::IN)
                .map_err(|errno| failed("watch the cgroup", &errno))?;
            self.oom = Some((oom, watch));
        }
        self.write_state()
            .map_err(|errno| failed("write state.json", &errno))?;
        let path = self.places.state_dir.join("monitor.sock");
        let listener = Listener::bind(&path).map_err(|error| failed("listen", &error))?;
        let mut watch = Watch::new(LISTENER);
        watch
            .set(&self.reactor, &listener, EventFlags::IN)
            .map_err(|errno| failed("listen", &errno))?;
        self.listener = Some((listener, watch));
        Ok(())
    }

    fn write_state(&self) -> linux::Result<()> {
        let (pid, start_time, started_at) = match self.phase {
            Phase::Created { pid, start_time } => (pid, start_time, None),
            Phase::Running {
                pid,
                start_time,
                started_at,
                ..
            } => (pid, start_time, Some(started_at)),
            Phase::Creating | Phase::Exited(_) => return Ok(()),
        };
        let own = rustix::process::getpid();
        let state = StateFile {
            id: self.places.id.clone(),
            pid,
            start_time,
            monitor_pid: own.as_raw_pid(),
            monitor_start_time: linux::process::start_time(own)?,
            started_at,
        };
        record::write(&self.places.state_dir.join("state.json"), &state)
    }

    fn request(&mut self, peer: u64, request: Request, mut fds: Vec<OwnedFd>) {
        match request {
            Request::Hello { .. } => {}
            Request::State => {
                let hello = self.hello();
                self.peers.send(&self.reactor, peer, &hello, &[]);
            }
            Request::Start => self.start(),
            Request::Attach(attach) => match fds.pop() {
                Some(socket) => {
                    self.pump.attach(&self.reactor, attach, socket);
                    if self.is_over() {
                        self.pump.end_clients(&self.reactor);
                    }
                }
                None => self.reject(peer, "Attach came without a socket"),
            },
            Request::Release { client } => self.pump.release(&self.reactor, client),
            Request::CloseStdin { client } => self.pump.end_of_input(&self.reactor, client),
            Request::Detach { client } => self.pump.detach(&self.reactor, client),
            Request::Resize { rows, columns } => {
                let result = match self.pump.terminal() {
                    Some(terminal) => {
                        linux::tty::set_size(terminal, rows, columns).map_err(|errno| errno.to_string())
                    }
                    None => Err("there is no terminal".to_owned()),
                };
                if let Err(message) = result {
                    self.peers
                        .send(&self.reactor, peer, &Report::ResizeFailed { message }, &[]);
                }
            }
            Request::Signal { signal } => {
                let result = match &self.process {
                    Some((process, _)) => linux::process::send_signal(process.pidfd(), signal),
                    None => Err(linux::Errno::SRCH),
                };
                if let Err(errno) = result {
                    let message = runtime::errno_text(errno);
                    self.peers.send(
                        &self.reactor,
                        peer,
                        &Report::SignalFailed { signal, message },
                        &[],
                    );
                }
            }
            Request::Ports { ports } => {
                if ports.len() != fds.len() {
                    return self.reject(peer, "Ports came with another number of sockets");
                }
                self.ports = ports.into_iter().zip(fds).collect();
                if matches!(self.phase, Phase::Running { .. }) {
                    self.start_proxy();
                }
            }
            Request::Rootfs => match &self.rootfs {
                Some(rootfs) => {
                    let rootfs = rootfs.as_fd();
                    self.peers.send(&self.reactor, peer, &Report::Rootfs, &[rootfs]);
                }
                None => self.reject(peer, "there is no root file system to give"),
            },
            Request::Shutdown => self.shut_down(),
        }
    }

    fn reject(&mut self, peer: u64, message: &str) {
        self.peers.send(
            &self.reactor,
            peer,
            &Report::Unknown {
                message: message.to_owned(),
            },
            &[],
        );
    }

    fn start(&mut self) {
        let (Phase::Created { pid, start_time }, Some((process, _))) = (&self.phase, &mut self.process)
        else {
            return;
        };
        let (pid, start_time) = (*pid, *start_time);
        let started_at = Timestamp::now();
        match process.start(&self.job) {
            Ok(()) => {
                self.phase = Phase::Running {
                    pid,
                    start_time,
                    started_at,
                    oom_killed: false,
                };
                self.broadcast(&Report::Started { at: started_at });
                self.connect_early();
                // `Hello` says the same; this is for a daemon that finds this monitor dead.
                let _ = self.write_state();
                self.start_proxy();
                // Plan, spec and filter are not needed any more, and this process may wait for months.
                linux::process::release_free_memory();
            }
            Err(failure) => {
                // It has ended and is reaped already.
                self.process = None;
                self.fail(Report::StartFailed(failure));
            }
        }
    }

    /// Begins to listen to a process that ran before its start was asked for.
    fn connect_early(&mut self) {
        let Some(ends) = self.early.take() else { return };
        let Some((process, watch)) = &mut self.process else {
            return;
        };
        let connected = self
            .pump
            .connect(&self.reactor, ends)
            .and_then(|()| watch.set(&self.reactor, process.pidfd(), EventFlags::IN));
        if connected.is_err() {
            self.shut_down();
        }
    }

    fn start_proxy(&mut self) {
        self.stop_proxy();
        if self.ports.is_empty() {
            return;
        }
        match proxy::spawn(&self.ports) {
            Ok(child) => self.proxy = Some(child),
            Err(errno) => self.broadcast(&Report::ProxyFailed {
                message: runtime::errno_text(errno),
            }),
        }
    }

    fn stop_proxy(&mut self) {
        if let Some(proxy) = self.proxy.take() {
            let _ = proxy.signal(SIGKILL);
            let _ = proxy.wait();
        }
    }

    fn compress_log(&mut self) {
        let Some((path, max_file)) = self.job.compressed_log() else {
            return;
        };
        if self.compressor.is_some() {
            self.uncompressed = true;
            return;
        }
        if let Ok(child) = crate::compress::spawn(&path, max_file) {
            let mut watch = Watch::new(COMPRESSOR);
            if watch.set(&self.reactor, &child.pidfd, EventFlags::IN).is_ok() {
                self.compressor = Some((child, watch));
            }
        }
    }
}
