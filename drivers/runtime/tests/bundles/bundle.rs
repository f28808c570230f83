//! A root file system with busybox, the spec of a container like Docker's, and running it.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use linux::process::Exit;
use oci::runtime::{Capabilities, Linux, Mount, Namespace, NamespaceKind, Process, Root, Spec, User};
use runtime::{CreateOptions, Created, Error, RootfsSource, Stdio};

const APPLETS: &str = "sh true ls cat id mount sleep ps hostname echo touch stat env pwd tty stty test grep readlink head \
                       mkdir ip ulimit wc mknod chmod kill uname sed cut ionice umount";

pub(crate) fn busybox() -> Option<&'static Path> {
    Some(Path::new("/bin/busybox")).filter(|path| path.exists())
}

pub(crate) struct Bundle {
    directory: tempfile::TempDir,
    pub(crate) spec: Spec,
}

impl Bundle {
    /// A bundle whose process is a shell with this script.
    pub(crate) fn script(script: &str) -> Self {
        Self::program(&["sh", "-c", script])
    }

    pub(crate) fn program(args: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let root = directory.path().join("rootfs");
        for name in ["bin", "etc", "proc", "dev", "sys", "tmp"] {
            std::fs::create_dir_all(root.join(name)).expect("mkdir");
        }
        std::fs::copy(busybox().expect("busybox"), root.join("bin/busybox")).expect("copy");
        for applet in APPLETS.split_whitespace() {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).expect("symlink");
        }
        std::fs::write(
            root.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
        )
        .expect("passwd");
        Self {
            directory,
            spec: spec(args),
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("rootfs")
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.spec.process.as_mut().expect("process")
    }

    pub(crate) fn linux(&mut self) -> &mut Linux {
        self.spec.linux.as_mut().expect("linux")
    }

    pub(crate) fn mount(&mut self, destination: &str, kind: &str, source: &str, options: &[&str]) {
        self.spec.mounts.push(mount(destination, kind, source, options));
    }

    pub(crate) fn options(&self) -> CreateOptions<'static> {
        CreateOptions::new("test", RootfsSource::Path(self.root()))
    }

    /// Creates it with its output in a pipe.
    pub(crate) fn create(&self) -> Result<Running, Error> {
        self.create_with(self.options())
    }

    pub(crate) fn create_with(&self, mut options: CreateOptions<'_>) -> Result<Running, Error> {
        let (output, stdio) = piped();
        options.stdio = stdio;
        // The options, and with them our copy of the pipe's writing end, are gone when this returns.
        let created = runtime::create(&self.spec, options)?;
        Ok(Running { created, output })
    }

    /// Runs it to its end: everything it wrote, and how it ended.
    pub(crate) fn run(&self) -> (String, Exit) {
        self.create()
            .unwrap_or_else(|error| panic!("create: {error}"))
            .finish()
    }

    pub(crate) fn output(&self) -> String {
        self.run().0
    }
}

pub(crate) struct Running {
    pub(crate) created: Created,
    output: OwnedFd,
}

impl Running {
    pub(crate) fn of(created: Created, output: OwnedFd) -> Self {
        Self { created, output }
    }

    /// Everything that one which runs already writes until its end.
    pub(crate) fn read(&mut self) -> String {
        let mut text = String::new();
        let output = self.output.try_clone().expect("dup");
        std::fs::File::from(output)
            .read_to_string(&mut text)
            .expect("output");
        text
    }

    pub(crate) fn finish(mut self) -> (String, Exit) {
        self.created
            .start()
            .unwrap_or_else(|error| panic!("start: {error}"));
        let mut text = String::new();
        std::fs::File::from(self.output)
            .read_to_string(&mut text)
            .expect("output");
        (text, self.created.wait().expect("end"))
    }
}

/// A pipe for standard output and error, and `/dev/null` for input.
pub(crate) fn piped() -> (OwnedFd, Stdio) {
    let (read, write) = linux::fd::pipe_with(linux::fd::PipeFlags::CLOEXEC).expect("pipe");
    let stderr = write.try_clone().expect("dup");
    let stdin = std::fs::File::open("/dev/null").expect("null").into();
    (
        read,
        Stdio::Fds {
            stdin,
            stdout: write,
            stderr,
        },
    )
}

pub(crate) fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: source.into(),
        options: options.iter().map(|o| (*o).to_owned()).collect(),
        ..Mount::default()
    }
}

fn spec(args: &[&str]) -> Spec {
    let capabilities: Vec<String> = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_MKNOD"]
        .map(str::to_owned)
        .to_vec();
    let kinds = [
        NamespaceKind::Mount,
        NamespaceKind::Pid,
        NamespaceKind::Network,
        NamespaceKind::Uts,
        NamespaceKind::Ipc,
        NamespaceKind::Cgroup,
    ];
    Spec {
        oci_version: "1.3.0".into(),
        process: Some(Process {
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            env: vec!["PATH=/bin".into()],
            cwd: "/".into(),
            user: User::default(),
            capabilities: Some(Capabilities {
                bounding: capabilities.clone(),
                effective: capabilities.clone(),
                permitted: capabilities,
                ..Capabilities::default()
            }),
            ..Process::default()
        }),
        root: Some(Root {
            path: "rootfs".into(),
            readonly: false,
        }),
        hostname: "inside".into(),
        mounts: vec![
            mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount(
                "/dev",
                "tmpfs",
                "tmpfs",
                &["nosuid", "strictatime", "mode=755", "size=65536k"],
            ),
            mount(
                "/dev/pts",
                "devpts",
                "devpts",
                &[
                    "nosuid",
                    "noexec",
                    "newinstance",
                    "ptmxmode=0666",
                    "mode=0620",
                    "gid=5",
                ],
            ),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount(
                "/dev/shm",
                "tmpfs",
                "shm",
                &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
            ),
        ],
        linux: Some(Linux {
            namespaces: kinds
                .into_iter()
                .map(|kind| Namespace {
                    kind,
                    path: String::new(),
                })
                .collect(),
            masked_paths: vec![
                "/proc/keys".into(),
                "/proc/scsi".into(),
                "/sys/firmware".into(),
                "/nowhere".into(),
            ],
            readonly_paths: vec!["/proc/sys".into(), "/proc/sysrq-trigger".into()],
            ..Linux::default()
        }),
        ..Spec::default()
    }
}
