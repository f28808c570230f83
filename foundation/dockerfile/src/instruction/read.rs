//! Node to instruction.

use super::{Arg, CommandLine, Copy, Health, Instruction, Run};
use crate::error::SyntaxError;
use crate::flags::Form::{Bool, List, Value};
use crate::flags::{Flags, Form};
use crate::heredoc;
use crate::node::{Arguments, Node};

/// Reads one node; FROM is read by the stages.
pub(crate) fn instruction(node: &Node) -> Result<Instruction, SyntaxError> {
    let keyword = node.keyword.to_ascii_uppercase();
    let words = node.arguments.words();
    let no_flags = || Flags::new(&node.flags, &[]).map(|_| ());
    Ok(match keyword.as_str() {
        "ADD" => Instruction::Add(copy(node, &keyword, ADD_FLAGS)?),
        "COPY" => Instruction::Copy(copy(node, &keyword, COPY_FLAGS)?),
        "RUN" => Instruction::Run(run(node)?),
        "HEALTHCHECK" => Instruction::Healthcheck(Health::read(node)?),
        "ONBUILD" => onbuild(node)?,
        "ARG" => {
            no_flags()?;
            Instruction::Arg(args(words)?)
        }
        "CMD" => {
            no_flags()?;
            Instruction::Cmd(command_line(node))
        }
        "ENTRYPOINT" => {
            no_flags()?;
            Instruction::Entrypoint(command_line(node))
        }
        "ENV" | "LABEL" => {
            no_flags()?;
            let pairs = pairs(node, &keyword)?;
            if keyword == "ENV" {
                Instruction::Env(pairs)
            } else {
                Instruction::Label(pairs)
            }
        }
        "EXPOSE" => {
            no_flags()?;
            Instruction::Expose(at_least_one(words, &keyword)?)
        }
        "VOLUME" => {
            no_flags()?;
            let volumes: Vec<String> = at_least_one(words, &keyword)?
                .iter()
                .map(|v| v.trim().to_owned())
                .collect();
            if volumes.iter().any(String::is_empty) {
                return Err(SyntaxError::EmptyVolume);
            }
            Instruction::Volume(volumes)
        }
        "SHELL" => {
            no_flags()?;
            let list = at_least_one(words, &keyword)?;
            if !node.arguments.is_json() {
                return Err(SyntaxError::JsonNeeded(keyword));
            }
            Instruction::Shell(list)
        }
        "MAINTAINER" | "STOPSIGNAL" | "USER" | "WORKDIR" => {
            no_flags()?;
            let [text] = words else {
                return Err(SyntaxError::ExactlyOne(keyword));
            };
            let text = text.clone();
            match keyword.as_str() {
                "MAINTAINER" => Instruction::Maintainer(text),
                "STOPSIGNAL" => Instruction::StopSignal(text),
                "USER" => Instruction::User(text),
                _ => Instruction::Workdir(text),
            }
        }
        // Where it may stand it is gone by now.
        "INCLUDE" => {
            return Err(SyntaxError::Include {
                path: words.join(" "),
                why: "files are included into a Dockerfile only, not into triggers".to_owned(),
            });
        }
        _ => {
            return Err(SyntaxError::UnknownInstruction {
                name: node.keyword.clone(),
                suggestion_for: None,
            });
        }
    })
}

const COPY_FLAGS: &[(&str, Form)] = &[
    ("from", Value),
    ("chown", Value),
    ("chmod", Value),
    ("link", Bool),
    ("parents", Bool),
    ("exclude", List),
];
const ADD_FLAGS: &[(&str, Form)] = &[
    ("chown", Value),
    ("chmod", Value),
    ("link", Bool),
    ("exclude", List),
    ("checksum", Value),
    ("keep-git-dir", Bool),
    ("unpack", Bool),
];
const RUN_FLAGS: &[(&str, Form)] = &[
    ("mount", List),
    ("network", Value),
    ("security", Value),
    ("device", List),
];

fn at_least_one(words: &[String], keyword: &str) -> Result<Vec<String>, SyntaxError> {
    if words.is_empty() {
        return Err(SyntaxError::AtLeastOne(keyword.to_owned()));
    }
    Ok(words.to_vec())
}

fn command_line(node: &Node) -> CommandLine {
    CommandLine {
        words: node.arguments.words().to_vec(),
        shell: !node.arguments.is_json(),
    }
}

