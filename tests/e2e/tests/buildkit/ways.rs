//! What only a build with BuildKit's session can do, and other ways for files to come and go.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use e2e::{daemon, until};

use super::{build, build_from, folder, with_buildkit_inside};

#[test]
fn a_secret_is_there_for_its_step_and_nowhere_else() {
    let Some(daemon) = daemon() else { return };
    let Some(docker) = with_buildkit_inside(&daemon) else {
        return;
    };
    daemon.load_busybox();
    let text = "FROM busybox\nRUN --mount=type=secret,id=one,required=true sed s/u/U/g /run/secrets/one\n\
                RUN --mount=type=secret,id=two,target=/x,mode=0444 stat -c %a /x; cat /x | wc -c\n\
                RUN --mount=type=secret,id=none test ! -e /run/secrets/none\n\
                RUN test ! -e /run/secrets/one && test ! -e /x\n";
    let context = folder(&[("Dockerfile", text)]);
    let secrets = folder(&[("one", "hush hush\n"), ("two", "12345")]);
    let source = |id: &str| format!("id={id},src={}", secrets.path().join(id).display());
    let (one, two) = (source("one"), source("two"));
    let built = build(
        &docker,
        context.path(),
        &["--secret", &one, "--secret", &two, "-t", "quiet"],
    );
    assert_eq!(built.code, 0, "{built:?}");
    assert!(
        built.stderr.contains("hUsh hUsh") && built.stderr.contains("444\n"),
        "{built:?}"
    );
    let archive = secrets.path().join("saved.tar");
    docker.ok(["save", "-o", archive.to_str().expect("text"), "quiet"]);
    let saved = fs::read(&archive).expect("archive");
    assert!(!saved.windows(9).any(|bytes| bytes == b"hush hush"));
    assert!(!docker.ok(["history", "--no-trunc", "quiet"]).contains("hush"));
    let missing = build(&docker, context.path(), &["--no-cache"]);
    assert!(
        missing.code == 1 && missing.stderr.contains("secret one: not found"),
        "{missing:?}"
    );
}

/// Ends with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_step_asks_the_agent_of_the_client() {
    let Some(daemon) = daemon() else { return };
    let Some(docker) = with_buildkit_inside(&daemon) else {
        return;
    };
    let programs = ["ssh-agent", "ssh-add", "ssh-keygen"].map(|name| PathBuf::from("/usr/bin").join(name));
    if let Some(missing) = programs.iter().find(|program| !program.exists()) {
        println!("skipped: {} is not here", missing.display());
        return;
    }
    daemon.load_busybox();
    let keys = tempfile::tempdir().expect("folder");
    let (socket, key) = (keys.path().join("agent"), keys.path().join("key"));
    let agent = Command::new(&programs[0])
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn();
    let _agent = Agent(agent.expect("ssh-agent"));
    until("the agent listens", || {
        std::os::unix::net::UnixStream::connect(&socket).is_ok()
    });
    let generate = Command::new(&programs[2])
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "the key of the test", "-f"])
        .arg(&key)
        .status();
    assert!(generate.expect("ssh-keygen").success());
    let add = Command::new(&programs[1])
        .arg("-q")
        .arg(&key)
        .env("SSH_AUTH_SOCK", &socket)
        .status();
    assert!(add.expect("ssh-add").success());
    // The program and its libraries, from here.
    let context = folder(&[(
        "Dockerfile",
        "FROM busybox\nCOPY root /\nRUN --mount=type=ssh,required=true /usr/bin/ssh-add -l\n\
         RUN --mount=type=ssh,id=other,target=/agent,mode=0666 /usr/bin/ssh-add -l; stat -c %a /agent\n\
         RUN test ! -e /run/buildkit/ssh_agent.0 && test -z \"$SSH_AUTH_SOCK\"\n",
    )]);
    copy_program(&programs[1], &context.path().join("root"));
    let ssh = [
        format!("default={}", socket.display()),
        format!("other={}", socket.display()),
    ];
    let built = build(&docker, context.path(), &["--ssh", &ssh[0], "--ssh", &ssh[1]]);
    assert_eq!(built.code, 0, "{built:?}");
    assert_eq!(
        built.stderr.matches("the key of the test").count(),
        2,
        "{built:?}"
    );
    assert!(built.stderr.contains("666\n"), "{built:?}");
    let without = build(&docker, context.path(), &["--no-cache"]);
    assert!(
        without.code == 1 && without.stderr.contains("unset ssh forward key default"),
        "{without:?}"
    );
    // dhow has no session: its connections wait for the steps.
    let found = e2e::clients(&daemon).into_iter().find(e2e::Client::is_dhow);
    let dhow = found.expect("dhow is among the clients");
    let place = context.path().display().to_string();
    let words = ["build", "--no-cache", "--ssh", &ssh[0], "--ssh", &ssh[1], &place];
    let built = dhow.run(words);
    assert_eq!(built.code, 0, "{built:?}");
    assert_eq!(
        built.stdout.matches("the key of the test").count(),
        2,
        "{built:?}"
    );
    // A key in a file is given to an agent of the build's own, which ends with it.
    let theirs = tempfile::tempdir().expect("folder");
    let from_file = format!("default={}", key.display());
    let words = [
        "build",
        "--no-cache",
        "--ssh",
        &from_file,
        "--ssh",
        &ssh[1],
        &place,
    ];
    let mut command = dhow.command(words);
    let built = command
        .env("TMPDIR", theirs.path())
        .env("HOME", theirs.path())
        .output();
    let built = built.expect("dhow");
    let told = String::from_utf8_lossy(&built.stdout);
    assert!(built.status.success(), "{built:?}");
    assert_eq!(told.matches("the key of the test").count(), 2, "{told}");
    let mark = theirs.path().display().to_string();
    let has_mark = |entry: &fs::DirEntry| {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&mark)
    };
    until("nothing that the build started is left", || {
        !fs::read_dir("/proc")
            .expect("proc")
            .flatten()
            .any(|entry| has_mark(&entry))
    });
    let broken = context.path().join("Dockerfile").display().to_string();
    let refused = dhow.run(["build", "--ssh", &format!("default={broken}"), &place]);
    assert!(
        refused.code == 1 && refused.stderr.contains("ssh-add does not take the key"),
        "{refused:?}"
    );
    let without = dhow.run(["build", "--no-cache", &place]);
    assert!(
        without.code == 1 && without.stderr.contains("unset ssh forward key default"),
        "{without:?}"
    );
}

