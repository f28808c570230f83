//! A registry with everything of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::http::Request;

/// A running `dhow-registry`; dropping it ends it and removes what it has stored.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    config: Value,
    environment: Vec<(String, String)>,
    life: Option<Life>,
}

#[derive(Debug)]
struct Life {
    child: Child,
    address: SocketAddr,
}

/// A registry without any configuration; `None`, with a line that says so, where the program is not built.
pub fn server() -> Option<Server> {
    server_with(Value::Null)
}

/// A registry with a configuration of the test's own.
///
/// # Panics
/// When it does not start.
pub fn server_with(config: Value) -> Option<Server> {
    if !program().exists() {
        println!(
            "skipped: {} is not built (cargo xtask build --test-profile)",
            program().display()
        );
        return None;
    }
    let folder = tempfile::Builder::new()
        .prefix("dhow-registry-")
        .tempdir_in("/tmp")
        .expect("temporary folder");
    let mut server = Server {
        folder,
        config,
        environment: Vec::new(),
        life: None,
    };
    server.start();
    Some(server)
}

fn program() -> PathBuf {
    e2e::binaries().join("dhow-registry")
}

impl Server {
    /// Where it listens.
    ///
    /// # Panics
    /// When it does not run.
    pub fn address(&self) -> SocketAddr {
        self.life.as_ref().expect("it runs").address
    }

    /// The process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.life.as_ref().expect("it runs").child.id()
    }

    /// The folder of everything that it stores.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The folder around it.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// More of its environment, from the next start on (`DHOW_CRASH_AT`).
    pub fn set_environment(&mut self, variables: &[(&str, &str)]) {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.environment = owned.collect();
    }

    /// Another configuration, from the next start on.
    pub fn set_config(&mut self, config: Value) {
        self.config = config;
    }

    /// The command that starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(program());
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--root"])
            .arg(self.root());
        if !self.config.is_null() {
            let path = self.folder.path().join("config.json");
            fs::write(&path, self.config.to_string()).expect("configuration");
            command.arg("--config").arg(path);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it, on another port than before.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&mut self) {
        let command = self.command();
        self.start_as(command);
    }

    /// Starts it by a command that becomes the registry in the end.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_as(&mut self, mut command: Command) {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the registry");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        let mut said = Vec::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                let status = child.wait().expect("its end");
                panic!("the registry ended at once, {status}: {said:#?}");
            };
            let address = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix("address="))
                .filter(|_| line.contains("ready"));
            if let Some(address) = address {
                break address.parse().expect("an address");
            }
            said.push(line);
        };
        // Somebody must read, or it blocks in the end; what it complains about belongs to the test's output.
        std::thread::spawn(move || {
            for line in lines
                .map_while(Result::ok)
                .filter(|line| !line.contains(" INFO "))
            {
                println!("{line}");
            }
        });
        self.life = Some(Life { child, address });
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut life) = self.life.take() {
            let _ = life.child.kill();
            let _ = life.child.wait();
        }
    }

    /// SIGTERM; whether it ended well.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop(&mut self) -> bool {
        let mut life = self.life.take().expect("it runs");
        let pid = rustix::process::Pid::from_child(&life.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signal");
        life.child.wait().expect("its end").success()
    }

    /// Waits until it has ended by itself; whether a SIGKILL did it.
    ///
    /// # Panics
    /// When it does not run.
    pub fn wait_for_kill(&mut self) -> bool {
        let mut life = self.life.take().expect("it runs");
        let status = life.child.wait().expect("its end");
        std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        let life = self.life.as_mut();
        life.is_none_or(|life| !matches!(life.child.try_wait(), Ok(None)))
    }

    /// A request.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.address(), method, path)
    }

    /// `GET`
    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// `HEAD`
    pub fn head(&self, path: &str) -> Request {
        self.request("HEAD", path)
    }

    /// `POST`
    pub fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    /// `PUT`
    pub fn put(&self, path: &str) -> Request {
        self.request("PUT", path)
    }

    /// `PATCH`
    pub fn patch(&self, path: &str) -> Request {
        self.request("PATCH", path)
    }

    /// `DELETE`
    pub fn delete(&self, path: &str) -> Request {
        self.request("DELETE", path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
