//! Sources that are fetched: URLs, and git repositories in all the ways in which they are written.
//!
//! Source: Dockerfile reference, «ADD <git ref>» and «Git repositories» of «Build context» in Docker's manual.

use std::fmt;

/// What a source that is fetched is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// A file of the web.
    Http(String),
    /// A repository.
    Git(Repository),
}

/// A repository and what is wanted of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repository {
    /// As git takes it.
    pub url: String,
    /// A branch, tag or commit; nothing for what the repository itself takes (`HEAD`).
    pub reference: Option<String>,
    /// The commit that `reference` must be, or the beginning of its name.
    pub commit: Option<String>,
    /// The directory of it that is taken; empty for all.
    pub directory: String,
    /// `?submodules=false`: leave out what other repositories have.
    pub no_submodules: bool,
    /// `?keep-git-dir=true`: `.git` stays.
    pub keep_git_dir: bool,
}

/// Why a text that means a repository is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// A parameter that is not known, or whose value makes no sense.
    #[error("invalid git URL {url:?}: unexpected query {name}={value}")]
    Query {
        /// As it is written.
        url: String,
        /// The parameter.
        name: String,
        /// Its value.
        value: String,
    },
    /// The same is said twice, in different ways.
    #[error("invalid git URL {url:?}: ref conflict: {first:?} vs {second:?}")]
    Conflict {
        /// As it is written.
        url: String,
        /// One way.
        first: String,
        /// The other one.
        second: String,
    },
    /// It would be taken for an option, or holds characters that no address has.
    #[error("invalid git URL {0:?}")]
    Malformed(String),
}

impl fault::Fault for RemoteError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::InvalidParameter
    }
}

impl Remote {
    /// What `text` means, if it is anything that is fetched.
    ///
    /// # Errors
    /// [`RemoteError`]: it means a repository, and is none.
    pub fn parse(text: &str) -> Result<Option<Self>, RemoteError> {
        if is_repository(text) {
            return Repository::parse(text).map(Self::Git).map(Some);
        }
        let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        let is_http = lower.starts_with("http://") || lower.starts_with("https://");
        Ok(is_http.then(|| Self::Http(text.to_owned())))
    }
}

/// Whether a text means a repository: by its scheme, or by `.git` at the end of its path.
pub fn is_repository(text: &str) -> bool {
    let plain = text.split(['#', '?']).next().unwrap_or_default();
    let by_scheme = ["git://", "ssh://", "github.com/"];
    if by_scheme.iter().any(|start| plain.starts_with(start)) || is_scp(plain) {
        return true;
    }
    let is_http = plain.starts_with("http://") || plain.starts_with("https://");
    is_http && plain.ends_with(".git")
}

/// `user@host:path`, as scp and git have it.
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else {
        return false;
    };
    let Some((host, path)) = rest.split_once(':') else {
        return false;
    };
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    is_name(user) && is_name(host) && !path.is_empty() && !path.starts_with("//")
}

