//! Many at once, at random, and kills in between: no layer in use is lost, and none is left that nobody needs.

mod support;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use api_types::Filters;
use images::{
    CommitOptions, ContainerLayer, ImageError, Images, LoadOptions, PullOptions, RemoveOptions, SquashOptions,
};
use storage_drivers::Recipe;
use support::{Archive, is_root, on_disk, open_at, tar};

const WORKERS: u64 = 4;
const VARIANTS: u64 = 5;

/// Marsaglia's xorshift: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Images that share some of their layers: `variant` says which.
fn archive(variant: u64, name: &str) -> Archive {
    let base = tar(&[("base", b"base"), ("which", b"none")]);
    let middle = tar(&[("middle", &[b'm'; 3000])]);
    let which = variant.to_string();
    let top = tar(&[("which", which.as_bytes())]);
    let mut archive = match variant % 3 {
        0 => Archive::new("", vec![base, top]),
        1 => Archive::new("", vec![base, middle, top]),
        _ => Archive::new("", vec![middle, base, top]),
    };
    // The configuration is the same whoever loads it: workers share images, and own only names.
    archive.tags = vec![name.to_owned()];
    archive
}

/// What a worker has been promised, and what it is about to give up, one line each.
#[derive(Clone)]
struct Journal(Arc<Mutex<Option<File>>>);

impl Journal {
    fn write(&self, line: &str) {
        if let Some(file) = &mut *self.0.lock().unwrap() {
            file.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
    }
}

struct Worker {
    images: Arc<Images>,
    number: u64,
    dice: Dice,
    journal: Journal,
    registry: String,
    /// The names that it has made, and the variants behind them.
    names: BTreeMap<String, u64>,
    containers: BTreeMap<String, u64>,
    made: u64,
}

/// The topmost file of that name in the layers of a container, without mounting them.
fn content(images: &Images, container: &str, name: &str) -> String {
    let Recipe::Overlay { lowers, upper, .. } = images.container_recipe(container).unwrap() else {
        panic!("another driver");
    };
    for layer in upper.iter().chain(&lowers) {
        assert!(layer.is_dir(), "{container}: {} is gone", layer.display());
    }
    let found = upper
        .iter()
        .chain(&lowers)
        .find_map(|layer| std::fs::read_to_string(layer.join(name)).ok());
    found.unwrap_or_else(|| panic!("{container}: {name} is gone"))
}

impl Worker {
    fn a_name(&mut self) -> Option<(String, u64)> {
        let count = self.names.len() as u64;
        let place = (count > 0).then(|| self.dice.throw(count))?;
        self.names
            .iter()
            .nth(place as usize)
            .map(|(name, variant)| (name.clone(), *variant))
    }

    fn a_container(&mut self) -> Option<(String, u64)> {
        let count = self.containers.len() as u64;
        let place = (count > 0).then(|| self.dice.throw(count))?;
        self.containers
            .iter()
            .nth(place as usize)
            .map(|(id, variant)| (id.clone(), *variant))
    }

    fn new_name(&mut self) -> String {
        self.made += 1;
        format!("w{}:{}", self.number, self.made)
    }

    fn has(&mut self, name: String, variant: u64) {
        self.journal.write(&format!("name {name} {variant}"));
        self.names.insert(name, variant);
    }

    async fn step(&mut self) {
        match self.dice.throw(10) {
            0 | 1 => {
                let (variant, name) = (self.dice.throw(VARIANTS), self.new_name());
                let source = std::io::Cursor::new(archive(variant, &name).legacy());
                let loaded = self
                    .images
                    .load(source, LoadOptions::default(), Arc::new(|_| {}))
                    .await;
                loaded.unwrap();
                self.has(name, variant);
            }
            2 => self.pull().await,
            3 | 4 => {
                let Some((name, variant)) = self.a_name() else {
                    return;
                };
                self.made += 1;
                let id = format!("c{}x{}", self.number, self.made);
                let image = self.images.resolve(&name).unwrap();
                let layer = self.images.create_container_layer(&id, &image.id).await.unwrap();
                let row = serde_json::to_string(&layer).unwrap();
                self.journal.write(&format!("container {id} {variant} {row}"));
                self.containers.insert(id, variant);
            }
            5 => {
                let Some((id, variant)) = self.a_container() else {
                    return;
                };
                let name = self.new_name();
                let (repository, tag) = name.split_once(':').unwrap();
                let options = CommitOptions {
                    reference: Some((repository.to_owned(), tag.to_owned())),
                    comment: name.clone(),
                    ..CommitOptions::default()
                };
                self.images.commit(&id, options).await.unwrap();
                self.has(name, variant);
            }
            6 => {
                let Some((id, variant)) = self.a_container() else {
                    return;
                };
                assert_eq!(content(&self.images, &id, "which"), variant.to_string());
                self.journal.write(&format!("gone {id}"));
                self.containers.remove(&id);
                self.images.remove_container_layer(&id).await.unwrap();
            }
            7 => {
                let Some((name, _)) = self.a_name() else { return };
                self.journal.write(&format!("gone {name}"));
                self.names.remove(&name);
                untag(&self.images, &name).await;
            }
            8 => drop(self.images.prune(&Filters::default()).await.unwrap()),
            _ => self.build().await,
        }
    }

