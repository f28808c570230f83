//! `run`: create, start, wait, delete.

use super::create::{self, Made};
use super::flags::{Flag, Flags};
use super::{CliError, Outcome, Session, only_id, terminal};

pub(super) fn main(arguments: Vec<String>, session: &mut Session<'_>) -> Outcome {
    let mut known = create::FLAGS.to_vec();
    known.push(Flag::switch("detach", Some('d')));
    known.push(Flag::switch("keep", None));
    known.push(Flag::switch("no-subreaper", None));
    let (flags, rest) = Flags::parse(&known, arguments)?;
    let id = only_id(&rest)?;
    let detach = flags.has("detach");
    if detach && flags.get("console-socket").is_none() {
        // With a terminal there would be nobody to hold its other end.
        let bundle = std::path::Path::new(flags.get("bundle").unwrap_or(".")).join("config.json");
        let spec: Option<oci::runtime::Spec> = super::store::read_json(&bundle)?;
        if spec
            .and_then(|spec| spec.process)
            .is_some_and(|process| process.terminal)
        {
            let text = "cannot allocate tty if runc will detach without setting console socket";
            return Err(CliError::Usage(text.into()));
        }
    }
    let signals = if detach {
        None
    } else {
        Some(terminal::Signals::block()?)
    };
    let mut made = create::make(id, &flags, session, false)?;
    if let Err(error) = made.created.start() {
        clean(id, &made, session)?;
        return Err(error.into());
    }
    let Some(signals) = signals else { return Ok(0) };
    let master = made.created.master.take();
    let exit = terminal::attend(&made.created.pidfd, master, signals)?;
    if !flags.has("keep") {
        clean(id, &made, session)?;
    }
    Ok(exit.code())
}

fn clean(id: &str, made: &Made, session: &Session<'_>) -> Result<(), CliError> {
    // Without a pid namespace of its own, children of the init may live on.
    if !made.cgroup.procs()?.is_empty() {
        made.cgroup.kill()?;
    }
    made.cgroup.remove()?;
    super::delete::poststop(id, &made.spec, session);
    session.store.forget(id)
}
