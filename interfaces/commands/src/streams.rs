//! What flows between a terminal, files and containers.

mod files;
mod keys;
mod pieces;
mod pump;
mod session;
mod terminal;

pub(crate) use files::{Sink, body_of, cause};
pub(crate) use keys::check as check_keys;
pub(crate) use pieces::{PIECE, written_by};
pub(crate) use pump::Pump;
pub(crate) use session::{Ending, Session, Target};
pub(crate) use terminal::{is_terminal, size, size_of, without_echo};
