//! What Docker does not have, or only with a session: parts in other files, devices, a shell where a step failed.

use std::fs;

use e2e::{Client, clients, daemon};

use super::{build, context};

#[test]
fn a_dockerfile_may_include_files_of_its_context() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let folder = context();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("file");
    write(
        "Dockerfile",
        "FROM busybox\nINCLUDE parts/tools\nRUN cat /made /a.txt\n",
    );
    fs::create_dir(folder.path().join("parts")).expect("folder");
    write("parts/tools", "ENV tool=hammer\nINCLUDE parts/more");
    write("parts/more", "RUN echo $tool > /made\nCOPY a.txt /\n");
    for client in clients(&daemon) {
        let made = build(&client, folder.path(), &["--no-cache"], None);
        assert!(
            made.code == 0 && made.stdout.contains("hammer\na.txt\n"),
            "{}: {made:?}",
            client.name
        );
    }
    write("parts/more", "INCLUDE parts/tools\n");
    let client = clients(&daemon).remove(0);
    for (text, says) in [
        ("FROM busybox\nINCLUDE parts/tools\n", "the file includes itself"),
        (
            "FROM busybox\nINCLUDE ../../etc/passwd\n",
            "outside of the build context",
        ),
        (
            "FROM busybox\nRUN true\nINCLUDE gone\n",
            "line 3: INCLUDE gone: no such file",
        ),
        ("FROM busybox\nINCLUDE evil\n", "no such file"),
    ] {
        write("Dockerfile", text);
        let failed = build(&client, folder.path(), &[], None);
        assert!(
            failed.code != 0 && failed.stderr.contains(says),
            "{text}: {failed:?}"
        );
    }
}

#[test]
fn a_step_gets_a_device_that_the_build_may_have() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let dhow = clients(&daemon).into_iter().find(Client::is_dhow).expect("dhow");
    let folder = context();
    let text = "FROM busybox\nRUN --device=/dev/kmsg test -c /dev/kmsg\nRUN test ! -e /dev/kmsg\n";
    let made = build(&dhow, folder.path(), &["--allow", "device=/dev/kmsg"], Some(text));
    assert_eq!(made.code, 0, "{made:?}");
    for allow in [&[][..], &["--allow", "device=/dev/null"]] {
        let refused = build(
            &dhow,
            folder.path(),
            &[&["--no-cache"], allow].concat(),
            Some(text),
        );
        assert!(
            refused.code != 0 && refused.stderr.contains("device /dev/kmsg is not allowed"),
            "{refused:?}"
        );
    }
}

#[test]
fn a_shell_opens_in_the_state_before_the_step_that_failed() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let dhow = clients(&daemon).into_iter().find(Client::is_dhow).expect("dhow");
    let folder = context();
    let text = "FROM busybox\nARG who=me\nENV there=yes\nWORKDIR /work\nRUN echo before > made\nRUN echo after > made; exit 5\n";
    fs::write(folder.path().join("Dockerfile"), text).expect("file");
    let place = folder.path().display().to_string();
    let entered = dhow.run_with(
        ["build", "--debug", &place],
        b"pwd; cat made; echo $who $there; exit 3\n",
    );
    assert_eq!(entered.code, 5, "{entered:?}");
    assert!(entered.stdout.ends_with("/work\nbefore\nme yes\n"), "{entered:?}");
    assert_eq!(
        entered.stderr.matches("returned a non-zero code: 5").count(),
        1,
        "{entered:?}"
    );
    assert!(entered.stderr.contains("before: RUN echo after"), "{entered:?}");
    let left = dhow.ok(["ps", "--all", "--format", "{{.Command}}"]);
    assert_eq!(
        left.lines().count(),
        1,
        "that of the step stays, that of the shell does not: {left}"
    );
    let fine = dhow.run_with(["build", "--debug", "--target", "x", &place], b"echo no\n");
    assert!(
        fine.code != 0 && !fine.stdout.contains("no\n"),
        "no step has failed: {fine:?}"
    );
}

#[test]
fn what_names_nothing_is_refused_in_dockers_words() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let folder = context();
    for client in clients(&daemon) {
        for (text, why) in [
            (
                "FROM busybox\nENV none=\"\"\nVOLUME $none\n",
                "VOLUME specified can not be an empty string",
            ),
            (
                "FROM busybox\nCOPY --from=0 a b\n",
                "invalid from flag value 0: refers to current build stage",
            ),
            (
                "FROM busybox\nCOPY --from=7 a b\n",
                "invalid from flag value 7: index out of bounds",
            ),
        ] {
            fs::write(folder.path().join("Dockerfile"), text).expect("file");
            let made = build(&client, folder.path(), &[], None);
            assert!(
                made.code != 0 && made.stderr.contains(why),
                "{}: {made:?}",
                client.name
            );
        }
    }
}
