//! The short form of a mount: `-v SOURCE:DESTINATION:OPTIONS`, as it stands in `HostConfig.Binds`.

use std::path::{Component, Path, PathBuf};

use crate::Error;

/// Where the files of a bind come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A path on the host; made as a directory when it does not exist.
    Path(String),
    /// A named volume.
    Volume(String),
}

/// One parsed bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) source: Source,
    pub(crate) destination: String,
    pub(crate) read_only: bool,
    /// Empty unless given; volumes have none.
    pub(crate) propagation: String,
    /// The options as they were written, which `inspect` shows.
    pub(crate) mode: String,
    /// Do not fill an empty volume from the image.
    pub(crate) no_copy: bool,
}

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// Reads `text` as docker does.
///
/// # Errors
/// The sentence of docker for an empty part, a relative destination, the root as destination, an unknown option.
pub(crate) fn parse(text: &str) -> Result<Bind, Error> {
    let invalid = || Error::Invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, mode) = match parts[..] {
        [source, destination] => (source, destination, ""),
        [source, destination, mode] => (source, destination, mode),
        _ => return Err(invalid()),
    };
    if source.is_empty() || destination.is_empty() || (parts.len() == 3 && mode.is_empty()) {
        return Err(invalid());
    }
    let destination = clean_destination(destination)
        .ok_or_else(|| Error::Invalid(format!("{}: {}", invalid(), relative(destination))))?;
    if destination == "/" {
        return Err(Error::Invalid(format!(
            "{}: invalid specification: destination can't be '/'",
            invalid()
        )));
    }
    let source = if source.starts_with('/') {
        Source::Path(clean(Path::new(source)))
    } else if source.starts_with('.') || source.contains('/') {
        return Err(Error::Invalid(format!(
            "create {source}: \"{source}\" includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        )));
    } else {
        Source::Volume(source.to_owned())
    };
    let mut bind = Bind {
        propagation: String::new(),
        source,
        destination,
        read_only: false,
        mode: mode.to_owned(),
        no_copy: false,
    };
    let mut seen = [false; 4];
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        if PROPAGATIONS.contains(&option) && matches!(bind.source, Source::Volume(_)) {
            return Err(Error::Invalid(format!(
                "{}: invalid mount config for type \"volume\": field BindOptions must not be specified",
                invalid()
            )));
        }
        let group =
            apply(&mut bind, option).ok_or_else(|| Error::Invalid(format!("invalid mode: {mode}")))?;
        if std::mem::replace(&mut seen[group], true) {
            return Err(Error::Invalid(format!("invalid mode: {mode}")));
        }
    }
    Ok(bind)
}

/// Applies one option; the answer is the group of which at most one member may be given.
fn apply(bind: &mut Bind, option: &str) -> Option<usize> {
    let is_path = matches!(bind.source, Source::Path(_));
    match option {
        "rw" => Some(0),
        "ro" => {
            bind.read_only = true;
            Some(0)
        }
        // SELinux relabelling: without SELinux, as docker does, it is accepted and has nothing to do.
        "z" | "Z" => Some(1),
        "nocopy" if !is_path => {
            bind.no_copy = true;
            Some(2)
        }
        // Hints for file sharing with virtual machines; on Linux they mean nothing, in docker too.
        "consistent" | "cached" | "delegated" | "default" => Some(2),
        name if is_path && PROPAGATIONS.contains(&name) => {
            bind.propagation = name.into();
            Some(3)
        }
        _ => None,
    }
}

/// `path` without `.`, `..` and doubled slashes; `None` when it is relative.
pub(crate) fn clean_destination(path: &str) -> Option<String> {
    path.starts_with('/').then(|| clean(Path::new(path)))
}

/// docker's words for a relative destination.
pub(crate) fn relative(destination: &str) -> String {
    format!("invalid mount path: '{destination}' mount path must be absolute")
}

/// `path` as seen from the root, above which nothing is: without `.`, `..` and doubled slashes.
pub(crate) fn clean(path: &Path) -> String {
    let mut cleaned = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    cleaned.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_volumes_are_told_apart() {
        let bind = parse("/srv/./www/../data:/data:ro").expect("valid");
        assert_eq!(bind.source, Source::Path("/srv/data".into()));
        assert!(bind.read_only);
        assert_eq!(bind.propagation, "");
        let volume = parse("web-data:/data:nocopy").expect("valid");
        assert_eq!(volume.source, Source::Volume("web-data".into()));
        assert!(volume.no_copy);
    }

    #[test]
    fn what_docker_refuses_is_refused_in_its_words() {
        for (text, words) in [
            ("/a", "invalid volume specification: '/a'"),
            ("/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'"),
            (":/b", "invalid volume specification: ':/b'"),
            ("/a:b", "mount path must be absolute"),
            ("/a:/", "destination can't be '/'"),
            ("/a:/b:wrong", "invalid mode: wrong"),
            ("/a:/b:ro,rw", "invalid mode: ro,rw"),
            ("/a:/b:nocopy", "invalid mode: nocopy"),
            (
                "./a:/b",
                "If you intended to pass a host directory, use absolute path",
            ),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn propagation_goes_with_host_paths_only() {
        assert_eq!(parse("/a:/b:rshared").expect("valid").propagation, "rshared");
        assert!(parse("vol:/b:rshared").is_err());
    }
}
