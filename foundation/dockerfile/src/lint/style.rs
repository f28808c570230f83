//! Rules on how instructions are written.

use crate::glob;
use crate::ignore::{Ignore, clean};
use crate::instruction::Instruction;
use crate::lint::Found;
use crate::node::{Arguments, Node};
use crate::stage::{Dockerfile, Stage};

pub(super) fn check(file: &Dockerfile, found: &mut Found) {
    for line in &file.tree.empty_continuations {
        let span = crate::Span {
            first: *line,
            last: *line,
        };
        found.add("NoEmptyContinuation", span, "Empty continuation line");
    }
    casing(file, found);
    for node in &file.tree.nodes {
        on_node(node, found);
    }
    stage_names(file, found);
    for stage in &file.stages {
        in_stage(stage, found);
    }
}

fn casing(file: &Dockerfile, found: &mut Found) {
    let is_lower = |word: &str| word.chars().all(|c| c.is_ascii_lowercase());
    let is_upper = |word: &str| word.chars().all(|c| c.is_ascii_uppercase());
    let nodes = &file.tree.nodes;
    let lower = nodes.iter().filter(|node| is_lower(&node.keyword)).count();
    let upper = nodes.iter().filter(|node| is_upper(&node.keyword)).count();
    let (majority, wants_lower) = if lower > upper {
        ("lowercase", true)
    } else {
        ("uppercase", false)
    };
    for node in nodes {
        let fits = if wants_lower {
            is_lower(&node.keyword)
        } else {
            is_upper(&node.keyword)
        };
        if !fits {
            let text = format!(
                "Command '{}' should match the case of the command majority ({majority})",
                node.keyword
            );
            found.add("ConsistentInstructionCasing", node.span, text);
        }
    }
}

fn on_node(node: &Node, found: &mut Found) {
    let keyword = node.keyword.to_ascii_uppercase();
    match (keyword.as_str(), &node.arguments) {
        (
            "ENV" | "LABEL",
            Arguments::Pairs {
                with_equals: false, ..
            },
        ) => {
            let text = format!(
                "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
            );
            found.add("LegacyKeyValueFormat", node.span, text);
        }
        ("MAINTAINER", _) => found.add(
            "MaintainerDeprecated",
            node.span,
            "Maintainer instruction is deprecated in favor of using label",
        ),
        ("FROM", arguments) => from(node, arguments.words(), found),
        ("EXPOSE", arguments) => arguments
            .words()
            .iter()
            .for_each(|port| expose(node, port, found)),
        ("ARG", arguments) => {
            let names = arguments
                .words()
                .iter()
                .map(|word| word.split('=').next().unwrap_or_default());
            description(node, "ARG", names.collect(), found);
        }
        _ => {}
    }
}

fn from(node: &Node, words: &[String], found: &mut Found) {
    let [_, keyword, name] = words else { return };
    let is_lower = |word: &str| word.chars().all(|c| c.is_ascii_lowercase());
    let is_upper = |word: &str| word.chars().all(|c| c.is_ascii_uppercase());
    let (from_lower, from_upper) = (is_lower(&node.keyword), is_upper(&node.keyword));
    if (from_lower && !is_lower(keyword)) || (from_upper && !is_upper(keyword)) {
        let text = format!("'{keyword}' and '{}' keywords' casing do not match", node.keyword);
        found.add("FromAsCasing", node.span, text);
    }
    if name.chars().any(|c| c.is_ascii_uppercase()) {
        found.add(
            "StageNameCasing",
            node.span,
            format!("Stage name '{name}' should be lowercase"),
        );
    }
    if ["scratch", "context"].contains(&name.to_ascii_lowercase().as_str()) {
        let text = format!("Stage name should not use the same name as reserved stage {name:?}");
        found.add("ReservedStageName", node.span, text);
    }
    description(node, "FROM", vec![name], found);
}

