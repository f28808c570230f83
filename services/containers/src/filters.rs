//! Compiled system call filters, each in a sealed memory file that monitors inherit: compiling one takes longer than the
//! whole rest of what a monitor does before it clones the container.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use oci::runtime::Seccomp;

use crate::Error;
use crate::record::Record;
use crate::settings::Settings;
use crate::spec::{self, SeccompChoice};

/// More different ones than these are not kept.
const MOST: usize = 16;

/// The filters that were needed so far.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    compiled: Mutex<HashMap<SeccompChoice, Filter>>,
}

/// The filter of a process.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// Everything is allowed.
    None,
    /// In a sealed memory file.
    Compiled(Arc<OwnedFd>),
    /// It has a listener, which the runtime tells: so it needs the whole description.
    Described(Box<Seccomp>),
}

impl Filter {
    pub(crate) fn description(&self) -> Option<Seccomp> {
        match self {
            Self::Described(seccomp) => Some((**seccomp).clone()),
            _ => None,
        }
    }

    pub(crate) fn file(&self) -> Option<&OwnedFd> {
        match self {
            Self::Compiled(file) => Some(file),
            _ => None,
        }
    }
}

impl Filters {
    /// The filter of a container's processes.
    ///
    /// # Errors
    /// A profile that cannot be read or compiled.
    pub(crate) fn of(&self, record: &Record, settings: &Settings) -> Result<Filter, Error> {
        let choice = spec::seccomp_choice(record, settings)?;
        if choice == SeccompChoice::Unconfined {
            return Ok(Filter::None);
        }
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = compiled.get(&choice) {
            return Ok(filter.clone());
        }
        let filter = make(&choice)?;
        if compiled.len() >= MOST {
            compiled.clear();
        }
        compiled.insert(choice, filter.clone());
        Ok(filter)
    }
}

/// The description of a container's filter, for a runtime that compiles it itself.
///
/// # Errors
/// A profile that cannot be read.
pub(crate) fn described(record: &Record, settings: &Settings) -> Result<Filter, Error> {
    let seccomp = spec::seccomp_choice(record, settings)?.resolve()?;
    Ok(seccomp.map_or(Filter::None, |seccomp| Filter::Described(Box::new(seccomp))))
}

fn make(choice: &SeccompChoice) -> Result<Filter, Error> {
    let Some(seccomp) = choice.resolve()? else {
        return Ok(Filter::None);
    };
    let program = security::seccomp::compile(&seccomp).map_err(Error::part)?;
    let Some(bytes) = program.to_bytes() else {
        return Ok(Filter::Described(Box::new(seccomp)));
    };
    let file = linux::fd::sealed_memfd(c"filter", &bytes, false).map_err(|errno| Error::System {
        action: "keep a system call filter in memory",
        source: errno.into(),
    })?;
    Ok(Filter::Compiled(Arc::new(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_choice_is_compiled_once() {
        let filters = Filters::default();
        let settings = spec::tests::settings();
        let first = filters.of(&spec::tests::record(), &settings).expect("compiles");
        let again = filters.of(&spec::tests::record(), &settings).expect("compiles");
        let (Filter::Compiled(first), Filter::Compiled(again)) = (first, again) else {
            panic!("the built-in profile has no listener");
        };
        assert!(Arc::ptr_eq(&first, &again));
    }

    #[test]
    fn a_privileged_container_has_none() {
        let mut record = spec::tests::record();
        record.host_config.privileged = true;
        let filter = Filters::default()
            .of(&record, &spec::tests::settings())
            .expect("none");
        assert!(matches!(filter, Filter::None));
    }
}
