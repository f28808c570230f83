//! Mount options of a spec, sorted into attributes, propagation and what the file system itself reads.

use std::ffi::CString;

use linux::mount::{
    ATTR_ATIME_MASK, ATTR_NOATIME, ATTR_NODEV, ATTR_NODIRATIME, ATTR_NOEXEC, ATTR_NOSUID, ATTR_NOSYMFOLLOW,
    ATTR_RDONLY, ATTR_RELATIME, ATTR_STRICTATIME, Attributes,
};

use super::{CompileError, c_string};

/// Mount options, sorted.
#[derive(Debug, Default)]
pub(super) struct MountOptions {
    /// `Some(recursive)` for bind mounts.
    pub(super) bind: Option<bool>,
    /// Attributes of the top mount.
    pub(super) attributes: Attributes,
    /// Attributes of the whole tree (`rro`, ...).
    pub(super) recursive: Attributes,
    /// Propagation, and whether of the whole tree.
    pub(super) propagation: Option<(u64, bool)>,
    /// Whether owners are shifted, and then whether in the whole tree.
    pub(super) shift: Option<bool>,
    /// Fill it with what its place has in the image.
    pub(super) copy_up: bool,
    /// What the file system reads.
    pub(super) data: Vec<(CString, Option<CString>)>,
}

enum Effect {
    Set(u64),
    Clear(u64),
    Access(u64),
    Propagate(u64),
    Bind(bool),
    /// A flag of the super block that the kernel's own parser knows by this name.
    Super,
    Nothing,
    /// Owners are shifted; for the whole tree or not.
    Shift(bool),
    CopyUp,
}

/// The options of fstab and of the runtime-spec (config.md, "Linux mount options").
fn effect(name: &str) -> Option<Effect> {
    Some(match name {
        "ro" => Effect::Set(ATTR_RDONLY),
        "rw" => Effect::Clear(ATTR_RDONLY),
        "nosuid" => Effect::Set(ATTR_NOSUID),
        "suid" => Effect::Clear(ATTR_NOSUID),
        "nodev" => Effect::Set(ATTR_NODEV),
        "dev" => Effect::Clear(ATTR_NODEV),
        "noexec" => Effect::Set(ATTR_NOEXEC),
        "exec" => Effect::Clear(ATTR_NOEXEC),
        "nodiratime" => Effect::Set(ATTR_NODIRATIME),
        "diratime" => Effect::Clear(ATTR_NODIRATIME),
        "nosymfollow" => Effect::Set(ATTR_NOSYMFOLLOW),
        "symfollow" => Effect::Clear(ATTR_NOSYMFOLLOW),
        "noatime" => Effect::Access(ATTR_NOATIME),
        "relatime" | "atime" | "nostrictatime" => Effect::Access(ATTR_RELATIME),
        "strictatime" | "norelatime" => Effect::Access(ATTR_STRICTATIME),
        "private" => Effect::Propagate(libc_ms::PRIVATE),
        "slave" => Effect::Propagate(libc_ms::SLAVE),
        "shared" => Effect::Propagate(libc_ms::SHARED),
        "unbindable" => Effect::Propagate(libc_ms::UNBINDABLE),
        "bind" => Effect::Bind(false),
        "rbind" => Effect::Bind(true),
        "sync" | "dirsync" | "lazytime" | "mand" => Effect::Super,
        "defaults" | "async" | "nomand" | "nolazytime" | "loud" | "silent" | "iversion" | "noiversion"
        | "acl" | "noacl" | "remount" => Effect::Nothing,
        "idmap" => Effect::Shift(false),
        "ridmap" => Effect::Shift(true),
        "tmpcopyup" => Effect::CopyUp,
        _ => return None,
    })
}

