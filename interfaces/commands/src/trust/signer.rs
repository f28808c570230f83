//! `dhow trust signer`: whose keys are trusted for which repository, on this machine.

pub(crate) mod add;
pub(crate) mod remove;
