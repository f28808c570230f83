//! Archives from and to files, pipes and the terminal.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use client::{Body, Reply};

use crate::console;
use crate::failure::{Failure, Outcome};

/// Size of the pieces in which archives travel.
const PIECE: usize = 256 * 1024;

/// The system's words for an error, without Rust's number behind them.
pub(crate) fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// Where a downloaded archive goes: standard output, or a file that appears only when it is whole.
pub(crate) struct Sink(Option<(PathBuf, PathBuf)>);

impl Sink {
    /// Standard output for an empty path (never a terminal), else the file at that path.
    pub(crate) fn open(path: &str, what: &str) -> Result<Self, Failure> {
        if path.is_empty() {
            if io::stdout().is_terminal() {
                return Err(Failure::new(
                    "cowardly refusing to save to a terminal. Use the -o flag or redirect",
                ));
            }
            return Ok(Self(None));
        }
        let target = PathBuf::from(path);
        let failed = |why: String| Failure::new(format!("{what}: {why}"));
        let parent = target
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        if !parent.is_dir() {
            return Err(failed(format!(
                "invalid output path: stat {}: no such file or directory",
                parent.display()
            )));
        }
        if let Ok(meta) = target.metadata() {
            if meta.is_dir() {
                return Err(failed(format!(
                    "invalid output path: {path:?} must be a regular file"
                )));
            }
            if meta.file_type().is_block_device()
                || meta.file_type().is_char_device()
                || meta.file_type().is_fifo()
            {
                // Devices and pipes are written in place.
                return Ok(Self(Some((target.clone(), target))));
            }
        }
        let name = target
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let temporary = parent.join(format!(".tmp-{name}{}", std::process::id()));
        Ok(Self(Some((temporary, target))))
    }

    /// Writes the body of a reply there.
    pub(crate) async fn fill(self, mut reply: Reply) -> Outcome {
        let Some((temporary, target)) = self.0 else {
            while let Some(chunk) = reply.chunk().await? {
                console::bytes(&chunk);
            }
            return Ok(());
        };
        let failed = |e: io::Error| Failure::new(format!("open {}: {}", target.display(), cause(&e)));
        let mut options = File::options();
        options.write(true);
        if temporary == target {
            options.truncate(false);
        } else {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.create_new(true).mode(0o600);
        }
        let mut file = options.open(&temporary).map_err(failed)?;
        let done = async {
            while let Some(chunk) = reply.chunk().await? {
                file.write_all(&chunk).map_err(failed)?;
            }
            Ok::<(), Failure>(())
        };
        let outcome = done.await;
        if temporary == target {
            return outcome;
        }
        match outcome {
            Ok(()) => std::fs::rename(&temporary, &target).map_err(failed),
            Err(failure) => {
                let _ = std::fs::remove_file(&temporary);
                Err(failure)
            }
        }
    }
}

/// Whatever can be read, as the body of a request. It is read on a thread of its own.
pub(crate) fn body_of(mut source: impl Read + Send + 'static) -> Body {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    std::thread::spawn(move || {
        loop {
            let mut piece = vec![0; PIECE];
            match source.read(&mut piece) {
                Ok(0) => return,
                Ok(n) => {
                    piece.truncate(n);
                    if sender.blocking_send(Ok(Bytes::from(piece))).is_err() {
                        return;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return drop(sender.blocking_send(Err(e))),
            }
        }
    });
    Body::Chunks(receiver)
}
