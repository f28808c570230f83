//! The machine's root file system: programs with the libraries that they need, the suites, and a first process.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::kernel::Kernel;
use super::suites::Suite;
use crate::workspace::{cargo, output, run as run_command};
use crate::{build, packages};

const INIT: &str = include_str!("init.sh");
/// Programs of this machine that tests use; everything else is busybox's.
const PROGRAMS: [&str; 5] = [
    "/bin/kmod",
    "/bin/tar",
    "/usr/bin/zstd",
    "/sbin/ip",
    "/usr/sbin/nft",
];
/// Other OCI runtimes, where this machine has them.
const RUNTIMES: [&str; 2] = ["/usr/sbin/runc", "/usr/bin/crun"];
/// Debian's policy compiler, which is unpacked but not installed on this machine.
const APPARMOR: &str = "apparmor";
/// criu, and those libraries of it that no other package here has brought.
const CRIU: [&str; 5] = ["criu", "libnet1", "libprotobuf-c1", "libnl-3-200", "libbsd0"];
const FOLDERS: [&str; 14] = [
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib64",
    "etc",
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "mnt",
    "root",
    "var/lib",
    "tests",
];

/// Makes the root anew and packs it; the path of the archive. With a policy of SELinux, its first process loads that.
pub(crate) fn make(
    folder: &Path,
    kernel: &Kernel,
    suites: &[Suite],
    name: Option<&str>,
    policy: Option<&Path>,
) -> Result<PathBuf> {
    let root = Root::new(folder.join("root"))?;
    kernel.place_modules(&root.0)?;
    root.programs(&PROGRAMS)?;
    for runtime in RUNTIMES.iter().filter(|path| Path::new(path).exists()) {
        root.program(Path::new(runtime), runtime)?;
    }
    root.apparmor(folder)?;
    if suites.iter().any(|suite| suite.file == "checkpoint") {
        root.criu(folder)?;
    }
    for name in build::BINARIES {
        root.program(&Path::new("target/e2e").join(name), &format!("/usr/bin/{name}"))?;
    }
    root.accounts()?;
    let script = root.suites(suites, name)?;
    root.write("suites", &script, 0o644)?;
    root.write("init", INIT, 0o755)?;
    if let Some(policy) = policy {
        fs::copy(policy, root.0.join("policy")).with_context(|| policy.display().to_string())?;
    }
    root.pack(&folder.join("root.cpio"))
}

/// A root file system in the making.
pub(super) struct Root(pub(super) PathBuf);

