//! `dhow system dial-stdio`: the daemon's socket on standard input and output, for clients that come by ssh.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use client::Endpoint;

use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::Parsed;
use crate::streams;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "",
    about: "",
    aliases: "",
    count: Count::Exactly(0),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, _args: &Parsed) -> Outcome {
    let failed = |e: &io::Error| {
        Failure::new(format!(
            "failed to open the raw stream connection: {}",
            streams::cause(e)
        ))
    };
    match app.client()?.endpoint() {
        Endpoint::Unix(path) => {
            let socket = UnixStream::connect(path).map_err(|e| failed(&e))?;
            let other = socket.try_clone().map_err(|e| failed(&e))?;
            proxy(socket, other, |s| s.shutdown(Shutdown::Write))
        }
        Endpoint::Tcp(host, port) => {
            let socket = TcpStream::connect((host.as_str(), *port)).map_err(|e| failed(&e))?;
            let other = socket.try_clone().map_err(|e| failed(&e))?;
            proxy(socket, other, |s| s.shutdown(Shutdown::Write))
        }
        other => Err(Failure::new(format!("dial-stdio does not go on to {other}"))),
    }
}

fn proxy<S: Read + Write + Send + 'static>(
    mut socket: S,
    mut other: S,
    half_close: impl Fn(&S) -> io::Result<()> + Send + 'static,
) -> Outcome {
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut other);
        let _ = half_close(&other);
    });
    io::copy(&mut socket, &mut io::stdout().lock())
        .map(drop)
        .map_err(|e| Failure::new(streams::cause(&e)))
}
