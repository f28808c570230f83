//! The json-file log on disk: rotation, compression, attributes; `logs` over all of it.

use std::path::PathBuf;

use e2e::{Client, daemon, for_each_client, until};
use serde_json::Value;

/// Writes 3,000 numbered lines with these flags.
fn chatter(docker: &Client, flags: &[&str], then: &str) -> PathBuf {
    let script = format!("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; {then}");
    let run = ["run", "--name", "talk"].iter().chain(flags);
    docker.ok(run.chain(&["busybox", "sh", "-c", &script]));
    docker.ok(["inspect", "-f", "{{.LogPath}}", "talk"]).into()
}

fn numbers(text: &str) -> Vec<u32> {
    text.lines()
        .map(|line| {
            let number = line.strip_prefix("line ").and_then(|rest| rest.parse().ok());
            number.unwrap_or_else(|| panic!("{line:?}"))
        })
        .collect()
}

#[test]
fn a_log_is_rotated_at_its_size_and_read_as_one() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let log = chatter(
            docker,
            &["--log-opt", "max-size=20k", "--log-opt", "max-file=3"],
            "",
        );
        let file = |suffix: &str| PathBuf::from(format!("{}{suffix}", log.display()));
        for suffix in ["", ".1", ".2"] {
            let size = std::fs::metadata(file(suffix)).expect(suffix).len();
            assert!(size > 0 && size < 21_000, "{suffix}: {size}");
        }
        assert!(!file(".3").exists());
        let text = docker.ok(["logs", "talk"]);
        let found = numbers(&text);
        let first = found[0];
        assert!(first > 0, "nothing was dropped");
        assert_eq!(
            found,
            (first..3000).collect::<Vec<_>>(),
            "no gap, no double, in order"
        );
        assert_eq!(numbers(&docker.ok(["logs", "--tail", "400", "talk"])).len(), 400);
        docker.ok(["rm", "talk"]);
        assert!(!log.exists());
    });
}

#[test]
fn rotated_files_are_compressed_if_asked_and_still_read() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let options = ["max-size=20k", "max-file=3", "compress=true"];
        let mut flags = vec!["-d"];
        flags.extend(options.iter().flat_map(|option| ["--log-opt", option]));
        let log = chatter(docker, &flags, "sleep 1000");
        let exists = |suffix: &str| PathBuf::from(format!("{}{suffix}", log.display())).exists();
        until("compression of all that is rotated", || {
            exists(".2.gz") && exists(".1.gz") && !exists(".1") && !exists(".2")
        });
        until("the last line", || {
            docker.ok(["logs", "talk"]).ends_with("line 2999")
        });
        let found = numbers(&docker.ok(["logs", "talk"]));
        assert_eq!(found, (found[0]..3000).collect::<Vec<_>>());
        docker.ok(["rm", "-f", "talk"]);
    });
}

#[test]
fn a_log_of_the_mode_non_blocking_is_whole_at_the_containers_end() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let options = [
            "mode=non-blocking",
            "max-buffer-size=4m",
            "max-size=20k",
            "max-file=20",
        ];
        let flags: Vec<&str> = options.iter().flat_map(|option| ["--log-opt", option]).collect();
        chatter(docker, &flags, "");
        let found = numbers(&docker.ok(["logs", "talk"]));
        assert_eq!(found, (0..3000).collect::<Vec<_>>());
        docker.ok(["rm", "talk"]);
    });
}

#[test]
fn chosen_labels_variables_and_the_tag_stand_in_every_line() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let options = [
            "labels=team",
            "labels-regex=^zone-",
            "env=MODE",
            "env-regex=^APP_",
            "tag={{.Name}}/{{.ImageName}}",
        ];
        let mut flags: Vec<&str> = options.iter().flat_map(|option| ["--log-opt", option]).collect();
        for label in ["team=blue", "zone-a=1", "other=x"] {
            flags.extend(["--label", label]);
        }
        for variable in ["MODE=fast", "APP_ID=7", "SECRET=s"] {
            flags.extend(["-e", variable]);
        }
        let run = ["run", "--name", "marked"].iter().chain(&flags);
        docker.ok(run.chain(&["busybox", "echo", "said"]));
        let log = docker.ok(["inspect", "-f", "{{.LogPath}}", "marked"]);
        let text = std::fs::read_to_string(log).expect("log");
        let line: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
        let expected = serde_json::json!({
            "team": "blue", "zone-a": "1", "MODE": "fast", "APP_ID": "7", "tag": "marked/busybox",
        });
        assert_eq!((&line["log"], &line["attrs"]), (&"said\n".into(), &expected));
        let details = docker.ok(["logs", "--details", "marked"]);
        for pair in ["team=blue", "zone-a=1", "MODE=fast", "APP_ID=7"] {
            assert!(details.contains(pair), "{details}");
        }
        assert!(
            details.ends_with(" said") && !details.contains("SECRET"),
            "{details}"
        );
        docker.ok(["rm", "marked"]);
    });
}

#[test]
fn log_options_that_do_not_exist_are_refused() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        for (option, words) in [
            ("nosuch=1", "unknown log opt 'nosuch' for json-file log driver"),
            ("max-size=lots", "max-size"),
            ("max-file=-1", "max-file"),
            ("labels-regex=(", "regex"),
        ] {
            let error = docker.fails(1, ["create", "--log-opt", option, "busybox"]);
            assert!(error.contains(words), "{option}: {error}");
        }
        assert_eq!(docker.ok(["ps", "-aq"]), "");
    });
}
