//! `--chown`: names of the image's own users and groups, or numbers.

use super::tree::Root;

/// An owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// No honest file is longer.
const LONGEST: u64 = 4 << 20;
/// Docker's bound for numbers.
const MAX_ID: u32 = i32::MAX as u32;

/// Reads `user[:group]`; a group that is not given is the one named like the user.
pub(super) fn parse(text: &str, root: Option<&Root>) -> Result<Owner, String> {
    let mut parts = text.split(':');
    let (user, group) = match (parts.next(), parts.next(), parts.next()) {
        (Some(user), group, None) if !user.is_empty() => (user, group.filter(|group| !group.is_empty())),
        _ => return Err(format!("invalid chown string format: {text}")),
    };
    let (uid, own_group) = match user.parse::<u32>() {
        Ok(uid) => (uid, Some(uid)),
        Err(_) => {
            let line = find(root, "/etc/passwd", user).ok_or_else(|| {
                format!("unable to convert uid/gid chown string to host mapping: can't find uid for user {user}: no such user: {user}")
            })?;
            (
                line.0,
                find(root, "/etc/group", user).map(|line| line.0).or(line.1),
            )
        }
    };
    let gid = match group {
        None => own_group.unwrap_or(uid),
        Some(group) => match group.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => find(root, "/etc/group", group).map(|line| line.0).ok_or_else(|| {
                format!("unable to convert uid/gid chown string to host mapping: can't find gid for group {group}: no such group: {group}")
            })?,
        },
    };
    if uid > MAX_ID || gid > MAX_ID {
        return Err("uids and gids must be in range 0-2147483647".to_owned());
    }
    Ok(Owner { uid, gid })
}

/// The third field of the line that begins with `name`, and the fourth where it is a number.
fn find(root: Option<&Root>, path: &str, name: &str) -> Option<(u32, Option<u32>)> {
    let bytes = root?.read(path, LONGEST).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let id = fields.get(2)?.trim().parse().ok()?;
        (fields[0] == name).then(|| (id, fields.get(3).and_then(|field| field.trim().parse().ok())))
    })
}
