//! What a mount of type `cgroup` shows: the container's own groups, by hierarchy.

use std::path::Path;

use cgroups::{Cgroup, Hierarchy, Layout, Mode};
use oci::runtime::{NamespaceKind, Spec};

use crate::Error;
use crate::compile::CgroupMount;

/// The hierarchies as the container shall see them.
pub(crate) fn mounts(spec: &Spec, cgroup: Option<&Cgroup>) -> Result<Vec<CgroupMount>, Error> {
    let layout = Layout::detect()?;
    let own_namespace = spec.linux.as_ref().is_some_and(|linux| {
        linux
            .namespaces
            .iter()
            .any(|n| n.kind == NamespaceKind::Cgroup && n.path.is_empty())
    });
    if layout.mode() == Mode::V2 {
        let Some(unified) = layout.unified() else {
            return Ok(Vec::new());
        };
        // In the host's cgroup namespace the whole tree is shown, as runc does.
        let path = match cgroup {
            Some(cgroup) if own_namespace => directory(unified, cgroup.path()),
            _ => unified.mount.to_string_lossy().into_owned(),
        };
        return Ok(vec![CgroupMount {
            name: String::new(),
            path,
            links: Vec::new(),
        }]);
    }
    let one = |hierarchy: &Hierarchy, name: String| {
        let path = match cgroup {
            Some(cgroup) => directory(hierarchy, cgroup.path()),
            None => directory(hierarchy, ""),
        };
        let links = hierarchy
            .controllers
            .iter()
            .filter(|_| hierarchy.controllers.len() > 1);
        CgroupMount {
            links: links.filter(|c| **c != name).cloned().collect(),
            name,
            path,
        }
    };
    let name = |hierarchy: &Hierarchy| {
        hierarchy
            .mount
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
    };
    let mut list: Vec<CgroupMount> = layout
        .hierarchies()
        .iter()
        .filter_map(|h| name(h).map(|name| one(h, name)))
        .collect();
    list.extend(layout.unified().and_then(|h| {
        name(h).map(|name| CgroupMount {
            links: Vec::new(),
            ..one(h, name)
        })
    }));
    Ok(list)
}

fn directory(hierarchy: &Hierarchy, path: &str) -> String {
    // A path without a leading slash counts from the caller's own group (see `Cgroup::create`).
    let base = if path.starts_with('/') {
        String::new()
    } else {
        format!("{}/", hierarchy.own)
    };
    let below = format!("{base}{path}");
    let parts: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
    Path::new(&hierarchy.mount)
        .join(parts.join("/"))
        .to_string_lossy()
        .into_owned()
}
