//! The open state file. redb refuses all work after an input/output error (a full disk); here the file is then opened
//! again, so that a daemon goes on as soon as there is room.

use std::sync::{PoisonError, RwLock};

use redb::Database;

/// Opens the file, once more after each failure.
type Opener = Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>;

pub(crate) struct StateFile {
    open: Opener,
    /// `None`: it could not be opened again yet.
    database: RwLock<Option<Database>>,
}

impl std::fmt::Debug for StateFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateFile").finish_non_exhaustive()
    }
}

impl StateFile {
    pub(crate) fn open(
        open: impl Fn() -> Result<Database, redb::Error> + Send + Sync + 'static,
    ) -> Result<Self, redb::Error> {
        let database = RwLock::new(Some(open()?));
        let open = Box::new(open);
        Ok(Self { open, database })
    }

    /// Works on the database.
    pub(crate) fn with<T, E: From<redb::Error>>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, E>,
    ) -> Result<T, E> {
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => work(database),
            None => Err(redb::Error::PreviousIo.into()),
        }
    }

    /// Closes the file and opens it, which also undoes what a failed commit has left in it.
    pub(crate) fn reopen(&self) -> Result<(), redb::Error> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // First, because redb locks the file.
        *database = None;
        *database = Some((self.open)()?);
        Ok(())
    }
}

/// Whether the database is of no use any more until it is opened again.
pub(crate) fn is_broken(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo)
}
