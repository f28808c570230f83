//! The long form of a mount: `--mount type=…`, and `--tmpfs`.

use api_types::container::Mount;

use super::bind::{clean_destination, relative};
use crate::Error;
use crate::record::MountSpec;

/// Options of tmpfs(5) and of every mount that a user may give, without their values.
const TMPFS_OPTIONS: [&str; 33] = [
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "rw",
    "ro",
    "sync",
    "async",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "size",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "unbindable",
    "runbindable",
];

fn refuse<T>(kind: &str, why: &str) -> Result<T, Error> {
    Err(Error::Invalid(format!(
        "invalid mount config for type \"{kind}\": {why}"
    )))
}

/// Reads one element of `HostConfig.Mounts`.
///
/// # Errors
/// docker's sentence for what does not fit the type.
pub(super) fn from_mount(asked: &Mount) -> Result<MountSpec, Error> {
    let kind = asked.kind.as_str();
    if asked.target.is_empty() {
        return refuse(kind, "field Target must not be empty");
    }
    let Some(destination) = clean_destination(&asked.target) else {
        return refuse(kind, &relative(&asked.target));
    };
    if destination == "/" {
        return refuse(kind, "invalid specification: destination can't be '/'");
    }
    let foreign = [
        ("BindOptions", asked.bind_options.is_some(), "bind"),
        ("VolumeOptions", asked.volume_options.is_some(), "volume"),
        ("TmpfsOptions", asked.tmpfs_options.is_some(), "tmpfs"),
        ("ImageOptions", asked.image_options.is_some(), "image"),
    ];
    if let Some((name, ..)) = foreign.iter().find(|(_, given, of)| *given && *of != kind) {
        return refuse(kind, &format!("field {name} must not be specified"));
    }
    let spec = MountSpec {
        kind: kind.to_owned(),
        destination,
        read_only: asked.read_only,
        ..MountSpec::default()
    };
    match kind {
        "bind" => bind(asked, spec),
        "volume" => volume(asked, spec),
        "tmpfs" => tmpfs_mount(asked, spec),
        "image" => Err(Error::NotAvailable("a mount of type image".into())),
        "cluster" | "npipe" => refuse(kind, "this type does not exist on Linux without swarm"),
        other => Err(Error::Invalid(format!("mount type unknown: \"{other}\""))),
    }
}

fn bind(asked: &Mount, spec: MountSpec) -> Result<MountSpec, Error> {
    if asked.source.is_empty() {
        return refuse("bind", "field Source must not be empty");
    }
    let Some(source) = clean_destination(&asked.source) else {
        return refuse("bind", &relative(&asked.source));
    };
    let options = asked.bind_options.clone().unwrap_or_default();
    let known = ["", "private", "rprivate", "shared", "rshared", "slave", "rslave"];
    if !known.contains(&options.propagation.as_str()) {
        return refuse(
            "bind",
            &format!("invalid propagation mode: {}", options.propagation),
        );
    }
    if !options.create_mountpoint && !std::path::Path::new(&source).exists() {
        return refuse("bind", &format!("bind source path does not exist: {source}"));
    }
    Ok(MountSpec {
        source,
        propagation: options.propagation,
        non_recursive: options.non_recursive,
        read_only_non_recursive: options.read_only_non_recursive,
        read_only_force_recursive: options.read_only_force_recursive,
        make_source: options.create_mountpoint,
        ..spec
    })
}

fn volume(asked: &Mount, spec: MountSpec) -> Result<MountSpec, Error> {
    let options = asked.volume_options.clone().unwrap_or_default();
    if options.subpath.split('/').any(|part| part == "..") || options.subpath.starts_with('/') {
        return refuse("volume", "subpath must be a relative path within the volume");
    }
    let driver = options.driver_config.unwrap_or_default();
    Ok(MountSpec {
        anonymous: asked.source.is_empty(),
        name: asked.source.clone(),
        driver: if driver.name.is_empty() {
            "local".into()
        } else {
            driver.name
        },
        volume_options: driver.options.unwrap_or_default(),
        volume_labels: options.labels.unwrap_or_default(),
        mode: "z".into(),
        no_copy: options.no_copy,
        subpath: options.subpath,
        ..spec
    })
}

