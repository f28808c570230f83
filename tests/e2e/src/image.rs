//! Images made on the spot, without any registry.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::json;

/// Writes a docker-archive of `busybox:latest` with one layer.
///
/// # Panics
/// Without Debian's package busybox-static, or when the disk is full.
pub fn busybox(archive: &Path) {
    let work = tempfile::tempdir().expect("temporary folder");
    let root = work.path().join("root");
    for folder in ["bin", "etc", "root", "tmp", "var", "home"] {
        fs::create_dir_all(root.join(folder)).expect("folder");
    }
    let paths = ["/bin/busybox", "/usr/bin/busybox"];
    let busybox = paths
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("the package busybox-static");
    fs::copy(busybox, root.join("bin/busybox")).expect("busybox");
    let list = Command::new(busybox)
        .arg("--list")
        .output()
        .expect("busybox")
        .stdout;
    let list = String::from_utf8_lossy(&list).into_owned();
    for applet in list.split_whitespace().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).expect("link");
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/home/guest:/bin/sh\n",
    )
    .expect("passwd");
    fs::write(
        root.join("etc/group"),
        "root:x:0:\nguest:x:1000:\nextra:x:2000:guest\n",
    )
    .expect("group");
    let image = work.path().join("image");
    fs::create_dir(&image).expect("folder");
    tar(&root, &image.join("layer.tar"));
    let digest = Command::new("sha256sum")
        .arg(image.join("layer.tar"))
        .output()
        .expect("sha256sum")
        .stdout;
    let digest = String::from_utf8_lossy(&digest[..64]).into_owned();
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "busybox-static"}],
    });
    fs::write(image.join("config.json"), config.to_string()).expect("config");
    let manifest =
        json!([{"Config": "config.json", "RepoTags": ["busybox:latest"], "Layers": ["layer.tar"]}]);
    fs::write(image.join("manifest.json"), manifest.to_string()).expect("manifest");
    tar(&image, archive);
}

/// Puts the image of [`busybox`] into a registry, as `busybox:latest` of that repository.
///
/// # Panics
/// As [`busybox`].
pub fn busybox_at(registry: &fake_registry::Registry, repository: &str) {
    let work = tempfile::tempdir().expect("temporary folder");
    let archive = work.path().join("busybox.tar");
    busybox(&archive);
    let unpacked = Command::new("tar")
        .arg("-xf")
        .arg(&archive)
        .arg("-C")
        .arg(work.path())
        .status();
    assert!(unpacked.expect("tar").success());
    let packed = Command::new("gzip")
        .args(["-1", "-n", "-k"])
        .arg(work.path().join("layer.tar"))
        .status();
    assert!(packed.expect("gzip").success());
    let read = |name: &str| fs::read(work.path().join(name)).expect("a file of the image");
    let config = serde_json::from_slice(&read("config.json")).expect("config");
    let layer = fake_registry::Layer {
        media_type: "application/vnd.docker.image.rootfs.diff.tar.gzip".to_owned(),
        diff_id: fake_registry::digest(&read("layer.tar")),
        bytes: read("layer.tar.gz"),
    };
    registry.put_image(repository, "latest", &config, &[layer]);
}

/// The same bytes for the same content, so that every daemon of a test run has the same image id.
fn tar(folder: &Path, archive: &Path) {
    let status = Command::new("tar")
        .args([
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--mtime=@0",
            "-C",
        ])
        .arg(folder)
        .arg("-cf")
        .arg(archive)
        .arg(".")
        .status();
    assert!(status.expect("tar").success());
}
