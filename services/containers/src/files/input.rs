//! What a client sends for a container's tree: the Engine API takes tars plain or compressed, the helper plain ones.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};

use blobs::Compression;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::{CHUNK, make_pipe};

/// So many bytes tell the compression.
const MAGIC: usize = 6;

/// A decoder between client and helper; at its end, what is wrong with the stream, if anything is.
type Decoder = JoinHandle<Option<io::Error>>;

/// The way of a client's bytes into the helper. A plain tar, the usual case, takes no detour.
#[derive(Debug)]
pub(super) struct Input {
    /// The first bytes, until there are enough of them; `None` from then on.
    start: Option<Vec<u8>>,
    /// To the helper, or to the decoder.
    pipe: pipe::Sender,
    decoder: Option<Decoder>,
}

impl Input {
    pub(super) fn new(helper: pipe::Sender) -> Self {
        Self {
            start: Some(Vec::new()),
            pipe: helper,
            decoder: None,
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(start) = &mut self.start else {
            return self.pipe.write_all(bytes).await;
        };
        start.extend_from_slice(bytes);
        if start.len() < MAGIC {
            return Ok(());
        }
        self.begin().await
    }

    /// Decides by the first bytes, and passes them on.
    async fn begin(&mut self) -> io::Result<()> {
        let Some(start) = self.start.take() else {
            return Ok(());
        };
        if Compression::detect(&start) != Compression::None {
            let (packed, to_decoder) = make_pipe().map_err(io::Error::other)?;
            let to_decoder = pipe::Sender::from_owned_fd(to_decoder)?;
            let helper = std::mem::replace(&mut self.pipe, to_decoder).into_blocking_fd()?;
            let decode = move || decode(File::from(packed), File::from(helper));
            self.decoder = Some(tokio::task::spawn_blocking(decode));
        }
        self.pipe.write_all(&start).await
    }

    /// The end of the stream; what was wrong with its compression, if anything was.
    pub(super) async fn finish(mut self) -> io::Result<Option<io::Error>> {
        // A helper that has failed closes its end; what it says about that counts.
        let _ = self.begin().await;
        drop(self.pipe);
        match self.decoder {
            Some(decoder) => decoder.await.map_err(io::Error::other),
            None => Ok(None),
        }
    }
}

/// Undoes the compression; tells what is wrong with the stream. That the helper reads no further is no fault of it.
fn decode(packed: File, mut helper: File) -> Option<io::Error> {
    let mut plain = match blobs::decompress(BufReader::with_capacity(CHUNK, packed)) {
        Ok((_, plain)) => plain,
        Err(error) => return Some(error),
    };
    let mut chunk = vec![0; CHUNK];
    loop {
        match plain.read(&mut chunk) {
            Ok(0) => return None,
            Ok(count) => {
                if helper.write_all(chunk.get(..count).unwrap_or_default()).is_err() {
                    return None;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Some(error),
        }
    }
}
