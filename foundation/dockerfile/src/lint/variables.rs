//! Rules on variables: undefined ones, secrets, and what FROM is made of.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::args::{PLATFORM, PREDEFINED};
use crate::error::nearest;
use crate::expand::Lexer;
use crate::instruction::{Arg, Instruction};
use crate::lint::{Found, Options};
use crate::stage::{Dockerfile, Stage};

pub(super) fn check(file: &Dockerfile, options: &Options<'_>, found: &mut Found) {
    secrets(file, found);
    let lexer = Lexer::new(file.directives.escape);
    for (index, stage) in file.stages.iter().enumerate() {
        in_from(file, stage, options, &lexer, found);
        // What a stage takes from an image is not known here; only stages that begin with nothing can be judged.
        if has_known_environment(file, index) {
            in_stage(stage, &lexer, found);
        }
    }
}

fn has_known_environment(file: &Dockerfile, index: usize) -> bool {
    file.stages[index].base.eq_ignore_ascii_case("scratch")
}

fn in_from(file: &Dockerfile, stage: &Stage, options: &Options<'_>, lexer: &Lexer, found: &mut Found) {
    let declared: Vec<&str> = file.global_args.iter().map(|arg| arg.name.as_str()).collect();
    let platform = stage.platform.as_deref().unwrap_or_default();
    for text in [stage.base.as_str(), platform] {
        for name in used(text, lexer) {
            if declared.contains(&name.as_str()) || PLATFORM.contains(&name.as_str()) {
                continue;
            }
            let near = nearest(&name, &declared).map(|near| format!(" (did you mean {near}?)"));
            let text = format!(
                "FROM argument '{name}' is not declared{}",
                near.unwrap_or_default()
            );
            found.add("UndefinedArgInFrom", stage.span, text);
        }
    }
    match platform {
        "$TARGETPLATFORM" | "${TARGETPLATFORM}" => {
            let text = format!(
                "Setting platform to predefined {platform} in FROM is redundant as this is the default behavior"
            );
            found.add("RedundantTargetPlatform", stage.span, text);
        }
        "" => {}
        constant if !constant.contains('$') => {
            let text = format!("FROM --platform flag should not use constant value {constant:?}");
            found.add("FromPlatformFlagConstDisallowed", stage.span, text);
        }
        _ => {}
    }
    if !used(&stage.base, lexer).is_empty() {
        let default = default_base(&file.global_args, &stage.base, lexer);
        let names = used(&stage.base, lexer);
        let given = |name: &String| options.build_args.iter().any(|(given, _)| given == name);
        let known = |name: &String| declared.contains(&name.as_str());
        let wrong = default.is_none_or(|name| !looks_like_image(&name));
        if wrong && names.iter().all(known) && !names.iter().any(given) {
            let text = format!(
                "Default value for ARG {} results in empty or invalid base image name",
                stage.base
            );
            found.add("InvalidDefaultArgInFrom", stage.span, text);
        }
    }
}

fn looks_like_image(name: &str) -> bool {
    !name.is_empty() && !name.starts_with([':', '/', '-', '.', '@']) && !name.ends_with([':', '/', '@'])
}

/// The base with the defaults of the global arguments.
fn default_base(args: &[Arg], base: &str, lexer: &Lexer) -> Option<String> {
    let mut values: Vec<(String, String)> = PLATFORM
        .iter()
        .map(|name| ((*name).to_owned(), "linux".to_owned()))
        .collect();
    for arg in args {
        let lookup = |name: &str| {
            values
                .iter()
                .rev()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
        };
        if let Some(value) = &arg.value {
            let value = lexer.word(value, &lookup).ok()?;
            values.push((arg.name.clone(), value));
        }
    }
    let lookup = |name: &str| {
        values
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.clone())
    };
    lexer.word(base, &lookup).ok()
}

/// The variables that a text uses.
fn used(text: &str, lexer: &Lexer) -> BTreeSet<String> {
    let names = RefCell::new(BTreeSet::new());
    let note = |name: &str| {
        names.borrow_mut().insert(name.to_owned());
        Some("x".to_owned())
    };
    // A text that cannot be expanded is refused by the build.
    let _ = lexer.word(text, &note);
    names.into_inner()
}

fn in_stage(stage: &Stage, lexer: &Lexer, found: &mut Found) {
    let mut defined: Vec<String> = vec!["PATH".to_owned()];
    defined.extend(PREDEFINED.iter().map(|name| (*name).to_owned()));
    for command in &stage.commands {
        let names = RefCell::new(BTreeSet::new());
        let collect = |text: &str| {
            names.borrow_mut().append(&mut undefined(text, lexer, &defined));
            Ok(text.to_owned())
        };
        let split = |text: &str| {
            names.borrow_mut().append(&mut undefined(text, lexer, &defined));
            Ok(vec![text.to_owned()])
        };
        // Neither of the two can fail.
        let _ = command.instruction.clone().expand(&collect, &split);
        for name in names.into_inner() {
            let known: Vec<&str> = defined.iter().map(String::as_str).collect();
            let near = nearest(&name, &known).map(|near| format!(" (did you mean ${near}?)"));
            let text = format!(
                "Usage of undefined variable '${name}'{}",
                near.unwrap_or_default()
            );
            found.add("UndefinedVar", command.span, text);
        }
        match &command.instruction {
            Instruction::Arg(args) => defined.extend(args.iter().map(|arg| arg.name.clone())),
            Instruction::Env(pairs) => defined.extend(pairs.iter().map(|(name, _)| name.clone())),
            _ => {}
        }
    }
}

fn undefined(text: &str, lexer: &Lexer, defined: &[String]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // `${NAME:-…}` and its like say themselves what stands for an undefined variable.
    let strict = Lexer {
        skip_unset: true,
        ..*lexer
    };
    let missing = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        if defined.iter().any(|known| known == name) {
            return Some("x".to_owned());
        }
        missing.borrow_mut().insert(name.to_owned());
        None
    };
    let Ok(result) = strict.word(text, &lookup) else {
        return names;
    };
    for name in missing.into_inner() {
        if result.contains(&format!("${name}")) || result.contains(&format!("${{{name}}}")) {
            names.insert(name);
        }
    }
    names
}

const SECRET_WORDS: [&str; 9] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
];

fn looks_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    if lower.contains("public") {
        return false;
    }
    let mut words = lower.split(['_', '-']);
    words.any(|word| SECRET_WORDS.contains(&word) || word == "token")
}

fn secrets(file: &Dockerfile, found: &mut Found) {
    let mut check = |keyword: &str, name: &str, span| {
        if looks_secret(name) {
            let text = format!("Do not use ARG or ENV instructions for sensitive data ({keyword} {name:?})");
            found.add("SecretsUsedInArgOrEnv", span, text);
        }
    };
    for command in file.stages.iter().flat_map(|stage| &stage.commands) {
        match &command.instruction {
            Instruction::Arg(args) => args.iter().for_each(|arg| check("ARG", &arg.name, command.span)),
            Instruction::Env(pairs) => pairs
                .iter()
                .for_each(|(name, _)| check("ENV", name, command.span)),
            _ => {}
        }
    }
}