/// Copies a program and the libraries that it is linked with to the same paths below a root.
fn copy_program(program: &Path, root: &Path) {
    let libraries = Command::new("ldd").arg(program).output().expect("ldd");
    let text = String::from_utf8_lossy(&libraries.stdout).into_owned();
    let libraries = text
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from);
    for path in libraries.chain([program.to_owned()]) {
        let to = root.join(path.strip_prefix("/").expect("an absolute path"));
        fs::create_dir_all(to.parent().expect("parent")).expect("folder");
        fs::copy(&path, &to).expect("copy");
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).expect("mode");
    }
}

#[test]
fn a_dockerfile_or_an_archive_comes_on_standard_input() {
    let Some(daemon) = daemon() else { return };
    let Some(docker) = with_buildkit_inside(&daemon) else {
        return;
    };
    daemon.load_busybox();
    let built = build_from(&docker, "-", &[], Some(b"FROM busybox\nRUN echo from a text\n"));
    assert!(
        built.code == 0 && built.stderr.contains("from a text"),
        "{built:?}"
    );
    let context = folder(&[
        ("Dockerfile", "FROM busybox\nCOPY a /\nRUN cat /a\n"),
        ("a", "from an archive\n"),
    ]);
    let packed = Command::new("tar")
        .arg("-cf-")
        .arg("-C")
        .arg(context.path())
        .arg(".")
        .output()
        .expect("tar");
    let built = build_from(&docker, "-", &["-t", "packed"], Some(&packed.stdout));
    assert!(
        built.code == 0 && built.stderr.contains("from an archive"),
        "{built:?}"
    );
    docker.ok(["image", "inspect", "packed"]);
    let elsewhere = folder(&[("D", "FROM busybox\nCOPY a /b\nRUN cat /b\n")]);
    let file = elsewhere.path().join("D").display().to_string();
    let built = build(&docker, context.path(), &["-f", &file]);
    assert!(
        built.code == 0 && built.stderr.contains("from an archive"),
        "{built:?}"
    );
}

#[test]
fn files_come_back_as_a_directory_or_an_archive() {
    let Some(daemon) = daemon() else { return };
    let Some(docker) = with_buildkit_inside(&daemon) else {
        return;
    };
    daemon.load_busybox();
    let text = "FROM busybox AS b\nRUN mkdir -p /o/d && echo one >/o/d/a && ln /o/d/a /o/d/h && ln -s d/a /o/l && chmod 4755 /o/d/a && dd if=/dev/zero of=/o/z bs=1000 count=100\nFROM scratch\nCOPY --from=b /o /\n";
    let context = folder(&[("Dockerfile", text)]);
    let out = tempfile::tempdir().expect("folder");
    let to = out.path().join("files");
    let built = build(&docker, context.path(), &["-o", to.to_str().expect("text")]);
    assert_eq!(built.code, 0, "{built:?}");
    assert_eq!(fs::read_to_string(to.join("d/h")).expect("file"), "one\n");
    assert_eq!(
        fs::metadata(to.join("d/a")).expect("file").permissions().mode() & 0o7777,
        0o4755
    );
    assert_eq!(fs::read_link(to.join("l")).expect("link"), Path::new("d/a"));
    assert_eq!(fs::metadata(to.join("z")).expect("file").len(), 100_000);
    let tar = out.path().join("files.tar");
    let output = format!("type=tar,dest={}", tar.display());
    let built = build(&docker, context.path(), &["-o", &output]);
    assert_eq!(built.code, 0, "{built:?}");
    let listed = Command::new("tar").arg("-tf").arg(&tar).output().expect("tar");
    let mut names: Vec<_> = std::str::from_utf8(&listed.stdout)
        .expect("text")
        .lines()
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["d/", "d/a", "d/h", "l", "z"]);
}