    async fn pull(&mut self) {
        let (variant, name) = (self.dice.throw(VARIANTS), self.new_name());
        let remote = format!("{}/sample:{variant}", self.registry);
        let pull = PullOptions::new(&remote, "").unwrap();
        self.images.pull(pull, Arc::new(|_| {})).await.unwrap();
        // All workers pull under this name, and nobody takes it away.
        let (repository, tag) = name.split_once(':').unwrap();
        self.images.tag(&remote, repository, tag).await.unwrap();
        self.has(name, variant);
    }

    /// A layer on the way to an image that never comes, or an image of one layer.
    async fn build(&mut self) {
        let Some((name, variant)) = self.a_name() else {
            return;
        };
        if self.dice.throw(2) == 0 {
            let image = self.images.resolve(&name).unwrap();
            let archive = tar(&[("built", b"built")]);
            let write = Box::new(move |out: &mut dyn Write| out.write_all(&archive));
            drop(
                self.images
                    .build_layer(Some(&image.id), write, None)
                    .await
                    .unwrap(),
            );
            return;
        }
        let made = self.new_name();
        let (repository, tag) = made.split_once(':').unwrap();
        let options = SquashOptions {
            reference: Some((repository.to_owned(), tag.to_owned())),
            ..SquashOptions::default()
        };
        self.images.squash(&name, options).await.unwrap();
        self.has(made, variant);
    }

