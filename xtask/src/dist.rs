//! A tarball and a Debian package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::files::{CONFIGURATION, SERVICE, SOCKET, place, write};
use crate::workspace::{output, run as run_command};
use crate::{build, packages};

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Use the binaries that are in target/release, without building
    #[arg(long)]
    built: bool,
    /// Also install, upgrade and purge the package in a folder that stands for a machine
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    packages::ensure(&["dpkg"])?;
    let binaries = match arguments.built {
        true => Path::new("target/release").canonicalize()?,
        false => build::release()?,
    };
    let folder = PathBuf::from("target/dist");
    let tree = tree(&binaries, &folder)?;
    let tarball = folder.join(format!("dhow-{VERSION}-linux-x86_64.tar.gz"));
    run_command(
        Command::new("tar")
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-C"])
            .arg(&tree)
            .arg("-czf")
            .arg(&tarball)
            .args(["usr", "lib", "etc"]),
    )?;
    let package = deb(&tree, VERSION, &folder)?;
    for file in [&tarball, &package] {
        println!(
            "{:>7.2} MB  {}",
            fs::metadata(file)?.len() as f64 / 1e6,
            file.display()
        );
    }
    if arguments.check {
        let newer = deb(&tree, &format!("{VERSION}+1"), &folder)?;
        check(&package, &newer, &folder)?;
        fs::remove_file(newer)?;
    }
    Ok(())
}

/// A Debian package of these binaries, below `folder`.
pub(crate) fn package(binaries: &Path, folder: &Path) -> Result<PathBuf> {
    deb(&tree(binaries, folder)?, VERSION, folder)
}

/// Lays out what is to be packed.
fn tree(binaries: &Path, folder: &Path) -> Result<PathBuf> {
    let tree = folder.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    place(binaries, &tree.join("usr"))?;
    write(
        &tree.join("lib/systemd/system/dhow.service"),
        SERVICE.as_bytes(),
        0o644,
    )?;
    write(
        &tree.join("lib/systemd/system/dhow.socket"),
        SOCKET.as_bytes(),
        0o644,
    )?;
    write(
        &tree.join("etc/dhow/daemon.json"),
        CONFIGURATION.as_bytes(),
        0o644,
    )?;
    let docs = tree.join("usr/share/doc/dhow");
    write(&docs.join("copyright"), &fs::read("LICENSE")?, 0o644)?;
    write(&docs.join("README.md"), &fs::read("README.md")?, 0o644)?;
    Ok(tree)
}

/// Packs the tree as a Debian package.
fn deb(tree: &Path, version: &str, folder: &Path) -> Result<PathBuf> {
    let control = tree.join("DEBIAN");
    let size = output(Command::new("du").args(["-sk", "--exclude=DEBIAN"]).arg(tree))?;
    let size = size.split_whitespace().next().unwrap_or("0").to_owned();
    let text = format!(
        "Package: dhow\nVersion: {version}\nArchitecture: amd64\nMaintainer: the dhow project <dhow@localhost>\n\
         Installed-Size: {size}\nDepends: libc6 (>= 2.34), libgcc-s1, passwd\nRecommends: ca-certificates\nSection: admin\n\
         Priority: optional\nDescription: container engine, compatible with Docker\n \
         The daemon dhowd with the Docker Engine API, the command dhow, the OCI\n runtime dhow-runtime and the registry server.\n"
    );
    write(&control.join("control"), text.as_bytes(), 0o644)?;
    write(&control.join("conffiles"), b"/etc/dhow/daemon.json\n", 0o644)?;
    write(
        &control.join("postinst"),
        include_bytes!("../packaging/postinst"),
        0o755,
    )?;
    write(
        &control.join("prerm"),
        include_bytes!("../packaging/prerm"),
        0o755,
    )?;
    write(
        &control.join("postrm"),
        include_bytes!("../packaging/postrm"),
        0o755,
    )?;
    let package = folder.join(format!("dhow_{version}_amd64.deb"));
    run_command(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Zxz", "--build"])
            .arg(tree)
            .arg(&package)
            .stdout(std::process::Stdio::null()),
    )?;
    Ok(package)
}

/// Installs, upgrades and purges in a folder of its own, with dpkg's own book-keeping.
fn check(package: &Path, newer: &Path, folder: &Path) -> Result<()> {
    let root = folder.join("machine");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    for part in [
        "var/lib/dpkg/updates",
        "var/lib/dpkg/info",
        "var/lib/dpkg/triggers",
        "var/log",
    ] {
        fs::create_dir_all(root.join(part))?;
    }
    for file in ["status", "available"] {
        fs::write(root.join("var/lib/dpkg").join(file), "")?;
    }
    let root = root.canonicalize()?;
    let dpkg = |arguments: &[&std::ffi::OsStr]| {
        let mut command = Command::new("dpkg");
        command
            .arg(format!("--root={}", root.display()))
            .args(["--force-script-chrootless", "--force-depends"]);
        output(command.args(arguments)).map(drop)
    };
    let configuration = root.join("etc/dhow/daemon.json");
    dpkg(&["-i".as_ref(), package.as_os_str()]).context("install")?;
    for name in build::BINARIES {
        ensure!(
            root.join("usr/bin").join(name).exists(),
            "{name} was not installed"
        );
    }
    fs::write(&configuration, "{ \"debug\": true }\n")?;
    fs::create_dir_all(root.join("var/lib/dhow/images"))?;
    dpkg(&["--force-confold".as_ref(), "-i".as_ref(), newer.as_os_str()]).context("upgrade")?;
    ensure!(
        fs::read_to_string(&configuration)?.contains("debug"),
        "the upgrade lost the administrator's configuration"
    );
    ensure!(root.join("var/lib/dhow/images").exists(), "the upgrade lost data");
    dpkg(&["-r".as_ref(), "dhow".as_ref()]).context("remove")?;
    ensure!(!root.join("usr/bin/dhowd").exists(), "removal left the daemon");
    ensure!(
        configuration.exists() && root.join("var/lib/dhow/images").exists(),
        "removal took more than the programs"
    );
    dpkg(&["-P".as_ref(), "dhow".as_ref()]).context("purge")?;
    ensure!(
        !configuration.exists() && !root.join("var/lib/dhow").exists(),
        "the purge left something"
    );
    println!("installed, upgraded, removed and purged in {}", root.display());
    fs::remove_dir_all(&root).context("removing the stand-in for a machine")
}
