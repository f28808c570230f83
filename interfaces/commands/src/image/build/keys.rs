//! `--ssh ID=KEY[,KEY…]`: private keys in files. They are given to an `ssh-agent` (OpenSSH) that is started for the build, which
//! knows all kinds of keys and asks for passphrases, so that steps sign with them and never see them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::failure::Failure;

/// An agent with the keys of a build; without them when this is dropped.
#[derive(Debug)]
pub(super) struct KeyAgent {
    socket: PathBuf,
    /// Its process id, as it says.
    pid: String,
    /// The agent lives as long as this program, which lives as long as its standard input: however this process ends, the agent
    /// ends (ssh-agent(1) looks every ten seconds).
    program: Child,
}

impl KeyAgent {
    /// Starts an agent and gives it these keys.
    pub(super) fn start(keys: &[&Path]) -> Result<Self, Failure> {
        let mut program = Command::new("ssh-agent")
            .args(["sh", "-c", "echo \"$SSH_AGENT_PID $SSH_AUTH_SOCK\"; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Failure::new(format!("keys in files need the program ssh-agent: {error}")))?;
        // The program says the socket's name when the agent listens there.
        let mut line = String::new();
        if let Some(said) = program.stdout.take() {
            let _ = BufReader::new(said).read_line(&mut line);
        }
        let (pid, socket) = line.trim_end().split_once(' ').unwrap_or_default();
        let agent = Self {
            socket: socket.into(),
            pid: pid.to_owned(),
            program,
        };
        if agent.socket.as_os_str().is_empty() {
            return Err(Failure::new("ssh-agent did not start"));
        }
        for key in keys {
            let mut ssh_add = Command::new("ssh-add");
            let added = ssh_add
                .arg("-q")
                .arg(key)
                .env("SSH_AUTH_SOCK", &agent.socket)
                .output();
            let added = added.map_err(|error| Failure::new(format!("ssh-add: {error}")))?;
            if !added.status.success() {
                let why = String::from_utf8_lossy(&added.stderr).trim().to_owned();
                return Err(Failure::new(format!(
                    "ssh-add does not take the key {}: {why}",
                    key.display()
                )));
            }
        }
        Ok(agent)
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        // At once, not when the agent sees that it is over.
        if !self.pid.is_empty() {
            let mut end = Command::new("ssh-agent");
            end.arg("-k")
                .env("SSH_AGENT_PID", &self.pid)
                .env("SSH_AUTH_SOCK", &self.socket);
            let _ = end.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        drop(self.program.stdin.take());
        let _ = self.program.wait();
    }
}