fn tmpfs_mount(asked: &Mount, spec: MountSpec) -> Result<MountSpec, Error> {
    if !asked.source.is_empty() {
        return refuse("tmpfs", "field Source must not be specified");
    }
    let options = asked.tmpfs_options.clone().unwrap_or_default();
    if options.size_bytes < 0 {
        return refuse("tmpfs", "size must not be negative");
    }
    let mut list = Vec::new();
    if options.size_bytes > 0 {
        list.push(format!("size={}", options.size_bytes));
    }
    if options.mode != 0 {
        list.push(format!("mode={:o}", options.mode));
    }
    list.extend(
        options
            .options
            .unwrap_or_default()
            .into_iter()
            .map(|pair| pair.join("=")),
    );
    check(&list)?;
    Ok(MountSpec {
        options: list,
        ..spec
    })
}

/// `--tmpfs DESTINATION:OPTIONS`.
///
/// # Errors
/// An option that a tmpfs does not have.
pub(super) fn tmpfs(destination: &str, options: &str) -> Result<MountSpec, Error> {
    let Some(cleaned) = clean_destination(destination) else {
        return Err(Error::Invalid(relative(destination)));
    };
    if cleaned == "/" {
        return refuse("tmpfs", "invalid specification: destination can't be '/'");
    }
    let list: Vec<String> = options
        .split(',')
        .filter(|option| !option.is_empty())
        .map(str::to_owned)
        .collect();
    check(&list)?;
    Ok(MountSpec {
        kind: "tmpfs".into(),
        destination: cleaned,
        options: list,
        ..MountSpec::default()
    })
}

fn check(options: &[String]) -> Result<(), Error> {
    let unknown = options.iter().find(|option| {
        let name = option.split('=').next().unwrap_or_default();
        !TMPFS_OPTIONS.contains(&name)
    });
    match unknown {
        Some(option) => Err(Error::Invalid(format!("invalid tmpfs option [\"{option}\"]"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api_types::container::{BindOptions, TmpfsOptions};

    fn mount(kind: &str, source: &str, target: &str) -> Mount {
        Mount {
            kind: kind.into(),
            source: source.into(),
            target: target.into(),
            ..Mount::default()
        }
    }

    #[test]
    fn what_does_not_fit_the_type_is_refused_by_name() {
        for (asked, words) in [
            (
                mount("bind", "/nosuch/dir", "/a"),
                "bind source path does not exist: /nosuch/dir",
            ),
            (mount("bind", "", "/a"), "field Source must not be empty"),
            (mount("tmpfs", "/x", "/a"), "field Source must not be specified"),
            (mount("volume", "v", ""), "field Target must not be empty"),
            (mount("volume", "v", "rel"), "mount path must be absolute"),
            (mount("odd", "v", "/a"), "mount type unknown"),
            (
                Mount {
                    bind_options: Some(BindOptions::default()),
                    ..mount("volume", "v", "/a")
                },
                "field BindOptions must not be specified",
            ),
        ] {
            let error = from_mount(&asked).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_tmpfs_has_size_and_mode() {
        let options = TmpfsOptions {
            size_bytes: 4096,
            mode: 0o1770,
            options: None,
        };
        let spec = from_mount(&Mount {
            tmpfs_options: Some(options),
            ..mount("tmpfs", "", "/t")
        });
        assert_eq!(spec.expect("valid").options, ["size=4096", "mode=1770"]);
        assert_eq!(
            tmpfs("/t", "size=64m,exec").expect("valid").options,
            ["size=64m", "exec"]
        );
        assert!(tmpfs("/t", "wrong=1").is_err());
    }
}
