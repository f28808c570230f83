//! Contexts and programs that would take all that there is.

use std::fs;

use e2e::{Client, clients, daemon};

use super::{build, context};

#[test]
fn a_context_that_cannot_fit_is_refused_before_it_is_sent() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let dhow = clients(&daemon).into_iter().find(Client::is_dhow).expect("dhow");
    let folder = context();
    fs::write(folder.path().join("Dockerfile"), "FROM busybox\nCOPY a.txt /\n").expect("file");
    let giant = fs::File::create(folder.path().join("giant")).expect("file");
    giant.set_len(10 << 40).expect("a file with a hole");
    let refused = build(&dhow, folder.path(), &[], None);
    assert!(
        refused.code != 0 && refused.stderr.contains("bytes are free"),
        "{refused:?}"
    );
    fs::write(folder.path().join(".dockerignore"), "giant\n").expect("file");
    let fine = build(&dhow, folder.path(), &[], None);
    assert_eq!(fine.code, 0, "{fine:?}");
}

#[test]
fn a_fork_bomb_ends_at_its_limit_and_leaves_no_process() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let dhow = clients(&daemon).into_iter().find(Client::is_dhow).expect("dhow");
    // A user that nothing else on the machine is: the limit counts all processes of one.
    let text = "FROM busybox\nUSER 1954321\nRUN i=0; while [ $i -lt 500 ]; do sleep 100000 & i=$((i+1)); done; wait\n";
    let folder = context();
    let ended = build(
        &dhow,
        folder.path(),
        &["--ulimit", "nproc=40:40", "--force-rm"],
        Some(text),
    );
    assert!(
        ended.code != 0 && ended.stderr.contains("returned a non-zero code"),
        "{ended:?}"
    );
    assert!(ended.stdout.contains("fork"), "{ended:?}");
    let of_the_user = |entry: &fs::DirEntry| {
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("Uid:\t1954321\t"))
    };
    let left = fs::read_dir("/proc").expect("/proc").flatten();
    assert_eq!(left.filter(of_the_user).count(), 0);
    assert_eq!(dhow.ok(["ps", "--all", "--quiet"]), "");
}

#[test]
fn triggers_run_once_for_each_image_that_is_built_on_them() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let dhow = clients(&daemon).into_iter().find(Client::is_dhow).expect("dhow");
    let folder = context();
    let base = "FROM busybox\nONBUILD RUN echo first >> /log\nONBUILD COPY a.txt /copied\n";
    assert_eq!(
        build(&dhow, folder.path(), &["-t", "trigger"], Some(base)).code,
        0
    );
    fs::write(
        folder.path().join("Dockerfile"),
        "FROM trigger AS one\nONBUILD RUN echo second >> /log\nFROM one AS two\nFROM two\nCMD [\"cat\", \"/log\", \"/copied\"]\n",
    )
    .expect("file");
    let built = build(&dhow, folder.path(), &["-t", "triggered"], None);
    assert_eq!(built.code, 0, "{built:?}");
    assert_eq!(dhow.ok(["run", "--rm", "triggered"]), "first\nsecond\na.txt");
    let many = format!("FROM busybox\n{}", "ONBUILD ENV a=b\n".repeat(1001));
    assert_eq!(build(&dhow, folder.path(), &["-t", "many"], Some(&many)).code, 0);
    let refused = build(&dhow, folder.path(), &[], Some("FROM many\nRUN true\n"));
    assert!(
        refused.code != 0 && refused.stderr.contains("too many ONBUILD triggers"),
        "{refused:?}"
    );
}
