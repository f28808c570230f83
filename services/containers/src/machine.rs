//! The life of one container as a pure function.
//!
//! [`Machine::step`] takes what happened ([`Input`]) and answers what must be done ([`Effect`]). It never
//! waits and does nothing itself: the actor carries the effects out and brings their outcome back as inputs.
//! The table of what is accepted when therefore stands in this one file, and is tested without a kernel.

use std::time::Duration;

mod policy;
#[cfg(test)]
mod tests;

pub(crate) use policy::{Backoff, RestartPolicy};

/// How long the engine waits for a container to die of SIGKILL before it says that it does not.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
const SIGKILL: i32 = 9;

/// One caller who waits for an answer; the actor knows the channel behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// Where a container stands. `docker ps` shows [`Phase::Waiting`] as «restarting», and [`Phase::Starting`]
/// and [`Phase::Ending`] as what the container was before and will be after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Made and never started.
    Created,
    /// A monitor is being spawned, the network attached.
    Starting,
    /// The process runs.
    Running,
    /// The process is frozen.
    Paused,
    /// The process is dead; its network and mounts are being taken down.
    Ending,
    /// The process is dead and nothing of it is left but the record and the layer.
    Exited,
    /// The restart policy waits for its back-off to run out.
    Waiting,
    /// The container is being deleted.
    Removing,
    /// Gone; the actor may end.
    Removed,
    /// A removal failed half way; only another removal is accepted.
    Dead,
}

impl Phase {
    /// Whether there is a process, frozen or not.
    pub(crate) fn has_process(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// What somebody asks of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Start,
    /// `timeout` of `None` waits for ever before SIGKILL.
    Stop {
        signal: i32,
        timeout: Option<Duration>,
    },
    Restart {
        signal: i32,
        timeout: Option<Duration>,
    },
    Kill {
        signal: i32,
        /// Whether the image's or the user's stop signal is meant, after which no restart policy acts.
        stops: bool,
    },
    Pause,
    Unpause,
    Remove {
        force: bool,
        volumes: bool,
    },
    /// The daemon ends and takes its containers along (`live-restore: false`).
    Shutdown {
        signal: i32,
        timeout: Option<Duration>,
    },
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The exit code, or 128 + the signal's number.
    pub(crate) code: i32,
    /// How long it ran: long enough, and the back-off of the restart policy starts anew.
    pub(crate) ran_for: Duration,
}

/// What happens to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Command(Ticket, Command),
    /// The launch of this run succeeded: the process runs.
    Launched,
    /// The launch failed and undid itself; the text and code are in the record.
    LaunchFailed,
    Ended(Ended),
    /// Network, mounts and cgroups of the ended run are gone, the monitor too.
    TornDown,
    Frozen(Result<(), String>),
    Thawed(Result<(), String>),
    Deleted(Result<(), String>),
    Elapsed(Timer, u64),
}

/// The clocks of a container; each has at most one alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// `stop` waited long enough: SIGKILL.
    Stop,
    /// SIGKILL did not end the process in time.
    Kill,
    /// The restart policy's back-off.
    Restart,
}

/// Why a command is refused. The texts are made where the container's name is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    AlreadyRunning,
    AlreadyStopped,
    NotRunning,
    StartWhilePaused,
    AlreadyPaused,
    NotPaused,
    /// Paused or restarting, for a command that needs a process that can run.
    Restarting,
    RemoveRunning {
        paused: bool,
    },
    RemoveRestarting,
    RemovalInProgress,
    /// The container is being removed, or a removal failed half way.
    MarkedForRemoval,
    /// SIGKILL was sent and nothing happened: a process in uninterruptible sleep.
    WillNotDie,
    /// The launch failed; the record holds the message.
    LaunchFailed,
    /// Freezing or thawing is under way.
    Freezing,
    Failed(String),
}

/// What must be done now. Effects of one step are carried out in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Reply(Ticket, Result<(), Refusal>),
    /// Spawn a monitor; `automatic` when a restart policy, not a person, asked.
    Launch {
        automatic: bool,
    },
    Signal(i32),
    /// End the monitor, which does not do what it is told; its container goes with it.
    KillMonitor,
    Freeze,
    Thaw,
    TearDown,
    Delete {
        volumes: bool,
    },
    Arm(Timer, u64, Duration),
    Disarm(Timer),
    /// The record changed: write it.
    Save,
    Event(&'static str),
    /// The `kill` event, which carries the signal.
    KillEvent(i32),
}

