//! `dhow create`, and the part of `dhow run` that creates.

use std::io::Write as _;

use api_types::container::CreateRequest;
use client::Client;

use super::options;
use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};
use crate::{console, image, streams};

#[rustfmt::skip] // One line per flag: it is a table.
pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create a new container",
    aliases: "container create, create",
    count: Count::AtLeast(1),
    stop_early: true,
    flags: &[
        flag("add-host", '\0', Kind::List, "list", "", "Add a custom host-to-IP mapping (host:ip)"),
        flag("annotation", '\0', Kind::List, "map", "map[]", "Add an annotation to the container (passed through to the OCI runtime)"),
        flag("attach", 'a', Kind::List, "list", "", "Attach to STDIN, STDOUT or STDERR"),
        flag("blkio-weight", '\0', Kind::Uint16, "uint16", "", "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"),
        flag("blkio-weight-device", '\0', Kind::List, "list", "[]", "Block IO weight (relative device weight)"),
        flag("cap-add", '\0', Kind::List, "list", "", "Add Linux capabilities"),
        flag("cap-drop", '\0', Kind::List, "list", "", "Drop Linux capabilities"),
        flag("cgroup-parent", '\0', Kind::Text, "string", "", "Optional parent cgroup for the container"),
        flag("cgroupns", '\0', Kind::Text, "string", "", "Cgroup namespace to use (host|private)\n'host':    Run the container in the Docker host's cgroup namespace\n'private': Run the container in its own private cgroup namespace\n'':        Use the cgroup namespace as configured by the\n           default-cgroupns-mode option on the daemon (default)"),
        flag("cidfile", '\0', Kind::Text, "string", "", "Write the container ID to the file"),
        flag("cpu-count", '\0', Kind::Int, "int", "", "CPU count (Windows only)"),
        flag("cpu-percent", '\0', Kind::Int, "int", "", "CPU percent (Windows only)"),
        flag("cpu-period", '\0', Kind::Int, "int", "", "Limit CPU CFS (Completely Fair Scheduler) period"),
        flag("cpu-quota", '\0', Kind::Int, "int", "", "Limit CPU CFS (Completely Fair Scheduler) quota"),
        flag("cpu-rt-period", '\0', Kind::Int, "int", "", "Limit CPU real-time period in microseconds"),
        flag("cpu-rt-runtime", '\0', Kind::Int, "int", "", "Limit CPU real-time runtime in microseconds"),
        flag("cpu-shares", 'c', Kind::Int, "int", "", "CPU shares (relative weight)"),
        flag("cpus", '\0', Kind::Decimal, "decimal", "", "Number of CPUs"),
        flag("cpuset-cpus", '\0', Kind::Text, "string", "", "CPUs in which to allow execution (0-3, 0,1)"),
        flag("cpuset-mems", '\0', Kind::Text, "string", "", "MEMs in which to allow execution (0-3, 0,1)"),
        flag("device", '\0', Kind::List, "list", "", "Add a host device to the container"),
        flag("device-cgroup-rule", '\0', Kind::List, "list", "", "Add a rule to the cgroup allowed devices list"),
        flag("device-read-bps", '\0', Kind::List, "list", "[]", "Limit read rate (bytes per second) from a device"),
        flag("device-read-iops", '\0', Kind::List, "list", "[]", "Limit read rate (IO per second) from a device"),
        flag("device-write-bps", '\0', Kind::List, "list", "[]", "Limit write rate (bytes per second) to a device"),
        flag("device-write-iops", '\0', Kind::List, "list", "[]", "Limit write rate (IO per second) to a device"),
        flag("disable-content-trust", '\0', Kind::Bool, "", "true", "Skip image verification"),
        flag("dns", '\0', Kind::List, "list", "", "Set custom DNS servers"),
        flag("dns-option", '\0', Kind::List, "list", "", "Set DNS options"),
        flag("dns-search", '\0', Kind::List, "list", "", "Set custom DNS search domains"),
        flag("domainname", '\0', Kind::Text, "string", "", "Container NIS domain name"),
        flag("entrypoint", '\0', Kind::Text, "string", "", "Overwrite the default ENTRYPOINT of the image"),
        flag("env", 'e', Kind::List, "list", "", "Set environment variables"),
        flag("env-file", '\0', Kind::List, "list", "", "Read in a file of environment variables"),
        flag("expose", '\0', Kind::List, "list", "", "Expose a port or a range of ports"),
        flag("gpus", '\0', Kind::List, "gpu-request", "", "GPU devices to add to the container ('all' to pass all GPUs)"),
        flag("group-add", '\0', Kind::List, "list", "", "Add additional groups to join"),
        flag("health-cmd", '\0', Kind::Text, "string", "", "Command to run to check health"),
        flag("health-interval", '\0', Kind::Duration, "duration", "0s", "Time between running the check (ms|s|m|h)"),
        flag("health-retries", '\0', Kind::Int, "int", "", "Consecutive failures needed to report unhealthy"),
        flag("health-start-interval", '\0', Kind::Duration, "duration", "0s", "Time between running the check during the start period (ms|s|m|h)"),
        flag("health-start-period", '\0', Kind::Duration, "duration", "0s", "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)"),
        flag("health-timeout", '\0', Kind::Duration, "duration", "0s", "Maximum time to allow one check to run (ms|s|m|h)"),
        flag("hostname", 'h', Kind::Text, "string", "", "Container host name"),
        flag("init", '\0', Kind::Bool, "", "", "Run an init inside the container that forwards signals and reaps processes"),
        flag("interactive", 'i', Kind::Bool, "", "", "Keep STDIN open even if not attached"),
        flag("io-maxbandwidth", '\0', Kind::Bytes, "bytes", "", "Maximum IO bandwidth limit for the system drive (Windows only)"),
        flag("io-maxiops", '\0', Kind::Uint, "uint", "", "Maximum IOps limit for the system drive (Windows only)"),
        flag("ip", '\0', Kind::Text, "string", "", "IPv4 address (e.g., 172.30.100.104)"),
        flag("ip6", '\0', Kind::Text, "string", "", "IPv6 address (e.g., 2001:db8::33)"),
        flag("ipc", '\0', Kind::Text, "string", "", "IPC mode to use"),
        flag("isolation", '\0', Kind::Text, "string", "", "Container isolation technology"),
        flag("kernel-memory", '\0', Kind::Bytes, "bytes", "", "Kernel memory limit"),
        flag("label", 'l', Kind::List, "list", "", "Set meta data on a container"),
        flag("label-file", '\0', Kind::List, "list", "", "Read in a line delimited file of labels"),
        flag("link", '\0', Kind::List, "list", "", "Add link to another container"),
        flag("link-local-ip", '\0', Kind::List, "list", "", "Container IPv4/IPv6 link-local addresses"),
        flag("log-driver", '\0', Kind::Text, "string", "", "Logging driver for the container"),
        flag("log-opt", '\0', Kind::List, "list", "", "Log driver options"),
        flag("mac-address", '\0', Kind::Text, "string", "", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
        flag("memory", 'm', Kind::Bytes, "bytes", "", "Memory limit"),
        flag("memory-reservation", '\0', Kind::Bytes, "bytes", "", "Memory soft limit"),
        flag("memory-swap", '\0', Kind::Bytes, "bytes", "", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
        flag("memory-swappiness", '\0', Kind::Int, "int", "-1", "Tune container memory swappiness (0 to 100)"),
        flag("mount", '\0', Kind::List, "mount", "", "Attach a filesystem mount to the container"),
        flag("name", '\0', Kind::Text, "string", "", "Assign a name to the container"),
        flag("network", '\0', Kind::List, "network", "", "Connect a container to a network"),
        flag("network-alias", '\0', Kind::List, "list", "", "Add network-scoped alias for the container"),
        flag("no-healthcheck", '\0', Kind::Bool, "", "", "Disable any container-specified HEALTHCHECK"),
        flag("oom-kill-disable", '\0', Kind::Bool, "", "", "Disable OOM Killer"),
        flag("oom-score-adj", '\0', Kind::Int, "int", "", "Tune host's OOM preferences (-1000 to 1000)"),
        flag("pid", '\0', Kind::Text, "string", "", "PID namespace to use"),
        flag("pids-limit", '\0', Kind::Int, "int", "", "Tune container pids limit (set -1 for unlimited)"),
        flag("platform", '\0', Kind::Text, "string", "", "Set platform if server is multi-platform capable"),
        flag("privileged", '\0', Kind::Bool, "", "", "Give extended privileges to this container"),
        flag("publish", 'p', Kind::List, "list", "", "Publish a container's port(s) to the host"),
        flag("publish-all", 'P', Kind::Bool, "", "", "Publish all exposed ports to random ports"),
        flag("pull", '\0', Kind::Text, "string", "\"missing\"", "Pull image before creating (\"always\", \"|missing\", \"never\")"),
        flag("quiet", 'q', Kind::Bool, "", "", "Suppress the pull output"),
        flag("read-only", '\0', Kind::Bool, "", "", "Mount the container's root filesystem as read only"),
        flag("restart", '\0', Kind::Text, "string", "\"no\"", "Restart policy to apply when a container exits"),
        flag("rm", '\0', Kind::Bool, "", "", "Automatically remove the container and its associated anonymous volumes when it exits"),
        flag("runtime", '\0', Kind::Text, "string", "", "Runtime to use for this container"),
        flag("security-opt", '\0', Kind::List, "list", "", "Security Options"),
        flag("shm-size", '\0', Kind::Bytes, "bytes", "", "Size of /dev/shm"),
        flag("stop-signal", '\0', Kind::Text, "string", "", "Signal to stop the container"),
        flag("stop-timeout", '\0', Kind::Int, "int", "", "Timeout (in seconds) to stop a container"),
        flag("storage-opt", '\0', Kind::List, "list", "", "Storage driver options for the container"),
        flag("sysctl", '\0', Kind::List, "map", "map[]", "Sysctl options"),
        flag("tmpfs", '\0', Kind::List, "list", "", "Mount a tmpfs directory"),
        flag("tty", 't', Kind::Bool, "", "", "Allocate a pseudo-TTY"),
        flag("ulimit", '\0', Kind::List, "ulimit", "[]", "Ulimit options"),
        flag("use-api-socket", '\0', Kind::Bool, "", "", "Bind mount Docker API socket and required auth"),
        flag("user", 'u', Kind::Text, "string", "", "Username or UID (format: <name|uid>[:<group|gid>])"),
        flag("userns", '\0', Kind::Text, "string", "", "User namespace to use"),
        flag("uts", '\0', Kind::Text, "string", "", "UTS namespace to use"),
        flag("volume", 'v', Kind::List, "list", "", "Bind mount a volume"),
        flag("volume-driver", '\0', Kind::Text, "string", "", "Optional volume driver for the container"),
        flag("volumes-from", '\0', Kind::List, "list", "", "Mount volumes from the specified container(s)"),
        flag("workdir", 'w', Kind::Text, "string", "", "Working directory inside the container"),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let request = options::request(args).map_err(|e| refused(app, &COMMAND, &e))?;
    console::line(create(app, args, &request).await?);
    Ok(())
}

/// A flag whose value makes no sense: with the usage if it is the value alone, with a hint if flags contradict.
pub(super) fn refused(app: &App, command: &Command, message: &str) -> Failure {
    if message.starts_with("invalid argument ") {
        let path = &app.path;
        return Failure::new(format!(
            "{message}\n\nUsage:  {path} {}\n\nRun '{path} --help' for more information",
            command.usage
        ))
        .code(125);
    }
    app.usage_error(message, 125)
}

/// The file of `--cidfile`: it must not exist before, and is removed if nothing comes of the container.
struct IdFile<'a> {
    path: &'a str,
    kept: bool,
}

impl<'a> IdFile<'a> {
    fn make(path: &'a str) -> Result<Self, Failure> {
        if !path.is_empty() {
            if std::path::Path::new(path).exists() {
                return Err(Failure::new(format!(
                    "container ID file found, make sure the other container isn't running or delete {path}"
                )));
            }
            std::fs::File::create_new(path).map_err(|e| {
                Failure::new(format!(
                    "failed to create the container ID file: open {path}: {}",
                    streams::cause(&e)
                ))
            })?;
        }
        Ok(Self { path, kept: false })
    }

    fn write(&mut self, id: &str) -> Outcome {
        if self.path.is_empty() {
            return Ok(());
        }
        let written = std::fs::File::options()
            .write(true)
            .open(self.path)
            .and_then(|mut f| f.write_all(id.as_bytes()));
        written.map_err(|e| Failure::new(format!("failed to write the container ID ({id}) to file: {e}")))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for IdFile<'_> {
    fn drop(&mut self) {
        if !self.path.is_empty() && !self.kept {
            let _ = std::fs::remove_file(self.path);
        }
    }
}

/// Creates the container, pulling its image as `--pull` says; returns its id. Warnings go to standard error.
pub(super) async fn create(app: &App, args: &Parsed, request: &CreateRequest) -> Result<String, Failure> {
    let pull = args.text("pull");
    if !matches!(pull, "" | "missing" | "always" | "never") {
        return Err(Failure::new(format!(
            "invalid pull option: '{pull}': must be one of \"always\", \"missing\" or \"never\""
        )));
    }
    let client = app.client()?;
    let name = args.text("name");
    let platform = match args.text("platform") {
        "" => std::env::var("DOCKER_DEFAULT_PLATFORM").unwrap_or_default(),
        platform => platform.to_owned(),
    };
    let quiet = args.on("quiet");
    let mut id_file = IdFile::make(args.text("cidfile"))?;
    let wanted = image::with_tag(args.arg(0));
    if pull == "always" {
        fetch(client, &wanted, &platform, quiet).await?;
    }
    let mut made = client.container_create(name, &platform, request).await;
    let missing = matches!(&made, Err(e) if e.is_not_found() && e.message().contains("No such image"));
    if missing && pull != "never" && pull != "always" {
        console::error(format!("Unable to find image '{wanted}' locally"));
        fetch(client, &wanted, &platform, quiet).await?;
        made = client.container_create(name, &platform, request).await;
    }
    let made = made?;
    for warning in &made.warnings {
        console::error(format!("WARNING: {warning}"));
    }
    id_file.write(&made.id)?;
    Ok(made.id)
}

async fn fetch(client: &Client, name: &str, platform: &str, quiet: bool) -> Outcome {
    let (repository, tag) = image::split_name(name);
    let reply = client.image_pull(repository, tag, platform).await?;
    image::progress(reply, quiet, console::error).await
}
