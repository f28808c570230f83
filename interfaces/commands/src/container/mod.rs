//! `dhow container`: one file per command.

pub(crate) mod attach;
pub(crate) mod commit;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod diff;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod options;

pub(crate) use options::{endpoint, map};
pub(crate) mod pause;
pub(crate) mod port;
mod ports;
pub(crate) mod prune;
pub(crate) mod rename;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod unpause;
pub(crate) mod update;
pub(crate) mod wait;

use std::future::Future;

use client::ClientError;
use futures_util::stream::{self, StreamExt as _};

use crate::console;
use crate::failure::{Outcome, Problems};

/// The body of `POST /containers/create` for the words behind `dhow create`: flags, the image, its command.
///
/// # Errors
/// The message that the command would print: an unknown flag, or a value that makes no sense.
pub fn create_request(words: &[String]) -> Result<api_types::container::CreateRequest, String> {
    let parsed = crate::flags::parse(create::COMMAND.flags, words, true)?;
    match parsed.args.is_empty() {
        true => Err("'dhow create' requires at least 1 argument".to_owned()),
        false => options::request(&parsed),
    }
}

/// Calls for so many containers are under way at once.
const AT_ONCE: usize = 50;

/// Does something for each of several containers, prints the name of each that it worked for, and says at the end what
/// went wrong.
async fn for_each<'a, F, Fut>(names: &'a [String], call: F) -> Outcome
where
    F: Fn(&'a str) -> Fut,
    Fut: Future<Output = Result<(), ClientError>>,
{
    for_each_silent(names, |name| {
        let done = call(name);
        async move { done.await.map(|()| true) }
    })
    .await
}

/// The same, where the call says whether the name is to be printed.
async fn for_each_silent<'a, F, Fut>(names: &'a [String], call: F) -> Outcome
where
    F: Fn(&'a str) -> Fut,
    Fut: Future<Output = Result<bool, ClientError>>,
{
    let mut problems = Problems::default();
    let tasks = stream::iter(names).map(|name| {
        let done = call(name);
        async move { (name, done.await) }
    });
    let mut results = tasks.buffered(AT_ONCE);
    while let Some((name, result)) = results.next().await {
        match result {
            Ok(true) => console::line(name),
            Ok(false) => {}
            Err(error) => problems.note(error),
        }
    }
    problems.outcome()
}