/// What happens after the present run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Whatever the restart policy says.
    Policy,
    /// Stay down: somebody stopped it.
    Rest,
    /// `restart`: start anew.
    Start,
}

/// One container's state, without its data.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    phase: Phase,
    policy: RestartPolicy,
    auto_remove: bool,
    backoff: Backoff,
    /// How often the policy has restarted the container since a person last started it.
    restart_count: u32,
    manually_stopped: bool,
    then: Then,
    starting: Vec<Ticket>,
    /// Who waits for the end of the process, having stopped or killed it.
    stopping: Vec<Ticket>,
    /// Whether one of them has stopped it: only that is an event of its own.
    stop_is_told: bool,
    restarting: Vec<Ticket>,
    removing: Vec<Ticket>,
    remove_volumes: bool,
    freezing: Option<Ticket>,
    /// A stop that came while the launch was under way.
    stop_when_launched: Option<(i32, Option<Duration>)>,
    last_exit: Option<Ended>,
    shutting_down: bool,
    /// SIGKILL through the monitor has not helped, and the monitor was killed itself.
    monitor_killed: bool,
    alarms: u64,
}

impl Machine {
    /// A container in `phase` with its restart policy.
    pub(crate) fn new(phase: Phase, policy: RestartPolicy, auto_remove: bool) -> Self {
        Self {
            phase,
            policy,
            auto_remove,
            backoff: Backoff::default(),
            restart_count: 0,
            manually_stopped: false,
            then: Then::Policy,
            starting: Vec::new(),
            stopping: Vec::new(),
            stop_is_told: false,
            restarting: Vec::new(),
            removing: Vec::new(),
            remove_volumes: false,
            freezing: None,
            stop_when_launched: None,
            last_exit: None,
            shutting_down: false,
            monitor_killed: false,
            alarms: 0,
        }
    }

