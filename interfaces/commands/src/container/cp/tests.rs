use super::unpack::{Plan, plan, unpack};
use super::*;

#[test]
fn container_paths_are_told_from_local_ones() {
    assert_eq!(split("web:/etc"), Some(("web", "/etc")));
    assert_eq!(split("web:etc"), Some(("web", "etc")));
    for local in ["/a:b", "./a:b", "../x", "file", "."] {
        assert_eq!(split(local), None, "{local}");
    }
}

fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        // Written by hand, because the library refuses to write hostile names.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_mtime(1_000_000_000);
        header.set_uid(0);
        header.set_gid(0);
        let mut data: &[u8] = &[];
        if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
            header.as_gnu_mut().unwrap().linkname[..content.len()].copy_from_slice(content.as_bytes());
        } else {
            data = content.as_bytes();
        }
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn into(dir: &Path, rename: Option<&str>, entries: &[(&str, tar::EntryType, &str)]) -> io::Result<u64> {
    let plan = Plan {
        root: dir.to_owned(),
        rename: rename.map(str::to_owned),
    };
    unpack(archive(entries).as_slice(), &plan, false)
}

use tar::EntryType::{Block, Directory, Link, Regular, Symlink};

#[test]
fn a_tree_is_unpacked_under_its_new_name() {
    let dir = tempfile::tempdir().unwrap();
    let entries = [
        ("src/", Directory, ""),
        ("src/a", Regular, "hello"),
        ("src/link", Symlink, "/etc/passwd"),
        ("src/hard", Link, "src/a"),
    ];
    assert_eq!(into(dir.path(), Some("dst"), &entries).unwrap(), 5);
    assert_eq!(std::fs::read(dir.path().join("dst/hard")).unwrap(), b"hello");
    assert_eq!(
        std::fs::read_link(dir.path().join("dst/link")).unwrap(),
        Path::new("/etc/passwd")
    );
    assert_eq!(
        into(
            dir.path(),
            Some(""),
            &[("./", Directory, ""), ("./b", Regular, "dot")]
        )
        .unwrap(),
        3
    );
    assert_eq!(std::fs::read(dir.path().join("b")).unwrap(), b"dot");
    assert_eq!(into(dir.path(), Some(""), &entries[..2]).unwrap(), 5);
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"hello");
}

#[test]
fn nothing_in_an_archive_leads_out_of_the_target() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "old").unwrap();
    let out = outside.path().to_str().unwrap();
    let secret_name = secret.to_str().unwrap();
    let attacks: Vec<Vec<(&str, tar::EntryType, &str)>> = vec![
        vec![("../evil", Regular, "x")],
        vec![("a/../../evil", Regular, "x")],
        vec![("link", Symlink, out), ("link/secret", Regular, "new")],
        vec![
            ("d/", Directory, ""),
            ("d/link", Symlink, out),
            ("d/link/secret", Regular, "new"),
        ],
        vec![
            ("d/", Directory, ""),
            ("d/link", Symlink, out),
            ("d/link/new/", Directory, ""),
        ],
        vec![("disk", Block, "")],
    ];
    for attack in &attacks {
        let dir = tempfile::tempdir().unwrap();
        assert!(into(dir.path(), None, attack).is_err(), "{attack:?}");
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "old", "{attack:?}");
        assert_eq!(
            std::fs::read_dir(outside.path()).unwrap().count(),
            1,
            "{attack:?}"
        );
    }
    // A link in place of a file is replaced, not written through.
    let dir = tempfile::tempdir().unwrap();
    into(
        dir.path(),
        None,
        &[("f", Symlink, secret_name), ("f", Regular, "new")],
    )
    .unwrap();
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "old");
    assert_eq!(std::fs::read_to_string(dir.path().join("f")).unwrap(), "new");
}

#[test]
fn the_target_of_a_copy_follows_dockers_rules() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let check = |place: &Path, slash: &str, source: &str, is_dir: bool, inside: bool| {
        let written = format!("{}{slash}", place.display());
        plan(place, &written, source, is_dir, inside).map(|p| (p.root, p.rename))
    };
    let root = dir.path().to_owned();
    assert_eq!(
        check(dir.path(), "", "a", true, false),
        Ok((root.clone(), Some("a".into())))
    );
    assert_eq!(
        check(dir.path(), "", "a", true, true),
        Ok((root.clone(), Some("".into())))
    );
    assert_eq!(
        check(&dir.path().join("new"), "", "a", true, false),
        Ok((root.clone(), Some("new".into())))
    );
    assert_eq!(
        check(&file, "", "a", false, false),
        Ok((root, Some("file".into())))
    );
    assert!(check(&file, "", "a", true, false).is_err());
    assert!(check(&dir.path().join("new"), "/", "a", false, false).is_err());
}
