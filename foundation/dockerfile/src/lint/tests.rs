//! One Dockerfile for each rule, and one that keeps it.

use super::*;

fn rules(text: &str) -> Vec<(&'static str, usize)> {
    let file = Dockerfile::parse(text).unwrap();
    let options = Options {
        advice: true,
        ..Options::default()
    };
    lint(&file, &options)
        .into_iter()
        .map(|warning| (warning.rule, warning.span.first))
        .collect()
}

#[test]
fn each_rule_finds_what_it_is_for_and_nothing_else() {
    for (text, expect) in [
        ("FROM a:1 AS Big\n", vec![("StageNameCasing", 1)]),
        ("FROM a:1 as b\n", vec![("FromAsCasing", 1)]),
        ("FROM a:1\nRUN x \\\n\n y\n", vec![("NoEmptyContinuation", 3)]),
        ("FROM a:1\nRun x\n", vec![("ConsistentInstructionCasing", 2)]),
        ("from a:1\nrun x\n", vec![]),
        ("FROM a:1 AS x\nFROM b:1 AS x\n", vec![("DuplicateStageName", 2)]),
        ("FROM a:1 AS scratch\n", vec![("ReservedStageName", 1)]),
        ("FROM a:1\nCMD x\n", vec![("JSONArgsRecommended", 2)]),
        ("FROM a:1\nSHELL [\"bash\"]\nCMD x\n", vec![]),
        ("FROM a:1\nMAINTAINER x\n", vec![("MaintainerDeprecated", 2)]),
        ("ARG VERSION=1\nFROM a:$VERSIN\n", vec![("UndefinedArgInFrom", 2)]),
        ("ARG VERSION=1\nFROM a:$VERSION\n", vec![]),
        ("FROM a:1\nWORKDIR x\n", vec![("WorkdirRelativePath", 2)]),
        ("FROM a:1\nWORKDIR /x\nWORKDIR y\n", vec![]),
        ("FROM scratch\nARG foo\nCOPY $fooo /\n", vec![("UndefinedVar", 3)]),
        ("FROM scratch\nCOPY ${x:-y} /\n", vec![]),
        (
            "FROM a:1\nCMD [\"a\"]\nCMD [\"b\"]\n",
            vec![("MultipleInstructionsDisallowed", 2)],
        ),
        ("FROM a:1\nENV a b\n", vec![("LegacyKeyValueFormat", 2)]),
        (
            "FROM --platform=$TARGETPLATFORM a:1\n",
            vec![("RedundantTargetPlatform", 1)],
        ),
        ("FROM a:1\nARG MY_PASSWORD\n", vec![("SecretsUsedInArgOrEnv", 2)]),
        ("FROM a:1\nENV PUBLIC_KEY=x MONKEY=y\n", vec![]),
        ("ARG TAG\nFROM a:$TAG\n", vec![("InvalidDefaultArgInFrom", 2)]),
        (
            "FROM --platform=linux/amd64 a:1\n",
            vec![("FromPlatformFlagConstDisallowed", 1)],
        ),
        (
            "# something\nFROM a:1 AS b\n",
            vec![("InvalidDefinitionDescription", 2)],
        ),
        ("# b is the base\nFROM a:1 AS b\n", vec![]),
        ("FROM a:1\nEXPOSE 80/TCP\n", vec![("ExposeProtoCasing", 2)]),
        ("FROM a:1\nEXPOSE 80:80\n", vec![("ExposeInvalidFormat", 2)]),
        ("FROM a:1\nRUN apt-get update\n", vec![("AptUpdateAlone", 2)]),
        ("FROM a:1\nRUN apt-get update && apt-get install -y x\n", vec![]),
        ("FROM a:1\nRUN apt-get -y upgrade\n", vec![("DistUpgrade", 2)]),
        ("FROM a:1\nRUN a | b\n", vec![("PipefailMissing", 2)]),
        ("FROM a:1\nRUN set -o pipefail; a | b\n", vec![]),
        ("FROM a\n", vec![("LatestTag", 1)]),
        ("FROM a:latest AS b\nFROM b\n", vec![("LatestTag", 1)]),
    ] {
        assert_eq!(rules(text), expect, "{text}");
    }
    assert_eq!(
        rules("FROM a:1\nCMD service x start && service y start\n"),
        [("JSONArgsRecommended", 2), ("SeveralServices", 2)]
    );
}

#[test]
fn a_copied_file_that_is_ignored_is_found() {
    let file = Dockerfile::parse("FROM a:1\nCOPY x.md y /\nADD docs /\n").unwrap();
    let ignore = Ignore::parse("*.md\ndocs\n").unwrap();
    let options = Options {
        ignore: Some(&ignore),
        ..Options::default()
    };
    let found: Vec<_> = lint(&file, &options)
        .into_iter()
        .map(|warning| warning.message)
        .collect();
    assert_eq!(
        found,
        [
            "Attempting to Copy file \"x.md\" that is excluded by .dockerignore",
            "Attempting to Add file \"docs\" that is excluded by .dockerignore",
        ]
    );
}

#[test]
fn a_file_switches_rules_off() {
    assert_eq!(rules("# check=skip=JSONArgsRecommended\nFROM a:1\nCMD x\n"), []);
    assert_eq!(rules("# check=skip=all\nFROM a\nCMD x\nMAINTAINER y\n"), []);
    assert!(Config::parse("skip=A, B;error=true").error);
}

#[test]
fn every_rule_has_a_description() {
    let file = Dockerfile::parse("FROM a\nCMD x\n").unwrap();
    let options = Options {
        advice: true,
        ..Options::default()
    };
    assert!(
        lint(&file, &options)
            .iter()
            .all(|warning| !warning.description().is_empty())
    );
}