    /// Takes over what an earlier daemon wrote down.
    pub(crate) fn resume(mut self, restart_count: u32, manually_stopped: bool) -> Self {
        self.restart_count = restart_count;
        self.manually_stopped = manually_stopped;
        if manually_stopped && self.phase.has_process() {
            self.then = Then::Rest;
        }
        self
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn restart_count(&self) -> u32 {
        self.restart_count
    }

    /// Whether the policy has begun to restart the container, from the death of the process to the next launch.
    pub(crate) fn is_restarting(&self) -> bool {
        match self.phase {
            Phase::Waiting => true,
            Phase::Starting => self.restart_count > 0,
            Phase::Ending => {
                let left_to_policy =
                    self.then == Then::Policy && self.removing.is_empty() && !self.auto_remove;
                left_to_policy && self.wants_restart()
            }
            _ => false,
        }
    }

    pub(crate) fn manually_stopped(&self) -> bool {
        self.manually_stopped
    }

    /// Changes the restart policy of a living container (`update --restart`).
    pub(crate) fn set_policy(&mut self, policy: RestartPolicy) {
        self.policy = policy;
    }

    /// What must be done about `input`.
    pub(crate) fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Command(ticket, command) => self.command(ticket, command, &mut effects),
            Input::Launched => self.launched(&mut effects),
            Input::LaunchFailed => self.launch_failed(&mut effects),
            Input::Ended(ended) => self.ended(ended, &mut effects),
            Input::TornDown => self.torn_down(&mut effects),
            Input::Frozen(result) => self.frozen(result, &mut effects),
            Input::Thawed(result) => self.thawed(result, &mut effects),
            Input::Deleted(result) => self.deleted(result, &mut effects),
            Input::Elapsed(timer, alarm) if alarm == self.alarms => self.elapsed(timer, &mut effects),
            Input::Elapsed(..) => {}
        }
        effects
    }

    fn command(&mut self, ticket: Ticket, command: Command, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Removing | Phase::Removed | Phase::Dead)
            && !matches!(command, Command::Remove { .. })
        {
            effects.push(Effect::Reply(ticket, Err(Refusal::MarkedForRemoval)));
            return;
        }
        match command {
            Command::Start => self.start(ticket, effects),
            Command::Stop { signal, timeout } => self.stop(ticket, signal, timeout, effects),
            Command::Restart { signal, timeout } => self.restart(ticket, signal, timeout, effects),
            Command::Kill { signal, stops } => self.kill(ticket, signal, stops, effects),
            Command::Pause => self.pause(ticket, effects),
            Command::Unpause => self.unpause(ticket, effects),
            Command::Remove { force, volumes } => self.remove(ticket, force, volumes, effects),
            Command::Shutdown { signal, timeout } => {
                self.shutting_down = true;
                let stopped = self.manually_stopped;
                self.stop(ticket, signal, timeout, effects);
                self.manually_stopped = stopped;
            }
        }
    }

    fn start(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Created | Phase::Exited => {
                self.starting.push(ticket);
                self.launch_by_hand(effects);
            }
            Phase::Waiting => {
                self.starting.push(ticket);
                self.disarm(Timer::Restart, effects);
                self.launch_by_hand(effects);
            }
            Phase::Starting => self.starting.push(ticket),
            // The old run is on its way out: start when it is gone.
            Phase::Ending => {
                self.starting.push(ticket);
                self.then = Then::Start;
            }
            Phase::Running => effects.push(Effect::Reply(ticket, Err(Refusal::AlreadyRunning))),
            Phase::Paused => effects.push(Effect::Reply(ticket, Err(Refusal::StartWhilePaused))),
            Phase::Removing | Phase::Removed | Phase::Dead => {
                effects.push(Effect::Reply(ticket, Err(Refusal::MarkedForRemoval)));
            }
        }
    }

    fn launch_by_hand(&mut self, effects: &mut Vec<Effect>) {
        self.manually_stopped = false;
        self.restart_count = 0;
        self.backoff = Backoff::default();
        self.launch(false, effects);
    }

    fn launch(&mut self, automatic: bool, effects: &mut Vec<Effect>) {
        self.phase = Phase::Starting;
        self.monitor_killed = false;
        self.then = Then::Policy;
        effects.push(Effect::Launch { automatic });
    }

    fn launched(&mut self, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Starting {
            return;
        }
        self.phase = Phase::Running;
        effects.push(Effect::Save);
        effects.push(Effect::Event("start"));
        if !self.restarting.is_empty() {
            effects.push(Effect::Event("restart"));
        }
        let waiting = self.starting.drain(..).chain(self.restarting.drain(..));
        effects.extend(waiting.map(|ticket| Effect::Reply(ticket, Ok(()))));
        if !self.removing.is_empty() {
            self.kill_now(effects);
        } else if let Some((signal, timeout)) = self.stop_when_launched.take() {
            self.begin_stop(signal, timeout, effects);
        }
    }

    fn launch_failed(&mut self, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Starting {
            return;
        }
        self.stop_when_launched = None;
        self.stop_is_told = false;
        self.phase = Phase::Exited;
        effects.push(Effect::Save);
        let failed = self.starting.drain(..).chain(self.restarting.drain(..));
        effects.extend(failed.map(|ticket| Effect::Reply(ticket, Err(Refusal::LaunchFailed))));
        self.reply_stopped(effects);
        if self.auto_remove || !self.removing.is_empty() {
            self.delete(effects);
        }
    }

    fn stop(&mut self, ticket: Ticket, signal: i32, timeout: Option<Duration>, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Running | Phase::Paused => {
                self.manually_stopped = true;
                self.stop_is_told = true;
                self.then = Then::Rest;
                self.stopping.push(ticket);
                effects.push(Effect::Save);
                self.begin_stop(signal, timeout, effects);
            }
            Phase::Starting => {
                self.manually_stopped = true;
                self.stop_is_told = true;
                self.stopping.push(ticket);
                self.stop_when_launched = Some((signal, timeout));
            }
            Phase::Ending => {
                self.stop_is_told = true;
                self.rest_after_end(ticket);
            }
            Phase::Waiting => {
                self.give_up_restart(effects);
                effects.push(Effect::Event("stop"));
                effects.push(Effect::Reply(ticket, Ok(())));
            }
            Phase::Created | Phase::Exited | Phase::Removing | Phase::Removed | Phase::Dead => {
                effects.push(Effect::Reply(ticket, Err(Refusal::AlreadyStopped)));
            }
        }
    }

    /// Lets the process that is ending be the last one.
    fn rest_after_end(&mut self, ticket: Ticket) {
        self.manually_stopped = true;
        self.then = Then::Rest;
        self.stopping.push(ticket);
    }

    /// No further run, though the policy waits for one.
    fn give_up_restart(&mut self, effects: &mut Vec<Effect>) {
        self.manually_stopped = true;
        self.disarm(Timer::Restart, effects);
        self.phase = Phase::Exited;
        effects.push(Effect::Save);
    }

    /// Sends the stop signal and sets the clock for SIGKILL.
    fn begin_stop(&mut self, signal: i32, timeout: Option<Duration>, effects: &mut Vec<Effect>) {
        self.then = if self.then == Then::Start {
            Then::Start
        } else {
            Then::Rest
        };
        effects.push(Effect::Signal(signal));
        effects.push(Effect::KillEvent(signal));
        if self.phase == Phase::Paused {
            effects.push(Effect::Thaw);
        }
        if signal == SIGKILL {
            self.arm(Timer::Kill, KILL_PATIENCE, effects);
        } else if let Some(timeout) = timeout {
            self.arm(Timer::Stop, timeout, effects);
        }
    }

    fn restart(&mut self, ticket: Ticket, signal: i32, timeout: Option<Duration>, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Running | Phase::Paused => {
                self.restarting.push(ticket);
                self.then = Then::Start;
                self.begin_stop(signal, timeout, effects);
            }
            Phase::Ending => {
                self.restarting.push(ticket);
                self.then = Then::Start;
            }
            Phase::Starting => self.restarting.push(ticket),
            Phase::Waiting => {
                self.restarting.push(ticket);
                self.disarm(Timer::Restart, effects);
                self.launch_by_hand(effects);
            }
            Phase::Created | Phase::Exited => {
                self.restarting.push(ticket);
                self.launch_by_hand(effects);
            }
            Phase::Removing | Phase::Removed | Phase::Dead => {
                effects.push(Effect::Reply(ticket, Err(Refusal::MarkedForRemoval)));
            }
        }
    }

    fn kill(&mut self, ticket: Ticket, signal: i32, stops: bool, effects: &mut Vec<Effect>) {
        let stops = stops || signal == SIGKILL;
        if !self.phase.has_process() {
            self.kill_restarting(ticket, signal, stops, effects);
            return;
        }
        effects.push(Effect::Signal(signal));
        effects.push(Effect::KillEvent(signal));
        if stops {
            self.manually_stopped = true;
            self.then = Then::Rest;
            effects.push(Effect::Save);
            if self.phase == Phase::Paused {
                effects.push(Effect::Thaw);
            }
        }
        if signal == SIGKILL {
            self.stopping.push(ticket);
            self.arm(Timer::Kill, KILL_PATIENCE, effects);
        } else {
            effects.push(Effect::Reply(ticket, Ok(())));
        }
    }

    /// A container that is being restarted has no process to send anything to; a signal that is to end it ends that.
    fn kill_restarting(&mut self, ticket: Ticket, signal: i32, stops: bool, effects: &mut Vec<Effect>) {
        if !self.is_restarting() {
            effects.push(Effect::Reply(ticket, Err(Refusal::NotRunning)));
            return;
        }
        match self.phase {
            _ if !stops => effects.push(Effect::Reply(ticket, Err(Refusal::Restarting))),
            Phase::Waiting => {
                self.give_up_restart(effects);
                effects.push(Effect::Reply(ticket, Ok(())));
            }
            Phase::Ending => self.rest_after_end(ticket),
            _ => {
                self.manually_stopped = true;
                self.stopping.push(ticket);
                self.stop_when_launched = Some((signal, None));
            }
        }
    }

    fn pause(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let refusal = match self.phase {
            _ if self.freezing.is_some() => Refusal::Freezing,
            Phase::Running => {
                self.freezing = Some(ticket);
                effects.push(Effect::Freeze);
                return;
            }
            Phase::Paused => Refusal::AlreadyPaused,
            Phase::Waiting => Refusal::Restarting,
            _ => Refusal::NotRunning,
        };
        effects.push(Effect::Reply(ticket, Err(refusal)));
    }

    fn unpause(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        if self.freezing.is_some() {
            effects.push(Effect::Reply(ticket, Err(Refusal::Freezing)));
        } else if self.phase == Phase::Paused {
            self.freezing = Some(ticket);
            effects.push(Effect::Thaw);
        } else {
            effects.push(Effect::Reply(ticket, Err(Refusal::NotPaused)));
        }
    }

    fn frozen(&mut self, result: Result<(), String>, effects: &mut Vec<Effect>) {
        if result.is_ok() && self.phase == Phase::Running {
            self.phase = Phase::Paused;
            effects.push(Effect::Save);
            effects.push(Effect::Event("pause"));
            // A stop that came in the meantime could not get through to a frozen process.
            if !self.stopping.is_empty() || !self.removing.is_empty() || self.then == Then::Start {
                effects.push(Effect::Thaw);
            }
        }
        if let Some(ticket) = self.freezing.take() {
            effects.push(Effect::Reply(ticket, result.map_err(Refusal::Failed)));
        }
    }

    fn thawed(&mut self, result: Result<(), String>, effects: &mut Vec<Effect>) {
        if result.is_ok() && self.phase == Phase::Paused {
            self.phase = Phase::Running;
            effects.push(Effect::Save);
            effects.push(Effect::Event("unpause"));
        }
        if let Some(ticket) = self.freezing.take() {
            effects.push(Effect::Reply(ticket, result.map_err(Refusal::Failed)));
        }
    }

    fn remove(&mut self, ticket: Ticket, force: bool, volumes: bool, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Created | Phase::Exited | Phase::Dead => {
                self.remove_volumes |= volumes;
                self.removing.push(ticket);
                self.delete(effects);
            }
            Phase::Running | Phase::Paused | Phase::Starting | Phase::Waiting if !force => {
                let refusal = match self.phase {
                    Phase::Waiting => Refusal::RemoveRestarting,
                    phase => Refusal::RemoveRunning {
                        paused: phase == Phase::Paused,
                    },
                };
                effects.push(Effect::Reply(ticket, Err(refusal)));
            }
            Phase::Running | Phase::Paused => {
                self.remove_volumes |= volumes;
                self.removing.push(ticket);
                self.kill_now(effects);
            }
            Phase::Starting | Phase::Ending => {
                self.remove_volumes |= volumes;
                self.removing.push(ticket);
            }
            Phase::Waiting => {
                self.remove_volumes |= volumes;
                self.removing.push(ticket);
                self.disarm(Timer::Restart, effects);
                self.delete(effects);
            }
            Phase::Removing | Phase::Removed => {
                effects.push(Effect::Reply(ticket, Err(Refusal::RemovalInProgress)));
            }
        }
    }

    fn kill_now(&mut self, effects: &mut Vec<Effect>) {
        self.then = Then::Rest;
        effects.push(Effect::Signal(SIGKILL));
        effects.push(Effect::KillEvent(SIGKILL));
        if self.phase == Phase::Paused {
            effects.push(Effect::Thaw);
        }
        self.arm(Timer::Kill, KILL_PATIENCE, effects);
    }

    fn delete(&mut self, effects: &mut Vec<Effect>) {
        self.phase = Phase::Removing;
        // A container with `--rm` takes its anonymous volumes along, as `rm -v` does.
        let volumes = self.remove_volumes || self.auto_remove;
        effects.push(Effect::Delete { volumes });
    }

    fn deleted(&mut self, result: Result<(), String>, effects: &mut Vec<Effect>) {
        match result {
            Ok(()) => {
                self.phase = Phase::Removed;
                effects.push(Effect::Event("destroy"));
                self.reply_stopped(effects);
                effects.extend(
                    self.removing
                        .drain(..)
                        .map(|ticket| Effect::Reply(ticket, Ok(()))),
                );
            }
            Err(why) => {
                self.phase = Phase::Dead;
                effects.push(Effect::Save);
                let told = self.removing.drain(..);
                effects.extend(told.map(|ticket| Effect::Reply(ticket, Err(Refusal::Failed(why.clone())))));
            }
        }
    }

    fn ended(&mut self, ended: Ended, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Running | Phase::Paused | Phase::Starting) {
            return;
        }
        self.disarm(Timer::Stop, effects);
        self.phase = Phase::Ending;
        self.last_exit = Some(ended);
        if let Some(ticket) = self.freezing.take() {
            effects.push(Effect::Reply(ticket, Err(Refusal::NotRunning)));
        }
        effects.push(Effect::Event("die"));
        effects.push(Effect::TearDown);
    }

    fn torn_down(&mut self, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Ending {
            return;
        }
        let then = std::mem::replace(&mut self.then, Then::Policy);
        let stopped = std::mem::take(&mut self.stop_is_told);
        if stopped || then == Then::Start && !self.restarting.is_empty() {
            effects.push(Effect::Event("stop"));
        }
        if !self.removing.is_empty() || (self.auto_remove && then != Then::Start) {
            self.reply_stopped(effects);
            self.delete(effects);
            return;
        }
        self.phase = Phase::Exited;
        self.reply_stopped(effects);
        if then == Then::Start {
            self.launch_by_hand(effects);
            return;
        }
        let delay = self.next_restart(then);
        if let Some(delay) = delay {
            self.phase = Phase::Waiting;
            self.restart_count += 1;
            effects.push(Effect::Save);
            self.arm(Timer::Restart, delay, effects);
        } else {
            effects.push(Effect::Save);
        }
    }

    fn next_restart(&mut self, then: Then) -> Option<Duration> {
        if then == Then::Rest || !self.wants_restart() {
            return None;
        }
        let ran_for = self.last_exit.as_ref()?.ran_for;
        Some(self.backoff.next(ran_for))
    }

    /// Whether the policy wants another run after the one that has ended.
    fn wants_restart(&self) -> bool {
        let (count, stopped) = (self.restart_count, self.manually_stopped);
        !self.shutting_down
            && (self.last_exit.as_ref())
                .is_some_and(|ended| self.policy.wants_restart(ended.code, count, stopped))
    }

    fn elapsed(&mut self, timer: Timer, effects: &mut Vec<Effect>) {
        match (timer, self.phase) {
            (Timer::Stop, Phase::Running | Phase::Paused) => {
                effects.push(Effect::Signal(SIGKILL));
                effects.push(Effect::KillEvent(SIGKILL));
                self.arm(Timer::Kill, KILL_PATIENCE, effects);
            }
            // The signal went through the monitor, and that may be what hangs.
            (Timer::Kill, Phase::Running | Phase::Paused) if !self.monitor_killed => {
                self.monitor_killed = true;
                effects.push(Effect::KillMonitor);
                self.arm(Timer::Kill, KILL_PATIENCE, effects);
            }
            (Timer::Kill, Phase::Running | Phase::Paused) => {
                // Whoever waits is told; the commands stand, and the end will still be noticed when it comes.
                let told = self
                    .stopping
                    .drain(..)
                    .chain(self.restarting.drain(..))
                    .chain(self.removing.drain(..));
                effects.extend(told.map(|ticket| Effect::Reply(ticket, Err(Refusal::WillNotDie))));
            }
            (Timer::Restart, Phase::Waiting) => self.launch(true, effects),
            _ => {}
        }
    }

    fn reply_stopped(&mut self, effects: &mut Vec<Effect>) {
        effects.extend(
            self.stopping
                .drain(..)
                .map(|ticket| Effect::Reply(ticket, Ok(()))),
        );
    }

    /// Sets `timer`. Every alarm has a number, and only the newest counts: a clock that rings while it is
    /// being disarmed is not heard.
    fn arm(&mut self, timer: Timer, after: Duration, effects: &mut Vec<Effect>) {
        self.alarms += 1;
        effects.push(Effect::Arm(timer, self.alarms, after));
    }

    fn disarm(&mut self, timer: Timer, effects: &mut Vec<Effect>) {
        self.alarms += 1;
        effects.push(Effect::Disarm(timer));
    }
}
