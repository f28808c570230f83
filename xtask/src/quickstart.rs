//! From a fresh checkout to a running container.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{output, run as run_command};
use crate::{build, packages};

const DEFAULT_SOCKET: &str = "/run/dhow.sock";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Use a socket and roots below target/quickstart instead of the machine's /run/dhow.sock and /var/lib/dhow
    #[arg(long)]
    private: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(is_root()?, "the engine needs root: run this with sudo");
    ensure!(
        packages::ensure(&["busybox-static"])?,
        "the starter image is made of busybox-static"
    );
    let binaries = build::release()?;
    let place = if arguments.private {
        private()?
    } else {
        Place {
            socket: DEFAULT_SOCKET.into(),
            folder: None,
        }
    };
    if answers(&place.socket) {
        println!("an engine answers on {}", place.socket.display());
    } else {
        start(&binaries, &place)?;
    }
    let dhow = |args: &[&str]| {
        let mut command = Command::new(binaries.join("dhow"));
        command
            .args(args)
            .env("DOCKER_HOST", format!("unix://{}", place.socket.display()))
            .env_remove("DOCKER_CONTEXT");
        command
    };
    if output(&mut dhow(&["image", "inspect", "busybox"])).is_err() {
        println!("making the image busybox from this machine's busybox-static");
        let archive = Path::new("target/quickstart/busybox.tar");
        fs::create_dir_all("target/quickstart")?;
        e2e::image::busybox(archive);
        run_command(
            dhow(&["load", "--quiet", "--input"])
                .arg(archive)
                .stdout(Stdio::null()),
        )?;
    }
    println!("$ dhow run --rm busybox echo 'hello from a container'");
    let start = Instant::now();
    run_command(&mut dhow(&[
        "run",
        "--rm",
        "busybox",
        "echo",
        "hello from a container",
    ]))?;
    println!("({:.1} ms)", start.elapsed().as_secs_f64() * 1e3);
    next(&binaries, &place);
    Ok(())
}

/// Where the engine is.
struct Place {
    socket: PathBuf,
    /// Of a private one: its roots and log.
    folder: Option<PathBuf>,
}

fn private() -> Result<Place> {
    fs::create_dir_all("target/quickstart")?;
    let folder = Path::new("target/quickstart").canonicalize()?;
    let socket = folder.join("dhow.sock");
    ensure!(
        socket.as_os_str().len() < 108,
        "{} is too long for a socket's path",
        socket.display()
    );
    Ok(Place {
        socket,
        folder: Some(folder),
    })
}

fn start(binaries: &Path, place: &Place) -> Result<()> {
    let log_path = place
        .folder
        .as_ref()
        .map_or_else(|| PathBuf::from("/var/log/dhowd.log"), |f| f.join("dhowd.log"));
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(&log_path)
        .with_context(|| log_path.display().to_string())?;
    let mut command = Command::new(binaries.join("dhowd"));
    if let Some(folder) = &place.folder {
        command
            .arg("--host")
            .arg(format!("unix://{}", place.socket.display()));
        command
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"));
        command.arg("--pidfile").arg(folder.join("dhowd.pid"));
    }
    use std::os::unix::process::CommandExt;
    // A group of its own: Ctrl-C in this terminal must not end the engine.
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let end = Instant::now() + Duration::from_secs(15);
    while !answers(&place.socket) {
        if let Some(status) = child.try_wait()? {
            bail!(
                "dhowd ended ({status}): {}",
                fs::read_to_string(&log_path).unwrap_or_default().trim()
            );
        }
        ensure!(
            Instant::now() < end,
            "dhowd does not answer on {}; see {}",
            place.socket.display(),
            log_path.display()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    println!(
        "dhowd runs as process {}, socket {}, log {}",
        child.id(),
        place.socket.display(),
        log_path.display()
    );
    Ok(())
}

fn answers(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

fn is_root() -> Result<bool> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}

fn next(binaries: &Path, place: &Place) {
    println!("\nwhat now:");
    println!("  export PATH={}:$PATH", binaries.display());
    if place.socket != Path::new(DEFAULT_SOCKET) {
        println!("  export DOCKER_HOST=unix://{}", place.socket.display());
    }
    println!("  dhow run -it --rm busybox                        a shell in a container");
    println!("  dhow run -d --name web -p 8080:80 busybox httpd -f -h /etc");
    println!("  dhow ps, dhow logs web, dhow exec -it web sh, dhow rm -f web");
    println!(
        "  docker -H unix://{} ps             the real docker command works as well",
        place.socket.display()
    );
    println!("  kill $(pidof dhowd)                              stop the engine; containers go on");
    println!("  cargo xtask install                              for good (or --as-docker)");
}
