//! `dhow context`: named daemons, in docker's own store (`~/.docker/contexts`). One file per command.

pub(crate) mod create;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod rm;
pub(crate) mod show;
mod store;
pub(crate) mod update;
pub(crate) mod use_;

pub(crate) use store::host_of;

/// The context that is not in the store: `DOCKER_HOST`, or the default socket.
pub(crate) const DEFAULT: &str = "default";
