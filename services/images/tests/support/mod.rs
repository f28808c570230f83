//! What the tests of this crate share: a service in a directory of its own, and archives of images.

#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use api_types::progress::Message;
use archive::{Entry, EntryKind, Writer};
use events::Events;
use images::{Image, ImageError, Images, LoadOptions, OpenOptions, SaveOptions};
use oci::digest::Digest;

/// A data root, and the service in it.
pub struct House {
    pub dir: tempfile::TempDir,
    pub images: Arc<Images>,
    pub events: Arc<Events>,
}

pub fn open_at(root: &Path, driver: &str) -> (Arc<Images>, Arc<Events>) {
    let store = durable::Store::open(&root.join("state.redb")).unwrap();
    let events = Arc::new(Events::open(&root.join("events.jsonl")).unwrap());
    let images = Images::open(OpenOptions {
        data_root: root.to_path_buf(),
        driver: driver.to_owned(),
        storage: images::StorageOptions::default(),
        tables: store.scope("images"),
        events: Arc::clone(&events),
    })
    .unwrap();
    (images, events)
}

impl House {
    pub fn new() -> Self {
        Self::with_driver("overlay")
    }

    pub fn with_driver(driver: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (images, events) = open_at(dir.path(), driver);
        Self { dir, images, events }
    }

    pub async fn reopen(self) -> Self {
        let Self { dir, images, events } = self;
        images.shutdown().await;
        // The tables are closed with the last handle; one that is left would let the new opening fail.
        assert_eq!(Arc::strong_count(&images), 1, "a hold outlives the service");
        drop((images, events));
        let (images, events) = open_at(dir.path(), "overlay");
        Self { dir, images, events }
    }

    /// The names of the directories that the driver has, and the records beside them.
    pub fn on_disk(&self) -> (Vec<String>, Vec<String>) {
        on_disk(self.dir.path())
    }

    pub async fn load(&self, archive: Vec<u8>) -> Result<Vec<Image>, ImageError> {
        self.load_with(archive, LoadOptions::default()).await
    }

    pub async fn load_with(&self, archive: Vec<u8>, options: LoadOptions) -> Result<Vec<Image>, ImageError> {
        self.images
            .load(Cursor::new(archive), options, Arc::new(|_| {}))
            .await
    }

    pub async fn save(&self, names: &[&str]) -> Vec<u8> {
        self.save_with(names, SaveOptions::default()).await.unwrap()
    }

    pub async fn save_with(&self, names: &[&str], options: SaveOptions) -> Result<Vec<u8>, ImageError> {
        let out = Shared::default();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.images.save(names, options, out.clone()).await?;
        Ok(out.take())
    }
}

pub fn on_disk(root: &Path) -> (Vec<String>, Vec<String>) {
    let driver = storage_drivers::open("overlay", root).unwrap();
    let mut keys: Vec<String> = driver
        .list()
        .unwrap()
        .iter()
        .map(|item| item.key.as_str().to_owned())
        .collect();
    keys.retain(|key| !key.starts_with("init-"));
    let records = std::fs::read_dir(root.join("layer-records")).unwrap();
    let mut records: Vec<String> = records
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    keys.sort();
    records.sort();
    (keys, records)
}

#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub fn is_root() -> bool {
    let root = std::fs::read_to_string("/proc/self/status")
        .unwrap()
        .lines()
        .any(|line| line.starts_with("Uid:\t0\t"));
    if !root {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("skipped: needs root");
        }
    }
    root
}

/// A tar of regular files.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, content) in files {
        if path.ends_with('/') {
            let entry = Entry::new(EntryKind::Directory, *path, 0o755);
            writer.append_bytes(&entry, &[]).unwrap();
        } else {
            let entry = Entry::file(*path, 0o644, content.len() as u64);
            writer.append_bytes(&entry, content).unwrap();
        }
    }
    writer.finish().unwrap()
}

pub struct Archive {
    pub config: serde_json::Value,
    pub layers: Vec<Vec<u8>>,
    pub tags: Vec<String>,
}

