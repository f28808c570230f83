//! The corpus beside Debian's dockerd: what its classic builder builds, dhow builds to the same configuration, history and
//! files.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use e2e::{Output, daemon, full, until};

use super::build;
use super::corpus::{self, BUILT, Case};

/// A dockerd in namespaces of its own, ended when dropped.
struct Dockerd {
    child: Child,
    folder: PathBuf,
    cgroup: String,
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        let _ = self.child.wait();
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            // Not there in every hierarchy.
            let _ = fs::remove_dir(hierarchy.path().join(&self.cgroup));
        }
    }
}

impl Dockerd {
    fn start(folder: &Path) -> Option<Self> {
        let program = ["/usr/sbin/dockerd", "/usr/bin/dockerd"]
            .map(Path::new)
            .into_iter()
            .find(|path| path.exists());
        let Some(program) = program else {
            println!("skipped: Debian's dockerd is not here");
            return None;
        };
        let cgroup = format!("dhow-e2e-dockerd-{}", std::process::id());
        let at = |name: &str| folder.join(name).display().to_string();
        let log = fs::File::create(folder.join("log")).expect("file");
        let mut command = Command::new("unshare");
        command
            .args([
                "--net",
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                "ip link set lo up; exec \"$@\"",
                "sh",
            ])
            .arg(program)
            .args([
                "--host",
                &format!("unix://{}", at("sock")),
                "--data-root",
                &at("data"),
            ])
            .args([
                "--exec-root",
                &at("exec"),
                "--pidfile",
                &at("pid"),
                "--cgroup-parent",
                &format!("/{cgroup}"),
            ])
            .args(["--config-file", &at("config")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log);
        fs::write(folder.join("config"), "{}").expect("file");
        let mut child = command.spawn().expect("dockerd");
        let socket = folder.join("sock");
        until("dockerd answers or ends", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
                || matches!(child.try_wait(), Ok(Some(_)))
        });
        if matches!(child.try_wait(), Ok(Some(_))) {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            println!(
                "skipped: dockerd does not run here: {}",
                log.lines().last().unwrap_or_default()
            );
            return None;
        }
        Some(Self {
            child,
            folder: folder.to_owned(),
            cgroup,
        })
    }

    /// The docker command, talking to it.
    fn docker(&self, program: &Path, words: &[&str]) -> Output {
        let mut command = Command::new(program);
        command
            .args(words)
            .env(
                "DOCKER_HOST",
                format!("unix://{}", self.folder.join("sock").display()),
            )
            .env("DOCKER_CONFIG", self.folder.join("client"))
            .env("DOCKER_BUILDKIT", "0")
            .stdin(Stdio::null());
        Output::of(&command.output().expect("docker"))
    }
}

/// What version 20.10 does otherwise than later ones, which dhow follows.
const LATER: [(&str, &str); 6] = [
    ("ARG of the platform", "the classic builder had none then"),
    (
        "VOLUME both forms",
        "its export has no places for volumes before the first start",
    ),
    ("HEALTHCHECK", "the history has no start interval"),
    ("HEALTHCHECK NONE", "the history has no start interval"),
    (
        "HEALTHCHECK NONE takes the base's away",
        "the history has no start interval",
    ),
    ("COPY --chown", "no blank follows it in the history"),
];

/// What two images are compared by.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    config: serde_json::Value,
    history: Vec<String>,
    files: BTreeSet<String>,
}

