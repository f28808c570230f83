//! The large image of the load and save rows.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

const FILES: usize = 4000;
const BYTES: usize = 80_000;

/// Writes a docker-archive of `large:latest`: one layer, 4,000 files, 320 MB that hardly compress.
pub(super) fn large(archive: &Path, work: &Path) -> Result<()> {
    let image = work.join("large");
    let root = image.join("root");
    let mut state = 1_u64;
    for number in 0..FILES {
        let folder = root.join(format!("d{}", number % 40));
        fs::create_dir_all(&folder)?;
        let mut content = Vec::with_capacity(BYTES);
        while content.len() < BYTES {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            content.extend_from_slice(&state.to_le_bytes());
        }
        fs::File::create(folder.join(format!("f{number}")))?.write_all(&content)?;
    }
    tar(&root, ".", &image.join("layer.tar"))?;
    fs::remove_dir_all(&root)?;
    let digest = Command::new("sha256sum")
        .arg(image.join("layer.tar"))
        .output()?
        .stdout;
    let digest = String::from_utf8_lossy(&digest[..64]).into_owned();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    fs::write(image.join("config.json"), config.to_string())?;
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": ["large:latest"], "Layers": ["layer.tar"]}]);
    fs::write(image.join("manifest.json"), manifest.to_string())?;
    tar(&image, ".", archive)?;
    fs::remove_dir_all(&image)?;
    Ok(())
}

fn tar(folder: &Path, what: &str, archive: &Path) -> Result<()> {
    let status = Command::new("tar")
        .arg("-C")
        .arg(folder)
        .arg("-cf")
        .arg(archive)
        .arg(what)
        .status()?;
    ensure!(status.success(), "tar of {}", folder.display());
    Ok(())
}
