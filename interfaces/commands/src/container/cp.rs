//! `dhow cp`.

mod pack;
pub(crate) mod unpack;

use std::io;
use std::path::{Path, PathBuf};

use api_types::container::PathStat;
use client::{Client, parse_stat};

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::streams;
use crate::tree::{Command, Count, run};
use crate::units;

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tdocker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    about: "Copy files/folders between a container and the local filesystem\n\nUse '-' as the source to read a tar archive from stdin\nand extract it to a directory destination in a container.\nUse '-' as the destination to stream a tar archive of a\ncontainer source to stdout.",
    aliases: "container cp, cp",
    count: Count::Exactly(2),
    stop_early: false,
    flags: &[
        flag(
            "archive",
            'a',
            Kind::Bool,
            "",
            "",
            "Archive mode (copy all uid/gid information)",
        ),
        flag(
            "follow-link",
            'L',
            Kind::Bool,
            "",
            "",
            "Always follow symbol link in SRC_PATH",
        ),
        flag(
            "quiet",
            'q',
            Kind::Bool,
            "",
            "",
            "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
        ),
    ],
    run: run!(execute),
};

/// Go's bits of `os.FileMode`, as the API has them.
const MODE_DIR: u32 = 1 << 31;
const MODE_SYMLINK: u32 = 1 << 27;

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let (source, target) = (args.arg(0), args.arg(1));
    if source.is_empty() || target.is_empty() {
        return Err(Failure::new(if source.is_empty() {
            "source can not be empty"
        } else {
            "destination can not be empty"
        }));
    }
    let client = app.client()?;
    match (split(source), split(target)) {
        (Some((container, path)), None) => from_container(client, args, container, path, target).await,
        (None, Some((container, path))) => to_container(client, args, source, container, path).await,
        (Some(_), Some(_)) => Err(Failure::new("copying between containers is not supported")),
        (None, None) => Err(Failure::new("must specify at least one container source")),
    }
}

/// `container:path`; none for a local path, also one with a colon behind a slash or a dot.
fn split(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('/') || text.starts_with('.') {
        return None;
    }
    let (container, path) = text.split_once(':')?;
    (!container.is_empty() && !container.starts_with('.')).then_some((container, path))
}

fn local_error(what: &str, path: &Path, e: &io::Error) -> Failure {
    Failure::new(format!("{what} {}: {}", path.display(), streams::cause(e)))
}

/// Says on standard error how much was copied, unless `--quiet` or there is nobody to see it.
fn report(args: &Parsed, bytes: u64, target: &str) {
    if !args.on("quiet") && streams::is_terminal(2) {
        console::error(format!(
            "Successfully copied {} to {target}",
            units::decimal(bytes as f64)
        ));
    }
}

