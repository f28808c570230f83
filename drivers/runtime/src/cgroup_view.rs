//! What a mount of type `cgroup` shows: the container's own groups, by hierarchy.

use std::path::{Path, PathBuf};

use cgroups::{Cgroup, Hierarchy, Layout};
use oci::runtime::{NamespaceKind, Spec};

use crate::Error;
use crate::compile::CgroupMount;

/// One hierarchy and the group that is shown of it.
struct Shown {
    unified: bool,
    mount: PathBuf,
    controllers: Vec<String>,
    directory: PathBuf,
}

/// The hierarchies as the container shall see them.
pub(crate) fn mounts(spec: &Spec, cgroup: Option<&Cgroup>) -> Result<Vec<CgroupMount>, Error> {
    let own_namespace = spec.linux.as_ref().is_some_and(|linux| {
        linux
            .namespaces
            .iter()
            .any(|n| n.kind == NamespaceKind::Cgroup && n.path.is_empty())
    });
    let shown = match cgroup {
        Some(cgroup) => groups(cgroup),
        None => own_groups(&Layout::detect()?),
    };
    let pure = !shown.iter().any(|h| !h.unified && !h.controllers.is_empty());
    if let Some(unified) = shown.iter().find(|h| h.unified && pure) {
        // In the host's cgroup namespace the whole tree is shown, as runc does.
        let path = match cgroup {
            Some(_) if own_namespace => &unified.directory,
            _ => &unified.mount,
        };
        return Ok(vec![CgroupMount {
            name: String::new(),
            path: path.to_string_lossy().into_owned(),
            links: Vec::new(),
        }]);
    }
    let one = |h: Shown| {
        let name = h.mount.file_name()?.to_string_lossy().into_owned();
        let links = h
            .controllers
            .iter()
            .filter(|c| !h.unified && h.controllers.len() > 1 && **c != name);
        Some(CgroupMount {
            links: links.cloned().collect(),
            path: h.directory.to_string_lossy().into_owned(),
            name,
        })
    };
    Ok(shown.into_iter().filter_map(one).collect())
}

/// The container's groups.
fn groups(cgroup: &Cgroup) -> Vec<Shown> {
    let shown = cgroup.places().map(|place| Shown {
        unified: place.unified,
        mount: place.mount.to_owned(),
        controllers: place.controllers.to_vec(),
        directory: place.directory.to_owned(),
    });
    shown.collect()
}

/// The caller's own groups.
fn own_groups(layout: &Layout) -> Vec<Shown> {
    let shown = |hierarchy: &Hierarchy, unified| Shown {
        unified,
        mount: hierarchy.mount.clone(),
        controllers: hierarchy.controllers.clone(),
        directory: below(&hierarchy.mount, &hierarchy.own),
    };
    let v1 = layout.hierarchies().iter().map(|h| shown(h, false));
    v1.chain(layout.unified().map(|h| shown(h, true))).collect()
}

fn below(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_matches('/'))
}
