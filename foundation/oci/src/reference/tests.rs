use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// The rows of Docker's own tests, as data; `None`, said aloud, on a machine without them.
fn rows() -> Option<Value> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/reference/image-reference/references.json"
    );
    match std::fs::read(Path::new(path)) {
        Ok(json) => Some(serde_json::from_slice(&json).unwrap()),
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("skipped: {}: {error}", Path::new(path).display());
            }
            None
        }
    }
}

fn cases<'a>(rows: &'a Value, table: &str) -> &'a Vec<Value> {
    let table = &rows[table];
    table.get("cases").unwrap_or(table).as_array().unwrap()
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_default()
}

fn error_name(error: &ReferenceError) -> &'static str {
    match error {
        ReferenceError::NameEmpty => "name-empty",
        ReferenceError::Format => "invalid-format",
        ReferenceError::Uppercase | ReferenceError::UppercaseName(_) => "name-contains-uppercase",
        ReferenceError::TooLong => "name-too-long",
        ReferenceError::Identifier(_) => "identifier",
        ReferenceError::Tag => "tag-invalid-format",
        ReferenceError::Digest(DigestError::Length) => "digest-invalid-length",
        ReferenceError::Digest(DigestError::Unsupported) => "digest-unsupported-algorithm",
        ReferenceError::Digest(DigestError::Format) => "digest-invalid-format",
    }
}

