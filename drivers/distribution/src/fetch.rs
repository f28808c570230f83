//! A plain URL, such as that of an archive to import.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;

use crate::credentials::Credentials;
use crate::error::DistributionError;
use crate::exchange::Answer;
use crate::session::{Outgoing, Session, Trust};
use crate::settings::Settings;
use crate::url::Url;

/// A file of the web on its way.
pub struct Fetched {
    answer: Answer,
    seen: u64,
}

/// Asks for `url`; a text without scheme is taken as `http`.
///
/// # Errors
/// [`DistributionError`]: not reachable, or any status that is no success.
pub async fn fetch(settings: &Arc<Settings>, url: &str) -> Result<Fetched, DistributionError> {
    let url = match url.contains("://") {
        true => Url::parse(url)?,
        false => Url::parse(&format!("http://{url}"))?,
    };
    let session = Session::new(Arc::clone(settings), Credentials::Anonymous);
    let trust = Trust::of_stranger(settings, &url);
    let mut failed = 0;
    loop {
        let sent = session
            .send(Outgoing::new(Method::GET, url.clone()), &trust)
            .await;
        let checked = match sent {
            Ok(answer) => answer.check().await,
            Err(error) => Err(error),
        };
        match checked {
            Ok(answer) => return Ok(Fetched { answer, seen: 0 }),
            // Nobody who mistypes a host wants to wait: only what the server itself calls passing is tried again.
            Err(error @ DistributionError::Busy { .. }) => {
                failed += 1;
                if !session.pause(failed, &error).await {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

impl Fetched {
    /// How many bytes the server promises.
    pub fn length(&self) -> Option<u64> {
        self.answer.length()
    }

    /// A header of the answer, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.answer.header(name)
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`DistributionError::Connection`] when it breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, DistributionError> {
        let chunk = self.answer.chunk().await?;
        self.seen += chunk.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Ok(chunk)
    }

    /// How many bytes have come.
    pub fn seen(&self) -> u64 {
        self.seen
    }
}

impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetched")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