impl Repository {
    /// Reads `URL[?query][#reference[:directory]]`.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn parse(text: &str) -> Result<Self, RemoteError> {
        let malformed = || RemoteError::Malformed(text.to_owned());
        if text.starts_with('-') || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(malformed());
        }
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (url, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let scheme = if url.starts_with("github.com/") {
            "https://"
        } else {
            ""
        };
        let mut repository = Self {
            url: format!("{scheme}{url}"),
            reference: Some(reference.to_owned()).filter(|text| !text.is_empty()),
            directory: directory.to_owned(),
            ..Self::default()
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            repository.parameter(text, name, value)?;
        }
        let is_option = |text: &Option<String>| text.as_deref().is_some_and(|text| text.starts_with('-'));
        let host = repository.url.split("://").nth(1).unwrap_or(&repository.url);
        if is_option(&repository.reference) || is_option(&repository.commit) || host.starts_with('-') {
            return Err(malformed());
        }
        Ok(repository)
    }

    fn parameter(&mut self, text: &str, name: &str, value: &str) -> Result<(), RemoteError> {
        let set = |place: &mut Option<String>, value: String| match place {
            Some(first) if *first != value => Err(RemoteError::Conflict {
                url: text.to_owned(),
                first: first.clone(),
                second: value,
            }),
            place => {
                *place = Some(value);
                Ok(())
            }
        };
        match (name, value) {
            ("ref", _) => set(&mut self.reference, value.to_owned()),
            ("branch", _) => set(&mut self.reference, format!("refs/heads/{value}")),
            ("tag", _) => set(&mut self.reference, format!("refs/tags/{value}")),
            ("commit" | "checksum", _) => set(&mut self.commit, value.to_owned()),
            ("subdir", _) if self.directory.is_empty() || self.directory == value => {
                value.clone_into(&mut self.directory);
                Ok(())
            }
            ("submodules", "true" | "1" | "false" | "0") => {
                self.no_submodules = matches!(value, "false" | "0");
                Ok(())
            }
            ("keep-git-dir", "" | "true" | "1" | "false" | "0") => {
                self.keep_git_dir = !matches!(value, "false" | "0");
                Ok(())
            }
            _ => Err(RemoteError::Query {
                url: text.to_owned(),
                name: name.to_owned(),
                value: value.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)?;
        let reference = self.reference.as_deref().unwrap_or_default();
        match (reference, self.directory.as_str()) {
            ("", "") => Ok(()),
            (reference, "") => write!(f, "#{reference}"),
            (reference, directory) => write!(f, "#{reference}:{directory}"),
        }
    }
}

/// The name that a file of the web gets where a directory is its destination: the last name of the path.
pub fn file_name(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let (_, path) = path.split_once('/')?;
    let name = unescaped(path.trim_end_matches('/').rsplit('/').next()?)?;
    let is_fine = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    is_fine.then_some(name)
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(text: &str) -> Repository {
        match Remote::parse(text) {
            Ok(Some(Remote::Git(repository))) => repository,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn repositories_are_known_by_how_they_are_written() {
        for text in [
            "git@host:a/b",
            "https://host/a.git",
            "https://host/a.git#main:dir",
            "https://host/a.git?tag=v1",
            "github.com/a/b",
            "git://x/y",
            "ssh://git@host:22/a",
        ] {
            assert!(is_repository(text), "{text}");
        }
        for text in [
            ".",
            "https://host/a.tar.gz",
            "/srv/a.git",
            "file:///srv/a.git",
            "https://host/?x=a.git",
            "a@b",
        ] {
            assert!(!is_repository(text), "{text}");
        }
        assert_eq!(
            Remote::parse("HTTPS://host/x").unwrap(),
            Some(Remote::Http("HTTPS://host/x".into()))
        );
        assert_eq!(Remote::parse("dir/file").unwrap(), None);
    }

    #[test]
    fn fragments_and_queries_say_what_is_wanted() {
        let plain = repository("github.com/a/b#v1:sub/dir");
        assert_eq!(plain.url, "https://github.com/a/b");
        assert_eq!(
            (plain.reference.as_deref(), plain.directory.as_str()),
            (Some("v1"), "sub/dir")
        );
        let query =
            repository("https://h/a.git?branch=main&commit=abc123&subdir=x&submodules=false&keep-git-dir=1");
        assert_eq!(query.reference.as_deref(), Some("refs/heads/main"));
        assert_eq!(query.commit.as_deref(), Some("abc123"));
        assert!(query.directory == "x" && query.no_submodules && query.keep_git_dir);
        assert_eq!(repository("git@h:a/b#:x").directory, "x");
    }

    #[test]
    fn what_git_would_take_for_an_option_is_refused() {
        for text in [
            "git://-oProxyCommand=x/y",
            "https://h/a.git#--upload-pack=x",
            "https://h/a.git?ref=-x",
            "https://h/a.git?what=1",
            "https://h/a.git?tag=1&branch=2",
            "https://h/a.git?submodules=x",
            "git://h/a b",
            "git://h/a\nb",
        ] {
            assert!(Remote::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_is_named_by_its_path() {
        for (url, name) in [
            ("http://h/a/b.txt", Some("b.txt")),
            ("http://h/a/b.txt?x=/y#z", Some("b.txt")),
            ("http://h/a%20b", Some("a b")),
            ("http://h/dir/", Some("dir")),
            ("http://h/", None),
            ("http://h", None),
            ("http://h/a%2fb", None),
            ("http://h/%2e%2e", None),
            ("http://h/%zz", None),
        ] {
            assert_eq!(file_name(url).as_deref(), name, "{url}");
        }
    }
}
