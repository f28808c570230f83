//! Who a container's process is: `-u` and `--group-add`, looked up in the image's own `/etc/passwd` and `/etc/group`.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

use linux::Errno;
use rustix::fs::{Mode, OFlags};

use crate::plan::UserLookup;
use crate::protocol::ResolvedUser;

/// No honest file is longer; the rest is not looked at.
const LONGEST: u64 = 4 << 20;
/// Docker's bound for numbers.
const MAX_ID: u32 = i32::MAX as u32;

/// A user or group that the image does not have. The texts are Docker's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// A name that is not in passwd.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    User(String),
    /// A name that is not in group.
    #[error("unable to find group {0}: no matching entries in group file")]
    Group(String),
    /// A name of `--group-add` that is not in group.
    #[error("Unable to find group {0}")]
    AddedGroup(String),
    /// A number that is too large.
    #[error("uids and gids must be in range 0-2147483647")]
    Range,
    /// A file of the image cannot be read.
    #[error("read {path} of the image: {errno}")]
    File {
        /// Which.
        path: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
}

/// Looks a user up in the tree at `root`. Without `lookup.user` the result is root.
pub(crate) fn resolve(root: BorrowedFd<'_>, lookup: &UserLookup) -> Result<ResolvedUser, UserError> {
    let passwd = read(root, c"/etc/passwd", "/etc/passwd")?;
    let group = read(root, c"/etc/group", "/etc/group")?;
    resolve_in(&passwd, &group, lookup)
}

fn read(root: BorrowedFd<'_>, path: &CStr, name: &'static str) -> Result<String, UserError> {
    // O_NONBLOCK: an image may put a FIFO there.
    let file = match linux::fd::open_in_root(root, path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(String::new()),
        Err(errno) => return Err(UserError::File { path: name, errno }),
    };
    let is_file = rustix::fs::fstat(&file)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file());
    let mut bytes = Vec::new();
    if is_file {
        File::from(file)
            .take(LONGEST)
            .read_to_end(&mut bytes)
            .map_err(|error| UserError::File {
                path: name,
                errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
            })?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        Some(Account {
            name: fields.first().filter(|name| !name.is_empty())?,
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
            home: fields.get(5).copied().unwrap_or(""),
        })
    })
}

/// Name, number and members of each group.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let number = fields.nth(1)?.parse().ok()?;
        Some((name, number, fields.next().unwrap_or("")))
    })
}

/// A number, if the text is one.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    match text.parse::<i64>() {
        Ok(value) => u32::try_from(value)
            .ok()
            .filter(|id| *id <= MAX_ID)
            .map(Some)
            .ok_or(UserError::Range),
        Err(_) => Ok(None),
    }
}

fn resolve_in(passwd: &str, group: &str, lookup: &UserLookup) -> Result<ResolvedUser, UserError> {
    let text = lookup.user.as_deref().unwrap_or("");
    let (user, wanted_group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let user_number = number(user);
    let found = accounts(passwd)
        .find(|account| account.name == user || matches!(user_number, Ok(Some(uid)) if uid == account.uid));
    let mut resolved = ResolvedUser {
        home: "/".to_owned(),
        ..ResolvedUser::default()
    };
    match &found {
        Some(account) => {
            (resolved.uid, resolved.gid) = (account.uid, account.gid);
            if !account.home.is_empty() {
                account.home.clone_into(&mut resolved.home);
            }
        }
        None => resolved.uid = user_number?.ok_or_else(|| UserError::User(user.to_owned()))?,
    }
    if let Some(wanted) = wanted_group {
        let wanted_number = number(wanted);
        let known = groups(group)
            .find(|(name, gid, _)| *name == wanted || matches!(wanted_number, Ok(Some(n)) if n == *gid));
        resolved.gid = match known {
            Some((_, gid, _)) => gid,
            None => wanted_number?.ok_or_else(|| UserError::Group(wanted.to_owned()))?,
        };
    } else if let Some(account) = &found {
        // Docker: the groups of the user count only if none was given.
        let is_member = |members: &str| members.split(',').any(|member| member == account.name);
        let member_of = groups(group).filter(|(_, _, members)| is_member(members));
        resolved.additional_gids.extend(member_of.map(|(_, gid, _)| gid));
    }
    for added in &lookup.group_add {
        let by_name = groups(group)
            .find(|(name, _, _)| name == added)
            .map(|(_, gid, _)| gid);
        let gid = match by_name {
            Some(gid) => gid,
            None => number(added)?.ok_or_else(|| UserError::AddedGroup(added.clone()))?,
        };
        resolved.additional_gids.push(gid);
    }
    // The primary group is among the others too, as Docker has it since 20.10.
    resolved.additional_gids.insert(0, resolved.gid);
    let mut seen = Vec::new();
    resolved.additional_gids.retain(|gid| {
        !seen.contains(gid) && {
            seen.push(*gid);
            true
        }
    });
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34::/var/www:/bin/sh\n7000:x:5:6::/odd:\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:40:web,other\ndocker:x:41:web\n";

    fn check(user: &str, add: &[&str]) -> Result<(u32, u32, Vec<u32>, String), UserError> {
        let lookup = UserLookup {
            user: Some(user.to_owned()),
            group_add: add.iter().map(|group| (*group).to_owned()).collect(),
        };
        resolve_in(PASSWD, GROUP, &lookup).map(|user| (user.uid, user.gid, user.additional_gids, user.home))
    }

    #[test]
    fn names_and_numbers_are_found_as_docker_finds_them() {
        for (user, add, uid, gid, more, home) in [
            ("", &[][..], 0, 0, &[0][..], "/root"),
            ("web", &[], 33, 34, &[34, 40, 41], "/var/www"),
            ("33", &[], 33, 34, &[34, 40, 41], "/var/www"),
            ("web:logs", &[], 33, 40, &[40], "/var/www"),
            ("web:1234", &[], 33, 1234, &[1234], "/var/www"),
            (":logs", &[], 0, 40, &[40], "/root"),
            ("1000", &[], 1000, 0, &[0], "/"),
            ("1000:1000", &["logs", "99"], 1000, 1000, &[1000, 40, 99], "/"),
            ("7000", &[], 5, 6, &[6], "/odd"),
        ] {
            assert_eq!(
                check(user, add),
                Ok((uid, gid, more.to_vec(), home.to_owned())),
                "{user} {add:?}"
            );
        }
    }

    #[test]
    fn unknown_names_are_refused_in_dockers_words() {
        for (user, add, text) in [
            (
                "nobody",
                &[][..],
                "unable to find user nobody: no matching entries in passwd file",
            ),
            (
                "web:nogroup",
                &[],
                "unable to find group nogroup: no matching entries in group file",
            ),
            ("web", &["none"], "Unable to find group none"),
            ("4294967296", &[], "uids and gids must be in range 0-2147483647"),
            ("-1", &[], "uids and gids must be in range 0-2147483647"),
        ] {
            assert_eq!(check(user, add).expect_err(user).to_string(), text);
        }
    }
}
