//! Copies of directories of the host, as the entries that they become.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;

fn open(path: &Path) -> Arc<Root> {
    root(std::fs::File::open(path).unwrap().into())
}

fn job(from: &Path, into: Option<&Path>, sources: &[&str], destination: &str) -> Job {
    Job {
        name: "COPY",
        into: into.map(open),
        sources: sources
            .iter()
            .map(|source| Given::written(&open(from), source))
            .collect(),
        heredocs: Vec::new(),
        destination: destination.to_owned(),
        workdir: "/w".to_owned(),
        chown: None,
        chmod: None,
        parents: false,
        exclude: Vec::new(),
        link: false,
        keep_owner: false,
        epoch: Some(1_000_000_000),
        digests: Arc::default(),
    }
}

/// `path mode uid:gid` of every entry.
fn entries(job: Job) -> Result<Vec<String>, String> {
    let ready = job.prepare().map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    ready.write(&mut bytes).map_err(|error| error.to_string())?;
    let mut reader = archive::Reader::new(bytes.as_slice());
    let mut shown = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let link = if entry.link.is_empty() {
            String::new()
        } else {
            format!(" -> {}", String::from_utf8_lossy(&entry.link))
        };
        shown.push(format!(
            "{} {:o} {}:{}{link}",
            entry.display_path(),
            entry.mode,
            entry.uid,
            entry.gid
        ));
    }
    Ok(shown)
}

