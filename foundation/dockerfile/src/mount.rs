//! `RUN --mount=type=…`.

use crate::error::{SyntaxError, nearest};

/// A mount for one RUN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub kind: Kind,
    /// Where; for a secret and ssh there is a default.
    pub target: Option<String>,
    /// A path inside of `from`, or of the context.
    pub source: Option<String>,
    /// A stage, image or named context.
    pub from: Option<String>,
    /// Nothing may be written.
    pub read_only: Option<bool>,
    /// The name of a cache, secret or agent.
    pub id: Option<String>,
    /// How concurrent builds share a cache.
    pub sharing: Sharing,
    /// A missing secret or agent is an error.
    pub required: bool,
    /// The name of a variable that holds the secret.
    pub env: Option<String>,
    /// Permissions of the cache directory, secret or socket.
    pub mode: Option<u32>,
    /// Its owner.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// Bytes of a tmpfs.
    pub size: Option<u64>,
}

/// What is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the Dockerfile reference")]
pub enum Kind {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

/// How concurrent builds share a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// All at once.
    #[default]
    Shared,
    /// Each gets its own.
    Private,
    /// One after the other.
    Locked,
}

const KEYS: [&str; 20] = [
    "type",
    "target",
    "dst",
    "destination",
    "source",
    "src",
    "from",
    "readonly",
    "ro",
    "rw",
    "readwrite",
    "id",
    "sharing",
    "required",
    "env",
    "mode",
    "uid",
    "gid",
    "size",
    "tmpfs-size",
];

impl Mount {
    /// Reads the value of `--mount`.
    ///
    /// # Errors
    /// [`SyntaxError::Mount`].
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let wrong = |why: String| SyntaxError::Mount(format!("{why} (in {text:?})"));
        let mut mount = Self::default();
        for field in text.split(',').filter(|field| !field.is_empty()) {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.trim().to_ascii_lowercase(), Some(value)),
                None => (field.trim().to_ascii_lowercase(), None),
            };
            mount.set(&key, value).map_err(wrong)?;
        }
        mount.check().map_err(wrong)?;
        Ok(mount)
    }

    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), String> {
        let flag = || match value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(format!("invalid value for {key}: {other}")),
        };
        match key {
            "readonly" | "ro" => self.read_only = Some(flag()?),
            "rw" | "readwrite" => self.read_only = Some(!flag()?),
            "required" => self.required = flag()?,
            _ => {
                let value = value.ok_or_else(|| format!("invalid field '{key}' must be a key=value pair"))?;
                self.set_value(key, value)?;
            }
        }
        Ok(())
    }

    fn set_value(&mut self, key: &str, value: &str) -> Result<(), String> {
        let number =
            |radix| u32::from_str_radix(value, radix).map_err(|_| format!("invalid value {value} for {key}"));
        let text = Some(value.to_owned());
        match key {
            "type" => {
                self.kind = match value.to_ascii_lowercase().as_str() {
                    "bind" => Kind::Bind,
                    "cache" => Kind::Cache,
                    "tmpfs" => Kind::Tmpfs,
                    "secret" => Kind::Secret,
                    "ssh" => Kind::Ssh,
                    _ => return Err(format!("unsupported mount type {value:?}")),
                }
            }
            "target" | "dst" | "destination" => self.target = text,
            "source" | "src" => self.source = text,
            "from" => self.from = text,
            "id" => self.id = text,
            "env" => self.env = text,
            "mode" => self.mode = Some(number(8)?),
            "uid" => self.uid = Some(number(10)?),
            "gid" => self.gid = Some(number(10)?),
            "size" | "tmpfs-size" => {
                self.size = Some(size(value).ok_or_else(|| format!("invalid size {value}"))?);
            }
            "sharing" => {
                self.sharing = match value.to_ascii_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => return Err(format!("unsupported sharing value {value:?}")),
                }
            }
            _ => {
                let near = nearest(key, &KEYS).map(|near| format!(" (did you mean {near}?)"));
                return Err(format!("unexpected key '{key}'{}", near.unwrap_or_default()));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let needs_target = matches!(self.kind, Kind::Bind | Kind::Cache | Kind::Tmpfs);
        if needs_target && self.target.as_deref().unwrap_or_default().is_empty() {
            return Err("target is required".to_owned());
        }
        if self.kind == Kind::Tmpfs && (self.from.is_some() || self.source.is_some()) {
            return Err("a tmpfs has neither from nor source".to_owned());
        }
        if matches!(self.kind, Kind::Secret | Kind::Ssh) && self.from.is_some() {
            return Err("from is not allowed for a secret or ssh".to_owned());
        }
        if self.target.as_deref() == Some("/") {
            return Err("invalid mount target \"/\"".to_owned());
        }
        Ok(())
    }
}

/// Bytes: `64m`, `1g`, `512`.
fn size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match lower[digits.len()..].trim_end_matches("ib").trim_end_matches('b') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_with_its_options() {
        let mount =
            Mount::parse("type=cache,target=/c,id=x,sharing=locked,uid=1,gid=2,mode=0700,ro").unwrap();
        assert_eq!(
            (mount.kind, mount.sharing, mount.mode),
            (Kind::Cache, Sharing::Locked, Some(0o700))
        );
        assert_eq!(mount.read_only, Some(true));
        let bind = Mount::parse("target=/x,from=build,src=/y,rw").unwrap();
        assert_eq!(
            (bind.kind, bind.read_only, bind.from.as_deref()),
            (Kind::Bind, Some(false), Some("build"))
        );
        assert_eq!(
            Mount::parse("type=tmpfs,dst=/t,size=64m").unwrap().size,
            Some(64 << 20)
        );
        assert!(Mount::parse("type=secret,id=k,required").unwrap().required);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expect) in [
            ("type=bind", "target is required"),
            ("type=what,target=/x", "unsupported mount type \"what\""),
            (
                "type=cache,targt=/x",
                "unexpected key 'targt' (did you mean target?)",
            ),
            ("type=cache,target=/x,mode=9", "invalid value 9 for mode"),
            ("type=tmpfs,target=/", "invalid mount target \"/\""),
        ] {
            let error = Mount::parse(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{text}: {error}");
        }
    }
}
