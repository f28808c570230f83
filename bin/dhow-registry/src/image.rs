//! `dhow-registry image`: an archive of an image that holds this program and what it stands on, for `dhow load`.
//!
//! The image is from scratch: the program itself, the dynamic loader and the libraries that are mapped into this process.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use archive::{Entry, EntryKind, Writer};
use oci::digest::Digest;
use serde_json::json;

use crate::ImageArguments;

/// Where the program stands in the image, and where it stores.
const PROGRAM: &str = "usr/bin/dhow-registry";
const STORAGE: &str = "var/lib/dhow-registry";

pub(crate) fn run(arguments: &ImageArguments) -> Result<()> {
    let layer = layer()?;
    let diff = Digest::sha256(&layer);
    let config = json!({
        "architecture": oci::platform::Platform::host().architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": [format!("/{PROGRAM}")],
            "Cmd": ["serve", "--listen", "0.0.0.0:5000"],
            "Env": ["PATH=/usr/bin"],
            "ExposedPorts": {"5000/tcp": {}},
            "Volumes": {format!("/{STORAGE}"): {}},
            "WorkingDir": "/",
            "Labels": {"org.opencontainers.image.title": "dhow-registry",
                "org.opencontainers.image.version": env!("CARGO_PKG_VERSION")},
        },
        "rootfs": {"type": "layers", "diff_ids": [diff]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "dhow-registry image"}],
    })
    .to_string();
    let config_name = format!("{}.json", Digest::sha256(&config).hex());
    let layer_name = format!("{}/layer.tar", diff.hex());
    let manifest =
        json!([{"Config": config_name, "RepoTags": [arguments.tag], "Layers": [layer_name]}]).to_string();

    let out: Box<dyn Write> = match &arguments.output {
        Some(path) => Box::new(fs::File::create(path).with_context(|| format!("create {}", path.display()))?),
        None if io::stdout().is_terminal() => {
            bail!("an archive is not for a terminal: use --output FILE, or `dhow-registry image | dhow load`")
        }
        None => Box::new(io::stdout().lock()),
    };
    let write = || -> io::Result<()> {
        let mut archive = Writer::new(out);
        archive.append_bytes(&Entry::directory(diff.hex(), 0o755), b"")?;
        for (name, content) in [
            (&layer_name, &layer[..]),
            (&config_name, config.as_bytes()),
            (&"manifest.json".to_owned(), manifest.as_bytes()),
        ] {
            archive.append_bytes(&Entry::file(name.as_str(), 0o644, content.len() as u64), content)?;
        }
        archive.finish()?.flush()
    };
    write().context("write the archive")
}

/// The tar of the image's one layer.
fn layer() -> Result<Vec<u8>> {
    let program = fs::read("/proc/self/exe").context("read this program")?;
    let maps = fs::read_to_string("/proc/self/maps").context("find the libraries of this program")?;
    let own = fs::read_link("/proc/self/exe").context("find this program")?;
    let libraries: BTreeSet<PathBuf> = mapped_code(&maps)
        .into_iter()
        .filter(|path| *path != own)
        .collect();
    let loader = interpreter(&program);
    let mut tree = Tree::default();
    tree.file(Path::new(PROGRAM), &program, 0o755)?;
    for path in &libraries {
        let content = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        tree.file(path.strip_prefix("/").unwrap_or(path), &content, 0o755)?;
        let Some((directory, name)) = path.parent().zip(path.file_name()) else {
            continue;
        };
        // The loader has a fixed name in the program; others are found beside where they were found here.
        if let Some(loader) = loader
            .as_ref()
            .filter(|loader| loader.file_name() == Some(name) && *loader != path)
        {
            tree.link(loader.strip_prefix("/").unwrap_or(loader), path)?;
        }
        // On merged-/usr systems the loader looks in /lib, where there is no link to /usr/lib in the image.
        if let Ok(rest) = directory.strip_prefix("/usr/lib") {
            tree.link(&Path::new("lib").join(rest).join(name), path)?;
        }
    }
    tree.directory(Path::new(STORAGE))?;
    tree.directory(Path::new("tmp"))?;
    Ok(tree.archive.finish()?)
}

