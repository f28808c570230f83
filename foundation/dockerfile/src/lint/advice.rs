//! Advice of our own on what a RUN does.

use crate::instruction::Instruction;
use crate::lint::Found;
use crate::stage::Dockerfile;

pub(super) fn check(file: &Dockerfile, found: &mut Found) {
    for (index, stage) in file.stages.iter().enumerate() {
        latest(file, index, found);
        let mut shell = String::new();
        for command in &stage.commands {
            match &command.instruction {
                Instruction::Shell(words) => shell = words.join(" "),
                Instruction::Run(run) => {
                    let mut text = run.command.words.join(" ");
                    run.heredocs
                        .iter()
                        .for_each(|document| text.push_str(&document.content));
                    on_run(&text, run.command.shell, &shell, command.span, found);
                }
                Instruction::Cmd(line) | Instruction::Entrypoint(line) if line.shell => {
                    several(&line.words.join(" "), command.span, found);
                }
                _ => {}
            }
        }
    }
}

fn on_run(text: &str, shell_form: bool, shell: &str, span: crate::Span, found: &mut Found) {
    let has = |tool: &str, verb: &str| {
        let mut commands = text.split(['&', ';', '|', '\n']);
        commands.any(|command| {
            let mut words = command.split_whitespace().filter(|word| !word.starts_with('-'));
            words.any(|word| word == tool) && words.next() == Some(verb)
        })
    };
    if (has("apt-get", "update") || has("apt", "update")) && !text.contains(" install") {
        found.add(
            "AptUpdateAlone",
            span,
            "`apt-get update` should stand in one RUN with the `apt-get install` that needs it",
        );
    }
    for (tool, verb) in [
        ("apt-get", "upgrade"),
        ("apt-get", "dist-upgrade"),
        ("apt", "upgrade"),
        ("apk", "upgrade"),
    ] {
        if has(tool, verb) {
            found.add(
                "DistUpgrade",
                span,
                format!("`{tool} {verb}` should be left to a newer base image"),
            );
        }
    }
    let pipes = text.replace("||", "  ").contains(" | ");
    if shell_form && pipes && !text.contains("pipefail") && !shell.contains("pipefail") {
        found.add(
            "PipefailMissing",
            span,
            "a failure in front of `|` goes unnoticed: use SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]",
        );
    }
}

/// `service a start && service b start`, `a & b`.
fn several(text: &str, span: crate::Span, found: &mut Found) {
    let background = text.replace("&&", "  ").replace("2>&1", "").contains('&');
    let services = text.matches("service ").count() > 1;
    if background || services {
        found.add(
            "SeveralServices",
            span,
            "several services in one container: give each a container of its own",
        );
    }
}

fn latest(file: &Dockerfile, index: usize, found: &mut Found) {
    let stage = &file.stages[index];
    let base = &stage.base;
    if base.eq_ignore_ascii_case("scratch") || base.contains('$') || file.stage(base, index).is_some() {
        return;
    }
    let name = base.rsplit('/').next().unwrap_or(base);
    if base.ends_with(":latest") || !name.contains([':', '@']) {
        found.add(
            "LatestTag",
            stage.span,
            format!("{base:?} is another image tomorrow: name a version"),
        );
    }
}
