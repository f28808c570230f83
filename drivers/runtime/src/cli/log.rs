//! Where errors go: standard error, and the file that a caller such as containerd reads.

use std::io::Write;

use super::CliError;

/// The log file, if one was asked for.
#[derive(Debug)]
pub(super) struct Log {
    path: Option<String>,
    json: bool,
    debug: bool,
}

impl Log {
    /// Opens nothing yet, but refuses a format that does not exist and a file that cannot be written.
    pub(super) fn new(path: Option<&str>, format: Option<&str>, debug: bool) -> Result<Self, CliError> {
        let json = match format {
            None | Some("" | "text") => false,
            Some("json") => true,
            Some(other) => return Err(CliError::Usage(format!("invalid log-format: {other}"))),
        };
        let path = path.filter(|path| !path.is_empty());
        if let Some(path) = path {
            open(path).map_err(CliError::file(format!("open {path}")))?;
        }
        Ok(Self {
            path: path.map(str::to_owned),
            json,
            debug,
        })
    }

    /// A log on standard error, for complaints about the flags that would say otherwise.
    pub(super) fn on_stderr() -> Self {
        Self {
            path: None,
            json: false,
            debug: false,
        }
    }

    /// Writes an error: to the file if there is one, and in any case where a person reads it.
    pub(super) fn error(&self, error: &dyn std::error::Error, err: &mut dyn Write) {
        let text = error.to_string();
        if self.path.is_some() {
            self.line("error", &text, err);
            let _ = writeln!(err, "{text}");
        } else {
            self.line("error", &text, err);
        }
    }

    /// Writes a warning.
    pub(super) fn warning(&self, text: &str) {
        self.line("warning", text, &mut std::io::stderr());
    }

    /// Writes what `--debug` asks for.
    pub(super) fn debug(&self, text: &str) {
        if self.debug {
            self.line("debug", text, &mut std::io::stderr());
        }
    }

    fn line(&self, level: &str, text: &str, err: &mut dyn Write) {
        let now = super::time::rfc3339(std::time::SystemTime::now(), false);
        let line = if self.json {
            let record = serde_json::json!({ "level": level, "msg": text, "time": now });
            format!("{record}\n")
        } else {
            format!("time={now:?} level={level} msg={text:?}\n")
        };
        let written = self
            .path
            .as_ref()
            .map(|path| open(path).and_then(|mut file| file.write_all(line.as_bytes())));
        if !matches!(written, Some(Ok(()))) {
            let _ = err.write_all(line.as_bytes());
        }
    }
}

fn open(path: &str) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().append(true).create(true).open(path)
}