/// Looks at the image `case`.
fn look(run: &dyn Fn(&[&str]) -> Output, folder: &Path) -> Made {
    let ok = |words: &[&str]| {
        let output = run(words);
        assert_eq!(output.code, 0, "{words:?}: {output:?}");
        output.stdout.trim().to_owned()
    };
    let text = ok(&["image", "inspect", "--format", "{{json .Config}}", "case"]);
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    if let Some(map) = config.as_object_mut() {
        // The container's and the parent's ids, and what is not set: versions show or omit it.
        for name in ["Hostname", "Image", "Domainname", "MacAddress", "ArgsEscaped"] {
            map.remove(name);
        }
        let is_unset = |value: &serde_json::Value| {
            value.is_null()
                || value == false
                || value.as_str().is_some_and(str::is_empty)
                || value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(serde_json::Map::is_empty)
        };
        map.retain(|_, value| !is_unset(value));
    }
    let history = ok(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", "case"]);
    let id = ok(&["create", "case", "/bin/true"]);
    let archive = folder.join("exported.tar");
    ok(&["export", "--output", &archive.display().to_string(), &id]);
    ok(&["rm", &id]);
    Made {
        config,
        history: history.lines().map(without_digest).collect(),
        files: files(&archive),
    }
}

/// Each builder has digests of its own for what was copied.
fn without_digest(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.split_once(':') {
        Some((kind @ ("file" | "dir" | "multi"), digest)) if digest.len() == 64 => kind,
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Permissions, owners, sizes, links and contents; what an engine makes for a container is left out.
fn files(archive: &Path) -> BTreeSet<String> {
    const MADE: [&str; 7] = [
        "dev",
        "proc",
        "sys",
        ".dockerenv",
        "etc/hosts",
        "etc/hostname",
        "etc/resolv.conf",
    ];
    let mut all = tar::Archive::new(fs::File::open(archive).expect("archive"));
    let mut files = BTreeSet::new();
    for entry in all.entries().expect("entries") {
        let mut entry = entry.expect("entry");
        let path = entry.path().expect("path").display().to_string();
        let path = path.trim_matches('/').to_owned();
        if MADE
            .iter()
            .any(|made| path == *made || path.starts_with(&format!("{made}/")))
            || path == "etc/mtab"
        {
            continue;
        }
        let header = entry.header();
        let number = |number: std::io::Result<u64>| number.unwrap_or_default();
        let mut line = format!(
            "{path} {:?} {:o} {}:{}",
            header.entry_type(),
            header.mode().unwrap_or_default() & 0o7777,
            number(header.uid()),
            number(header.gid())
        );
        if let Some(link) = entry.link_name().expect("link") {
            line.push_str(&format!(" -> {}", link.display()));
        } else if entry.header().entry_type().is_file() && !path.starts_with("bin/") {
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut text).expect("content");
            line.push_str(&format!(" {:?}", String::from_utf8_lossy(&text)));
        }
        files.insert(line);
    }
    files
}

#[test]
fn what_dockerd_builds_dhow_builds_alike() {
    if !full() {
        println!("skipped: long; --full runs it");
        return;
    }
    let folder = tempfile::Builder::new()
        .prefix("dhow-e2e-")
        .tempdir_in("/tmp")
        .expect("folder");
    let Some(dockerd) = Dockerd::start(folder.path()) else {
        return;
    };
    let Some(daemon) = daemon() else { return };
    let clients = e2e::clients(&daemon);
    let Some(ours) = clients.iter().find(|client| !client.is_dhow()) else {
        println!("skipped: no docker command here");
        return;
    };
    let program = Path::new("docker");
    daemon.load_busybox();
    let archive = folder.path().join("busybox.tar");
    e2e::image::busybox(&archive);
    let loaded = dockerd.docker(program, &["load", "--input", &archive.display().to_string()]);
    assert_eq!(loaded.code, 0, "{loaded:?}");

    let context = corpus::files();
    let place = context.path().display().to_string();
    let mut report = std::io::stdout();
    let (mut compared, mut wrong) = (0, Vec::new());
    for (rule, text, _) in BUILT.iter().flat_map(|cases: &&[Case]| cases.iter()) {
        fs::write(context.path().join("Dockerfile"), text).expect("file");
        let theirs = dockerd.docker(
            program,
            &["build", "--network", "none", "--force-rm", "-t", "case", &place],
        );
        if theirs.code != 0 {
            let why = theirs.stderr.lines().last().unwrap_or_default().to_owned();
            writeln!(report, "not built by dockerd: {rule}: {why}").expect("report");
            continue;
        }
        let built = build(
            ours,
            context.path(),
            &["--network", "none", "--force-rm", "-t", "case"],
            None,
        );
        assert_eq!(built.code, 0, "{rule}: {built:?}");
        let theirs = look(&|words| dockerd.docker(program, words), folder.path());
        let ours = look(&|words| ours.run(words), folder.path());
        compared += 1;
        let later = LATER
            .iter()
            .find(|(known, _)| rule == known || (known.ends_with("chown") && rule.starts_with(known)));
        if let (Some((_, why)), true) = (later, theirs != ours) {
            assert_eq!(theirs.config, ours.config, "{rule}");
            writeln!(report, "differs: {rule}: {why}").expect("report");
        } else if theirs != ours {
            let only =
                |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
            wrong.push(format!(
                "{rule}: dockerd {:?} {:?} {:?}; dhow {:?} {:?} {:?}",
                theirs.config,
                theirs.history,
                only(&theirs.files, &ours.files),
                ours.config,
                ours.history,
                only(&ours.files, &theirs.files)
            ));
        }
    }
    writeln!(report, "{compared} Dockerfiles are compared with dockerd").expect("report");
    assert!(compared >= 50, "only {compared} were compared");
    assert!(
        wrong.is_empty(),
        "{} of {compared} differ: {wrong:#?}",
        wrong.len()
    );
}