/// A tar with every folder before what is in it.
struct Tree {
    archive: Writer<Vec<u8>>,
    known: BTreeSet<PathBuf>,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            archive: Writer::new(Vec::new()),
            known: BTreeSet::new(),
        }
    }
}

impl Tree {
    fn directory(&mut self, path: &Path) -> Result<()> {
        let above: Vec<&Path> = path
            .ancestors()
            .filter(|part| !part.as_os_str().is_empty())
            .collect();
        for part in above.into_iter().rev() {
            if self.known.insert(part.to_owned()) {
                let entry = Entry::directory(part.as_os_str().as_encoded_bytes(), 0o755);
                self.archive.append_bytes(&entry, b"")?;
            }
        }
        Ok(())
    }

    fn above(&mut self, path: &Path) -> Result<bool> {
        self.directory(path.parent().unwrap_or(Path::new("")))?;
        Ok(self.known.insert(path.to_owned()))
    }

    fn file(&mut self, path: &Path, content: &[u8], mode: u32) -> Result<()> {
        if self.above(path)? {
            let entry = Entry::file(path.as_os_str().as_encoded_bytes(), mode, content.len() as u64);
            self.archive.append_bytes(&entry, content)?;
        }
        Ok(())
    }

    fn link(&mut self, path: &Path, target: &Path) -> Result<()> {
        if self.above(path)? {
            let mut entry = Entry::new(EntryKind::Symlink, path.as_os_str().as_encoded_bytes(), 0o777);
            entry.link = target.as_os_str().as_encoded_bytes().to_vec();
            self.archive.append_bytes(&entry, b"")?;
        }
        Ok(())
    }
}

/// The files of which code is mapped (proc_pid_maps(5)).
fn mapped_code(maps: &str) -> Vec<PathBuf> {
    let lines = maps.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let permissions = words.nth(1)?;
        let path = words.nth(3)?;
        (permissions.contains('x') && path.starts_with('/')).then(|| PathBuf::from(path))
    });
    lines.collect()
}

/// The dynamic loader that an ELF program of 64 bits, little endian, asks for (elf(5), PT_INTERP).
fn interpreter(program: &[u8]) -> Option<PathBuf> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, length: usize| -> Option<u64> {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(program.get(at..at.checked_add(length)?)?);
        Some(u64::from_le_bytes(bytes))
    };
    let size = |at: usize, length: usize| usize::try_from(number(at, length)?).ok();
    if program.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, entry, count) = (size(32, 8)?, size(54, 2)?, size(56, 2)?);
    let header = (0..count)
        .filter_map(|index| table.checked_add(index * entry))
        .find(|at| number(*at, 4) == Some(PT_INTERP))?;
    let (offset, length) = (size(header + 8, 8)?, size(header + 32, 8)?);
    let text = program.get(offset..offset.checked_add(length)?)?;
    Some(PathBuf::from(
        std::str::from_utf8(text).ok()?.trim_end_matches('\0'),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_and_the_libraries_of_this_test_are_found() {
        let program = fs::read("/proc/self/exe").unwrap();
        let loader = interpreter(&program).expect("tests are linked dynamically");
        assert!(loader.exists(), "{}", loader.display());
        let code = mapped_code(&fs::read_to_string("/proc/self/maps").unwrap());
        assert!(code.iter().any(|path| path.ends_with("libc.so.6")), "{code:?}");
        assert!(interpreter(b"\x7fELF\x02\x01").is_none() && interpreter(b"").is_none());
    }

    #[test]
    fn the_layer_holds_the_program_and_its_loader() {
        let layer = layer().unwrap();
        let mut names = BTreeSet::new();
        let mut reader = archive::Reader::new(&layer[..]);
        while let Some(entry) = reader.next_entry().unwrap() {
            names.insert(entry.display_path());
        }
        let loader = interpreter(&fs::read("/proc/self/exe").unwrap()).unwrap();
        let loader = loader.strip_prefix("/").unwrap().display().to_string();
        for name in [PROGRAM, STORAGE, loader.as_str()] {
            assert!(
                names.iter().any(|own| own.trim_end_matches('/') == name),
                "{name}: {names:?}"
            );
        }
    }
}
