//! The context on its way to the daemon: a directory without what `.dockerignore` leaves out, an archive, a Dockerfile.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use client::Body;
use dockerfile::ignore::Ignore;

use super::git::{self, Temporary};
use super::pack::{Extra, Tree, body};
use crate::failure::Failure;
use crate::streams;

/// A context that is ready to be sent.
pub(super) struct Context {
    pub(super) files: Files,
    /// The Dockerfile's name in it; empty for the default.
    pub(super) dockerfile: String,
    /// The URL of the context, if the daemon fetches it.
    pub(super) remote: String,
    /// A clone, kept until the build is over.
    pub(super) temporary: Option<Temporary>,
}

/// The files of a context.
pub(super) enum Files {
    /// In an archive.
    Archive(Body),
    /// In one directory: the daemon may have kept some of them.
    Directory(Tree),
}

/// Opens what the command line names.
pub(super) fn open(context: &str, file: &str, compress: bool, named: Vec<Tree>) -> Result<Context, Failure> {
    if context == "-" {
        if !named.is_empty() {
            return Err(Failure::new(
                "a context on standard input and directories as --build-context exclude each other",
            ));
        }
        if file == "-" {
            return Err(Failure::new(
                "invalid argument: can't use stdin for both build context and dockerfile",
            ));
        }
        return Ok(Context {
            files: Files::Archive(streams::body_of(io::stdin())),
            dockerfile: file.to_owned(),
            remote: String::new(),
            temporary: None,
        });
    }
    if git::is_git(context) {
        let (temporary, path) = git::fetch(context)?;
        let mut context = directory(&path, file, compress, true, named)?;
        context.temporary = Some(temporary);
        return Ok(context);
    }
    if context.starts_with("http://") || context.starts_with("https://") {
        if file == "-" {
            return Err(Failure::new(
                "invalid argument: a Dockerfile on standard input needs a context that is a directory or a repository",
            ));
        }
        return Ok(Context {
            files: Files::Archive(body(named, compress)),
            dockerfile: file.to_owned(),
            remote: context.to_owned(),
            temporary: None,
        });
    }
    let path = Path::new(context);
    match path.metadata() {
        Ok(meta) if meta.is_dir() => directory(path, file, compress, false, named),
        Ok(_) => Err(Failure::new(format!(
            "unable to prepare context: context must be a directory: {context}"
        ))),
        Err(_) => Err(Failure::new(format!(
            "unable to prepare context: path {context:?} not found"
        ))),
    }
}

/// Where the Dockerfile is.
struct Found {
    /// Its name in the context.
    name: String,
    /// Its text, if it is not in the context.
    text: Option<Vec<u8>>,
    /// The file of rules beside it.
    rules: Option<PathBuf>,
}

/// A directory that `.dockerignore` in it has rules for.
pub(super) fn named(path: &Path, prefix: String) -> Result<Tree, Failure> {
    let root = path
        .canonicalize()
        .map_err(|error| Failure::new(format!("{}: {}", path.display(), streams::cause(&error))))?;
    if !root.is_dir() {
        return Err(Failure::new(format!("{}: not a directory", path.display())));
    }
    let (_, ignore) = rules(&root.join(".dockerignore"))?;
    Ok(Tree {
        root,
        ignore,
        extra: Extra::new(),
        prefix,
        read_always: Vec::new(),
    })
}

/// A directory of an image, whole.
pub(super) fn layout(path: &Path) -> Body {
    let tree = Tree {
        root: path.to_owned(),
        ignore: Ignore::default(),
        extra: Extra::new(),
        prefix: String::new(),
        read_always: Vec::new(),
    };
    body(vec![tree], false)
}

/// The text of a file of rules, and what it says; a file that is not there says nothing.
fn rules(path: &Path) -> Result<(String, Ignore), Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::new(format!("{}: {error}", path.display()))),
    };
    let ignore = Ignore::parse(&text)
        .map_err(|error| Failure::new(format!("error checking context: {}: {error}", path.display())))?;
    Ok((text, ignore))
}

