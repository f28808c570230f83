use super::*;

/// Every command path of the tree, with every name.
fn paths() -> Vec<String> {
    fn walk(prefix: &str, entries: &[Entry], out: &mut Vec<String>) {
        for entry in entries {
            for name in entry.names {
                let path = format!("{prefix} {name}");
                match &entry.node {
                    Node::Group(_, inner) => walk(&path, inner, out),
                    Node::MissingGroup(_, inner) => {
                        for (names, _) in *inner {
                            out.extend(names.split(' ').map(|name| format!("{path} {name}")));
                        }
                    }
                    _ => {}
                }
                out.push(path);
            }
        }
    }
    let mut out = Vec::new();
    walk("docker", ROOT, &mut out);
    out
}

#[test]
fn every_command_of_dockers_tree_is_there() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/reference/docker-cli/commands.txt"
    );
    let Ok(text) = std::fs::read_to_string(file) else {
        return crate::console::error(format!("skipped: {file} is not here"));
    };
    let have = paths();
    for line in text.lines().skip(2) {
        let path = line
            .trim_start_matches('#')
            .split('|')
            .next()
            .unwrap()
            .replace("GROUP ", "");
        let path = path.trim();
        assert!(
            path == "docker"
                || have
                    .iter()
                    .any(|p| p == path || path.starts_with("docker trust ")),
            "{path}"
        );
    }
}

#[test]
fn every_flag_of_a_command_that_is_built_is_there() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/reference/docker-cli/flags.tsv"
    );
    let Ok(text) = std::fs::read_to_string(file) else {
        return crate::console::error(format!("skipped: {file} is not here"));
    };
    fn find<'e>(entries: &'e [Entry], path: &[&str]) -> Option<&'e Node> {
        let node = &entries.iter().find(|e| e.names.contains(&path[0]))?.node;
        match node {
            Node::Group(_, inner) if path.len() > 1 => find(inner, &path[1..]),
            node => Some(node),
        }
    }
    let mut checked = 0;
    for line in text.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let path: Vec<&str> = columns[0].split(' ').skip(1).collect();
        if path.is_empty() {
            continue;
        }
        if let Some(Node::Command(command)) = find(ROOT, &path) {
            let name = columns[2].trim_start_matches('-');
            // Every command has it without saying so.
            assert!(
                name == "help" || command.flags.iter().any(|f| f.name == name),
                "{line}"
            );
            checked += 1;
        }
    }
    assert!(checked > 300, "{checked}");
}

#[test]
fn a_command_that_is_not_built_says_so_in_one_line() {
    for (words, message) in [
        (
            &["swarm", "init"][..],
            "dhow swarm init is not available in this version of dhow",
        ),
        (
            &["plugin", "ls"],
            "dhow plugin ls is not available in this version of dhow",
        ),
    ] {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        assert_eq!(dispatch(&words).unwrap_err(), Failure::new(message));
    }
}

#[test]
fn wrong_numbers_of_arguments_are_refused_with_dockers_words() {
    for (words, message) in [
        (
            &["nope"][..],
            "dhow: unknown command: dhow nope\n\nRun 'dhow --help' for more information",
        ),
        (
            &["container", "nope"],
            "dhow: unknown command: dhow container nope\n\nUsage:  dhow container\n\nRun 'dhow container --help' for more information",
        ),
        (
            &["rm"],
            "dhow: 'dhow rm' requires at least 1 argument\n\nUsage:  dhow rm [OPTIONS] CONTAINER [CONTAINER...]\n\nSee 'dhow rm --help' for more information",
        ),
        (
            &["ps", "x"],
            "dhow: 'dhow ps' accepts no arguments\n\nUsage:  dhow ps [OPTIONS]\n\nRun 'dhow ps --help' for more information",
        ),
        (
            &["rename", "a"],
            "dhow: 'dhow rename' requires 2 arguments\n\nUsage:  dhow rename CONTAINER NEW_NAME\n\nRun 'dhow rename --help' for more information",
        ),
        (
            &["port"],
            "dhow: 'dhow port' requires at least 1 and at most 2 arguments\n\nUsage:  dhow port CONTAINER [PRIVATE_PORT[/PROTO]]\n\nRun 'dhow port --help' for more information",
        ),
    ] {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        assert_eq!(dispatch(&words).unwrap_err(), Failure::new(message));
    }
    let words: Vec<String> = ["run", "--nope"].map(str::to_owned).to_vec();
    let failure = dispatch(&words).unwrap_err();
    assert_eq!(failure.code, 125);
    assert_eq!(
        failure.message,
        "unknown flag: --nope\n\nUsage:  dhow run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nRun 'dhow run --help' for more information"
    );
}