#[test]
fn strict_references_are_read_as_docker_reads_them() {
    let Some(rows) = rows() else { return };
    for case in cases(&rows, "parse") {
        let input = text(case, "input");
        match (Reference::parse(input), case.get("error")) {
            (Ok(reference), None) => {
                assert_eq!(reference.name(), text(case, "repository"), "{input}");
                assert_eq!(reference.domain(), text(case, "domain"), "{input}");
                assert_eq!(reference.tag().unwrap_or_default(), text(case, "tag"), "{input}");
                let digest = reference.digest().map(ToString::to_string);
                assert_eq!(digest.unwrap_or_default(), text(case, "digest"), "{input}");
                assert_eq!(reference.to_string(), input);
            }
            (Err(error), Some(expected)) => assert_eq!(error_name(&error), expected, "{input}"),
            (result, expected) => panic!("{input}: {result:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn names_are_normalised_or_refused_as_docker_does() {
    let Some(rows) = rows() else { return };
    for case in cases(&rows, "normalized_valid") {
        let input = case.as_str().unwrap();
        Reference::parse_normalized(input).unwrap_or_else(|e| panic!("{input}: {e}"));
    }
    for case in cases(&rows, "normalized_invalid") {
        let input = case.as_str().unwrap();
        assert!(Reference::parse_normalized(input).is_err(), "{input}");
    }
    for case in cases(&rows, "normalized_parts") {
        let spellings = ["familiar", "full", "ambiguous"].map(|key| text(case, key));
        for spelling in spellings.iter().filter(|spelling| !spelling.is_empty()) {
            let reference = Reference::parse_normalized(spelling).unwrap();
            assert_eq!(reference.domain(), text(case, "domain"), "{spelling}");
            assert_eq!(reference.path(), text(case, "path"), "{spelling}");
            assert_eq!(reference.to_string(), text(case, "full"), "{spelling}");
            assert_eq!(reference.familiar(), text(case, "familiar"), "{spelling}");
        }
    }
    for case in cases(&rows, "split_hostname") {
        let reference = Reference::parse_normalized(text(case, "input")).unwrap();
        assert_eq!(reference.domain(), text(case, "domain"));
        assert_eq!(reference.path(), text(case, "path"));
    }
}

#[test]
fn ids_names_and_default_tags_are_told_apart_as_docker_does() {
    let Some(rows) = rows() else { return };
    for case in cases(&rows, "any_reference") {
        let input = text(case, "input");
        let full = AnyReference::parse(input).unwrap().to_string();
        assert_eq!(full, text(case, "full"), "{input}");
    }
    for case in cases(&rows, "docker_ref") {
        let input = text(case, "input");
        let full = Reference::parse_docker(input).unwrap().to_string();
        assert_eq!(full, text(case, "full"), "{input}");
    }
}

#[test]
fn patterns_fit_names_as_docker_says() {
    let Some(rows) = rows() else { return };
    for case in cases(&rows, "familiar_match") {
        let reference = Reference::parse_normalized(text(case, "reference")).unwrap();
        let pattern = text(case, "pattern");
        let fits = familiar_match(pattern, &reference);
        assert_eq!(
            fits,
            Ok(case["match"].as_bool().unwrap()),
            "{pattern} {reference}"
        );
    }
    let reference = Reference::parse_normalized("foo").unwrap();
    assert_eq!(familiar_match("[-x]", &reference), Err(PatternError));
}

#[test]
fn the_grammar_accepts_what_dockers_expressions_accept() {
    let Some(rows) = rows() else { return };
    let wanted = |case: &Value| case["match"].as_bool().unwrap();
    let capture = |case: &Value, n: usize| case["captures"][n].as_str().unwrap_or_default().to_owned();
    for case in cases(&rows, "regex_domain") {
        let input = text(case, "input");
        assert_eq!(grammar::is_domain(input), wanted(case), "{input}");
    }
    for case in cases(&rows, "regex_full_name") {
        let input = text(case, "input");
        let split = grammar::split_name(input);
        assert_eq!(split.is_some(), wanted(case), "{input}");
        // A row without captures says only that the text fits.
        if let (Some((domain, path)), Some(_)) = (split, case.get("captures")) {
            assert_eq!(
                (domain, path),
                (capture(case, 0).as_str(), capture(case, 1).as_str()),
                "{input}"
            );
        }
    }
    for case in cases(&rows, "regex_reference") {
        let input = text(case, "input");
        let split = grammar::split(input);
        assert_eq!(split.is_some(), wanted(case), "{input}");
        if let (Some(parts), Some(_)) = (split, case.get("captures")) {
            let name = if parts.domain.is_empty() {
                parts.path.to_owned()
            } else {
                format!("{}/{}", parts.domain, parts.path)
            };
            let found = [
                &name,
                parts.tag.unwrap_or_default(),
                parts.digest.unwrap_or_default(),
            ];
            assert_eq!(
                found.map(str::to_owned),
                [0, 1, 2].map(|n| capture(case, n)),
                "{input}"
            );
        }
    }
    for case in cases(&rows, "regex_identifier") {
        let input = text(case, "input");
        assert_eq!(grammar::is_identifier(input), wanted(case), "{input}");
    }
}

#[test]
fn errors_have_dockers_words() {
    let check = |input: &str, expected: &str| {
        assert_eq!(
            Reference::parse_normalized(input).unwrap_err().to_string(),
            expected,
            "{input}"
        );
    };
    check(
        "Alpine",
        "invalid reference format: repository name (library/Alpine) must be lowercase",
    );
    check("a//b", "invalid reference format");
    check("alpine:", "invalid reference format");
    check("alpine@sha256:00", "invalid reference format");
    check(
        &"a".repeat(64),
        &format!(
            "invalid repository name ({}), cannot specify 64-byte hexadecimal strings",
            "a".repeat(64)
        ),
    );
    let long = "b".repeat(256);
    check(
        &format!("x/{long}"),
        "repository name must not be more than 255 characters",
    );
    let alpine = Reference::parse_normalized("alpine").unwrap();
    assert_eq!(
        alpine.with_tag("a b").unwrap_err().to_string(),
        "invalid tag format"
    );
}

proptest! {
    #[test]
    fn any_text_is_refused_or_survives_its_own_familiar_and_canonical_form(input in "[a-zA-Z0-9:/@._\\[\\]é-]{0,40}") {
        if let Ok(reference) = Reference::parse_normalized(&input) {
            prop_assert_eq!(&Reference::parse_normalized(&reference.to_string()).unwrap(), &reference);
            prop_assert_eq!(&Reference::parse_normalized(&reference.familiar()).unwrap(), &reference);
        }
        let _ = AnyReference::parse(&input);
    }
}

#[test]
fn a_repository_of_a_registry_has_neither_domain_nor_tag_nor_steps_upwards() {
    for good in ["a", "a/b", "team/my-app__x.y", "a--b", &"a".repeat(255)] {
        assert!(is_repository(good), "{good}");
    }
    for bad in [
        "",
        "/a",
        "a/",
        "a//b",
        "A",
        "..",
        "a/../b",
        "a:1",
        "a_",
        "a@b",
        "a___b",
        &"a".repeat(256),
    ] {
        assert!(!is_repository(bad), "{bad}");
    }
    assert!(is_tag("1.0_x-Y") && !is_tag(".x") && !is_tag("") && !is_tag("a/b") && !is_tag(&"a".repeat(129)));
}

#[test]
fn the_short_name_of_a_repository_is_never_that_of_another() {
    for (full, short) in [
        ("docker.io/library/a", "a"),
        ("docker.io/a/b", "a/b"),
        ("docker.io/example.com/a", "docker.io/example.com/a"),
        ("docker.io/localhost/a", "docker.io/localhost/a"),
        ("docker.io/docker.io/a", "docker.io/docker.io/a"),
        ("docker.io/index.docker.io/a", "docker.io/index.docker.io/a"),
    ] {
        let reference = Reference::parse_normalized(full).unwrap();
        assert_eq!(reference.familiar(), short);
        assert_eq!(Reference::parse_normalized(short).unwrap(), reference);
    }
}