fn context() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir_all(path.join("dir/sub")).unwrap();
    std::fs::set_permissions(path.join("dir"), PermissionsExt::from_mode(0o750)).unwrap();
    std::fs::set_permissions(path.join("dir/sub"), PermissionsExt::from_mode(0o755)).unwrap();
    for (name, mode) in [
        ("a.txt", 0o644),
        ("b.txt", 0o600),
        ("dir/x", 0o755),
        ("dir/sub/y.md", 0o644),
    ] {
        std::fs::write(path.join(name), name).unwrap();
        std::fs::set_permissions(path.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    symlink("../a.txt", path.join("dir/link")).unwrap();
    folder
}

#[test]
fn a_file_goes_to_a_name_or_into_a_directory() {
    let from = context();
    assert_eq!(
        entries(job(from.path(), None, &["a.txt"], "/n")).unwrap(),
        ["n 644 0:0"]
    );
    assert_eq!(
        entries(job(from.path(), None, &["a.txt"], "/d/")).unwrap(),
        ["d/ 755 0:0", "d/a.txt 644 0:0"]
    );
    assert_eq!(
        entries(job(from.path(), None, &["a.txt"], "n")).unwrap(),
        ["w/ 755 0:0", "w/n 644 0:0"]
    );
    let into = tempfile::tempdir().unwrap();
    std::fs::create_dir(into.path().join("d")).unwrap();
    std::fs::set_permissions(into.path().join("d"), PermissionsExt::from_mode(0o700)).unwrap();
    let copied = entries(job(from.path(), Some(into.path()), &["a.txt"], "/d")).unwrap();
    assert!(
        copied[0].starts_with("d/ 700 ") && copied[1] == "d/a.txt 644 0:0",
        "{copied:?}"
    );
}

#[test]
fn a_directory_gives_its_content() {
    let from = context();
    assert_eq!(
        entries(job(from.path(), None, &["dir"], "/d")).unwrap(),
        [
            "d/ 750 0:0",
            "d/link 777 0:0 -> ../a.txt",
            "d/sub/ 755 0:0",
            "d/sub/y.md 644 0:0",
            "d/x 755 0:0"
        ]
    );
    assert_eq!(
        entries(job(from.path(), None, &["dir"], "/d/")).unwrap()[0],
        "d/ 755 0:0"
    );
}

#[test]
fn wildcards_and_several_sources_need_a_directory() {
    let from = context();
    let error = entries(job(from.path(), None, &["*.txt"], "/d")).unwrap_err();
    assert!(error.contains("more than one source file"), "{error}");
    assert_eq!(
        entries(job(from.path(), None, &["*.txt"], "/d/")).unwrap().len(),
        3
    );
    assert_eq!(
        entries(job(from.path(), None, &["d*/s?b/*.md"], "/")).unwrap(),
        ["y.md 644 0:0"]
    );
    let error = entries(job(from.path(), None, &["*.zip"], "/d/")).unwrap_err();
    assert_eq!(error, "COPY failed: no source files were specified");
}

#[test]
fn what_is_missing_or_outside_is_refused() {
    let from = context();
    let error = entries(job(from.path(), None, &["nothing"], "/")).unwrap_err();
    assert!(error.contains("stat nothing: file does not exist"), "{error}");
    let error = entries(job(from.path(), None, &["../x"], "/")).unwrap_err();
    assert!(
        error.contains("forbidden path outside the build context"),
        "{error}"
    );
    // A link out of the context leads to its root.
    symlink("/etc/passwd", from.path().join("evil")).unwrap();
    assert!(
        entries(job(from.path(), None, &["evil"], "/x"))
            .unwrap_err()
            .contains("does not exist")
    );
    symlink("../../../../../a.txt", from.path().join("inside")).unwrap();
    assert_eq!(
        entries(job(from.path(), None, &["inside"], "/x")).unwrap(),
        ["x 644 0:0"]
    );
}

#[test]
fn links_of_the_image_are_followed_inside_of_it() {
    let (from, into) = (context(), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(into.path().join("usr/lib")).unwrap();
    symlink("/usr/lib", into.path().join("lib")).unwrap();
    symlink("../../../outside", into.path().join("up")).unwrap();
    let copied = entries(job(from.path(), Some(into.path()), &["a.txt"], "/lib/")).unwrap();
    assert_eq!(copied.last().unwrap(), "usr/lib/a.txt 644 0:0");
    let copied = entries(job(from.path(), Some(into.path()), &["a.txt"], "/up/")).unwrap();
    assert_eq!(copied.last().unwrap(), "outside/a.txt 644 0:0");
    std::fs::write(into.path().join("file"), "").unwrap();
    let error = entries(job(from.path(), Some(into.path()), &["dir"], "/file")).unwrap_err();
    assert_eq!(error, "cannot copy to non-directory: /file");
    let circle = into.path().join("circle");
    symlink("circle", circle).unwrap();
    let error = entries(job(from.path(), Some(into.path()), &["a.txt"], "/circle/x")).unwrap_err();
    assert!(error.contains("too many levels"), "{error}");
}

#[test]
fn owners_and_modes_are_changed() {
    let (from, into) = (context(), tempfile::tempdir().unwrap());
    std::fs::create_dir(into.path().join("etc")).unwrap();
    std::fs::write(
        into.path().join("etc/passwd"),
        "root:x:0:0::/:\nweb:x:33:34::/:\n",
    )
    .unwrap();
    std::fs::write(into.path().join("etc/group"), "www:x:35:\n").unwrap();
    for (chown, expect) in [
        ("web", "33:34"),
        ("web:www", "33:35"),
        ("5", "5:5"),
        ("5:6", "5:6"),
        ("0:www", "0:35"),
    ] {
        let mut job = job(from.path(), Some(into.path()), &["a.txt"], "/n/f");
        (job.chown, job.chmod) = (Some(chown.to_owned()), Some("u=rwx,go=".to_owned()));
        assert_eq!(
            entries(job).unwrap(),
            [format!("n/ 755 {expect}"), format!("n/f 700 {expect}")],
            "{chown}"
        );
    }
    let mut job = job(from.path(), Some(into.path()), &["a.txt"], "/f");
    job.chown = Some("nobody".to_owned());
    assert!(
        entries(job)
            .unwrap_err()
            .contains("can't find uid for user nobody")
    );
}

#[test]
fn parents_and_excludes() {
    let from = context();
    let mut with_parents = job(from.path(), None, &["dir/sub/y.md"], "/d/");
    with_parents.parents = true;
    assert_eq!(
        entries(with_parents).unwrap().last().unwrap(),
        "d/dir/sub/y.md 644 0:0"
    );
    let mut pivot = job(from.path(), None, &["dir/./sub/y.md"], "/d/");
    pivot.parents = true;
    assert_eq!(entries(pivot).unwrap().last().unwrap(), "d/sub/y.md 644 0:0");
    let mut excluding = job(from.path(), None, &["dir"], "/d/");
    excluding.exclude = vec!["**/*.md".to_owned(), "link".to_owned()];
    assert_eq!(
        entries(excluding).unwrap(),
        ["d/ 755 0:0", "d/sub/ 755 0:0", "d/x 755 0:0"]
    );
}

#[test]
fn the_hash_knows_content_and_permissions_but_no_times() {
    let from = context();
    let hash = || job(from.path(), None, &["dir"], "/d").prepare().unwrap().hash;
    let first = hash();
    assert!(first.starts_with("dir:"));
    let file = from.path().join("dir/x");
    std::fs::File::open(&file)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    assert_eq!(hash(), first);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o700)).unwrap();
    assert_ne!(hash(), first);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(&file, "DIR/x").unwrap();
    assert_ne!(hash(), first);
}

