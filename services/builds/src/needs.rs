//! Which files of its context a build can want: those that are named by COPY, ADD and `RUN --mount`. Pure.

use dockerfile::Instruction;
use dockerfile::ignore::clean;
use dockerfile::instruction::Copy;
use dockerfile::mount::{Kind, Mount};

use crate::plan::{Base, Plan};

/// Files of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Any of them.
    All,
    /// Those at these paths (relative, patterns as in COPY) and below; none at all when there is no path.
    Paths(Vec<String>),
}

/// What the stages that are built can want. `has_triggers` says of the name of a base image whether instructions may come
/// with it that are not in the Dockerfile; with `pull` that is not known of any.
pub(crate) fn of(plan: &Plan, pull: bool, has_triggers: impl Fn(&str) -> bool) -> Needs {
    let mut paths = Vec::new();
    for index in &plan.needed {
        if let Base::Image(name) = &plan.nodes[*index].base
            && (pull || has_triggers(name))
        {
            return Needs::All;
        }
        for command in &plan.file.stages[*index].commands {
            let found = match &command.instruction {
                Instruction::Copy(copy) => copied(copy),
                Instruction::Add(copy) => copied(copy),
                Instruction::Run(run) => run.mounts.iter().map(|text| mounted(text)).collect(),
                _ => Some(Vec::new()),
            };
            match found {
                None => return Needs::All,
                Some(found) => paths.extend(found),
            }
        }
    }
    paths.sort();
    paths.dedup();
    Needs::Paths(paths.into_iter().filter(|path| !path.is_empty()).collect())
}

/// The sources of a COPY or ADD; nothing when they can be anywhere.
fn copied(copy: &Copy) -> Option<Vec<String>> {
    if copy.from.is_some() {
        return Some(Vec::new());
    }
    copy.sources.iter().map(|source| relative(source)).collect()
}

/// The source of a mount of the context; empty for another kind of mount.
fn mounted(text: &str) -> Option<String> {
    let mount = Mount::parse(text).ok()?;
    if text.contains('$') {
        return None;
    }
    match mount.kind {
        Kind::Bind if mount.from.is_none() => relative(mount.source.as_deref().unwrap_or("/")),
        _ => Some(String::new()),
    }
}

fn relative(source: &str) -> Option<String> {
    // Variables are put in when the step is at hand; quotes and escapes mean different things to different readers.
    if source.contains(['$', '\\', '"', '\'']) || source.contains("**") {
        return None;
    }
    let path = clean(&format!("/{source}"));
    let path = path.trim_start_matches('/');
    (!path.is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BuildRequest;

    fn needs(text: &str) -> Needs {
        let file = dockerfile::Dockerfile::parse(text).unwrap();
        let plan = Plan::new(file, &BuildRequest::default(), &Default::default(), None).unwrap();
        of(&plan, false, |name| name == "triggers")
    }

    #[test]
    fn what_is_copied_or_mounted_from_the_context_is_needed() {
        let text = "FROM a AS one\nCOPY ./x/ y*.c /\nFROM a\nADD ../z /\nCOPY --from=one /q /q\n\
                    RUN --mount=target=/t,source=m --mount=type=cache,target=/c true\n";
        let paths = |paths: &[&str]| Needs::Paths(paths.iter().map(|path| (*path).to_owned()).collect());
        assert_eq!(needs(text), paths(&["m", "x", "y*.c", "z"]));
        assert_eq!(needs("FROM a\nRUN true\n"), paths(&[]));
        assert_eq!(
            needs("FROM a AS unused\nCOPY . /\nFROM a\nCOPY x /\n"),
            paths(&["x"])
        );
    }

    #[test]
    fn what_cannot_be_known_needs_everything() {
        for text in [
            "FROM a\nCOPY . /\n",
            "FROM a\nCOPY $X /\n",
            "FROM triggers\nCOPY x /\n",
            "FROM a\nRUN --mount=target=/t true\n",
            "FROM a\nCOPY a\\ b /\n",
        ] {
            assert_eq!(needs(text), Needs::All, "{text}");
        }
    }
}
