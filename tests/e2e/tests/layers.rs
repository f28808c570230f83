//! What a layer carries survives every way of an image: commit, save, load into another daemon, export, import.
#![allow(clippy::print_stdout)] // with which command

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use e2e::{Client, Daemon, clients, daemon};
use rustix::fs::{FileType, Mode, XattrFlags};

/// An access list (`<linux/posix_acl_xattr.h>`): version 2, then tag, permissions and id of each entry.
const ACL: &[u8] = &[
    2, 0, 0, 0, //
    0x01, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, // the owner: rw
    0x02, 0, 4, 0, 0xd2, 0x04, 0, 0, // user 1234: r
    0x04, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, // the group: r
    0x10, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, // the mask: rw
    0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, // others: r
];
/// `cap_net_raw=ep` as a file has it (revision 2 of `vfs_cap_data`).
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const XATTRS: [&str; 3] = ["user.note", "system.posix_acl_access", "security.capability"];

/// The running container's root, seen from outside.
fn root(docker: &Client, container: &str) -> PathBuf {
    let pid = docker.ok(["inspect", "--format", "{{.State.Pid}}", container]);
    PathBuf::from(format!("/proc/{pid}/root"))
}

/// Puts something of every kind below this folder.
fn furnish(folder: &Path) {
    fs::create_dir(folder).expect("folder");
    let file = |name: &str, mode: u32| {
        let path = folder.join(name);
        fs::write(&path, name).expect(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect(name);
        path
    };
    let attribute = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::setxattr(path, name, value, XattrFlags::empty()).expect(name);
    };
    attribute(&file("noted", 0o644), "user.note", b"a \0 byte\n");
    attribute(&file("listed", 0o664), "system.posix_acl_access", ACL);
    attribute(&file("capable", 0o755), "security.capability", CAPABILITY);
    file("setuid", 0o4755);
    file("setgid", 0o2755);
    let first = file("first", 0o600);
    fs::hard_link(&first, folder.join("second")).expect("hard link");
    symlink("first", folder.join("link")).expect("link");
    symlink("/no/where", folder.join("dangling")).expect("link");
    let node = |name: &str, kind, device| {
        let path = folder.join(name);
        let mode = Mode::from_raw_mode(0o640);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, device).expect(name);
    };
    node("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node("block", FileType::BlockDevice, rustix::fs::makedev(7, 200));
    node("pipe", FileType::Fifo, 0);
    fs::create_dir(folder.join("sticky")).expect("folder");
    fs::set_permissions(folder.join("sticky"), fs::Permissions::from_mode(0o1777)).expect("mode");
    std::os::unix::fs::chown(folder.join("second"), Some(123_456), Some(7)).expect("owner");
    let dated = file("dated", 0o644);
    let time = UNIX_EPOCH + Duration::new(981_173_106, 123_456_789);
    let dated = fs::File::options().write(true).open(dated).expect("file");
    dated.set_modified(time).expect("time");
}

/// All that is to survive of a tree: one line per path.
fn facts(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("folder").flatten() {
            let path = entry.path();
            let meta = fs::symlink_metadata(&path).expect("metadata");
            if meta.is_dir() {
                folders.push(path.clone());
            }
            let kind = meta.file_type();
            let device = kind.is_char_device() || kind.is_block_device();
            let content = if kind.is_symlink() {
                fs::read_link(&path).expect("link").to_string_lossy().into_owned()
            } else if kind.is_file() {
                fs::read_to_string(&path).expect("file")
            } else {
                String::new()
            };
            let attributes = XATTRS.map(|name| {
                let mut value = [0; 256];
                let length = rustix::fs::lgetxattr(&path, name, &mut value).unwrap_or(0);
                value[..length].to_vec()
            });
            let fact = format!(
                "{:o} {}:{} {} links, device {}, {}.{:09} {content:?} {attributes:?}",
                meta.mode(),
                meta.uid(),
                meta.gid(),
                if meta.is_dir() { 0 } else { meta.nlink() },
                if device { meta.rdev() } else { 0 },
                meta.mtime(),
                meta.mtime_nsec(),
            );
            let name = path.strip_prefix(folder).expect("below").to_string_lossy();
            found.insert(name.into_owned(), fact);
        }
    }
    found
}