fn directory(
    root: &Path,
    file: &str,
    compress: bool,
    inside: bool,
    named: Vec<Tree>,
) -> Result<Context, Failure> {
    let root = root
        .canonicalize()
        .map_err(|error| Failure::new(format!("unable to prepare context: {}: {error}", root.display())))?;
    let found = find(&root, file, inside)?;
    let default = root.join(".dockerignore");
    let rules_path = found
        .rules
        .clone()
        .filter(|path| path.is_file())
        .unwrap_or(default);
    let (rules, mut ignore) = rules(&rules_path)?;
    ignore.except(".dockerignore");
    ignore.except(&found.name);
    let mut extra = Vec::new();
    if let Some(text) = found.text {
        // The daemon takes out of the context what these rules leave out, after it has read it.
        let mut text_of_rules = rules;
        if !root.join(".dockerignore").exists() {
            text_of_rules.push_str("\n.dockerignore");
        }
        text_of_rules.push_str(&format!("\n{}\n", found.name));
        extra.push((found.name.clone(), text));
        extra.push((".dockerignore".to_owned(), text_of_rules.into_bytes()));
    }
    let context = Tree {
        root,
        ignore,
        extra,
        prefix: String::new(),
        read_always: vec![".dockerignore".to_owned(), found.name.clone()],
    };
    let files = if named.is_empty() && !compress {
        Files::Directory(context)
    } else {
        Files::Archive(body(std::iter::once(context).chain(named).collect(), compress))
    };
    Ok(Context {
        files,
        dockerfile: found.name,
        remote: String::new(),
        temporary: None,
    })
}

fn find(root: &Path, file: &str, inside: bool) -> Result<Found, Failure> {
    let outside = |text: Vec<u8>, rules| Found {
        name: format!(".dockerfile.{}", std::process::id()),
        text: Some(text),
        rules,
    };
    if file == "-" {
        let mut text = Vec::new();
        io::stdin()
            .read_to_end(&mut text)
            .map_err(|error| Failure::new(format!("read stdin: {error}")))?;
        return Ok(outside(text, None));
    }
    let path = match file {
        "" => {
            let usual = root.join("Dockerfile");
            let lower = root.join("dockerfile");
            if !usual.exists() && lower.exists() {
                lower
            } else {
                usual
            }
        }
        file if inside => root.join(file),
        file => PathBuf::from(file),
    };
    let failed = |error: io::Error| {
        Failure::new(format!(
            "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {}: {}",
            path.display(),
            streams::cause(&error)
        ))
    };
    let real = path.canonicalize().map_err(failed)?;
    let rules = path.file_name().map(|name| {
        let mut name = name.to_owned();
        name.push(".dockerignore");
        path.with_file_name(name)
    });
    let written = std::path::absolute(&path).map_err(failed)?;
    let below = written.parent().and_then(|parent| parent.canonicalize().ok());
    let below = below
        .zip(written.file_name())
        .map(|(parent, name)| parent.join(name));
    if let Some(name) = below
        .as_deref()
        .unwrap_or(&real)
        .strip_prefix(root)
        .ok()
        .and_then(Path::to_str)
    {
        return Ok(Found {
            name: name.to_owned(),
            text: None,
            rules,
        });
    }
    Ok(outside(std::fs::read(&real).map_err(failed)?, rules))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dockerfile_outside_is_sent_under_a_name_of_its_own() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = other.path().join("D");
        std::fs::write(&file, "FROM scratch").unwrap();
        let found = find(
            &folder.path().canonicalize().unwrap(),
            file.to_str().unwrap(),
            false,
        )
        .unwrap();
        assert!(found.name.starts_with(".dockerfile.") && found.text.is_some());
        std::fs::write(folder.path().join("X"), "").unwrap();
        let inside = folder.path().join("X");
        let found = find(
            &folder.path().canonicalize().unwrap(),
            inside.to_str().unwrap(),
            false,
        )
        .unwrap();
        assert_eq!((found.name.as_str(), found.text), ("X", None));
    }
}
