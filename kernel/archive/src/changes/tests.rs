use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use super::*;

fn shown(changes: &[Change]) -> Vec<String> {
    let letter = |kind| match kind {
        ChangeKind::Modified => 'C',
        ChangeKind::Added => 'A',
        ChangeKind::Deleted => 'D',
    };
    changes
        .iter()
        .map(|change| {
            format!(
                "{} {}",
                letter(change.kind),
                String::from_utf8_lossy(&change.path)
            )
        })
        .collect()
}

fn between(old: &Path, new: &Path) -> Vec<String> {
    let (old, new) = (fs::File::open(old).unwrap(), fs::File::open(new).unwrap());
    shown(&changes_between(old.as_fd(), new.as_fd()).unwrap())
}

fn copy_times(from: &Path, to: &Path) {
    let time = fs::metadata(from).unwrap().modified().unwrap();
    fs::File::open(to).unwrap().set_modified(time).unwrap();
}

#[test]
fn parents_of_a_change_are_changes_and_a_deleted_tree_is_one() {
    let temp = tempfile::tempdir().unwrap();
    let (old, new) = (temp.path().join("old"), temp.path().join("new"));
    for tree in [&old, &new] {
        fs::create_dir_all(tree.join("etc/apt")).unwrap();
        fs::create_dir_all(tree.join("usr/lib")).unwrap();
        fs::write(tree.join("etc/passwd"), "root").unwrap();
        fs::write(tree.join("usr/lib/x"), "x").unwrap();
    }
    fs::write(new.join("etc/passwd"), "root and others").unwrap();
    fs::remove_dir_all(new.join("usr/lib")).unwrap();
    fs::create_dir(new.join("srv")).unwrap();
    fs::write(new.join("srv/file"), "").unwrap();
    for path in ["etc", "usr", "etc/apt"] {
        copy_times(&old.join(path), &new.join(path));
    }
    assert_eq!(
        between(&old, &new),
        [
            "C /etc",
            "C /etc/passwd",
            "A /srv",
            "A /srv/file",
            "C /usr",
            "D /usr/lib"
        ]
    );
    assert!(between(&old, &old).is_empty());
}

#[test]
fn an_upper_layer_shows_additions_changes_deletions_and_opaque_directories() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root for overlay marks");
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let (upper, lower) = (temp.path().join("upper"), temp.path().join("lower"));
    fs::create_dir_all(lower.join("etc/apt")).unwrap();
    fs::create_dir_all(upper.join("etc/apt")).unwrap();
    for name in ["etc/apt/old", "etc/passwd", "etc/gone"] {
        fs::write(lower.join(name), "").unwrap();
    }
    fs::write(upper.join("etc/apt/new"), "").unwrap();
    fs::write(upper.join("etc/passwd"), "").unwrap();
    let etc = fs::File::open(upper.join("etc")).unwrap();
    let whiteout = |name: &str| {
        rustix::fs::mknodat(
            &etc,
            name,
            FileType::CharacterDevice,
            rustix::fs::Mode::empty(),
            0,
        )
        .unwrap();
    };
    whiteout("gone");
    whiteout("never-there");
    tree::set_opaque(fs::File::open(upper.join("etc/apt")).unwrap()).unwrap();
    copy_times(&lower.join("etc"), &upper.join("etc"));
    let (upper, lower) = (fs::File::open(upper).unwrap(), fs::File::open(lower).unwrap());
    let found = changes(upper.as_fd(), &[lower.as_fd()]).unwrap();
    assert_eq!(
        shown(&found),
        [
            "C /etc",
            "C /etc/apt",
            "A /etc/apt/new",
            "D /etc/apt/old",
            "D /etc/gone",
            "C /etc/passwd"
        ]
    );
}

#[test]
fn content_is_compared_where_the_trees_are_of_different_origin() {
    let temp = tempfile::tempdir().unwrap();
    let (old, new) = (temp.path().join("old"), temp.path().join("new"));
    let large = vec![b'x'; 300_000];
    for tree in [&old, &new] {
        fs::create_dir(tree).unwrap();
        fs::write(tree.join("same"), &large).unwrap();
        fs::write(tree.join("empty"), "").unwrap();
    }
    let mut other = large.clone();
    other[299_999] = b'y';
    fs::write(old.join("late"), &large).unwrap();
    fs::write(new.join("late"), &other).unwrap();
    std::os::unix::fs::symlink("here", old.join("link")).unwrap();
    std::os::unix::fs::symlink("gone", new.join("link")).unwrap();
    fs::hard_link(old.join("same"), new.join("one")).unwrap();
    fs::hard_link(old.join("same"), old.join("one")).unwrap();
    for name in ["same", "empty", "late"] {
        copy_times(&old.join(name), &new.join(name));
    }
    let time = fs::symlink_metadata(old.join("link"))
        .unwrap()
        .modified()
        .unwrap();
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap();
    let time = rustix::fs::Timespec {
        tv_sec: since.as_secs().try_into().unwrap(),
        tv_nsec: since.subsec_nanos().into(),
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    let link = new.join("link");
    rustix::fs::utimensat(
        rustix::fs::CWD,
        &link,
        &times,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
    assert!(between(&old, &new).is_empty(), "{:?}", between(&old, &new));
    let (old, new) = (fs::File::open(old).unwrap(), fs::File::open(new).unwrap());
    let found = differences_between(old.as_fd(), new.as_fd()).unwrap();
    assert_eq!(shown(&found), ["C /late", "C /link"]);
}