/// What the second layer has taken away, replaced and kept.
fn assert_hidden(root: &Path) {
    assert!(!root.join("etc/group").exists(), "a file that was removed");
    assert!(!root.join("deep/gone").exists(), "a folder that was removed");
    let opaque: Vec<_> = fs::read_dir(root.join("deep/anew"))
        .expect("folder")
        .flatten()
        .collect();
    assert_eq!(opaque.len(), 1, "a folder that was made anew: {opaque:?}");
    assert_eq!(
        fs::read_to_string(root.join("deep/anew/new")).expect("file"),
        "new\n"
    );
    assert_eq!(
        fs::read_to_string(root.join("deep/kept")).expect("file"),
        "kept\n"
    );
}

fn run(docker: &Client, name: &str, image: &str) -> PathBuf {
    docker.ok(["run", "-d", "--name", name, image, "sleep", "1000"]);
    root(docker, name)
}

/// Two layers on top of busybox: things of every kind, then removals.
fn make(docker: &Client) -> BTreeMap<String, String> {
    let root = run(docker, "one", "busybox");
    furnish(&root.join("special"));
    let deep = "mkdir -p /deep/gone/x /deep/anew/old; echo kept > /deep/kept; echo old > /deep/anew/old/file";
    docker.ok(["exec", "one", "sh", "-c", deep]);
    let facts = facts(&root.join("special"));
    docker.ok(["commit", "one", "layered:1"]);
    let root = run(docker, "two", "layered:1");
    let hide = "rm -r /etc/group /deep/gone /deep/anew; mkdir /deep/anew; echo new > /deep/anew/new";
    docker.ok(["exec", "two", "sh", "-c", hide]);
    assert_hidden(&root);
    docker.ok(["commit", "two", "layered:2"]);
    docker.ok(["rm", "-f", "one", "two"]);
    facts
}

fn same_command(daemon: &Daemon, docker: &Client) -> Client {
    let all = clients(daemon);
    all.into_iter()
        .find(|client| client.name == docker.name)
        .expect("the same command")
}

#[test]
fn everything_in_a_layer_survives_save_load_export_and_import() {
    let (Some(here), Some(there)) = (daemon(), daemon()) else {
        return;
    };
    here.load_busybox();
    let file = |name: &str| here.folder().join(name).to_string_lossy().into_owned();
    let (saved, again, tree) = (file("saved.tar"), file("again.tar"), file("tree.tar"));
    for docker in clients(&here) {
        println!("with {}", docker.name);
        let made = make(&docker);
        assert_eq!(made.len(), 14, "{made:#?}");
        for (name, attribute) in [("noted", "[97, "), ("listed", "[2, 0, "), ("capable", "[1, 0, ")] {
            assert!(made[name].contains(attribute), "{name}: {}", made[name]);
        }
        docker.ok(["save", "-o", &saved, "layered:2"]);
        let far = same_command(&there, &docker);
        far.ok(["load", "-i", &saved]);
        let id = [
            "image",
            "inspect",
            "--format",
            "{{.Id}} {{json .RootFS.Layers}}",
            "layered:2",
        ];
        assert_eq!(docker.ok(id), far.ok(id));
        let root = run(&far, "box", "layered:2");
        assert_eq!(facts(&root.join("special")), made);
        assert_hidden(&root);
        // What came by an archive goes out as the same archive.
        far.ok(["save", "-o", &again, "layered:2"]);
        docker.ok(["rmi", "layered:2", "layered:1"]);
        docker.ok(["load", "-i", &again]);
        assert_eq!(docker.ok(id), far.ok(id));
        // As one layer.
        far.ok(["export", "-o", &tree, "box"]);
        far.ok(["import", &tree, "flat:1"]);
        let root = run(&far, "flat", "flat:1");
        assert_eq!(facts(&root.join("special")), made);
        assert_hidden(&root);
        far.ok(["rm", "-f", "box", "flat"]);
        far.ok(["rmi", "layered:2", "flat:1"]);
        docker.ok(["rmi", "layered:2"]);
        for path in [&saved, &again, &tree] {
            fs::remove_file(path).expect("file");
        }
    }
}
