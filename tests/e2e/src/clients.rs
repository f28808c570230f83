//! The commands that drive the daemon: `dhow` and every docker command on this machine.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::{Daemon, LONGEST, binaries};

/// A command that is told to talk to one daemon.
#[derive(Clone, Debug)]
pub struct Client {
    /// As printed in front of a test's output: `dhow`, `docker 28.2.2`.
    pub name: String,
    program: PathBuf,
    host: String,
    config: PathBuf,
}

/// What a command said.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code; 128 + N after signal N.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Programs found on this machine, with their versions; found out once.
fn programs() -> &'static [(String, PathBuf)] {
    static FOUND: OnceLock<Vec<(String, PathBuf)>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = Vec::new();
        let dhow = binaries().join("dhow");
        if dhow.exists() {
            found.push(("dhow".to_owned(), dhow));
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let on_path = path
            .split(':')
            .map(|folder| PathBuf::from(folder).join("docker"))
            .find(|file| file.exists());
        let named = std::env::var_os("DHOW_TEST_DOCKER").map(PathBuf::from);
        // Debian's docker.io keeps its place beside a newer one on the PATH.
        let debian = Some(PathBuf::from("/usr/bin/docker")).filter(|file| file.exists());
        for program in [on_path, named, debian].into_iter().flatten() {
            let Some(version) = version(&program) else {
                continue;
            };
            let name = format!("docker {version}");
            if !found.iter().any(|(known, _)| *known == name) {
                found.push((name, program));
            }
        }
        found
    })
}

/// The version of a docker command; `None` for anything else of that name (podman-docker, a link to dhow).
fn version(program: &PathBuf) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.strip_prefix("Docker version ")?.split([',', ' ']).next()?;
    Some(version.to_owned())
}

/// Every command, set up for this daemon.
pub fn clients(daemon: &Daemon) -> Vec<Client> {
    let client = |(name, program): &(String, PathBuf)| Client {
        name: name.clone(),
        program: program.clone(),
        host: daemon.host(),
        config: daemon.folder().join("client-config"),
    };
    programs().iter().map(client).collect()
}

/// Repeats a test with every command, and says with which.
pub fn for_each_client(daemon: &Daemon, test: impl Fn(&Client)) {
    let all = clients(daemon);
    assert!(
        !all.is_empty(),
        "no client at all: neither {} nor docker on the PATH",
        binaries().join("dhow").display()
    );
    for client in all {
        println!("with {}", client.name);
        test(&client);
    }
}

impl Client {
    /// The command with its arguments, for what the other methods do not offer.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("DOCKER_HOST", &self.host)
            .env("DOCKER_CONFIG", &self.config);
        // docker leaves clones of repositories in it.
        command.envs(self.config.parent().map(|folder| ("TMPDIR", folder)));
        command
            .env_remove("DOCKER_CONTEXT")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        self.finish(self.command(arguments), None)
    }

    /// Runs the command with this text on its standard input.
    pub fn run_with<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, input: &[u8]) -> Output {
        self.finish(self.command(arguments), Some(input.to_vec()))
    }

    /// A client that hangs is killed after [`LONGEST`], so that a failing test ends.
    fn finish(&self, mut command: Command, input: Option<Vec<u8>>) -> Output {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().expect("starting the client");
        if let Some(input) = input {
            let mut pipe = child.stdin.take().expect("stdin");
            // A client that ends early closes the pipe; what it says then is the test's business.
            std::thread::spawn(move || pipe.write_all(&input));
        }
        let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("pid");
        let (done, ended) = std::sync::mpsc::channel();
        let waiter = std::thread::spawn(move || {
            let output = child.wait_with_output();
            let _ = done.send(());
            output
        });
        let hangs = ended.recv_timeout(LONGEST).is_err();
        if hangs {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let output = Output::of(&waiter.join().expect("thread").expect("waiting for the client"));
        assert!(
            !hangs,
            "{:?} hung: {output:?}",
            command.get_args().collect::<Vec<_>>()
        );
        output
    }

    /// Starts the command with pipes and leaves it running.
    pub fn spawn<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().expect("starting the client")
    }

    /// Runs the command, which must succeed; its output without the line break at the end.
    pub fn ok<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let arguments: Vec<_> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let output = self.run(&arguments);
        assert!(output.code == 0, "{} {arguments:?}: {output:?}", self.name);
        output.stdout.trim_end_matches('\n').to_owned()
    }

    /// Runs the command, which must fail with this code; its standard error.
    pub fn fails<S: AsRef<OsStr>>(&self, code: i32, arguments: impl IntoIterator<Item = S>) -> String {
        let arguments: Vec<_> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let output = self.run(&arguments);
        assert!(
            output.code == code,
            "{} {arguments:?}: not code {code}, but {output:?}",
            self.name
        );
        output.stderr
    }

    /// Whether this is `dhow` itself.
    pub fn is_dhow(&self) -> bool {
        self.name == "dhow"
    }
}

impl Output {
    /// Of a process that has ended.
    pub fn of(output: &std::process::Output) -> Output {
        use std::os::unix::process::ExitStatusExt;
        Output {
            code: output
                .status
                .code()
                .unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
