use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

fn entry(path: &str, kind: Kind, link: &str) -> Entry {
    Entry {
        path: path.into(),
        kind,
        mode: 0o644,
        size: 3,
        time: 1_500_000_000_123_456_789,
        link: link.into(),
        xattrs: Vec::new(),
    }
}

fn put(tree: &mut Tree, entry: &Entry, number: u32, data: &[u8]) {
    assert!(!tree.place(entry).unwrap(), "{} is wanted", entry.path);
    let mut incoming = tree.begin(number).unwrap();
    tree.write(&mut incoming, entry, data).unwrap();
    tree.put(incoming, entry).unwrap();
}

#[test]
fn what_is_the_same_as_last_time_is_not_wanted_again_and_what_is_gone_goes() {
    let folder = tempfile::tempdir().unwrap();
    let directory = entry("d", Kind::Directory, "");
    let directory = Entry {
        mode: 0o755,
        ..directory
    };
    let (a, b) = (entry("d/a", Kind::File, ""), entry("d/b", Kind::File, ""));
    let link = entry("l", Kind::Symlink, "/etc/passwd");
    let hard = entry("z", Kind::File, "d/a");
    let mut tree = Tree::open(folder.path()).unwrap();
    assert!(tree.place(&directory).unwrap() && tree.place(&link).unwrap());
    put(&mut tree, &a, 1, b"abc");
    put(&mut tree, &b, 2, b"def");
    assert!(!tree.place(&hard).unwrap());
    tree.link_later(hard);
    tree.finish().unwrap();
    let root = folder.path().join("tree");
    let about = root.join("d/a").metadata().unwrap();
    assert_eq!((about.mtime(), about.mtime_nsec()), (1_500_000_000, 123_456_789));
    assert_eq!(about.permissions().mode() & 0o7777, 0o644);
    assert_eq!(about.ino(), root.join("z").metadata().unwrap().ino());
    assert_eq!(
        std::fs::read_link(root.join("l")).unwrap().to_str(),
        Some("/etc/passwd")
    );
    assert_eq!(root.join("d").metadata().unwrap().mtime(), 1_500_000_000);

    let mut tree = Tree::open(folder.path()).unwrap();
    assert!(tree.place(&directory).unwrap());
    assert!(tree.place(&a).unwrap(), "it is there");
    let newer = Entry {
        time: 1_600_000_000_000_000_000,
        ..b
    };
    put(&mut tree, &newer, 2, b"ghi");
    tree.finish().unwrap();
    assert_eq!(std::fs::read(root.join("d/b")).unwrap(), b"ghi");
    assert!(!root.join("l").is_symlink() && !root.join("z").exists());
}

#[test]
fn a_link_leads_nothing_out_of_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    let mut tree = Tree::open(&kept).unwrap();
    let link = entry("l", Kind::Symlink, outside.to_str().unwrap());
    assert!(tree.place(&link).unwrap());
    assert!(tree.place(&entry("l/x", Kind::File, "")).is_err());
    assert!(tree.place(&entry("l/y/z", Kind::File, "")).is_err());
    assert!(tree.place(&entry("l", Kind::File, "")).is_err(), "twice");
    let dangling = entry("m", Kind::File, "never-sent");
    assert!(!tree.place(&dangling).unwrap());
    tree.link_later(dangling);
    assert!(tree.finish().is_err());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_file_that_grows_without_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = Tree::open(folder.path()).unwrap();
    let small = entry("a", Kind::File, "");
    assert!(!tree.place(&small).unwrap());
    let mut incoming = tree.begin(0).unwrap();
    incoming.written = small.size + GROWTH;
    let error = tree.write(&mut incoming, &small, b"x").unwrap_err();
    assert_eq!(error.code, Code::ResourceExhausted);
}