impl Root {
    /// An empty one, laid out as every Debian of today.
    pub(super) fn new(path: PathBuf) -> Result<Self> {
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("clearing {}", path.display()))?;
        }
        for folder in FOLDERS {
            fs::create_dir_all(path.join(folder)).with_context(|| folder.to_owned())?;
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(Path::new("usr").join(name), path.join(name)).with_context(|| name.to_owned())?;
        }
        Ok(Self(path))
    }

    pub(super) fn write(&self, path: &str, text: &str, mode: u32) -> Result<()> {
        let path = self.0.join(path);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .with_context(|| path.display().to_string())
    }

    /// Copies a file to a place below the root, without what only a debugger reads.
    pub(super) fn copy(&self, from: &Path, to: &str) -> Result<()> {
        let target = self.0.join(to.trim_start_matches('/'));
        if let Some(above) = target.parent() {
            fs::create_dir_all(above).with_context(|| above.display().to_string())?;
        }
        let stripped = Command::new("strip")
            .arg("-o")
            .arg(&target)
            .arg(from)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !stripped.is_ok_and(|status| status.success()) {
            fs::copy(from, &target).with_context(|| format!("copying {}", from.display()))?;
        }
        Ok(())
    }

    /// Copies a program and the libraries that it is linked with.
    fn program(&self, from: &Path, to: &str) -> Result<()> {
        self.program_with(from, to, &[]).map(drop)
    }

    /// The same with folders that have libraries too, which are copied to the usual one; what ldd has said.
    fn program_with(&self, from: &Path, to: &str, more: &[PathBuf]) -> Result<String> {
        self.copy(from, to)?;
        // A static program makes ldd fail.
        let folders = std::env::join_paths(more).context("the folders of libraries")?;
        let libraries =
            output(Command::new("ldd").arg(from).env("LD_LIBRARY_PATH", folders)).unwrap_or_default();
        for path in libraries
            .split_whitespace()
            .map(Path::new)
            .filter(|path| path.is_absolute())
        {
            let target = match path.file_name() {
                Some(name) if more.iter().any(|folder| path.starts_with(folder)) => {
                    Path::new("/lib/x86_64-linux-gnu").join(name)
                }
                _ => path.to_owned(),
            };
            if !self.0.join(target.strip_prefix("/")?).exists() {
                self.copy(&path.canonicalize()?, &target.to_string_lossy())?;
            }
        }
        Ok(libraries)
    }

    /// busybox for everything but these programs.
    pub(super) fn programs(&self, programs: &[&str]) -> Result<()> {
        for program in programs {
            self.program(Path::new(program), program)?;
        }
        for name in ["modprobe", "insmod", "rmmod", "lsmod"] {
            symlink("../bin/kmod", self.0.join("usr/sbin").join(name)).context("link")?;
        }
        self.copy(Path::new("/bin/busybox"), "usr/bin/busybox")?;
        for applet in output(Command::new("/bin/busybox").arg("--list"))?.split_whitespace() {
            let taken = ["usr/bin", "usr/sbin"]
                .iter()
                .any(|folder| self.0.join(folder).join(applet).symlink_metadata().is_ok());
            if !taken {
                symlink("busybox", self.0.join("usr/bin").join(applet)).context("link")?;
            }
        }
        Ok(())
    }

    /// criu, which is not installed on this machine: newer kernels than the virtual one's may be too new for it.
    fn criu(&self, folder: &Path) -> Result<()> {
        let mut places = Vec::new();
        for name in CRIU {
            let Some(content) = packages::unpack(name, folder)? else {
                bail!("Debian's package {name} cannot be fetched");
            };
            places.push(content.canonicalize()?);
        }
        let libraries = places.iter().map(|place| place.join("usr/lib/x86_64-linux-gnu"));
        let libraries: Vec<PathBuf> = libraries.collect();
        let linked = self.program_with(&places[0].join("usr/sbin/criu"), "usr/sbin/criu", &libraries)?;
        if let Some(missing) = linked.lines().find(|line| line.contains("not found")) {
            bail!("criu: {}", missing.trim());
        }
        Ok(())
    }

    /// The policy compiler with its configuration and abstractions.
    fn apparmor(&self, folder: &Path) -> Result<()> {
        let Some(content) = packages::unpack(APPARMOR, folder)? else {
            bail!("Debian's package {APPARMOR} cannot be fetched");
        };
        let parser = ["usr/sbin/apparmor_parser", "sbin/apparmor_parser"]
            .map(|path| content.join(path))
            .into_iter()
            .find(|path| path.exists());
        self.program(
            &parser.context("no apparmor_parser in its package")?,
            "usr/sbin/apparmor_parser",
        )?;
        // The policies of programs that are not there would only take room; of the rest every file is wanted.
        for path in [
            "etc/apparmor",
            "etc/apparmor.d/abi",
            "etc/apparmor.d/abstractions",
            "etc/apparmor.d/tunables",
            "usr/share/apparmor-features",
        ] {
            let to = self.0.join(path);
            if let Some(above) = to.parent() {
                fs::create_dir_all(above).with_context(|| above.display().to_string())?;
            }
            run_command(Command::new("cp").arg("-a").arg(content.join(path)).arg(&to))?;
        }
        Ok(())
    }

    fn accounts(&self) -> Result<()> {
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)?;
        self.write("etc/group", "root:x:0:\ntty:x:5:\n", 0o644)?;
        self.write("etc/hosts", "127.0.0.1 localhost vm\n::1 localhost\n", 0o644)?;
        self.write("etc/resolv.conf", "", 0o644)?;
        self.write("etc/nsswitch.conf", "hosts: files\n", 0o644)?;
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        self.write("etc/os-release", &release, 0o644)
    }

    /// Builds the test programs, copies them, and writes the script that runs them one after the other.
    fn suites(&self, suites: &[Suite], name: Option<&str>) -> Result<String> {
        let programs = test_programs(suites)?;
        let mut script = String::from(
            "export DHOW_TEST_BINARIES=/usr/bin DHOW_TEST_DISK=/dev/vda DHOW_TEST_OWN_MACHINE=1\n",
        );
        for suite in suites {
            let from = programs
                .get(&(suite.package.to_owned(), suite.file.to_owned()))
                .with_context(|| format!("there is no test program {}", suite.name()))?;
            let to = format!("/tests/{}-{}", suite.package, suite.file);
            self.program(from, &to)?;
            let name = name.map(|name| format!(" '{name}'")).unwrap_or_default();
            script.push_str(&format!("suite {} {to} --show-output{name}\n", suite.name()));
        }
        Ok(script)
    }

    /// Packs it as an initramfs; the path of the archive.
    pub(super) fn pack(&self, archive: &Path) -> Result<PathBuf> {
        let list = output(Command::new("find").args([".", "-print"]).current_dir(&self.0))?;
        let file = fs::File::create(archive).with_context(|| archive.display().to_string())?;
        let mut cpio = Command::new("cpio")
            .args(["--quiet", "-o", "-H", "newc", "-R", "0:0"])
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(file)
            .spawn()
            .context("starting cpio")?;
        if let Some(mut input) = cpio.stdin.take() {
            std::io::Write::write_all(&mut input, list.as_bytes()).context("writing to cpio")?;
        }
        let status = cpio.wait().context("waiting for cpio")?;
        if !status.success() {
            bail!("cpio: {status}");
        }
        Ok(archive.to_owned())
    }
}

/// A line of cargo's messages, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Compiles the test programs; where they are, by package and name.
pub(super) fn test_programs(suites: &[Suite]) -> Result<BTreeMap<(String, String), PathBuf>> {
    let mut command = cargo();
    command.args(["test", "--no-run", "--quiet", "--message-format=json"]);
    for suite in suites {
        command.args(["--package", suite.package, "--test", suite.file]);
    }
    let mut found = BTreeMap::new();
    for line in output(&mut command)?.lines() {
        let Ok(message) = serde_json::from_str::<Message>(line) else {
            continue;
        };
        let (Some(target), Some(executable), Some(manifest)) =
            (message.target, message.executable, message.manifest_path)
        else {
            continue;
        };
        if !target.kind.iter().any(|kind| kind == "test") {
            continue;
        }
        let package = suites.iter().find(|suite| {
            suite.file == target.name
                && manifest
                    .parent()
                    .is_some_and(|folder| belongs(folder, suite.package))
        });
        if let Some(suite) = package {
            found.insert((suite.package.to_owned(), suite.file.to_owned()), executable);
        }
    }
    Ok(found)
}

/// A package's folder has its name.
fn belongs(folder: &Path, package: &str) -> bool {
    folder.file_name().is_some_and(|name| name == package)
}