/// Names of all options that [`parse`] sorts, for `features`.
pub(crate) fn names() -> Vec<String> {
    const NAMES: &[&str] = &[
        "ro",
        "rw",
        "nosuid",
        "suid",
        "nodev",
        "dev",
        "noexec",
        "exec",
        "nodiratime",
        "diratime",
        "nosymfollow",
        "symfollow",
        "noatime",
        "relatime",
        "atime",
        "nostrictatime",
        "strictatime",
        "norelatime",
        "private",
        "slave",
        "shared",
        "unbindable",
        "bind",
        "sync",
        "dirsync",
        "lazytime",
        "mand",
        "defaults",
        "async",
        "nomand",
        "nolazytime",
        "loud",
        "silent",
        "iversion",
        "noiversion",
        "acl",
        "noacl",
        "remount",
        "idmap",
        "ridmap",
        "tmpcopyup",
    ];
    let recursive = |name: &str| {
        matches!(
            effect(name),
            Some(
                Effect::Set(_)
                    | Effect::Clear(_)
                    | Effect::Access(_)
                    | Effect::Propagate(_)
                    | Effect::Bind(_)
            )
        )
    };
    let both = NAMES
        .iter()
        .filter(|name| recursive(name))
        .map(|name| format!("r{name}"));
    let mut names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).chain(both).collect();
    names.sort();
    names
}

/// Propagation types of mount(2).
pub(super) mod libc_ms {
    /// `MS_REC`.
    pub(crate) const REC: u64 = 1 << 14;
    /// `MS_UNBINDABLE`.
    pub(crate) const UNBINDABLE: u64 = 1 << 17;
    /// `MS_PRIVATE`.
    pub(crate) const PRIVATE: u64 = 1 << 18;
    /// `MS_SLAVE`.
    pub(crate) const SLAVE: u64 = 1 << 19;
    /// `MS_SHARED`.
    pub(crate) const SHARED: u64 = 1 << 20;
}

/// Sorts the options of one mount.
pub(super) fn parse(options: &[String]) -> Result<MountOptions, CompileError> {
    let mut sorted = MountOptions::default();
    for option in options {
        if let Some(effect) = effect(option) {
            apply(&mut sorted, effect, option, false)?;
        } else if let Some(effect) = option.strip_prefix('r').and_then(effect) {
            apply(&mut sorted, effect, option, true)?;
        } else {
            let (key, value) = match option.split_once('=') {
                Some((key, value)) => (key, Some(c_string("mount option", value)?)),
                None => (option.as_str(), None),
            };
            sorted.data.push((c_string("mount option", key)?, value));
        }
    }
    Ok(sorted)
}

fn apply(sorted: &mut MountOptions, effect: Effect, name: &str, recursive: bool) -> Result<(), CompileError> {
    let attributes = if recursive {
        &mut sorted.recursive
    } else {
        &mut sorted.attributes
    };
    match effect {
        Effect::Set(bit) => {
            attributes.set |= bit;
            attributes.clear &= !bit;
        }
        Effect::Clear(bit) => {
            attributes.clear |= bit;
            attributes.set &= !bit;
        }
        Effect::Access(value) => {
            attributes.set = (attributes.set & !ATTR_ATIME_MASK) | value;
            attributes.clear |= ATTR_ATIME_MASK;
        }
        Effect::Propagate(kind) => sorted.propagation = Some((kind, recursive)),
        Effect::Bind(all) => sorted.bind = Some(all),
        Effect::Super => sorted.data.push((c_string("mount option", name)?, None)),
        Effect::Nothing => {}
        Effect::Shift(tree) => sorted.shift = Some(tree),
        Effect::CopyUp => sorted.copy_up = true,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(options: &[&str]) -> MountOptions {
        parse(&options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>()).expect("known")
    }

    #[test]
    fn options_are_sorted_into_attributes_propagation_and_data() {
        let got = sorted(&["rbind", "ro", "nosuid", "rslave", "size=64k", "mode=1777", "huge"]);
        assert_eq!(got.bind, Some(true));
        assert_eq!(got.attributes.set, ATTR_RDONLY | ATTR_NOSUID);
        assert_eq!(got.propagation, Some((libc_ms::SLAVE, true)));
        let keys: Vec<_> = got
            .data
            .iter()
            .map(|(key, _)| key.to_str().expect("ascii"))
            .collect();
        assert_eq!(keys, ["size", "mode", "huge"]);
    }

    #[test]
    fn recursive_read_only_is_kept_apart_from_read_only() {
        let got = sorted(&["rbind", "rro"]);
        assert_eq!((got.attributes.set, got.recursive.set), (0, ATTR_RDONLY));
    }

    #[test]
    fn the_later_of_two_options_wins() {
        let got = sorted(&["ro", "rw"]);
        assert_eq!((got.attributes.set, got.attributes.clear), (0, ATTR_RDONLY));
    }
}