/// A comment straight above a stage or argument describes it, and then begins with its name.
fn description(node: &Node, keyword: &str, names: Vec<&str>, found: &mut Found) {
    let Some(comment) = node.comments.last().filter(|comment| !comment.is_empty()) else {
        return;
    };
    let first = comment.split_whitespace().next().unwrap_or_default();
    let is_directive = comment.contains('=')
        && ["syntax", "escape", "check"]
            .iter()
            .any(|d| comment.starts_with(d));
    if is_directive || names.iter().any(|name| name.eq_ignore_ascii_case(first)) {
        return;
    }
    if let Some(name) = names.first() {
        let text = format!("Comment for {keyword} should follow the format: `# {name} <description>`");
        found.add("InvalidDefinitionDescription", node.span, text);
    }
}

fn expose(node: &Node, port: &str, found: &mut Found) {
    if port.contains('$') {
        return;
    }
    let (range, protocol) = port.split_once('/').unwrap_or((port, ""));
    if protocol.chars().any(|c| c.is_ascii_uppercase()) {
        let text = format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
        found.add("ExposeProtoCasing", node.span, text);
    }
    if range.contains(':') {
        let text = format!(
            "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
        );
        found.add("ExposeInvalidFormat", node.span, text);
    }
}

fn stage_names(file: &Dockerfile, found: &mut Found) {
    for (index, stage) in file.stages.iter().enumerate() {
        let Some(name) = &stage.name else { continue };
        if file.stages[..index]
            .iter()
            .any(|other| other.name.as_ref() == Some(name))
        {
            let text = format!("Duplicate stage name {name:?}, stage names should be unique");
            found.add("DuplicateStageName", stage.span, text);
        }
    }
}

fn in_stage(stage: &Stage, found: &mut Found) {
    let (mut own_shell, mut absolute) = (false, false);
    for command in &stage.commands {
        match &command.instruction {
            Instruction::Shell(_) => own_shell = true,
            Instruction::Cmd(line) | Instruction::Entrypoint(line) if line.shell && !own_shell => {
                let text = format!(
                    "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                    command.instruction.name()
                );
                found.add("JSONArgsRecommended", command.span, text);
            }
            Instruction::Workdir(path) => {
                if !absolute && !path.starts_with(['/', '$']) {
                    let text = format!(
                        "Relative workdir {path:?} can have unexpected results if the base image changes"
                    );
                    found.add("WorkdirRelativePath", command.span, text);
                }
                absolute |= path.starts_with('/');
            }
            _ => {}
        }
    }
    for name in ["CMD", "ENTRYPOINT", "HEALTHCHECK"] {
        let same = stage
            .commands
            .iter()
            .filter(|command| command.instruction.name() == name);
        let all: Vec<_> = same.collect();
        for command in all.iter().take(all.len().saturating_sub(1)) {
            let text = format!(
                "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
            );
            found.add("MultipleInstructionsDisallowed", command.span, text);
        }
    }
}

/// Sources that `.dockerignore` keeps out of the context.
pub(super) fn copied_but_ignored(file: &Dockerfile, ignore: &Ignore, found: &mut Found) {
    for command in file.stages.iter().flat_map(|stage| &stage.commands) {
        let (Instruction::Copy(copy) | Instruction::Add(copy)) = &command.instruction else {
            continue;
        };
        if copy.from.is_some() {
            continue;
        }
        for source in &copy.sources {
            let path = clean(&format!("/{source}"));
            let path = path.trim_start_matches('/');
            let checkable = !path.is_empty()
                && !source.contains('$')
                && !glob::is_pattern(path)
                && !source.contains("://");
            if checkable && !ignore.has_exceptions() && ignore.ignores(path) {
                let verb = if command.instruction.name() == "ADD" {
                    "Add"
                } else {
                    "Copy"
                };
                let text = format!("Attempting to {verb} file {source:?} that is excluded by .dockerignore");
                found.add("CopyIgnoredFile", command.span, text);
            }
        }
    }
}
