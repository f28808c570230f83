//! `dhow wait`.

use client::WaitCondition;

use crate::app::App;
use crate::console;
use crate::failure::{Outcome, Problems};
use crate::flags::Parsed;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "CONTAINER [CONTAINER...]",
    about: "Block until one or more containers stop, then print their exit codes",
    aliases: "container wait, wait",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let client = app.client()?;
    let mut problems = Problems::default();
    for name in &args.args {
        let waited = async {
            client
                .wait_result(client.container_wait(name, WaitCondition::NotRunning).await?)
                .await
        };
        match waited.await {
            Ok(result) => match result.error {
                Some(error) if !error.message.is_empty() => problems.note(error.message),
                _ => console::line(result.status_code.to_string()),
            },
            Err(error) => problems.note(error),
        }
    }
    problems.outcome()
}
