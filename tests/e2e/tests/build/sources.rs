//! What builds fetch: files of the web, repositories, contexts by URL, named contexts.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use e2e::{Client, Daemon, Output, daemon, for_each_client};

use super::servers::{Web, git, has_git, serve_repositories};
use super::{build, context};

/// Builds this Dockerfile as `made` with a context.
fn made(client: &Client, text: &str, arguments: &[&str]) -> Output {
    let folder = context();
    fs::write(folder.path().join("Dockerfile"), text).expect("file");
    let arguments: Vec<&str> = ["-t", "made"].iter().chain(arguments).copied().collect();
    build(client, folder.path(), &arguments, None)
}

/// What a shell line prints in the image `made`.
fn prints(client: &Client, line: &str) -> String {
    client.ok(["run", "--rm", "made", "sh", "-c", line])
}

fn sha256(path: &Path) -> String {
    let output = std::process::Command::new("sha256sum")
        .arg(path)
        .output()
        .expect("sha256sum");
    String::from_utf8_lossy(&output.stdout)[..64].to_owned()
}

/// Two repositories, the second a submodule of the first, which has a branch and a tag.
fn repositories(root: &Path) -> String {
    for name in ["inner", "outer"] {
        fs::create_dir(root.join(name)).expect("folder");
        git(&root.join(name), &["init", "--quiet"]);
    }
    let (inner, outer) = (root.join("inner"), root.join("outer"));
    fs::write(inner.join("deep"), "deep\n").expect("file");
    git(&inner, &["add", "."]);
    git(&inner, &["commit", "--quiet", "-m", "1"]);
    fs::create_dir(outer.join("sub")).expect("folder");
    fs::write(outer.join("Dockerfile"), "FROM busybox\nCOPY . /got/\n").expect("file");
    fs::write(outer.join("sub/Dockerfile"), "FROM busybox\nCOPY . /sub/\n").expect("file");
    fs::write(outer.join("which"), "first\n").expect("file");
    fs::write(outer.join("run"), "#!/bin/sh\n").expect("file");
    fs::set_permissions(outer.join("run"), PermissionsExt::from_mode(0o755)).expect("chmod");
    symlink("/etc/shadow", outer.join("evil")).expect("link");
    symlink("/etc", outer.join("out")).expect("link");
    git(&outer, &["submodule", "--quiet", "add", "../inner", "module"]);
    git(&outer, &["add", "."]);
    git(&outer, &["commit", "--quiet", "-m", "1"]);
    git(&outer, &["tag", "v1"]);
    let first = git(&outer, &["rev-parse", "HEAD"]);
    git(&outer, &["checkout", "--quiet", "-b", "other"]);
    fs::write(outer.join("which"), "second\n").expect("file");
    git(&outer, &["commit", "--quiet", "-am", "2"]);
    git(&outer, &["checkout", "--quiet", "master"]);
    first
}

fn prepared() -> Option<(Daemon, Web, String)> {
    let daemon = daemon()?;
    daemon.load_busybox();
    let web = Web::default();
    let address = web.start();
    Some((daemon, web, format!("http://{address}")))
}

#[test]
fn add_of_a_url_has_its_name_time_and_permissions_and_is_cached_by_content() {
    let Some((daemon, web, url)) = prepared() else {
        return;
    };
    let text =
        format!("FROM busybox\nADD {url}/a%20b?x=y /dir/\nADD --chmod=755 --chown=1:2 {url}/f /named\n");
    for_each_client(&daemon, |docker| {
        web.put("/a%20b", "one");
        web.put("/f", "two");
        let built = made(docker, &text, &["--no-cache"]);
        assert_eq!(built.code, 0, "{built:?}");
        let stat = "stat -c '%n %a %u:%g %Y' '/dir/a b' /named; cat '/dir/a b' /named";
        assert_eq!(
            prints(docker, stat),
            "/dir/a b 600 0:0 100\n/named 755 1:2 100\nonetwo"
        );
        let again = made(docker, &text, &[]);
        assert_eq!(again.stdout.matches("Using cache").count(), 2, "{again:?}");
        web.put("/f", "changed");
        let changed = made(docker, &text, &[]);
        assert_eq!(changed.stdout.matches("Using cache").count(), 1, "{changed:?}");
        assert_eq!(prints(docker, "cat /named"), "changed");
    });
}

