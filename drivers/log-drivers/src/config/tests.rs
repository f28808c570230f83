//! Drivers and options, taken and refused.

use super::*;

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn parse(driver: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let labels = options(&[("com.example", "yes")]);
    let env = ["A=1".to_owned(), "B=2".to_owned()];
    let about = Attributes {
        labels: Some(&labels),
        env: &env,
        id: "0123456789abcdef",
        name: "web",
        image_id: "sha256:fedcba9876543210",
        image_name: "nginx",
        daemon_name: "docker",
    };
    Config::from_options(driver, &options(pairs), PathBuf::from("/x"), &about)
}

#[test]
fn sizes_are_decimal_multiples() {
    let config = parse(
        "json-file",
        &[("max-size", "10m"), ("max-file", "3"), ("compress", "true")],
    )
    .expect("valid");
    assert_eq!(
        (config.max_size, config.max_file, config.compress),
        (Some(10_000_000), 3, true)
    );
    assert_eq!(
        parse("local", &[("max-size", "1.5k")]).expect("valid").max_size,
        Some(1500)
    );
}

#[test]
fn only_the_non_blocking_mode_has_a_buffer_and_its_sizes_are_binary_multiples() {
    let buffer = |pairs: &[(&str, &str)]| parse("json-file", pairs).expect("valid").buffer;
    assert_eq!(buffer(&[]), None);
    assert_eq!(buffer(&[("mode", "blocking")]), None);
    assert_eq!(buffer(&[("mode", "non-blocking")]), Some(1_000_000));
    assert_eq!(
        buffer(&[("mode", "non-blocking"), ("max-buffer-size", "4m")]),
        Some(4 << 20)
    );
}

#[test]
fn attributes_come_from_labels_env_and_tag() {
    let config = parse(
        "json-file",
        &[
            ("labels", "com.example,none"),
            ("env", "B"),
            ("labels-regex", "^com[.]"),
            ("env-regex", "^A$"),
            ("tag", "{{.ID}}/{{ .Name }}-x"),
        ],
    );
    let wanted = options(&[
        ("com.example", "yes"),
        ("A", "1"),
        ("B", "2"),
        ("tag", "0123456789ab/web-x"),
    ]);
    assert_eq!(config.expect("valid").attributes, wanted);
}

#[test]
fn refusals_are_dockers_sentences() {
    for (driver, pairs, text) in [
        (
            "nosuch",
            &[][..],
            "logger: no log driver named 'nosuch' is registered",
        ),
        (
            "json-file",
            &[("foo", "1")][..],
            "unknown log opt 'foo' for json-file log driver",
        ),
        (
            "json-file",
            &[("max-file", "0")][..],
            "max-file cannot be less than 1",
        ),
        (
            "json-file",
            &[("compress", "true")][..],
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        (
            "none",
            &[("mode", "fast")][..],
            "logger: logging mode not supported: fast",
        ),
        (
            "json-file",
            &[("max-buffer-size", "4m")][..],
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
        (
            "local",
            &[("mode", "non-blocking"), ("max-buffer-size", "much")][..],
            "invalid value for max-buffer-size: \"much\"",
        ),
        (
            "local",
            &[("labels", "a")][..],
            "unknown log opt 'labels' for local log driver",
        ),
    ] {
        assert_eq!(parse(driver, pairs).expect_err(text).to_string(), text);
    }
}