impl Archive {
    pub fn new(tag: &str, layers: Vec<Vec<u8>>) -> Self {
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|layer| Digest::sha256(layer).to_string())
            .collect();
        let steps = diff_ids.iter().enumerate();
        let history: Vec<_> = steps
            .map(|(n, _)| serde_json::json!({"created": "2024-01-02T03:04:05Z", "created_by": format!("step {n}")}))
            .collect();
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05.5Z",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], "Labels": {"tag": tag}},
            "history": history, "rootfs": {"type": "layers", "diff_ids": diff_ids}, "unknown": {"kept": true},
        });
        let tags = if tag.is_empty() {
            vec![]
        } else {
            vec![tag.to_owned()]
        };
        Self { config, layers, tags }
    }

    pub fn id(&self) -> Digest {
        Digest::sha256(self.config.to_string())
    }

    /// As old Dockers save: layers first, one directory each, the table of contents last.
    pub fn legacy(&self) -> Vec<u8> {
        let config = self.config.to_string();
        let name = format!("{}.json", self.id().hex());
        let paths: Vec<String> = (0..self.layers.len())
            .map(|n| format!("layer{n}/layer.tar"))
            .collect();
        let manifest =
            serde_json::json!([{"Config": name, "RepoTags": self.tags, "Layers": paths}]).to_string();
        let mut files: Vec<(&str, &[u8])> = paths
            .iter()
            .map(String::as_str)
            .zip(self.layers.iter().map(Vec::as_slice))
            .collect();
        files.push((&name, config.as_bytes()));
        files.push(("manifest.json", manifest.as_bytes()));
        tar(&files)
    }

    /// An OCI image layout without Docker's table of contents; layers are compressed by `pack`.
    pub fn layout(&self, pack: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::sha256(bytes).hex());
        let config = self.config.to_string();
        let layers: Vec<Vec<u8>> = self.layers.iter().map(|layer| pack(layer)).collect();
        let descriptor = |kind: &str, bytes: &[u8]| serde_json::json!({"mediaType": kind, "digest": Digest::sha256(bytes), "size": bytes.len()});
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": oci::image::media_type::OCI_MANIFEST,
            "config": descriptor(oci::image::media_type::OCI_CONFIG, config.as_bytes()),
            "layers": layers.iter().map(|l| descriptor(oci::image::media_type::OCI_LAYER_GZIP, l)).collect::<Vec<_>>(),
        })
        .to_string();
        let mut named = descriptor(oci::image::media_type::OCI_MANIFEST, manifest.as_bytes());
        if let Some(tag) = self.tags.first() {
            named["annotations"] =
                serde_json::json!({"io.containerd.image.name": format!("docker.io/library/{tag}")});
        }
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [named]}).to_string();
        let mut files = vec![
            (blob(config.as_bytes()), config.into_bytes()),
            (blob(manifest.as_bytes()), manifest.into_bytes()),
            ("index.json".to_owned(), index.into_bytes()),
            (
                "oci-layout".to_owned(),
                br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
            ),
        ];
        files.extend(layers.into_iter().map(|layer| (blob(&layer), layer)));
        let files: Vec<(&str, &[u8])> = files.iter().map(|(p, c)| (p.as_str(), c.as_slice())).collect();
        tar(&files)
    }
}

/// The members of an archive, by name.
pub fn members(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut reader = archive::Reader::new(archive);
    let mut members = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut data = Vec::new();
        reader.read_to_end(&mut data).unwrap();
        members.push((String::from_utf8(entry.path).unwrap(), data));
    }
    members
}

pub fn collected() -> (images::Progress, Arc<Mutex<Vec<Message>>>) {
    let lines: Arc<Mutex<Vec<Message>>> = Arc::default();
    let sink = Arc::clone(&lines);
    (Arc::new(move |line| sink.lock().unwrap().push(line)), lines)
}

pub fn path_of(root: &Path, parts: &[&str]) -> PathBuf {
    parts
        .iter()
        .fold(root.to_path_buf(), |path, part| path.join(part))
}
