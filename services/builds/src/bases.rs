//! The images that stages begin with or take files from: those that are here, or else pulled, once for a build.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api_types::progress::Message;
use distribution::Credentials;
use fault::{Fault as _, Kind};
use images::{Image, ImageError, PullOptions};
use oci::digest::Digest;
use oci::platform::Platform;
use tokio::sync::{Mutex as Turn, mpsc};

use crate::BuildError;
use crate::engine::Engine;

/// Lines of a pull that may wait for the stream.
const LINES: usize = 2048;

/// What this build has pulled under one name, each for a platform.
type Pulled = Vec<(Option<Platform>, Image)>;

/// What this build has pulled, by name; whoever wants the same name waits for the first one.
#[derive(Debug, Default)]
pub(crate) struct Bases(Mutex<HashMap<String, Arc<Turn<Pulled>>>>);

impl Bases {
    fn of(&self, name: &str) -> Arc<Turn<Pulled>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(name.to_owned()).or_default())
    }
}

impl Engine {
    /// The image with this name or id, pulled when it is missing or for another platform, and always with `--pull`. The
    /// pull is told in this part of the stream.
    pub(crate) async fn base(
        &self,
        part: usize,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Image, BuildError> {
        if is_id(name) {
            // An id means nothing to a registry.
            let image = self.images.resolve(name).map_err(BuildError::part)?;
            return fitting(name, image, platform);
        }
        if !self.request.pull
            && let Some(image) = self.here(name, platform)?
        {
            return Ok(image);
        }
        let mut options = PullOptions::new(name, "").map_err(BuildError::part)?;
        options.reference = options.reference.tag_or_latest();
        options.platform = platform.cloned();
        options.credentials = self.request.keyring.of(options.reference.domain());
        if let (Credentials::Anonymous, Some(client)) = (&options.credentials, &self.request.client) {
            options.credentials = client.credentials(options.reference.domain().to_owned()).await?;
        }
        let pulled = self.state.bases.of(&options.reference.familiar());
        let mut pulled = pulled.lock().await;
        if let Some((_, image)) = pulled.iter().find(|(known, _)| known.as_ref() == platform) {
            return Ok(image.clone());
        }
        self.pull(part, options).await?;
        let image = self.images.resolve(name).map_err(BuildError::part)?;
        let image = fitting(name, image, platform)?;
        pulled.push((platform.cloned(), image.clone()));
        Ok(image)
    }

    fn here(&self, name: &str, platform: Option<&Platform>) -> Result<Option<Image>, BuildError> {
        match self.images.resolve(name) {
            Ok(image) => Ok(fitting(name, image, platform).ok()),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(BuildError::part(error)),
        }
    }

    /// Pulls while its lines go into the stream. Dropping the future gives the pull up.
    async fn pull(&self, part: usize, options: PullOptions) -> Result<(), BuildError> {
        let (sender, mut lines) = mpsc::channel(LINES);
        let tell = move |message: Message| {
            // Bars leave room for what must be told; a client that reads nothing at all misses even that.
            if message.progress.is_empty() || sender.capacity() > LINES / 2 {
                let _ = sender.try_send(message);
            }
        };
        let pulling = self.images.pull(options, Arc::new(tell));
        tokio::pin!(pulling);
        let outcome: Result<(), ImageError> = loop {
            tokio::select! {
                biased;
                Some(message) = lines.recv() => self.progress.message(part, message).await,
                outcome = &mut pulling => break outcome,
            }
        };
        while let Ok(message) = lines.try_recv() {
            self.progress.message(part, message).await;
        }
        outcome.map_err(BuildError::part)
    }
}

/// A whole id, with or without its algorithm.
fn is_id(name: &str) -> bool {
    name.parse::<Digest>().is_ok() || format!("sha256:{name}").parse::<Digest>().is_ok()
}

fn fitting(name: &str, image: Image, wanted: Option<&Platform>) -> Result<Image, BuildError> {
    let have = image.config.platform();
    match wanted.filter(|wanted| !wanted.accepts(&have)) {
        None => Ok(image),
        Some(wanted) => Err(BuildError::Parameter(format!(
            "image with reference {name} was found but does not match the specified platform: wanted {wanted}, actual: {have}"
        ))),
    }
}