fn absolute(path: &str) -> String {
    // Nothing stays nothing, which the daemon refuses: it is a slip, and not the whole root.
    if path.is_empty() || path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

/// The last part of a path; `.` and nothing stand for the directory itself.
fn base(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or("")
}

fn means_inside(path: &str) -> bool {
    path.ends_with("/.") || path == "."
}

async fn stat(client: &Client, container: &str, path: &str) -> Result<PathStat, client::ClientError> {
    let header = client.container_stat(container, path).await?;
    Ok(parse_stat(&header).unwrap_or_default())
}

async fn from_container(
    client: &Client,
    args: &Parsed,
    container: &str,
    path: &str,
    target: &str,
) -> Outcome {
    let mut path = absolute(path);
    if args.on("follow-link") {
        let found = stat(client, container, &path).await?;
        if found.mode & MODE_SYMLINK != 0 {
            let link = found.link_target;
            let slash = if path.ends_with('/') { "/" } else { "" };
            let parent = path.trim_end_matches('/').rsplit_once('/').map_or("", |(p, _)| p);
            path = if link.starts_with('/') {
                link
            } else {
                format!("{parent}/{link}")
            } + slash;
        }
    }
    if target == "-" {
        if streams::is_terminal(1) {
            return Err(Failure::new(
                "cowardly refusing to copy to a terminal. Use the -o flag or redirect",
            ));
        }
        let mut reply = client.container_archive(container, &path).await?;
        while let Some(chunk) = reply.chunk().await? {
            console::bytes(&chunk);
        }
        return Ok(());
    }
    let place = PathBuf::from(target);
    let parent = place
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !place.exists() && !parent.is_dir() {
        return Err(Failure::new(format!(
            "invalid output path: directory {:?} does not exist",
            parent.display().to_string()
        )));
    }
    let reply = client.container_archive(container, &path).await?;
    let header = reply
        .header("x-docker-container-path-stat")
        .unwrap_or_default()
        .to_owned();
    let is_dir = parse_stat(&header).is_ok_and(|s| s.mode & MODE_DIR != 0);
    let plan =
        unpack::plan(&place, target, base(&path), is_dir, means_inside(&path)).map_err(Failure::new)?;
    let bytes = unpack::reply(reply, plan, args.on("archive")).await?;
    let whole = place.canonicalize().unwrap_or(place);
    report(args, bytes, &whole.display().to_string());
    Ok(())
}

async fn to_container(client: &Client, args: &Parsed, source: &str, container: &str, path: &str) -> Outcome {
    let mut path = absolute(path);
    let mut found = stat(client, container, &path).await;
    if let Ok(stat_of) = &found {
        // A link is followed, as far as its target exists.
        if stat_of.mode & MODE_SYMLINK != 0 {
            let link = stat_of.link_target.clone();
            let parent = path.trim_end_matches('/').rsplit_once('/').map_or("", |(p, _)| p);
            path = if link.starts_with('/') {
                link
            } else {
                format!("{parent}/{link}")
            };
            found = stat(client, container, &path).await;
        }
    }
    let is_dir = match &found {
        Ok(stat) => stat.mode & MODE_DIR != 0,
        // As docker, take whatever else it says (such as that a file is no directory) for «not there».
        Err(error) if error.status().is_some() && !error.message().starts_with("No such container") => false,
        Err(_) => return Err(found.err().map_or_else(|| Failure::exit(1), Failure::from)),
    };
    let exists = found.is_ok();
    if source == "-" {
        if !is_dir {
            return Err(Failure::new(format!(
                "destination \"{container}:{path}\" must be a directory"
            )));
        }
        let body = streams::body_of(io::stdin());
        return Ok(client
            .container_unpack(container, &path, args.on("archive"), body)
            .await?);
    }
    let from = PathBuf::from(source);
    let follow = args.on("follow-link") || source.ends_with('/') || means_inside(source);
    let meta = if follow {
        from.metadata()
    } else {
        from.symlink_metadata()
    };
    let meta = meta.map_err(|e| local_error("lstat", &from, &e))?;
    if source.ends_with('/') && !meta.is_dir() {
        return Err(Failure::new(format!("{source}: not a directory")));
    }
    let name = base(source);
    let rename = |to: &str| Some((pack::own_name(&from, name), to.to_owned()));
    // Where it is unpacked, and the name that it has there.
    let (into, renamed) = match (exists, is_dir, meta.is_dir()) {
        (true, true, _) => (path.clone(), None),
        (true, false, true) => {
            return Err(Failure::new("cannot copy directory").code(1));
        }
        (false, _, false) if path.ends_with('/') => {
            return Err(Failure::new("no such directory"));
        }
        _ => {
            let clean = path.trim_end_matches('/').trim_end_matches("/.");
            let (parent, last) = clean.rsplit_once('/').unwrap_or(("", clean));
            (
                if parent.is_empty() {
                    "/".to_owned()
                } else {
                    parent.to_owned()
                },
                rename(last),
            )
        }
    };
    let inside = meta.is_dir() && means_inside(source) && renamed.is_none();
    let top = match (&renamed, inside) {
        (Some((_, to)), _) => to.clone(),
        (None, true) => ".".to_owned(),
        (None, false) => pack::own_name(&from, name),
    };
    let counter = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let body = pack::body(from, top, follow, counter.clone());
    client
        .container_unpack(container, &into, args.on("archive"), body)
        .await?;
    let bytes = counter.load(std::sync::atomic::Ordering::Relaxed);
    report(args, bytes, &format!("{container}:{}", path));
    Ok(())
}

#[cfg(test)]
mod tests;
