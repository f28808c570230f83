//! `dhow builder`: one file per command.

pub(crate) mod prune;
