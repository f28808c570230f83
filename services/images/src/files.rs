//! The files of an image, without those that a container adds.

use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;

use crate::compare::pack_error;
use crate::error::stream;
use crate::{ImageError, Images};

impl Images {
    /// Writes an image's whole file system as an archive.
    ///
    /// # Errors
    /// As [`Images::resolve`]; [`ImageError::Storage`]. Dropping what reads from `out` ends it.
    pub async fn files(
        self: &Arc<Self>,
        name: &str,
        mut out: impl Write + Send + 'static,
    ) -> Result<(), ImageError> {
        let image = self.resolve(name)?;
        self.blocking(move |images| {
            if image.chain_ids.is_empty() {
                let ended = archive::Writer::new(&mut out).finish().map(drop);
                return ended.map_err(stream("write archive"));
            }
            let view = images.mount(&image)?;
            let packed = archive::pack(view.root.as_fd(), &mut out, archive::PackOptions::default());
            packed.map(drop).map_err(|source| pack_error(&image, source))
        })
        .await
    }
}
