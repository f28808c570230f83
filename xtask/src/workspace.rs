//! The workspace as cargo sees it, and running commands in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// Runs a command to its end; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

/// The output of a command that must succeed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `cargo`, the one that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// What `cargo metadata` says, as far as we need it.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) resolve: Resolve,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) license: Option<String>,
    pub(crate) source: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<Dependency>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
pub(crate) struct DependencyKind {
    pub(crate) kind: Option<String>,
}

impl Dependency {
    /// Not only for tests.
    pub(crate) fn is_built_in(&self) -> bool {
        self.dep_kinds
            .iter()
            .any(|kind| kind.kind.as_deref() != Some("dev"))
    }
}

impl Metadata {
    pub(crate) fn read() -> Result<Metadata> {
        let target = ["--filter-platform", "x86_64-unknown-linux-gnu"];
        let text = output(cargo().args(["metadata", "--format-version", "1"]).args(target))?;
        serde_json::from_str(&text).context("reading cargo metadata")
    }

    pub(crate) fn package(&self, id: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.id == id)
    }

    /// Our own crates.
    pub(crate) fn members(&self) -> Vec<&Package> {
        self.workspace_members
            .iter()
            .filter_map(|id| self.package(id))
            .collect()
    }

    /// What a package is built from, at first hand.
    pub(crate) fn dependencies(&self, id: &str) -> Vec<&Package> {
        let node = self.resolve.nodes.iter().find(|node| node.id == id);
        let built_in = node
            .into_iter()
            .flat_map(|node| &node.deps)
            .filter(|dep| dep.is_built_in());
        built_in.filter_map(|dep| self.package(&dep.pkg)).collect()
    }
}

impl Package {
    /// Folder below the workspace: `kernel/linux`.
    pub(crate) fn folder(&self) -> String {
        let folder = self.manifest_path.parent().unwrap_or(&self.manifest_path);
        folder
            .strip_prefix(root())
            .unwrap_or(folder)
            .display()
            .to_string()
    }

    /// First part of the folder: `kernel`.
    pub(crate) fn floor(&self) -> String {
        self.folder().split('/').next().unwrap_or_default().to_owned()
    }
}
