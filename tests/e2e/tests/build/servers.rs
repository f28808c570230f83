//! Servers inside of a test: files by HTTP, and repositories by git's own protocol.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// Files by path; how often each was asked for.
#[derive(Clone, Default)]
pub(crate) struct Web {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

/// What every file says of its time: the hundredth second of 1970.
pub(crate) const MODIFIED: &str = "Thu, 01 Jan 1970 00:01:40 GMT";

impl Web {
    /// Serves on a port of its own until the test's process ends.
    pub(crate) fn start(&self) -> SocketAddr {
        let web = self.clone();
        serve(move |stream| web.answer(stream))
    }

    pub(crate) fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.files
            .lock()
            .expect("files")
            .insert(path.to_owned(), content.into());
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("stream"));
        let mut first = String::new();
        let _ = reader.read_line(&mut first);
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(count) if count > 2 => {}
                _ => break,
            }
        }
        let target = first.split(' ').nth(1).unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let file = self.files.lock().expect("files").get(path).cloned();
        let (status, body) = match file {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", b"no such file".to_vec()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nLast-Modified: {MODIFIED}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        // A client that has gone misses it.
        let _ = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&body));
    }
}

/// Answers every connection on a thread.
fn serve(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let address = listener.local_addr().expect("address");
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

/// Whether the program git is here; says so if not.
pub(crate) fn has_git() -> bool {
    let is_here = Command::new("git").arg("daemon").arg("--help").output().is_ok();
    if !is_here {
        println!("skipped: the program git is not here");
    }
    is_here
}

/// Runs git in a directory, with nobody's configuration; what it prints.
pub(crate) fn git(directory: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@x",
            "-c",
            "protocol.file.allow=always",
        ])
        .args(["-c", "init.defaultBranch=master"])
        .args(words)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_COMMITTER_DATE", "1970-01-01T00:16:40Z")
        .env("GIT_AUTHOR_DATE", "1970-01-01T00:16:40Z")
        .output()
        .expect("git");
    assert!(output.status.success(), "git {words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Serves all repositories below a directory as `git://ADDRESS/NAME` until the test's process ends.
pub(crate) fn serve_repositories(root: &Path) -> SocketAddr {
    let root = root.to_owned();
    serve(move |stream| {
        let input = stream.try_clone().expect("stream");
        let served = Command::new("git")
            .args(["daemon", "--inetd", "--export-all"])
            .arg(format!("--base-path={}", root.display()))
            .arg(&root)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(input)))
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(stream)))
            .stderr(Stdio::null())
            .status();
        // A client that breaks off makes it fail.
        drop(served);
    })
}
