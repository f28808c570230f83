//! `dhow trust key`.

pub(crate) mod generate;
pub(crate) mod load;
