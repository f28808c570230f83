//! Every way in which a process's life ends: by itself, by order, or before it began.

use linux::process::Exit;
use log_drivers::Timestamp;

use super::{Job, Supervisor};
use crate::plan::ExitRecord;
use crate::protocol::{Failure, Phase, Report, Request};
use crate::{SIGHUP, SIGKILL, record};

impl<J: Job> Supervisor<J> {
    /// The process was created but must not run.
    pub(super) fn give_up(&mut self, failure: Failure) {
        if let Some((process, _)) = self.process.take() {
            let _ = linux::process::send_signal(process.pidfd(), SIGKILL);
            let _ = process.wait();
        }
        self.fail(Report::StartFailed(failure));
    }

    /// It was never run: undo everything, tell it, and see to the clients that are attached or on their way.
    pub(super) fn fail(&mut self, report: Report) {
        self.failed = true;
        self.let_go();
        for (_, request, mut fds) in self.peers.receive_all(&self.reactor) {
            if let (Request::Attach(attach), Some(socket)) = (request, fds.pop()) {
                self.pump.attach(&self.reactor, attach, socket);
            }
        }
        if let Report::CreateFailed(failure) | Report::StartFailed(failure) = &report
            && self.job.tells_clients()
        {
            self.pump
                .tell_clients(&self.reactor, format!("{}\r\n", failure.message).as_bytes());
        }
        // The daemon learns first which clients were here: it tells the others itself.
        while let Some(attached) = self.pump.take_report() {
            self.broadcast(&attached);
        }
        self.broadcast(&report);
        self.pump.end_clients(&self.reactor);
    }

    pub(super) fn shut_down(&mut self) {
        match &self.phase {
            Phase::Creating | Phase::Created { .. } if !self.failed => {
                self.give_up(Failure {
                    message: "the start was given up".to_owned(),
                    exit_code: 128,
                });
            }
            Phase::Running { .. } => {
                if let Some((process, _)) = &self.process {
                    // It may have ended this moment.
                    let _ = linux::process::send_signal(process.pidfd(), SIGKILL);
                }
                self.kill_group();
            }
            _ => self.pump.end_clients(&self.reactor),
        }
    }

    pub(super) fn signalled(&mut self) {
        let Some((signals, _)) = &self.signals else { return };
        if let Ok(Some(info)) = signals.read()
            && info.signal != SIGHUP
        {
            self.shut_down();
        }
    }

    pub(super) fn note_oom(&mut self) {
        let Some((oom, _)) = &mut self.oom else { return };
        if let (Ok(true), Phase::Running { oom_killed, .. }) = (oom.take(), &mut self.phase)
            && !std::mem::replace(oom_killed, true)
        {
            self.broadcast(&Report::OomKilled);
        }
    }

    pub(super) fn exited(&mut self) {
        let Some((process, _)) = self.process.take() else {
            return;
        };
        let exit = process.wait().unwrap_or(Exit::Signal {
            signal: SIGKILL,
            core: false,
        });
        let finished_at = Timestamp::now();
        drop(process);
        let Phase::Running { started_at, .. } = self.phase else {
            let message = format!(
                "the container's init ended before it was started (exit code {})",
                exit.code()
            );
            return self.fail(Report::StartFailed(Failure {
                message,
                exit_code: 128,
            }));
        };
        self.note_oom();
        let oom_killed = matches!(self.phase, Phase::Running { oom_killed: true, .. });
        // Others in the cgroup may still write; what they wrote until now is taken along.
        self.kill_group();
        self.pump.finish(&self.reactor);
        let record = ExitRecord {
            id: self.places.id.clone(),
            exit_code: exit.code(),
            oom_killed,
            started_at: Some(started_at),
            finished_at,
            error: String::new(),
        };
        // The last mount of an overlay syncs the whole file system below it when it goes: nobody needs to wait for that.
        let rootfs = self.rootfs.take();
        self.let_go();
        let mut report = Report::Exited(record.clone());
        if let (Err(errno), Report::Exited(told)) =
            (record::write(&self.places.exit_file, &record), &mut report)
        {
            // A full disk: the daemon, if it is there, learns both the end and that it is not on disk.
            told.error = format!(
                "write {}: {}",
                self.places.exit_file.display(),
                runtime::errno_text(errno)
            );
        }
        // Until now a daemon without a record of the end finds a monitor; from now on it finds the record.
        self.forget_state();
        self.phase = Phase::Exited(record);
        self.broadcast(&report);
        drop(rootfs);
        self.broadcast(&Report::Released);
    }

    pub(super) fn kill_group(&mut self) {
        if let Some(cgroup) = &self.cgroup {
            // An empty group is the rule (the pid namespace ended with its init) and removal tells if it is not.
            drop(cgroup.kill());
        }
    }

    /// Frees everything that another life of the same container will need.
    pub(super) fn let_go(&mut self) {
        self.stop_proxy();
        self.ports.clear();
        self.rootfs = None;
        self.oom = None;
        self.job.end();
        if let Some(cgroup) = self.cgroup.take() {
            // What cannot be removed now is swept by the daemon: its name says whose it is.
            drop(cgroup.remove());
        }
        if self.failed {
            self.forget_state();
        }
    }

    pub(super) fn forget_state(&mut self) {
        if let Some((listener, mut watch)) = self.listener.take() {
            watch.clear(&self.reactor, &listener);
            let _ = record::remove(&self.places.state_dir.join("monitor.sock"));
        }
        let _ = record::remove(&self.places.state_dir.join("state.json"));
    }
}
