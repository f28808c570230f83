//! Archives and what is made of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Cursor};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use archive::{Devices, Limits, Recorder, UnpackError, UnpackOptions, Whiteouts};
use images::{Images, LoadOptions, OpenOptions, RemoveOptions};

const BLOCK: usize = 512;
/// What a file outside of the tree holds.
const SECRET: &[u8] = b"2f0c8a-outside-of-the-tree-7b1e";
const LIMITS: Limits = Limits {
    entries: 200,
    file_size: 1 << 20,
    total_size: 4 << 20,
    path: 4096,
    extension: 8 << 10,
    sparse_runs: 64,
};

/// Makes the sum right in everything that looks like a header: guessing it would take the fuzzer's whole time.
fn with_sums(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    for header in bytes.chunks_exact_mut(BLOCK) {
        if &header[257..262] == b"ustar" {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}

/// A folder with a root in it, and beside the root what must not be touched.
struct House {
    folder: tempfile::TempDir,
    before: BTreeMap<PathBuf, String>,
}

impl House {
    fn new() -> Self {
        let folder = crate::folder();
        let path = folder.path();
        for name in ["root", "outside"] {
            fs::create_dir(path.join(name)).expect("folder");
        }
        fs::write(path.join("secret"), SECRET).expect("file");
        fs::write(path.join("outside/secret"), SECRET).expect("file");
        let mut house = Self {
            folder,
            before: BTreeMap::new(),
        };
        house.before = house.outside();
        house
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn outside(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.folder.path().to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).expect("a folder").flatten() {
                let path = entry.path();
                if path == self.root() || path == self.folder.path().join("attic") {
                    continue;
                }
                let of = fs::symlink_metadata(&path).expect("its attributes");
                let mut text = format!(
                    "{:o} {} {} {} {} {}.{}",
                    of.mode(),
                    of.uid(),
                    of.gid(),
                    of.nlink(),
                    of.size(),
                    of.mtime(),
                    of.mtime_nsec()
                );
                if of.is_file() {
                    text += &String::from_utf8_lossy(&fs::read(&path).expect("its content"));
                }
                if of.is_dir() {
                    open.push(path.clone());
                }
                found.insert(path, text);
            }
        }
        found
    }

    fn assert_untouched(&self) {
        assert_eq!(self.outside(), self.before, "something outside was changed");
    }
}

/// The first byte chooses the options, the rest is the archive.
pub(crate) fn unpack(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let bytes = with_sums(data);
    let house = House::new();
    let (root, attic) = (house.root(), house.folder.path().join("attic"));
    let open = File::open(&root).expect("the root");
    let mut record = Vec::new();
    let recorded = choice & 16 != 0;
    let options = UnpackOptions {
        whiteouts: [Whiteouts::Overlay, Whiteouts::Apply, Whiteouts::Literal][usize::from(choice & 3) % 3],
        devices: if choice & 4 == 0 {
            Devices::Skip
        } else {
            Devices::Refuse
        },
        replace_directories: choice & 8 == 0,
        limits: LIMITS,
        record: recorded.then(|| Recorder::new(&mut record)),
        attic: recorded.then_some(&attic),
        ..UnpackOptions::default()
    };
    let unpacked = archive::unpack(bytes.as_slice(), open.as_fd(), options);
    house.assert_untouched();
    match unpacked {
        Ok(stats) => {
            assert!(
                stats.entries <= LIMITS.entries && stats.size <= LIMITS.total_size,
                "{stats:?}"
            );
            if recorded {
                let mut again = Vec::new();
                let written = archive::rebuild(record.as_slice(), open.as_fd(), Some(&attic), &mut again);
                // What another entry of the archive has changed in place cannot be given back; it must be noticed.
                if let Ok(written) = written {
                    assert_eq!(written, again.len() as u64);
                    assert!(again == bytes, "the record gives another archive back");
                } else {
                    panic!("{written:?}");
                }
            }
        }
        Err(error) => one_line(&error),
    }
    drop(open);
    clear(house);
}

fn one_line(error: &UnpackError) {
    let text = error.to_string();
    assert!(!text.contains('\n'), "one line: {text:?}");
}

/// Modes of unpacked directories do not hinder root, but may hinder whoever else runs this.
fn clear(house: House) {
    let folder = File::open(house.folder.path()).expect("the folder");
    archive::remove_tree(folder.as_fd(), b"root").expect("the tree can be removed");
    let _ = archive::remove_tree(folder.as_fd(), b"attic");
    house.folder.close().expect("the folder can be removed");
}

/// A tree for records, made once: two files, and links that lead out of it.
fn tree() -> &'static House {
    static TREE: OnceLock<House> = OnceLock::new();
    TREE.get_or_init(|| {
        let house = House::new();
        let root = house.root();
        fs::write(root.join("a"), b"hello\n").expect("file");
        fs::create_dir(root.join("d")).expect("folder");
        fs::write(root.join("d/b"), [7; 600]).expect("file");
        for (target, name) in [("../secret", "out"), ("..", "up"), ("/etc", "etc"), ("a", "in")] {
            std::os::unix::fs::symlink(target, root.join(name)).expect("link");
        }
        house
    })
}

