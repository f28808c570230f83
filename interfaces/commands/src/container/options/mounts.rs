//! `-v`, `--tmpfs` and `--mount`.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use api_types::container::{BindOptions, DriverConfig, ImageOptions, Mount, TmpfsOptions, VolumeOptions};

use crate::units;

type Volumes = (Vec<String>, Vec<String>, BTreeMap<String, String>);

/// `-v`: binds as the API has them, and the paths of anonymous volumes.
pub(super) fn volumes(list: &[String]) -> Result<Volumes, String> {
    let (mut binds, mut anonymous) = (Vec::new(), Vec::new());
    for text in list {
        let parts: Vec<&str> = text.split(':').collect();
        if parts.len() > 3 || parts.iter().any(|p| p.is_empty()) {
            return Err(format!("invalid volume specification: '{text}'"));
        }
        match parts.as_slice() {
            [path] => {
                let clean = clean(path);
                if clean == "/" {
                    return Err("invalid volume: path can't be '/'".to_owned());
                }
                anonymous.push(clean);
            }
            [source, rest @ ..] if source.starts_with('.') => {
                binds.push(format!("{}:{}", absolute(source)?, rest.join(":")));
            }
            _ => binds.push(text.clone()),
        }
    }
    Ok((binds, anonymous, BTreeMap::new()))
}

fn clean(path: &str) -> String {
    if !path.starts_with('/') {
        return path.to_owned();
    }
    let mut out = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::Normal(name) => out.push(name),
            _ => {}
        }
    }
    out.to_string_lossy().into_owned()
}

fn absolute(path: &str) -> Result<String, String> {
    let here = std::env::current_dir().map_err(|e| format!("cannot find the current directory: {e}"))?;
    Ok(clean(&here.join(path).to_string_lossy()))
}

/// `--tmpfs path[:options]`.
pub(super) fn tmpfs(mut map: BTreeMap<String, String>, list: &[String]) -> BTreeMap<String, String> {
    for text in list {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        map.insert(path.to_owned(), options.to_owned());
    }
    map
}

/// The fields of one line of comma-separated values; quotes hold commas together.
pub(super) fn csv(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut field = String::new();
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next() {
                    Some((i, '"')) if quoted[i + 1..].starts_with('"') => {
                        field.push('"');
                        chars.next();
                    }
                    Some((i, '"')) => break i + 1,
                    Some((_, c)) => field.push(c),
                    None => {
                        return Err(
                            "parse error on line 1: extraneous or missing \" in quoted-field".to_owned()
                        );
                    }
                }
            };
            fields.push(field);
            rest = &quoted[end..];
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None if rest.is_empty() => return Ok(fields),
                None => {
                    return Err("parse error on line 1: extraneous or missing \" in quoted-field".to_owned());
                }
            }
        } else {
            match rest.split_once(',') {
                Some((field, next)) => {
                    fields.push(field.to_owned());
                    rest = next;
                }
                None => {
                    fields.push(rest.to_owned());
                    return Ok(fields);
                }
            }
        }
    }
}

/// `--mount type=bind,source=...,target=...`.
pub(super) fn mount(text: &str) -> Result<Mount, String> {
    read(text).map_err(|what| format!("invalid argument {text:?} for \"--mount\" flag: {what}"))
}

fn read(text: &str) -> Result<Mount, String> {
    let mut mount = Mount {
        kind: "volume".to_owned(),
        ..Mount::default()
    };
    let (mut bind, mut volume, mut tmpfs, mut image) = (
        None::<BindOptions>,
        None::<VolumeOptions>,
        None::<TmpfsOptions>,
        None::<ImageOptions>,
    );
    for field in csv(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        let key = key.to_lowercase();
        let flag = || match value {
            None | Some("1" | "true" | "t" | "T" | "TRUE" | "True") => Ok(true),
            Some("0" | "false" | "f" | "F" | "FALSE" | "False") => Ok(false),
            Some(v) => Err(format!("invalid value for {key}: {v}")),
        };
        let text = || value.ok_or_else(|| format!("invalid field '{field}' must be a key=value pair"));
        match key.as_str() {
            "type" => mount.kind = text()?.to_lowercase(),
            "source" | "src" => {
                let source = text()?;
                mount.source = if source == "." || source.starts_with("./") || source.starts_with("../") {
                    absolute(source)?
                } else {
                    source.to_owned()
                };
            }
            "target" | "dst" | "destination" => mount.target = text()?.to_owned(),
            "readonly" | "ro" => mount.read_only = flag()?,
            "consistency" => mount.consistency = text()?.to_lowercase(),
            "bind-propagation" => bind.get_or_insert_default().propagation = text()?.to_lowercase(),
            "bind-nonrecursive" => bind.get_or_insert_default().non_recursive = flag()?,
            "bind-create-src" => bind.get_or_insert_default().create_mountpoint = flag()?,
            "bind-recursive" => match text()? {
                "enabled" => {}
                "disabled" => bind.get_or_insert_default().non_recursive = true,
                "writable" => bind.get_or_insert_default().read_only_non_recursive = true,
                "readonly" => bind.get_or_insert_default().read_only_force_recursive = true,
                other => {
                    return Err(format!(
                        "invalid value for {key}: {other} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
                    ));
                }
            },
            "volume-nocopy" => volume.get_or_insert_default().no_copy = flag()?,
            "volume-subpath" => volume.get_or_insert_default().subpath = text()?.to_owned(),
            "volume-label" => {
                let (k, v) = text()?.split_once('=').unwrap_or((text()?, ""));
                let labels = &mut volume.get_or_insert_default().labels;
                labels.get_or_insert_default().insert(k.to_owned(), v.to_owned());
            }
            "volume-driver" => driver(&mut volume).name = text()?.to_owned(),
            "volume-opt" => {
                let (k, v) = text()?.split_once('=').unwrap_or((text()?, ""));
                driver(&mut volume)
                    .options
                    .get_or_insert_default()
                    .insert(k.to_owned(), v.to_owned());
            }
            "image-subpath" => image.get_or_insert_default().subpath = text()?.to_owned(),
            "tmpfs-size" => {
                tmpfs.get_or_insert_default().size_bytes = units::parse_bytes(text()?)
                    .ok_or_else(|| format!("invalid value for {key}: {}", value.unwrap_or("")))?;
            }
            "tmpfs-mode" => {
                tmpfs.get_or_insert_default().mode = u32::from_str_radix(text()?, 8)
                    .map_err(|_| format!("invalid value for {key}: {}", value.unwrap_or("")))?;
            }
            other if value.is_none() => {
                return Err(format!("invalid field '{other}' must be a key=value pair"));
            }
            other => return Err(format!("unknown option '{other}' in '{field}'")),
        }
    }
    if mount.target.is_empty() {
        return Err("target is required".to_owned());
    }
    let kinds: [(bool, &str); 4] = [
        (bind.is_some(), "bind"),
        (volume.is_some(), "volume"),
        (tmpfs.is_some(), "tmpfs"),
        (image.is_some(), "image"),
    ];
    if let Some((_, kind)) = kinds.iter().find(|(given, kind)| *given && *kind != mount.kind) {
        return Err(format!(
            "cannot mix '{kind}-*' options with mount type '{}'",
            mount.kind
        ));
    }
    mount.bind_options = bind;
    mount.volume_options = volume;
    mount.tmpfs_options = tmpfs;
    mount.image_options = image;
    Ok(mount)
}

fn driver(volume: &mut Option<VolumeOptions>) -> &mut DriverConfig {
    volume
        .get_or_insert_default()
        .driver_config
        .get_or_insert_default()
}
