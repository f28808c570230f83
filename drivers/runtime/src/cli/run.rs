//! `run`: create, start, wait, delete.

use super::create::{self, Made};
use super::flags::{Flag, Flags};
use super::verb::Verb;
use super::{CliError, Outcome, Session, terminal};

/// `run`.
pub(super) const VERB: Verb = Verb {
    name: "run",
    arguments: "<container-id>",
    about: "creates a container, starts it and waits for its end",
    least: 1,
    most: 1,
    flags: &[
        create::FLAGS,
        &[
            Flag::switch("detach", Some('d'), "do not wait for its end"),
            Flag::switch("keep", None, "leave it as stopped at its end"),
            Flag::switch(
                "no-subreaper",
                None,
                "leave orphans of the container to the caller's reaper",
            ),
        ],
    ],
    act: main,
};

fn main(flags: &Flags, rest: &[String], session: &mut Session<'_>) -> Outcome {
    let id = rest[0].as_str();
    let detach = flags.has("detach");
    if !detach && !flags.has("no-subreaper") {
        // Processes that lose their parent in a container without a pid namespace of its own are ours to reap.
        linux::process::set_child_subreaper(true).map_err(CliError::signal("become a subreaper"))?;
    }
    if detach && flags.get("console-socket").is_none() {
        // With a terminal there would be nobody to hold its other end.
        let (_, spec) = create::read_bundle(flags)?;
        if spec.process.is_some_and(|process| process.terminal) {
            return Err(CliError::Usage(create::NO_CONSOLE.into()));
        }
    }
    let signals = if detach {
        None
    } else {
        Some(terminal::Signals::block()?)
    };
    let mut made = create::make(id, flags, session, false)?;
    let hooked = made.created.run_start_hooks(&made.spec, made.cgroup.as_ref());
    if hooked.is_err() {
        let _ = linux::process::send_signal(&made.created.pidfd, 9);
        let _ = made.created.wait();
    }
    if let Err(error) = hooked.and_then(|()| made.created.start()) {
        clean(id, &made, session)?;
        return Err(error.into());
    }
    let notify = made.notify.take();
    let Some(signals) = signals else {
        if let Some(notify) = notify {
            notify.wait(made.created.pid.as_raw_pid(), &made.created.pidfd)?;
        }
        return Ok(0);
    };
    let master = made.created.master.take();
    let exit = terminal::attend(&made.created.pidfd, master, signals, notify)?;
    if !flags.has("keep") {
        clean(id, &made, session)?;
    }
    Ok(exit.code())
}

fn clean(id: &str, made: &Made, session: &Session<'_>) -> Result<(), CliError> {
    if let Some(cgroup) = &made.cgroup {
        // Without a pid namespace of its own, children of the init may live on.
        if !cgroup.procs()?.is_empty() {
            cgroup.kill()?;
        }
        cgroup.remove()?;
    }
    if let Ok(record) = session.store.load(id) {
        super::delete::give_back(&record, session);
    }
    super::delete::poststop(id, &made.spec, session);
    session.store.forget(id)
}
