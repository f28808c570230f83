//! Containers: one actor each; create, start, exec, attach, stop, restart policy, statistics.
//!
//! A container is three values by lifetime: what was asked for and what happened so far (`record`), and what is
//! true only while it runs (`actor`). Its life is a pure function (`machine`); `launch` turns a record into a
//! monitor's plan. Readers look at the latest snapshot and never wait for a container.
//!
//! This crate must not know HTTP or how a monitor does its work. Start at [`Containers`].

mod actor;
mod attach;
mod cell;
mod commit;
mod connect;
mod create;
mod directory;
mod duration;
mod error;
mod exec;
mod files;
mod filters;
mod health;
mod house;
mod inspect;
mod launch;
mod link;
mod links;
mod list;
mod logs;
mod machine;
mod mounts;
mod names;
mod ready;
mod record;
mod requests;
mod restore;
mod runtime;
mod service;
mod settings;
mod spec;
mod stats;
mod teardown;
mod top;
mod until;
mod update;
mod wait;

pub use attach::Attachment;
pub use error::Error;
pub use exec::{ExecStart, NotStarted};
pub use files::{TarSink, TarStream};
pub use logs::LogStream;
pub use requests::{
    AttachRequest, ClientSocket, CommitRequest, Counts, ListRequest, LogRequest, PutArchive, RemoveRequest,
    StopRequest, WaitCondition,
};
pub use runtime::find as find_program;
pub use service::{Containers, Parts};
pub use settings::{BUILT_IN_RUNTIME, Settings};
pub use spec::is_slice;
pub use wait::Waiter;