#[test]
fn a_checksum_is_verified_and_what_cannot_be_had_is_named() {
    let Some((daemon, web, url)) = prepared() else {
        return;
    };
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("f"), "content").expect("file");
    let good = sha256(&folder.path().join("f"));
    web.put("/f", "content");
    for_each_client(&daemon, |docker| {
        let built = made(
            docker,
            &format!("FROM busybox\nADD --checksum=sha256:{good} {url}/f /f\n"),
            &[],
        );
        assert_eq!(built.code, 0, "{built:?}");
        let zeroes = "0".repeat(64);
        for (line, says) in [
            (
                format!("ADD --checksum=sha256:{zeroes} {url}/f /f"),
                format!("digest mismatch sha256:{good}: sha256:{zeroes}"),
            ),
            (
                format!("ADD --checksum=md5:00 {url}/f /f"),
                "invalid checksum".to_owned(),
            ),
            (
                format!("ADD --checksum=sha256:{good} a.txt /f"),
                "non-HTTP(S) sources".to_owned(),
            ),
            (format!("ADD {url}/nothing /f"), "404".to_owned()),
            (format!("ADD {url} /dir/"), "cannot determine filename".to_owned()),
            ("ADD http://127.0.0.1:1/f /f".to_owned(), "refused".to_owned()),
        ] {
            let failed = made(docker, &format!("FROM busybox\n{line}\n"), &[]);
            assert_ne!(failed.code, 0, "{line}");
            assert!(failed.stderr.contains(&says), "{line}: {failed:?}");
        }
    });
}

#[test]
fn unpack_decides_about_archives_local_and_fetched() {
    let Some((daemon, web, url)) = prepared() else {
        return;
    };
    let folder = context();
    let tar = folder.path().join("t.tar");
    let made_tar = std::process::Command::new("tar")
        .args(["--create", "--gzip", "--file"])
        .arg(&tar)
        .arg("-C")
        .arg(folder.path())
        .arg("a.txt")
        .status()
        .expect("tar");
    assert!(made_tar.success());
    web.put("/t.tgz", fs::read(&tar).expect("archive"));
    let text = format!(
        "FROM busybox\nADD t.tar /1/\nADD --unpack=false t.tar /2/\nADD {url}/t.tgz /3/\nADD --unpack=true {url}/t.tgz /4/\n"
    );
    fs::write(folder.path().join("Dockerfile"), text).expect("file");
    for_each_client(&daemon, |docker| {
        let built = build(docker, folder.path(), &["-t", "made"], None);
        assert_eq!(built.code, 0, "{built:?}");
        let found = prints(docker, "find /1 /2 /3 /4 -type f | sort | tr '\\n' ' '");
        assert_eq!(found.trim(), "/1/a.txt /2/t.tar /3/t.tgz /4/a.txt");
    });
}

