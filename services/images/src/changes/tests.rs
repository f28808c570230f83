use super::*;

fn changed(config: RunConfig, changes: &[&str]) -> Result<RunConfig, ChangeError> {
    let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
    let mut config = config;
    apply(&mut config, &changes).map(|()| config)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn every_instruction_changes_its_part() {
    let config = changed(
        RunConfig::default(),
        &[
            "CMD [\"top\", \"-b\"]",
            "env A=1 B=\"two words\" C='x $A'",
            "ENV D the rest",
            "ENV A=2 E=$A-${NOPE:-none}",
            "EXPOSE 80 443/tcp 8000-8002/udp",
            "LABEL a.b=\"c d\" e=f",
            "ONBUILD RUN make",
            "STOPSIGNAL SIGINT",
            "USER 1000:1000",
            "VOLUME [\"/a\", \"/b c\"]",
            "VOLUME /d /e",
            "WORKDIR /srv",
            "WORKDIR sub/../app",
            "HEALTHCHECK --interval=5s --retries=3 CMD curl -f http://x",
        ],
    )
    .unwrap();
    assert_eq!(config.cmd, Some(words(&["top", "-b"])));
    assert_eq!(
        config.env,
        words(&["A=2", "B=two words", "C=x $A", "D=the rest", "E=1-none"])
    );
    let ports: Vec<&String> = config.exposed_ports.keys().collect();
    assert_eq!(ports, ["443/tcp", "80/tcp", "8000/udp", "8001/udp", "8002/udp"]);
    assert_eq!(config.labels["a.b"], "c d");
    assert_eq!(config.on_build, ["RUN make"]);
    assert_eq!(config.stop_signal, "SIGINT");
    assert_eq!(config.user, "1000:1000");
    assert_eq!(
        config.volumes.keys().collect::<Vec<_>>(),
        ["/a", "/b c", "/d", "/e"]
    );
    assert_eq!(config.working_dir, "/srv/app");
    let check = config.healthcheck.unwrap();
    assert_eq!(check.test, ["CMD-SHELL", "curl -f http://x"]);
    assert_eq!((check.interval, check.retries), (5_000_000_000, 3));
}

#[test]
fn a_new_entrypoint_drops_the_images_command_but_not_a_given_one() {
    let with_cmd = RunConfig {
        cmd: Some(words(&["old"])),
        ..RunConfig::default()
    };
    let config = changed(with_cmd.clone(), &["ENTRYPOINT top -b"]).unwrap();
    assert_eq!(config.entrypoint, Some(words(&["/bin/sh", "-c", "top -b"])));
    assert_eq!(config.cmd, None);
    let config = changed(with_cmd, &["CMD [\"new\"]", "ENTRYPOINT [\"top\"]"]).unwrap();
    assert_eq!(config.cmd, Some(words(&["new"])));
}

#[test]
fn lines_may_be_commented_and_continued() {
    let config = changed(RunConfig::default(), &["# no\nENV A=1 \\\n  B=2\n\n", "USER x"]).unwrap();
    assert_eq!(config.env, words(&["A=1", "B=2"]));
    assert_eq!(config.user, "x");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let check = |change: &str, expected: &str| {
        let error = changed(RunConfig::default(), &[change]).unwrap_err().to_string();
        assert!(error.contains(expected), "{change}: {error}");
    };
    check("RUN make", "run is not a valid change command");
    check("nonsense", "nonsense is not a valid change command");
    check("ENV", "ENV requires at least one argument");
    check("ENV A", "ENV must have two arguments");
    check("ENV A=1 B", "can't find = in \"B\"");
    check("ENV =1", "ENV names can not be blank");
    check("ENV A='1", "single-quote");
    check("ENV A=${B", "matching }");
    check("EXPOSE 0", "invalid containerPort: 0");
    check("EXPOSE 80/icmp", "invalid containerPort: 80/icmp");
    check("EXPOSE 90-80", "invalid containerPort: 90-80");
    check("STOPSIGNAL SIGNOPE", "invalid signal: SIGNOPE");
    check("STOPSIGNAL 65", "invalid signal: 65");
    check("ONBUILD ONBUILD RUN x", "Chaining ONBUILD");
    check("ONBUILD FROM x", "FROM isn't allowed");
    check("HEALTHCHECK x", "unknown type \"X\" in HEALTHCHECK (try CMD)");
    check("HEALTHCHECK --interval=x CMD y", "invalid duration");
    check("USER", "USER requires exactly one argument");
}