#[test]
fn archives_are_unpacked_by_add_only() {
    let (from, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut writer = archive::Writer::new(Vec::new());
    let mut entry = archive::Entry::file("lib/f", 0o640, 0);
    (entry.uid, entry.gid) = (7, 8);
    writer.append_bytes(&entry, b"x").unwrap();
    let mut link = archive::Entry::new(archive::EntryKind::HardLink, "h", 0o640);
    link.link = b"lib/f".to_vec();
    writer.append_bytes(&link, b"").unwrap();
    std::fs::write(from.path().join("t.tar"), writer.finish().unwrap()).unwrap();
    std::fs::create_dir_all(into.path().join("usr/lib")).unwrap();
    symlink("usr/lib", into.path().join("lib")).unwrap();
    let mut add = job(from.path(), Some(into.path()), &["t.tar"], "/");
    add.sources[0].unpack = true;
    let shown = entries(add).unwrap();
    assert_eq!(shown[2..], ["usr/lib/f 640 7:8", "h 640 0:0 -> usr/lib/f"]);
    assert_eq!(entries(job(from.path(), None, &["t.tar"], "/")).unwrap().len(), 1);
    let mut writer = archive::Writer::new(Vec::new());
    writer
        .append_bytes(&archive::Entry::file("../../x", 0o644, 0), b"x")
        .unwrap();
    std::fs::write(from.path().join("t.tar"), writer.finish().unwrap()).unwrap();
    let mut evil = job(from.path(), None, &["t.tar"], "/d/");
    evil.sources[0].unpack = true;
    assert!(entries(evil).unwrap_err().contains("leads out of the archive"));
}

#[test]
fn a_file_is_hashed_again_only_when_it_was_changed() {
    let from = context();
    let digests: Arc<Digests> = Arc::default();
    let hash = || {
        let job = Job {
            digests: Arc::clone(&digests),
            ..job(from.path(), None, &["dir"], "/d/")
        };
        job.prepare().map(|ready| ready.hash).unwrap()
    };
    let first = hash();
    // Nothing is remembered of files that may be changed within the same tick of the clock.
    while digests.len() < 2 {
        assert_eq!(hash(), first);
    }
    assert_eq!(hash(), first, "from memory");
    // The same size and the same time of its content: only the time of change tells.
    let path = from.path().join("dir/x");
    let before = path.metadata().unwrap();
    std::fs::write(&path, "DIR/x").unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    assert_eq!(path.metadata().unwrap().len(), before.len());
    assert_ne!(hash(), first);
    std::fs::write(&path, "dir/x").unwrap();
    assert_eq!(hash(), first, "times do not count");
}