#[test]
fn add_of_a_repository_takes_a_reference_a_directory_and_submodules() {
    if !has_git() {
        return;
    }
    let Some((daemon, ..)) = prepared() else { return };
    let root = tempfile::tempdir().expect("folder");
    let first = repositories(root.path());
    let url = format!("git://{}/outer", serve_repositories(root.path()));
    for_each_client(&daemon, |docker| {
        let text = format!(
            "FROM busybox\nADD {url} /r\nADD {url}#other:sub /s\nADD --keep-git-dir=true {url}#v1 /k\n"
        );
        let built = made(docker, &text, &["--no-cache"]);
        assert_eq!(built.code, 0, "{built:?}");
        let line = "cat /r/which /r/module/deep; ls /s; ls -d /k/.git; ls -d /r/.git /r/module/.git 2>/dev/null; \
                    stat -c '%a %Y' /r/run; readlink /r/evil";
        assert_eq!(
            prints(docker, line),
            "first\ndeep\nDockerfile\n/k/.git\n755 1000\n/etc/shadow"
        );
        let again = made(docker, &text, &[]);
        assert_eq!(again.stdout.matches("Using cache").count(), 3, "{again:?}");
        let short = &first[..10];
        let pinned = made(
            docker,
            &format!("FROM busybox\nADD --checksum={short} {url}#v1 /r\n"),
            &[],
        );
        assert_eq!(pinned.code, 0, "{pinned:?}");
        let second = made(
            docker,
            &format!("FROM busybox\nADD --checksum={short} {url}#other /r\n"),
            &[],
        );
        assert!(second.stderr.contains("expected checksum to match"), "{second:?}");
        if !docker.is_dhow() {
            return;
        }
        for (source, says) in [
            (format!("{url}#nothing"), "nothing"),
            (format!("{url}#:nowhere"), "is no directory of the repository"),
            (format!("{url}#:out"), "is no directory of the repository"),
            (format!("{url}x"), "failed to fetch"),
            ("git://h/a.git#--upload-pack=x".to_owned(), "invalid git URL"),
        ] {
            let failed = made(docker, &format!("FROM busybox\nADD {source} /r\n"), &[]);
            assert_ne!(failed.code, 0, "{source}");
            assert!(failed.stderr.contains(says), "{source}: {failed:?}");
        }
    });
}

#[test]
fn a_context_is_a_repository_an_archive_or_a_dockerfile_by_url() {
    if !has_git() {
        return;
    }
    let Some((daemon, web, url)) = prepared() else {
        return;
    };
    let root = tempfile::tempdir().expect("folder");
    repositories(root.path());
    let repository = format!("git://{}/outer", serve_repositories(root.path()));
    web.put("/D", "FROM busybox\nRUN echo alone > /alone\n");
    let folder = context();
    fs::write(
        folder.path().join("Dockerfile"),
        "FROM busybox\nCOPY a.txt /from\n",
    )
    .expect("file");
    let archive = std::process::Command::new("tar")
        .args(["--create", "--gzip", "."])
        .current_dir(folder.path())
        .output()
        .expect("tar");
    web.put("/c.tgz", archive.stdout);
    for_each_client(&daemon, |docker| {
        for (context, line, says) in [
            (
                repository.clone(),
                "cat /got/which /got/module/deep",
                "first\ndeep",
            ),
            (format!("{repository}#other"), "cat /got/which", "second"),
            (format!("{repository}#:sub"), "ls /sub", "Dockerfile"),
            (format!("{url}/D"), "cat /alone", "alone"),
            (format!("{url}/c.tgz"), "cat /from", "a.txt"),
        ] {
            let built = docker.run(["build", "-t", "made", &context]);
            assert_eq!(built.code, 0, "{context}: {built:?}");
            assert_eq!(prints(docker, line), says, "{context}");
        }
        let missing = docker.run(["build", &format!("{url}/missing")]);
        assert!(missing.code != 0 && missing.stderr.contains("404"), "{missing:?}");
    });
    // What is fetched is the Dockerfile, whatever name was asked for.
    let path = format!("/build?dockerfile=nosuch&remote={url}/D");
    let text = e2e::http::request(&daemon, "POST", &path, None).text();
    assert!(text.contains("Successfully built"), "{text}");
    // The daemon by itself; the second version is BuildKit's.
    let other = repository.replace("outer", "outer%23other");
    let archive = format!("{url}/c.tgz");
    for (version, remote, line, says) in [
        (1, &other, "cat /got/which", "second"),
        (1, &archive, "cat /from", "a.txt"),
        (2, &other, "cat /got/which", "second"),
        (2, &archive, "cat /from", "a.txt"),
    ] {
        let path = format!("/build?version={version}&t=made&remote={remote}");
        let reply = e2e::http::request(&daemon, "POST", &path, None);
        let text = reply.text();
        let done = ["Successfully built", "moby.image.id"][version - 1];
        assert!(text.contains(done), "{remote}: {text}");
        for_each_client(&daemon, |docker| {
            assert_eq!(prints(docker, line), says, "{remote}")
        });
    }
    let wrong = e2e::http::request(&daemon, "POST", "/build?remote=/etc", None);
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    assert!(
        wrong.message().contains("could not be recognized as URL"),
        "{}",
        wrong.text()
    );
}

