//! Where errors go: standard error, and the file that a caller such as containerd reads.

use std::io::Write;

/// The log file, if one was asked for.
#[derive(Debug)]
pub(super) struct Log {
    path: Option<String>,
    json: bool,
}

impl Log {
    pub(super) fn new(path: Option<&str>, format: Option<&str>) -> Self {
        Self {
            path: path.map(str::to_owned),
            json: format == Some("json"),
        }
    }

    /// Writes an error.
    pub(super) fn error(&self, error: &dyn std::error::Error, err: &mut dyn Write) {
        self.line("error", &error.to_string(), err);
    }

    /// Writes a warning.
    pub(super) fn warning(&self, text: &str) {
        self.line("warning", text, &mut std::io::stderr());
    }

    fn line(&self, level: &str, text: &str, err: &mut dyn Write) {
        let now = super::time::rfc3339(std::time::SystemTime::now(), false);
        let plain = format!("time={now:?} level={level} msg={text:?}\n");
        if let Some(path) = &self.path {
            let record = serde_json::json!({ "level": level, "msg": text, "time": now });
            let line = if self.json {
                format!("{record}\n")
            } else {
                plain.clone()
            };
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
            if file.and_then(|mut file| file.write_all(line.as_bytes())).is_ok() && level != "error" {
                return;
            }
        }
        let _ = err.write_all(plain.as_bytes());
    }
}
