//! `--build-context NAME=VALUE`: a directory, an image, an OCI layout, or what the daemon fetches by itself.

use std::collections::BTreeMap;
use std::path::Path;

use super::context;
use super::pack::Tree;
use crate::failure::Failure;

/// Named contexts as they are asked for, and the directories that have to be sent.
#[derive(Default)]
pub(super) struct Named {
    /// Values by name, as the daemon takes them.
    pub(super) values: BTreeMap<String, String>,
    pub(super) trees: Vec<Tree>,
}

impl Named {
    pub(super) fn parse(list: &[String]) -> Result<Self, Failure> {
        let mut named = Self::default();
        for text in list {
            let pair = text
                .split_once('=')
                .filter(|(name, value)| !name.is_empty() && !value.is_empty());
            let (name, value) = pair
                .ok_or_else(|| Failure::new(format!("invalid context value: {text}, expected key=value")))?;
            let value = named.value(value).map_err(|failure| {
                Failure::new(format!("failed to get build context {name}: {}", failure.message))
            })?;
            named.values.insert(name.to_owned(), value);
        }
        Ok(named)
    }

    fn value(&mut self, value: &str) -> Result<String, Failure> {
        let is_repository = dockerfile::remote::is_repository(value);
        let schemes = ["docker-image://", "http://", "https://"];
        if is_repository || schemes.iter().any(|scheme| value.starts_with(scheme)) {
            return Ok(value.to_owned());
        }
        if let Some(layout) = value.strip_prefix("oci-layout://") {
            // A tag has no slash, and a digest begins behind an @.
            let at = layout.find('@').or_else(|| {
                let colon = layout.rfind(':')?;
                (!layout[colon..].contains('/')).then_some(colon)
            });
            let (path, reference) = layout.split_at(at.unwrap_or(layout.len()));
            if !Path::new(path).join("index.json").is_file() {
                return Err(Failure::new(format!(
                    "{path}: not an OCI layout: it has no index.json"
                )));
            }
            return Ok(format!("oci-layout://{}{reference}", self.send(path)?));
        }
        Ok(format!("sent:{}", self.send(value)?))
    }

    /// A directory goes into the archive under a name that no context has by chance.
    fn send(&mut self, path: &str) -> Result<String, Failure> {
        let name = format!(".dhow-context-{}-{}", std::process::id(), self.trees.len());
        self.trees
            .push(context::named(Path::new(path), format!("{name}/"))?);
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_sent_and_the_rest_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let read = |text: String| Named::parse(&[text]);
        let named = read(format!("a={path}")).unwrap();
        assert!(named.values["a"].starts_with("sent:.dhow-context-") && named.trees.len() == 1);
        for value in ["docker-image://b:1", "https://h/x.git#v1", "git@h:x"] {
            assert_eq!(read(format!("a={value}")).unwrap().values["a"], value);
        }
        std::fs::write(folder.path().join("index.json"), "{}").unwrap();
        let named = read(format!("a=oci-layout://{path}:v1")).unwrap();
        assert!(named.values["a"].starts_with("oci-layout://.dhow") && named.values["a"].ends_with(":v1"));
    }

    #[test]
    fn what_is_no_context_is_refused() {
        for text in ["a", "=x", "a=", "a=/nonexistent/x", "a=oci-layout:///nonexistent"] {
            assert!(Named::parse(&[text.to_owned()]).is_err(), "{text}");
        }
    }
}
