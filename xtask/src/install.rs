//! Installing on the running machine, and taking it away again.
//!
//! What was written is listed in `PREFIX/share/dhow/installed`, and only that is removed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build;
use crate::files::{CONFIGURATION, SERVICE, SOCKET, place, write};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where bin and share are
    #[arg(long, default_value = "/usr/local")]
    prefix: PathBuf,
    /// Also take the name `docker`, the socket /var/run/docker.sock and the configuration /etc/docker/daemon.json
    #[arg(long)]
    as_docker: bool,
}

#[derive(clap::Args)]
pub(crate) struct UninstallArguments {
    /// The prefix given to install
    #[arg(long, default_value = "/usr/local")]
    prefix: PathBuf,
}

pub(crate) fn install(arguments: &Arguments) -> Result<()> {
    let prefix = &arguments.prefix;
    let docker = prefix.join("bin/docker");
    if arguments.as_docker {
        let ours = fs::read_link(&docker).is_ok_and(|to| to == Path::new("dhow"));
        if docker.symlink_metadata().is_ok() && !ours {
            bail!(
                "{} is another program; move it away, or choose another --prefix",
                docker.display()
            );
        }
    }
    let binaries = build::release()?;
    let mut written = place(&binaries, prefix)?;
    if arguments.as_docker {
        let _ = fs::remove_file(&docker);
        symlink("dhow", &docker).with_context(|| format!("making {}", docker.display()))?;
        written.push(docker);
    }
    let units = Path::new("/etc/systemd/system");
    if Path::new("/run/systemd/system").is_dir() {
        let program = prefix.join("bin/dhowd").display().to_string();
        let mut service = SERVICE.replace("/usr/bin/dhowd", &program);
        if arguments.as_docker {
            let more =
                "--host fd:// --host unix:///var/run/docker.sock --config-file /etc/docker/daemon.json";
            service = service.replace("--host fd://", more);
        }
        for (name, text) in [("dhow.service", service.as_str()), ("dhow.socket", SOCKET)] {
            write(&units.join(name), text.as_bytes(), 0o644)?;
            written.push(units.join(name));
        }
        // The socket's group; that it exists already is no error.
        let _ = Command::new("groupadd")
            .args(["--system", "--force", "dhow"])
            .status();
        systemctl(&["daemon-reload"]);
        systemctl(&["enable", "--now", "dhow.socket", "dhow.service"]);
    }
    let configuration = if arguments.as_docker {
        "/etc/docker/daemon.json"
    } else {
        "/etc/dhow/daemon.json"
    };
    if Path::new(configuration).exists() {
        println!("keeping {configuration}");
    } else {
        write(Path::new(configuration), CONFIGURATION.as_bytes(), 0o644)?;
        written.push(configuration.into());
    }
    let lines: String = written
        .iter()
        .map(|path| format!("{}\n", path.display()))
        .collect();
    write(&list(prefix), lines.as_bytes(), 0o644)?;
    written.iter().for_each(|path| println!("{}", path.display()));
    if !Path::new("/run/systemd/system").is_dir() {
        let sockets = if arguments.as_docker {
            " --host unix:///var/run/docker.sock --config-file /etc/docker/daemon.json"
        } else {
            ""
        };
        println!(
            "no systemd here; start the daemon with: {}/bin/dhowd{sockets} &",
            prefix.display()
        );
    }
    Ok(())
}

pub(crate) fn uninstall(arguments: &UninstallArguments) -> Result<()> {
    let list = list(&arguments.prefix);
    let text = fs::read_to_string(&list).with_context(|| {
        format!(
            "nothing was installed below {}: no {}",
            arguments.prefix.display(),
            list.display()
        )
    })?;
    systemctl(&["disable", "--now", "dhow.service", "dhow.socket"]);
    for path in text.lines().map(Path::new) {
        // A configuration that was changed belongs to the administrator.
        let changed =
            path.ends_with("daemon.json") && fs::read_to_string(path).is_ok_and(|text| text != CONFIGURATION);
        if changed {
            println!("keeping {} (changed)", path.display());
            continue;
        }
        match fs::remove_file(path) {
            Ok(()) => println!("removed {}", path.display()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e).with_context(|| format!("removing {}", path.display())),
        }
    }
    fs::remove_file(&list)?;
    systemctl(&["daemon-reload"]);
    println!("images, volumes and containers stay in /var/lib/dhow");
    Ok(())
}

fn list(prefix: &Path) -> PathBuf {
    prefix.join("share/dhow/installed")
}

fn systemctl(arguments: &[&str]) {
    if Path::new("/run/systemd/system").is_dir() {
        // systemctl says itself what went wrong, and the files are in place either way.
        let _ = Command::new("systemctl").args(arguments).status();
    }
}