fn pairs(node: &Node, keyword: &str) -> Result<Vec<(String, String)>, SyntaxError> {
    let Arguments::Pairs { pairs, .. } = &node.arguments else {
        return Err(SyntaxError::AtLeastOne(keyword.to_owned()));
    };
    if pairs.is_empty() {
        return Err(SyntaxError::AtLeastOne(keyword.to_owned()));
    }
    if pairs.iter().any(|(name, _)| name.is_empty()) {
        return Err(SyntaxError::BlankName(keyword.to_owned()));
    }
    Ok(pairs.clone())
}

/// The words of an ARG.
pub(crate) fn args(words: &[String]) -> Result<Vec<Arg>, SyntaxError> {
    at_least_one(words, "ARG")?
        .into_iter()
        .map(|word| {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            match name.is_empty() {
                true => Err(SyntaxError::BlankName("ARG".to_owned())),
                false => Ok(Arg { name, value }),
            }
        })
        .collect()
}

fn copy(node: &Node, keyword: &str, known: &[(&str, Form)]) -> Result<Copy, SyntaxError> {
    let flags = Flags::new(&node.flags, known)?;
    let words = at_least_one(node.arguments.words(), keyword)?;
    let Some((destination, sources)) = words.split_last().filter(|(_, sources)| !sources.is_empty()) else {
        return Err(SyntaxError::NoDestination(keyword.to_owned()));
    };
    let inline = |word: &String| {
        let opening = heredoc::opening(word)?;
        node.heredocs
            .iter()
            .find(|document| document.name == opening.name)
    };
    if inline(destination).is_some() {
        return Err(SyntaxError::HeredocDestination(keyword.to_owned()));
    }
    Ok(Copy {
        heredocs: sources.iter().filter_map(inline).cloned().collect(),
        sources: sources
            .iter()
            .filter(|word| inline(word).is_none())
            .cloned()
            .collect(),
        destination: destination.clone(),
        from: flags.value("from"),
        chown: flags.value("chown"),
        chmod: flags.value("chmod"),
        link: flags.bool("link").unwrap_or(false),
        parents: flags.bool("parents").unwrap_or(false),
        exclude: flags.list("exclude"),
        checksum: flags.value("checksum"),
        keep_git_dir: flags.bool("keep-git-dir").unwrap_or(false),
        unpack: flags.bool("unpack"),
    })
}

fn run(node: &Node) -> Result<Run, SyntaxError> {
    let flags = Flags::new(&node.flags, RUN_FLAGS)?;
    let run = Run {
        command: command_line(node),
        heredocs: node.heredocs.clone(),
        mounts: flags.list("mount"),
        network: flags.value("network"),
        security: flags.value("security"),
        devices: flags.list("device"),
    };
    if run.command.words.is_empty() {
        return Err(SyntaxError::AtLeastOne("RUN".to_owned()));
    }
    one_of("network", run.network.as_deref(), &["default", "none", "host"])?;
    one_of("security", run.security.as_deref(), &["sandbox", "insecure"])?;
    for mount in run.mounts.iter().filter(|mount| !mount.contains('$')) {
        crate::mount::Mount::parse(mount)?;
    }
    Ok(run)
}

fn one_of(name: &str, value: Option<&str>, allowed: &[&str]) -> Result<(), SyntaxError> {
    match value {
        Some(value) if !allowed.contains(&value) => Err(SyntaxError::FlagValue {
            name: name.to_owned(),
            value: value.to_owned(),
            why: format!("must be one of {}", allowed.join(", ")),
        }),
        _ => Ok(()),
    }
}

fn onbuild(node: &Node) -> Result<Instruction, SyntaxError> {
    Flags::new(&node.flags, &[])?;
    let inner = match &node.arguments {
        Arguments::Trigger(inner) => inner,
        Arguments::Words(words) if words.is_empty() => {
            return Err(SyntaxError::AtLeastOne("ONBUILD".to_owned()));
        }
        _ => return Err(SyntaxError::OnbuildOnbuild),
    };
    match inner.keyword.to_ascii_uppercase().as_str() {
        "ONBUILD" => return Err(SyntaxError::OnbuildOnbuild),
        trigger @ ("FROM" | "MAINTAINER") => return Err(SyntaxError::OnbuildTrigger(trigger.to_owned())),
        _ => {}
    }
    let mut text = inner.text.clone();
    for document in &node.heredocs {
        text.push_str(&format!("\n{}{}", document.content, document.name));
    }
    Ok(Instruction::Onbuild(text, Box::new(instruction(inner)?)))
}