#[test]
fn named_contexts_are_directories_images_urls_and_layouts() {
    let Some((daemon, web, url)) = prepared() else {
        return;
    };
    let (other, layout) = (
        tempfile::tempdir().expect("folder"),
        tempfile::tempdir().expect("folder"),
    );
    fs::write(other.path().join("file"), "other\n").expect("file");
    fs::write(other.path().join("left-out"), "").expect("file");
    fs::write(other.path().join(".dockerignore"), "left-out\n").expect("file");
    web.put("/w.txt", "web\n");
    let text = "FROM nowhere/base AS base\nFROM base\nCOPY --from=dir . /dir/\nCOPY --from=web w.txt /w\n\
                RUN --mount=from=dir,target=/m cat /m/file > /mounted\n";
    let pairs = [
        format!("dir={}", other.path().display()),
        format!("web={url}/w.txt"),
        "nowhere/base=docker-image://busybox".to_owned(),
    ];
    let dhow = e2e::clients(&daemon).into_iter().find(Client::is_dhow);
    let Some(dhow) = dhow else { return };
    let arguments: Vec<&str> = pairs.iter().flat_map(|pair| ["--build-context", pair]).collect();
    let built = made(&dhow, text, &arguments);
    assert_eq!(built.code, 0, "{built:?}");
    assert_eq!(
        prints(&dhow, "ls -A /dir; cat /w /mounted"),
        ".dockerignore\nfile\nweb\nother"
    );
    let again = made(&dhow, text, &arguments);
    assert_eq!(again.stdout.matches("Using cache").count(), 3, "{again:?}");

    // A directory may be all that a stage begins with, and stand for a stage.
    let text = "FROM busybox AS dir\nRUN exit 1\nFROM busybox AS two\nCOPY --from=dir file /1\nFROM dir AS three\n\
                FROM two\nCOPY --from=three /file /2\n";
    let built = made(&dhow, text, &arguments[..2]);
    assert_eq!(built.code, 0, "{built:?}");
    assert_eq!(prints(&dhow, "cat /1 /2"), "other\nother");

    let archive = layout.path().join("a.tar");
    dhow.ok(["save", "-o", archive.to_str().expect("path"), "busybox"]);
    let unpacked = std::process::Command::new("tar")
        .arg("--extract")
        .arg("--file")
        .arg(&archive)
        .current_dir(layout.path())
        .status();
    assert!(unpacked.expect("tar").success());
    let pair = format!("img=oci-layout://{}:latest", layout.path().display());
    let built = made(&dhow, "FROM img\nRUN echo y > /y\n", &["--build-context", &pair]);
    assert_eq!(built.code, 0, "{built:?}");
    assert_eq!(prints(&dhow, "cat /y"), "y");

    for (pair, says) in [
        ("x", "expected key=value"),
        ("x=/nonexistent/x", "failed to get build context x"),
        ("x=oci-layout:///nonexistent", "not an OCI layout"),
    ] {
        let failed = made(&dhow, "FROM busybox\n", &["--build-context", pair]);
        assert!(
            failed.code != 0 && failed.stderr.contains(says),
            "{pair}: {failed:?}"
        );
    }
    let stdin = dhow.run_with(["build", "--build-context", &pairs[0], "-"], b"FROM busybox\n");
    assert!(
        stdin.code != 0 && stdin.stderr.contains("exclude each other"),
        "{stdin:?}"
    );
}
