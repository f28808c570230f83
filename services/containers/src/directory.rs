//! Which containers exist, by id, by name and by prefix of an id. Readers never wait for a container.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::Error;

/// The length of a full id: 64 hexadecimal digits.
pub(crate) const ID_LENGTH: usize = 64;

#[derive(Debug)]
struct Index<T> {
    by_id: BTreeMap<String, Arc<T>>,
    /// Name (without slash) -> id. A name is here from its reservation on, before the container itself.
    names: HashMap<String, String>,
}

/// The containers of this daemon.
#[derive(Debug)]
pub(crate) struct Directory<T> {
    index: RwLock<Index<T>>,
}

impl<T> Default for Directory<T> {
    fn default() -> Self {
        Self {
            index: RwLock::new(Index {
                by_id: BTreeMap::new(),
                names: HashMap::new(),
            }),
        }
    }
}

impl<T> Directory<T> {
    fn read(&self) -> RwLockReadGuard<'_, Index<T>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index<T>> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a container by its full id, else its name (with or without slash), else a prefix of its id.
    pub(crate) fn find(&self, asked: &str) -> Result<Arc<T>, Error> {
        let index = self.read();
        let name = asked.strip_prefix('/').unwrap_or(asked);
        let named = index.names.get(name).and_then(|id| index.by_id.get(id));
        if let Some(found) = index.by_id.get(asked).or(named) {
            return Ok(found.clone());
        }
        let is_prefix = !asked.is_empty() && asked.len() < ID_LENGTH && asked.bytes().all(is_id_digit);
        if is_prefix {
            let mut matches = index
                .by_id
                .range(asked.to_owned()..)
                .take_while(|(id, _)| id.starts_with(asked))
                .map(|(_, found)| found.clone());
            if let Some(found) = matches.next() {
                return if matches.next().is_some() {
                    Err(Error::AmbiguousPrefix(asked.into()))
                } else {
                    Ok(found)
                };
            }
        }
        Err(Error::NoSuchContainer(asked.into()))
    }

    /// Takes `name` for `id`, or says who has it.
    pub(crate) fn reserve(&self, name: &str, id: &str) -> Result<(), Error> {
        let mut index = self.write();
        match index.names.get(name) {
            Some(owner) if owner != id => Err(Error::NameInUse {
                name: name.into(),
                owner: owner.clone(),
            }),
            _ => {
                index.names.insert(name.into(), id.into());
                Ok(())
            }
        }
    }

    /// Gives `name` back if it belongs to `id`.
    pub(crate) fn release(&self, name: &str, id: &str) {
        let mut index = self.write();
        if index.names.get(name).is_some_and(|owner| owner == id) {
            index.names.remove(name);
        }
    }

    pub(crate) fn insert(&self, id: &str, container: Arc<T>) {
        self.write().by_id.insert(id.into(), container);
    }

    /// Forgets the container and every name it has.
    pub(crate) fn remove(&self, id: &str) {
        let mut index = self.write();
        index.by_id.remove(id);
        index.names.retain(|_, owner| owner != id);
    }

    /// All containers, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.read().by_id.values().cloned().collect()
    }
}

fn is_id_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory<&'static str> {
        let directory = Directory::default();
        for (id, name) in [("aa11", "one"), ("aa22", "two"), ("bb33", "aa")] {
            directory.reserve(name, id).expect("free");
            directory.insert(id, Arc::new(name));
        }
        directory
    }

    #[test]
    fn a_name_wins_over_a_prefix() {
        assert_eq!(*directory().find("aa").expect("found"), "aa");
        assert_eq!(*directory().find("/one").expect("found"), "one");
    }

    #[test]
    fn a_prefix_must_be_of_one_container_only() {
        assert_eq!(*directory().find("b").expect("found"), "aa");
        assert!(matches!(directory().find("a"), Err(Error::AmbiguousPrefix(_))));
        assert!(matches!(directory().find("cc"), Err(Error::NoSuchContainer(_))));
        assert!(matches!(directory().find(""), Err(Error::NoSuchContainer(_))));
    }

    #[test]
    fn a_name_has_one_owner_at_a_time() {
        let directory = directory();
        assert!(matches!(
            directory.reserve("one", "cc44"),
            Err(Error::NameInUse { .. })
        ));
        directory.remove("aa11");
        directory.reserve("one", "cc44").expect("free again");
        directory.release("one", "aa22");
        assert!(
            matches!(directory.reserve("one", "dd55"), Err(Error::NameInUse { owner, .. }) if owner == "cc44")
        );
    }
}
