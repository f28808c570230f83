//! A disk that fills while an image is pulled: a small file system in a mount namespace of the test's own.

mod support;

use std::ffi::CString;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use fake_registry::{Layer, Registry};
use images::{Images, PullOptions};
use rustix::mount::{MountFlags, mount};
use support::{House, is_root, tar};

/// Set for the child of a test: the options of its file system.
const ROOM: &str = "DHOW_TEST_IMAGES_ROOM";

/// Runs `story` with a service whose whole data root has so many bytes: in a child, which runs nothing but this `test`.
fn with_room(test: &str, size: &str, story: impl AsyncFnOnce(House)) {
    if !is_root() {
        return;
    }
    let Some(options) = std::env::var_os(ROOM) else {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env("TMPDIR", folder.path())
            .env(ROOM, format!("size={size}"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(child.status.success() && said.contains(" 1 passed"), "{child:?}");
        return;
    };
    let options = CString::new(options.into_encoded_bytes()).unwrap();
    let folder = std::env::temp_dir();
    mount("tmpfs", &folder, "tmpfs", MountFlags::empty(), options.as_c_str()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(story(House::new()));
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(step).collect()
}

fn put(registry: &Registry, repository: &str, layers: &[Vec<u8>]) -> String {
    let config = serde_json::json!({"architecture": "amd64", "os": "linux", "config": {}});
    let layers: Vec<Layer> = layers.iter().map(|bytes| Layer::plain(bytes)).collect();
    registry.put_image(repository, "1", &config, &layers);
    format!("{}/{repository}:1", registry.address())
}

async fn pull(images: &Arc<Images>, name: &str) -> Result<(), images::ImageError> {
    let options = PullOptions::new(name, "").unwrap();
    images.pull(options, Arc::new(|_| ())).await
}

fn used(root: &Path) -> u64 {
    let status = rustix::fs::statvfs(root).unwrap();
    (status.f_blocks - status.f_bfree) * status.f_frsize
}

#[test]
fn a_disk_that_fills_ends_the_pull_with_its_reason_and_has_its_room_again() {
    with_room(
        "a_disk_that_fills_ends_the_pull_with_its_reason_and_has_its_room_again",
        "12m",
        async |house| {
            let registry = Registry::start();
            let small = [tar(&[("small", b"x")])];
            let first = put(&registry, "small", &small);
            pull(&house.images, &first).await.unwrap();
            let (before, there) = (used(house.dir.path()), house.on_disk());
            let large = [
                tar(&[("first", &noise(1 << 20))]),
                tar(&[("large", &noise(14 << 20))]),
            ];
            let large = put(&registry, "large", &large);
            let error = pull(&house.images, &large).await.unwrap_err().to_string();
            assert!(
                error.to_lowercase().contains("no space left on device"),
                "{error}"
            );
            // The threads that unpack see a moment later that it is over.
            while house.on_disk() != there || used(house.dir.path()) > before + (1 << 20) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            assert_eq!(house.images.count(), 1);
            // And life goes on.
            let other = put(&registry, "other", &[tar(&[("other", &noise(3 << 20))])]);
            pull(&house.images, &other).await.unwrap();
            house.images.resolve(&first).unwrap();
            house.images.resolve(&other).unwrap();
        },
    );
}

#[test]
fn what_is_kept_for_a_broken_pull_gives_way_to_the_layer_itself() {
    with_room(
        "what_is_kept_for_a_broken_pull_gives_way_to_the_layer_itself",
        "16m",
        async |house| {
            let registry = Registry::start();
            // There is room for it once, not twice.
            let name = put(&registry, "a", &[tar(&[("large", &noise(9 << 20))])]);
            pull(&house.images, &name).await.unwrap();
            house.images.resolve(&name).unwrap();
            assert!(used(house.dir.path()) < 13 << 20);
        },
    );
}
