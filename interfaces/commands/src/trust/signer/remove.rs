//! `dhow trust signer remove`.

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome, Problems};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};
use crate::trust::keys::Keys;
use crate::trust::reference;

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] NAME REPOSITORY [REPOSITORY...]",
    about: "Remove a signer",
    aliases: "",
    count: Count::AtLeast(2),
    stop_early: false,
    flags: &[flag(
        "force",
        'f',
        Kind::Bool,
        "",
        "",
        "Do not prompt for confirmation before removing the most recent signer",
    )],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let signer = args.arg(0);
    let store = Keys::of(app);
    let mut signers = store.signers()?;
    let mut problems = Problems::default();
    for text in &args.args[1..] {
        let repository = reference(text)?.name();
        let Some(known) = signers
            .get_mut(&repository)
            .filter(|known| known.contains_key(signer))
        else {
            problems.note(format!("no signer {signer} for repository {text}"));
            continue;
        };
        let last = known.len() == 1 && !args.on("force");
        if last
            && !console::confirm(&format!(
                "The signer \"{signer}\" is the last one of {text}. After that, nobody's signature is trusted for it. Are you sure you want to continue?"
            ))
        {
            return Err(Failure::new("nothing is removed"));
        }
        known.remove(signer);
        if known.is_empty() {
            signers.remove(&repository);
        }
        console::line(format!("Successfully removed {signer} from {text}"));
    }
    store.set_signers(&signers)?;
    problems.outcome()
}
