//! Every form of substitution, with the results that BuildKit gives.

use super::*;

fn variables(name: &str) -> Option<String> {
    let value = match name {
        "SET" => "value",
        "EMPTY" => "",
        "PATH_" => "/usr/local/bin",
        "TWO" => "a b",
        "RU" => "привет",
        "STAR" => "*x*",
        _ => return None,
    };
    Some(value.to_owned())
}

#[test]
fn every_form_of_a_variable_is_put_in() {
    for (text, expect) in [
        ("$SET", "value"),
        ("${SET}x", "valuex"),
        ("$SETx", ""),
        ("a$", "a$"),
        ("$SET$SET", "valuevalue"),
        ("\\$SET", "$SET"),
        ("'$SET'", "$SET"),
        ("\"$SET\"", "value"),
        ("\"\\$SET \\a \\\"\"", "$SET \\a \""),
        ("\\a\\\\", "a\\"),
        ("${NONE:-word}", "word"),
        ("${NONE-word}", "word"),
        ("${EMPTY:-word}", "word"),
        ("${EMPTY-word}", ""),
        ("${SET:-word}", "value"),
        ("${NONE:+word}", ""),
        ("${EMPTY:+word}", ""),
        ("${EMPTY+word}", "word"),
        ("${SET:+word}", "word"),
        ("${SET:?no}", "value"),
        ("${EMPTY?no}", ""),
        ("${NONE:-${SET}}", "value"),
        ("${NONE:-'a b'}", "a b"),
        ("${NONE:-\"$SET\"}", "value"),
        ("${NONE:-\\}}", "}"),
        ("${PATH_#*/}", "usr/local/bin"),
        ("${PATH_##*/}", "bin"),
        ("${PATH_%/*}", "/usr/local"),
        ("${PATH_%%/*}", ""),
        ("${PATH_%n?*}", "/usr/local/bin"),
        ("${PATH_/local/x}", "/usr/x/bin"),
        ("${PATH_//\\//_}", "_usr_local_bin"),
        ("${PATH_/l*l/x}", "/usr/x/bin"),
        ("${STAR/\\*/+}", "+x*"),
        ("${STAR//\\*/+}", "+x+"),
        ("${RU#п}", "ривет"),
        ("${RU%?}", "приве"),
        ("$1$10x", "x"),
        ("x${NONE}y", "xy"),
    ] {
        assert_eq!(
            Lexer::new('\\').word(text, &variables).as_deref(),
            Ok(expect),
            "{text}"
        );
    }
}

#[test]
fn what_cannot_be_expanded_says_why() {
    for (text, expect) in [
        ("${", "syntax error: missing '}'"),
        ("${SET", "syntax error: missing '}'"),
        ("${SET:-x", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${:x}", "syntax error: bad substitution"),
        ("${{x}}", "syntax error: bad substitution"),
        ("${SET^}", "unsupported modifier (^) in substitution"),
        ("${SET:#x}", "unsupported modifier (:#) in substitution"),
        ("${NONE:?}", "NONE: is not allowed to be empty"),
        ("${NONE?}", "NONE: is not allowed to be unset"),
        ("${NONE?give it}", "NONE: give it"),
        ("${EMPTY:?give it}", "EMPTY: give it"),
        (
            "'a",
            "unexpected end of statement while looking for matching single-quote",
        ),
        (
            "\"a",
            "unexpected end of statement while looking for matching double-quote",
        ),
    ] {
        let error = Lexer::new('\\').word(text, &variables).unwrap_err();
        assert_eq!(error.to_string(), expect, "{text}");
    }
    let deep = "${A:-".repeat(10_000);
    assert_eq!(
        Lexer::new('\\').word(&deep, &variables),
        Err(ExpandError::TooDeep)
    );
}

#[test]
fn values_are_split_into_words_unless_quoted() {
    let lexer = Lexer::new('\\');
    assert_eq!(lexer.words("$TWO c", &variables).unwrap(), ["a", "b", "c"]);
    assert_eq!(lexer.words("\"$TWO\" c", &variables).unwrap(), ["a b", "c"]);
    assert_eq!(lexer.words("a\\ b ''", &variables).unwrap(), ["a b", ""]);
}

#[test]
fn the_escape_character_is_that_of_the_file() {
    let lexer = Lexer::new('`');
    assert_eq!(lexer.word("c:\\x `$SET", &variables).unwrap(), "c:\\x $SET");
}

#[test]
fn unknown_variables_stay_where_that_is_wished() {
    let lexer = Lexer {
        skip_unset: true,
        ..Lexer::new('\\')
    };
    assert_eq!(
        lexer.word("$NONE ${NONE} $SET", &variables).unwrap(),
        "$NONE ${NONE} value"
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_fail_otherwise_than_with_an_error(text in "[\\$\\{\\}:?+%#/*'\"\\\\a-zA-Z ]{0,60}") {
        let _ = Lexer::new('\\').words(&text, &variables);
    }
}
