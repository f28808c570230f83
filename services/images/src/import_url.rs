//! What the daemon fetches itself: an archive to import, and files for builds.

use std::sync::Arc;

use crate::bar::{Bar, line};
use crate::load::Progress;
use crate::transfer::{InputSender, input};
use crate::{Image, ImageError, Images, ImportOptions};

impl Images {
    /// Asks for a file of the web, by the proxies and certificates that are set for registries.
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn fetch_url(&self, url: &str) -> Result<distribution::fetch::Fetched, ImageError> {
        Ok(distribution::fetch::fetch(&self.registries.settings(), url).await?)
    }

    /// As [`Images::import`], of what lies at a URL (`http`, `https`; without scheme `http` is meant). Nothing is kept
    /// of the archive itself, so that its size is bounded by the disk alone. Dropping the future gives it up.
    ///
    /// # Errors
    /// [`ImageError`].
    pub async fn import_url(
        self: &Arc<Self>,
        url: &str,
        mut options: ImportOptions,
        progress: Progress,
    ) -> Result<Image, ImageError> {
        let fetched = self.fetch_url(url).await?;
        let shown = match url.contains("://") {
            true => url.to_owned(),
            false => format!("http://{url}"),
        };
        progress(line(format!("Downloading from {shown}")));
        if options.message.is_empty() {
            options.message = format!("Imported from {shown}");
        }
        let bar = Bar::new(&progress, "", "Importing", fetched.length().unwrap_or(0));
        let (sender, reader) = input();
        let feed = feed(fetched, sender, bar);
        let (imported, ()) = tokio::join!(self.import(reader, options, Progress::clone(&progress)), feed);
        imported
    }
}

async fn feed(mut fetched: distribution::fetch::Fetched, sender: InputSender, mut bar: Bar) {
    loop {
        match fetched.chunk().await {
            Ok(Some(bytes)) => {
                bar.at(fetched.seen());
                if !sender.send(bytes).await {
                    return;
                }
            }
            Ok(None) => return sender.finish().await,
            Err(error) => return sender.fail(std::io::Error::other(error)).await,
        }
    }
}
