//! `dhow build --debug`: a shell in the state before the step that failed.

use crate::app::App;
use crate::container::run;
use crate::failure::{Failure, Outcome};
use crate::{console, flags, streams};

/// The state before a step.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct State {
    image: String,
    step: String,
    shell: Vec<String>,
    env: Vec<String>,
}

/// Opens the shell, on the terminal or on what stands on standard input, and waits for its end.
pub(super) async fn enter(app: &App, state: &State) -> Outcome {
    let shell = state.shell.first().map_or("/bin/sh", String::as_str);
    console::error(format!("A shell in the state before: {}", state.step));
    let mut words = vec!["--rm", "--interactive", "--entrypoint", shell];
    if streams::is_terminal(0) && streams::is_terminal(1) {
        words.push("--tty");
    }
    for variable in &state.env {
        words.extend(["--env", variable]);
    }
    words.push(&state.image);
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    let parsed = flags::parse(run::COMMAND.flags, &words, true).map_err(Failure::new)?;
    match run::execute(app, &parsed).await {
        // How the shell ended says nothing of the build.
        Err(failure) if failure.message.is_empty() => Ok(()),
        outcome => outcome,
    }
}
