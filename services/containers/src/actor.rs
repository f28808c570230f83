//! The actor of one container: carries out what its machine decides, and brings the outcome back to it.
//!
//! The actor itself never waits: whatever takes time runs in a task of its own, which puts a message into the
//! mailbox when it is done. So a container that hangs in the kernel hangs nobody but whoever asked for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use log_drivers::Timestamp;
use monitor::plan::ExitRecord;
use monitor::protocol::Request;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::Error;
use crate::attach::Client;
use crate::cell::{Cell, View};
use crate::health::{Health, Prober, Rules, Status};
use crate::house::House;
use crate::launch::{LaunchError, Launched};
use crate::link::Link;
use crate::machine::{Command, Effect, Ended, Input, Machine, Phase, Refusal, Ticket, Timer};
use crate::record::Record;

type Reply = oneshot::Sender<Result<(), Error>>;
type Change = Box<dyn FnOnce(&mut Record) -> Result<(), Error> + Send>;

/// What can be in an actor's mailbox.
pub(crate) enum Message {
    Command(Command, Reply),
    /// A change of the record, and who waits for it.
    Edit(Change, Reply),
    /// A client that wants to be connected when the container starts.
    Attach(Client),
    /// What an effect led to.
    Outcome(Input),
    Launched(Box<Result<Launched, LaunchError>>),
    /// The process ended while no daemon was there.
    Exited(ExitRecord),
    /// What a monitor reports. That of an earlier run may still be there, for a client that reads slowly.
    Heard(Arc<Link>, Heard),
    /// A health probe has ended.
    Health {
        /// The prober's.
        number: u64,
        health: Box<Health>,
        event: Option<&'static str>,
    },
    /// A running container that an earlier daemon left behind.
    Adopt(Arc<Link>),
}

/// What matters of a monitor's reports.
#[derive(Debug)]
pub(crate) enum Heard {
    Exited(ExitRecord),
    OomKilled,
    /// The monitor has ended, whether or not it said goodbye.
    Gone,
}

pub(crate) struct Actor {
    house: Arc<House>,
    cell: Arc<Cell>,
    record: Record,
    machine: Machine,
    link: Option<Arc<Link>>,
    /// Clients that came before the start.
    clients: Vec<Client>,
    tickets: HashMap<Ticket, (&'static str, Reply)>,
    next_ticket: u64,
    alarms: HashMap<Timer, AbortHandle>,
    launch_error: Option<LaunchError>,
    ended: u64,
    prober: Option<Prober>,
    probers: u64,
}

/// Starts the actor of a container and answers its place in the directory.
pub(crate) fn spawn(house: &Arc<House>, record: Record, machine: Machine) -> Arc<Cell> {
    let (mailbox, messages) = mpsc::unbounded_channel();
    let view = View {
        record: Arc::new(record.clone()),
        phase: machine.phase(),
        restarting: machine.is_restarting(),
        link: None,
        ended: 0,
    };
    let cell = Arc::new(Cell::new(&record.id, view, mailbox));
    let actor = Actor {
        house: house.clone(),
        cell: cell.clone(),
        record,
        machine,
        link: None,
        clients: Vec::new(),
        tickets: HashMap::new(),
        next_ticket: 0,
        alarms: HashMap::new(),
        launch_error: None,
        ended: 0,
        prober: None,
        probers: 0,
    };
    tokio::spawn(actor.run(messages));
    cell
}

impl Actor {
    async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        while let Some(message) = messages.recv().await {
            self.handle(message);
            self.mind_health();
            self.show();
            if self.machine.phase() == Phase::Removed {
                break;
            }
        }
        for (_, (_, reply)) in self.tickets.drain() {
            let _ = reply.send(Err(Error::NoSuchContainer(self.record.id.clone())));
        }
    }