    async fn give_all_back(&mut self) {
        for (id, variant) in std::mem::take(&mut self.containers) {
            assert_eq!(content(&self.images, &id, "which"), variant.to_string());
            self.images.remove_container_layer(&id).await.unwrap();
        }
        for name in std::mem::take(&mut self.names).into_keys() {
            untag(&self.images, &name).await;
        }
    }
}

/// The name goes, and the image with it unless another stands on it.
async fn untag(images: &Arc<Images>, name: &str) {
    match images.remove(name, RemoveOptions::default()).await {
        Ok(_) | Err(ImageError::InUse { used: false, .. }) => {}
        Err(error) => panic!("{name}: {error}"),
    }
}

fn registry() -> fake_registry::Registry {
    let registry = fake_registry::Registry::start();
    for variant in 0..VARIANTS {
        let archive = archive(variant, "");
        let layers: Vec<_> = archive
            .layers
            .iter()
            .map(|bytes| fake_registry::Layer::plain(bytes))
            .collect();
        registry.put_image("sample", &variant.to_string(), &archive.config, &layers);
    }
    registry
}

/// Runs the workers at once, each for so many steps; what they hold at the end they give back if `tidy`.
async fn work(images: &Arc<Images>, journal: &Journal, registry: &str, seed: u64, steps: u64, tidy: bool) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..WORKERS {
        let mut worker = Worker {
            images: Arc::clone(images),
            // After a kill those before have left names and containers.
            number: number + WORKERS * seed,
            dice: Dice((seed + 1) * 0x9e37_79b9 + number * 0x85eb_ca6b + 1),
            journal: journal.clone(),
            registry: registry.to_owned(),
            names: BTreeMap::new(),
            containers: BTreeMap::new(),
            made: 0,
        };
        tasks.spawn(async move {
            for _ in 0..steps {
                worker.step().await;
            }
            if tidy {
                worker.give_all_back().await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// Nothing is there but what the service knows of.
fn assert_nothing_leaked(images: &Images, root: &Path, what: &str) {
    let known = images.usage().layers;
    let (keys, records) = on_disk(root);
    let keys: Vec<_> = keys
        .iter()
        .filter(|key| !key.starts_with('c') || !key.contains('x'))
        .collect();
    assert_eq!(
        (keys.len(), records.len()),
        (known, known),
        "{what}: {keys:?} {records:?}"
    );
}

#[tokio::test]
async fn many_at_once_lose_nothing_and_leave_nothing() {
    if !is_root() {
        return;
    }
    let registry = registry();
    let address = registry.address().to_string();
    for seed in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let (images, _events) = open_at(dir.path(), "overlay");
        let journal = Journal(Arc::default());
        work(&images, &journal, &address, seed, 60, true).await;
        for variant in 0..VARIANTS {
            let remote = format!("{address}/sample:{variant}");
            if images.resolve(&remote).is_ok() {
                untag(&images, &remote).await;
            }
        }
        images
            .prune(&Filters::parse(r#"{"dangling":["false"]}"#).unwrap())
            .await
            .unwrap();
        // Without a sweep: nothing was left behind in the first place.
        assert_eq!((images.count(), images.usage().layers), (0, 0), "seed {seed}");
        assert_nothing_leaked(&images, dir.path(), &format!("seed {seed}"));
    }
}

/// Runs as a child of the test below; does nothing otherwise.
#[tokio::test]
async fn workers_that_are_killed() {
    let Some(root) = std::env::var_os("DHOW_TEST_IMAGES_ROOT") else {
        return;
    };
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let root = Path::new(&root);
    let (images, _events) = open_at(root, "overlay");
    images.sweep().await.unwrap();
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(root.join("journal"))
        .unwrap();
    let journal = Journal(Arc::new(Mutex::new(Some(file))));
    let registry = std::env::var("DHOW_TEST_REGISTRY").unwrap();
    work(
        &images,
        &journal,
        &registry,
        number("DHOW_TEST_SEED"),
        1_000_000,
        false,
    )
    .await;
}

/// Starts the child, and kills it when it has written so many lines; where a crash point is named, that may come first.
fn run_until(root: &Path, registry: &str, seed: u64, lines: usize, point: Option<&str>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "workers_that_are_killed"])
        .env("DHOW_TEST_IMAGES_ROOT", root)
        .env("DHOW_TEST_REGISTRY", registry)
        .env("DHOW_TEST_SEED", seed.to_string())
        .stdout(Stdio::null());
    if let Some(point) = point {
        command.env("DHOW_CRASH_AT", point);
    }
    let mut child = command.spawn().unwrap();
    let written = || File::open(root.join("journal")).map_or(0, |file| BufReader::new(file).lines().count());
    let end = std::time::Instant::now() + std::time::Duration::from_secs(300);
    let status = loop {
        assert!(
            std::time::Instant::now() < end,
            "seed {seed}: the workers stand still"
        );
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if written() >= lines {
            child.kill().unwrap();
            break child.wait().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    assert_eq!(
        status.signal(),
        Some(9),
        "seed {seed}: the workers fail by themselves"
    );
}

/// What the journal promises: names and containers with their variants.
fn promised(root: &Path) -> BTreeMap<String, (u64, Option<ContainerLayer>)> {
    let mut promised = BTreeMap::new();
    for line in BufReader::new(File::open(root.join("journal")).unwrap()).lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["name", name, variant] => {
                promised.insert((*name).to_owned(), (variant.parse().unwrap(), None));
            }
            ["container", id, variant, layer] => {
                let layer = serde_json::from_str(layer).unwrap();
                promised.insert((*id).to_owned(), (variant.parse().unwrap(), Some(layer)));
            }
            ["gone", what] => drop(promised.remove(*what)),
            // The kill may have come in the middle of the last line, which then promises nothing.
            _ => {}
        }
    }
    promised
}

#[tokio::test]
async fn a_kill_in_the_middle_of_it_all_loses_nothing_that_was_promised() {
    if !is_root() {
        return;
    }
    let registry = registry();
    let points = [
        "images.layer.prepared",
        "images.layer.unpacked",
        "images.layer.committed",
        "images.put.begun",
        "images.put.recorded",
        "images.remove.begun",
        "images.remove.recorded",
        "images.remove.released",
        "images.container.prepared",
        "images.container.removed",
        "images.squash.registered",
        "images.pull.registered",
    ];
    let address = registry.address().to_string();
    for seed in 0..16 {
        let dir = tempfile::tempdir().unwrap();
        let mut dice = Dice(seed + 77);
        let lines = 5 + dice.throw(60) as usize;
        let point = points.get(seed as usize).copied();
        run_until(dir.path(), &address, seed, lines, point);
        let (images, _events) = open_at(dir.path(), "overlay");
        let journal = dir.path().join("journal");
        let promised = if journal.exists() {
            promised(dir.path())
        } else {
            BTreeMap::new()
        };
        let what = format!("seed {seed}, {point:?}, {} promised", promised.len());
        for layer in promised.values().filter_map(|(_, layer)| layer.as_ref()) {
            images
                .adopt_container_layer(layer)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        images.sweep().await.unwrap();
        for (name, (variant, layer)) in &promised {
            let container = match layer {
                Some(_) => name.clone(),
                None => {
                    let image = images
                        .resolve(name)
                        .unwrap_or_else(|error| panic!("{what}: {error}"));
                    images.create_container_layer("probe", &image.id).await.unwrap();
                    "probe".to_owned()
                }
            };
            assert_eq!(
                content(&images, &container, "which"),
                variant.to_string(),
                "{what}: {name}"
            );
            if layer.is_none() {
                images.remove_container_layer("probe").await.unwrap();
            }
        }
        assert_nothing_leaked(&images, dir.path(), &what);
        // And life goes on.
        work(&images, &Journal(Arc::default()), &address, seed + 100, 5, true).await;
    }
}
