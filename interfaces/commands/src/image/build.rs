//! `dhow build`.

mod agents;
mod cache;
mod context;
mod debug;
mod fields;
mod git;
mod keys;
mod listing;
mod metadata;
mod named;
mod outputs;
mod pack;
mod screen;
mod secrets;
mod send;
mod show;
mod steps;
mod table;

use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] PATH | URL | -",
    about: "Build an image from a Dockerfile",
    aliases: "image build, build, builder build",
    count: Count::Exactly(1),
    stop_early: false,
    flags: table::FLAGS,
    run: run!(send::execute),
};
