//! Whether mounts can be passed on between the host and a container at the place where a bind comes from.

use std::path::Path;

use crate::Error;

/// Refuses a bind with `shared` or `slave` propagation of a path whose own mount passes nothing on.
///
/// # Errors
/// Docker's sentence.
pub(crate) fn check(source: &str, propagation: &str) -> Result<(), Error> {
    let wanted = match propagation {
        "shared" | "rshared" => &["shared:"][..],
        "slave" | "rslave" => &["shared:", "master:"],
        _ => return Ok(()),
    };
    let table = Path::new("/proc/self/mountinfo");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File {
            action: "read",
            path,
            source,
        }
    };
    let path = std::fs::canonicalize(source).map_err(failed(Path::new(source)))?;
    let mounts = std::fs::read_to_string(table).map_err(failed(table))?;
    let Some((mount, tags)) = mount_of(&mounts, &path.to_string_lossy()) else {
        return Err(Error::Invalid(format!("Could not find source mount of {source}")));
    };
    if tags
        .iter()
        .any(|tag| wanted.iter().any(|kind| tag.starts_with(kind)))
    {
        return Ok(());
    }
    let kind = if wanted.len() == 1 {
        "shared"
    } else {
        "shared or slave"
    };
    Err(Error::Invalid(format!(
        "path {source} is mounted on {mount} but it is not a {kind} mount"
    )))
}

/// The mount that a path is on, with its propagation (proc(5), mountinfo: the mount point is field 5, the optional fields
/// end with a dash). Of several on one place the last one is seen.
fn mount_of<'a>(mountinfo: &'a str, path: &str) -> Option<(String, Vec<&'a str>)> {
    let mut best: Option<(String, Vec<&str>)> = None;
    for line in mountinfo.lines() {
        let mut fields = line.split(' ');
        let Some(point) = fields.nth(4).map(unescape) else {
            continue;
        };
        let below = path
            .strip_prefix(&point[..])
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || point == "/");
        if below && best.as_ref().is_none_or(|(found, _)| point.len() >= found.len()) {
            let tags = fields.skip(1).take_while(|field| *field != "-").collect();
            best = Some((point, tags));
        }
    }
    best
}

/// Blanks, tabs, line breaks and backslashes stand as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
        22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n\
        23 22 0:21 / /srv rw shared:7 - tmpfs tmpfs rw\n\
        24 23 0:22 / /srv/a\\040b rw master:7 propagate_from:2 - tmpfs tmpfs rw\n";

    #[test]
    fn the_longest_mount_point_above_a_path_is_its_mount() {
        for (path, point, tags) in [
            ("/home", "/", &[][..]),
            ("/srvx", "/", &[]),
            ("/srv", "/srv", &["shared:7"]),
            ("/srv/x/y", "/srv", &["shared:7"]),
            ("/srv/a b/c", "/srv/a b", &["master:7", "propagate_from:2"]),
        ] {
            assert_eq!(
                mount_of(TABLE, path),
                Some((point.to_owned(), tags.to_vec())),
                "{path}"
            );
        }
    }

    #[test]
    fn private_binds_ask_nothing() {
        assert!(check("/no/such/path", "rprivate").is_ok());
        assert!(check("/no/such/path", "rshared").is_err());
    }
}