/// The bytes are a tar-split record.
pub(crate) fn record(data: &[u8]) {
    let house = tree();
    let root = File::open(house.root()).expect("the root");
    let mut out = Bounded {
        bytes: Vec::new(),
        most: 4 << 20,
    };
    let rebuilt = archive::rebuild(data, root.as_fd(), None, &mut out);
    if let Ok(written) = rebuilt {
        assert_eq!(written, out.bytes.len() as u64, "it says how much it wrote");
    }
    let leaks = |text: &[u8]| text.windows(SECRET.len()).any(|part| part == SECRET);
    assert!(
        !leaks(&out.bytes) || leaks(data),
        "it read a file outside of the tree"
    );
}

/// A writer that is full at some time.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first byte chooses the Dockerfile's name, the rest is the body of `POST /build`.
pub(crate) fn context(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let name = [
        "",
        "Dockerfile",
        "../secret",
        "out",
        "d/../../../secret",
        "a/Dockerfile",
    ][usize::from(*choice) % 6];
    let bytes = with_sums(data);
    let house = House::new();
    let path = house.root().join("context");
    let received = builds::unpack(bytes.as_slice(), &path).and_then(|_| builds::open_context(path, name));
    house.assert_untouched();
    match received {
        Ok(context) => {
            let text = context.dockerfile();
            assert!(
                !text.as_bytes().windows(SECRET.len()).any(|part| part == SECRET),
                "read outside"
            );
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    clear(house);
}

/// One service for all inputs: its folder must be as empty behind each as it was before.
struct Store {
    folder: tempfile::TempDir,
    images: Arc<Images>,
    runtime: tokio::runtime::Runtime,
}

fn store() -> &'static Mutex<Store> {
    static STORE: OnceLock<Mutex<Store>> = OnceLock::new();
    STORE.get_or_init(|| {
        let folder = crate::folder();
        let root = folder.path();
        let tables = durable::Store::open(&root.join("state.redb")).expect("tables");
        let events = events::Events::open(&root.join("events.jsonl")).expect("events");
        let images = Images::open(OpenOptions {
            data_root: root.to_path_buf(),
            driver: "vfs".to_owned(),
            tables: tables.scope("images"),
            storage: images::StorageOptions::default(),
            events: Arc::new(events),
        });
        Mutex::new(Store {
            images: images.expect("the service"),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            folder,
        })
    })
}

/// The bytes are what `docker load` is given.
pub(crate) fn load(data: &[u8]) {
    let bytes = with_sums(data);
    let store = store().lock().unwrap_or_else(PoisonError::into_inner);
    let images = &store.images;
    let source = BufReader::new(Cursor::new(bytes));
    let options = LoadOptions {
        quiet: true,
        ..LoadOptions::default()
    };
    let loaded = store
        .runtime
        .block_on(images.load(source, options, Arc::new(|_| {})));
    match loaded {
        Ok(list) => {
            for image in list {
                let there = images.get(&image.id).expect("what was loaded is there");
                assert_eq!(there.id, image.id);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let all = images
        .list(true, &api_types::Filters::default())
        .expect("a list of all images");
    for image in all {
        let options = RemoveOptions {
            force: true,
            ..RemoveOptions::default()
        };
        let gone = store
            .runtime
            .block_on(images.remove(&image.id.to_string(), options));
        gone.expect("an image that nobody uses can be removed");
    }
    assert_eq!(images.count(), 0);
    let usage = images.usage();
    assert_eq!((usage.layers, usage.size), (0, 0), "layers without an image");
    let left = layers_on_disk(store.folder.path());
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// Directories and records of layers, and files on their way to become some.
fn layers_on_disk(root: &Path) -> Vec<PathBuf> {
    let kinds = ["vfs", "layer-records", "spool"];
    let lists = kinds.iter().filter_map(|kind| fs::read_dir(root.join(kind)).ok());
    lists
        .flat_map(|list| list.flatten())
        .map(|entry| entry.path())
        .filter(|path| !path.is_dir() || fs::read_dir(path).is_ok_and(|mut list| list.next().is_some()))
        .collect()
}