    fn show(&self) {
        self.cell.show(View {
            record: Arc::new(self.record.clone()),
            phase: self.machine.phase(),
            restarting: self.machine.is_restarting(),
            link: self.link.clone(),
            ended: self.ended,
        });
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Command(command, reply) => {
                let ticket = Ticket(self.next_ticket);
                self.next_ticket += 1;
                self.tickets.insert(ticket, (doing(&command), reply));
                self.step(Input::Command(ticket, command));
            }
            Message::Edit(change, reply) => self.edit(change, reply),
            Message::Attach(client) => self.attach(client),
            Message::Outcome(input) => {
                if input == Input::TornDown {
                    self.ended += 1;
                    if let Some(link) = self.link.take() {
                        self.cell.run_ended(link);
                    }
                    self.house.mark_use(&self.record.id, images::Use::Stopped);
                }
                self.step(input);
            }
            Message::Launched(result) => self.launched(*result),
            Message::Exited(exit) => self.exited(exit),
            Message::Heard(link, heard) => {
                if self
                    .link
                    .as_ref()
                    .is_some_and(|current| Arc::ptr_eq(current, &link))
                {
                    self.heard(heard);
                }
            }
            Message::Health {
                number,
                health,
                event,
            } => self.probed(number, *health, event),
            Message::Adopt(link) => self.listen(link),
        }
    }

    fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Exited(exit) => self.exited(exit),
            Heard::OomKilled => {
                self.record.run.oom_killed = true;
                self.event("oom", &[]);
            }
            Heard::Gone => self.monitor_gone(),
        }
    }

    /// Probes while the process runs. One that does not run is unhealthy, as docker has it, without an event.
    fn mind_health(&mut self) {
        if self.machine.phase() != Phase::Running {
            self.prober = None;
            if let Some(health) = &mut self.record.run.health {
                health.status = Status::Unhealthy;
            }
            return;
        }
        if self.prober.is_some() {
            return;
        }
        let run = &self.record.run;
        if let (Some(rules), Some(started)) = (Rules::of(&self.record.config), run.started) {
            let health = run.health.clone().unwrap_or_default();
            self.probers += 1;
            let (house, cell) = (&self.house, &self.cell);
            self.prober = Some(Prober::start(house, cell, rules, started, health, self.probers));
        }
    }

    fn probed(&mut self, number: u64, health: Health, event: Option<&'static str>) {
        if self.prober.as_ref().is_none_or(|prober| prober.number != number) {
            return;
        }
        self.record.run.health = Some(health);
        if let Err(error) = self.house.write_volatile(&self.record) {
            tracing::error!(container = %self.record.id, %error, "health not written");
        }
        if let Some(event) = event {
            // Whoever hears of it may ask at once.
            self.show();
            self.event(event, &[]);
        }
    }

    /// From now on what the monitor says comes into the mailbox.
    fn listen(&mut self, link: Arc<Link>) {
        tokio::spawn(crate::launch::listen(
            self.cell.clone(),
            link.clone(),
            self.house.clone(),
        ));
        self.link = Some(link);
    }

    fn step(&mut self, input: Input) {
        for effect in self.machine.step(input) {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(ticket, result) => self.reply(ticket, result),
            Effect::Launch { automatic } => self.launch(automatic),
            Effect::Signal(signal) => self.signal(signal),
            Effect::KillMonitor => crate::teardown::kill_monitor(&self.house, &self.record.id),
            Effect::Freeze => self.freeze(true),
            Effect::Thaw => self.freeze(false),
            Effect::TearDown => self.tear_down(),
            Effect::Delete { volumes } => self.delete(volumes),
            Effect::Arm(timer, alarm, after) => self.arm(timer, alarm, after),
            Effect::Disarm(timer) => self.disarm(timer),
            Effect::Save => self.save(),
            Effect::Event(action) => self.happened(action),
            Effect::KillEvent(signal) => self.event("kill", &[("signal", signal.to_string())]),
        }
    }

    fn reply(&mut self, ticket: Ticket, result: Result<(), Refusal>) {
        let Some((doing, reply)) = self.tickets.remove(&ticket) else {
            return;
        };
        let result = result.map_err(|refusal| match (&refusal, &self.launch_error) {
            (Refusal::LaunchFailed, Some(error)) => error.told(),
            _ => Error::refused(refusal, doing, &self.record.name, &self.record.id),
        });
        // Whoever asked may have gone away; what was asked for is done all the same.
        let _ = reply.send(result);
    }

    fn launch(&mut self, automatic: bool) {
        self.launch_error = None;
        self.record.restart_count = self.machine.restart_count();
        self.record.manually_stopped = self.machine.manually_stopped();
        self.record.run.oom_killed = false;
        self.record.run.error.clear();
        let clients = std::mem::take(&mut self.clients);
        let (house, cell, record) = (self.house.clone(), self.cell.clone(), self.record.clone());
        tracing::debug!(container = %record.id, automatic, "launch");
        tokio::spawn(async move {
            let result = match cell.lease().await {
                Ok(lease) => {
                    let result = crate::launch::launch(&house, &record, clients).await;
                    cell.tell(Message::Launched(Box::new(result)));
                    // From now on the container runs, or does not: its phase says whose tree it is.
                    return drop(lease);
                }
                Err(error) => Err(LaunchError::of(error)),
            };
            cell.tell(Message::Launched(Box::new(result)));
        });
    }

    fn launched(&mut self, result: Result<Launched, LaunchError>) {
        match result {
            Ok(launched) => {
                let run = &mut self.record.run;
                run.running = true;
                run.paused = false;
                run.pid = launched.pid;
                run.started = Some(launched.started);
                run.finished = None;
                run.exit_code = 0;
                run.endpoints = launched.endpoints;
                run.health = Rules::of(&self.record.config).map(|_| Health::default());
                self.listen(launched.link);
                self.house.mark_use(&self.record.id, images::Use::Running);
                self.step(Input::Launched);
                // They look at what is shown.
                self.show();
                crate::links::tell_parents(&self.house, &self.record);
            }
            Err(error) => {
                let run = &mut self.record.run;
                run.running = false;
                run.exit_code = error.code;
                run.error.clone_from(&error.message);
                self.launch_error = Some(error);
                self.ended += 1;
                self.step(Input::LaunchFailed);
            }
        }
    }

    fn exited(&mut self, exit: ExitRecord) {
        let run = &mut self.record.run;
        if !run.running {
            return;
        }
        run.running = false;
        run.paused = false;
        run.pid = 0;
        run.exit_code = exit.exit_code;
        run.oom_killed |= exit.oom_killed;
        run.error = exit.error;
        run.finished = Some(exit.finished_at);
        let ran_for = exit.finished_at.as_nanos() - run.started.map_or(0, Timestamp::as_nanos);
        let ran_for = Duration::from_nanos(u64::try_from(ran_for).unwrap_or(0));
        self.save();
        self.step(Input::Ended(Ended {
            code: exit.exit_code,
            ran_for,
        }));
    }

    /// The monitor ended. If it said so before, all is well; if not, it has written the exit record at least,
    /// or it died before it could: then the container is dead as well, since it never outlives its monitor.
    fn monitor_gone(&mut self) {
        if !self.record.run.running {
            return;
        }
        let exit = self.house.read_exit(&self.record).unwrap_or_else(|| ExitRecord {
            id: self.record.id.clone(),
            exit_code: 137,
            oom_killed: false,
            started_at: self.record.run.started,
            finished_at: Timestamp::now(),
            error: "the monitor of this container died, and the container with it".into(),
        });
        self.exited(exit);
    }

    fn edit(&mut self, change: Change, reply: Reply) {
        let old_policy = self.record.host_config.restart_policy.clone();
        let result = change(&mut self.record);
        if result.is_err() {
            let _ = reply.send(result);
            return;
        }
        if self.record.host_config.restart_policy != old_policy {
            self.machine
                .set_policy(crate::house::policy(&self.record.host_config));
        }
        let commit = self.write();
        // Whoever hears that it is done sees it.
        self.show();
        tokio::spawn(async move {
            let written = match commit {
                Some(commit) => commit.await.map_err(Error::part),
                None => Ok(()),
            };
            let _ = reply.send(written);
        });
    }

    fn attach(&mut self, client: Client) {
        match &self.link {
            Some(link) if self.machine.phase().has_process() => client.connect_later(link.clone()),
            _ => self.clients.push(client),
        }
    }

    fn signal(&mut self, signal: i32) {
        let Some(link) = self.link.clone() else { return };
        let request = Request::Signal { signal };
        if link.send_now(&request).is_ok() {
            return;
        }
        let id = self.record.id.clone();
        tokio::spawn(async move {
            if let Err(error) = link.send(&request, &[]).await {
                tracing::warn!(container = %id, signal, %error, "signal not delivered");
            }
        });
    }

    fn freeze(&self, freeze: bool) {
        let (house, cell, record) = (self.house.clone(), self.cell.clone(), self.record.clone());
        tokio::spawn(async move {
            let frozen = tokio::task::spawn_blocking(move || house.freeze(&record, freeze)).await;
            let result = match frozen {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            cell.tell(Message::Outcome(if freeze {
                Input::Frozen(result)
            } else {
                Input::Thawed(result)
            }));
        });
    }

    fn tear_down(&mut self) {
        let (house, cell, record) = (self.house.clone(), self.cell.clone(), self.record.clone());
        self.record.run.endpoints.clear();
        tokio::spawn(async move {
            crate::teardown::end_of_run(&house, &record).await;
            cell.tell(Message::Outcome(Input::TornDown));
        });
    }

    fn delete(&mut self, volumes: bool) {
        if volumes && !self.record.host_config.auto_remove && !self.record.remove_volumes {
            // If this daemon does not get to the end, the next one knows what was wanted.
            self.record.remove_volumes = true;
            if self.record.mounts.iter().any(|mount| mount.anonymous) {
                drop(self.write());
            }
        }
        let (house, cell, record) = (self.house.clone(), self.cell.clone(), self.record.clone());
        tokio::spawn(async move {
            let result = crate::teardown::delete(&house, &record, volumes).await;
            if let Err(error) = &result {
                tracing::error!(container = %record.id, %error, "removal failed");
            }
            cell.tell(Message::Outcome(Input::Deleted(
                result.map_err(|error| error.to_string()),
            )));
        });
    }

    fn arm(&mut self, timer: Timer, alarm: u64, after: Duration) {
        let cell = self.cell.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            cell.tell(Message::Outcome(Input::Elapsed(timer, alarm)));
        });
        if let Some(old) = self.alarms.insert(timer, task.abort_handle()) {
            old.abort();
        }
    }

    fn disarm(&mut self, timer: Timer) {
        if let Some(task) = self.alarms.remove(&timer) {
            task.abort();
        }
    }

    /// Writes the record where a kill of the daemon cannot reach it; the disk follows in its own time.
    fn save(&mut self) {
        self.record.restart_count = self.machine.restart_count();
        self.record.manually_stopped = self.machine.manually_stopped();
        self.record.run.paused = self.machine.phase() == Phase::Paused;
        self.record.dead = self.machine.phase() == Phase::Dead;
        // A commit is done whether or not it is waited for.
        drop(self.write());
    }

    fn write(&self) -> Option<durable::Commit> {
        match self.house.write(&self.record) {
            Ok(commit) => commit,
            Err(error) => {
                tracing::error!(container = %self.record.id, %error, "record not written");
                None
            }
        }
    }

    fn happened(&mut self, action: &'static str) {
        if action == "die" {
            let code = self.record.run.exit_code.to_string();
            self.event(action, &[("exitCode", code)]);
        } else {
            self.event(action, &[]);
        }
    }

    fn event(&self, action: &str, more: &[(&str, String)]) {
        self.house.event(&self.record, action, more);
    }
}

fn doing(command: &Command) -> &'static str {
    match command {
        Command::Start => "start",
        Command::Stop { .. } | Command::Shutdown { .. } => "stop",
        Command::Restart { .. } => "restart",
        Command::Kill { .. } => "kill",
        Command::Pause => "pause",
        Command::Unpause => "unpause",
        Command::Remove { .. } => "remove",
    }
}
