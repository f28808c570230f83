//! From a spec to a program.
//!
//! Pure: nothing is opened and nobody is asked, so every program can be looked at in a test. What depends on the machine
//! or on the caller comes in [`Options`].

mod devices;
mod mount_options;
mod mounts;
mod namespaces;
mod process;

use std::ffi::CString;

use fault::{Fault, Kind};
use linux::namespace::Flags;
use oci::runtime::{Linux, Seccomp, Spec};
use rustix::thread::CpuSet;
use security::landlock::Rules;

use crate::program::{Program, Step};

pub use devices::device_rules;
pub(crate) use mount_options::names as mount_option_names;
pub use mounts::CgroupMount;
pub use mounts::SHARED_MEMORY;
pub(crate) use mounts::{ROOT_SHIFT, shifted_root};
pub(crate) use namespaces::{flag, joined};
pub(crate) use process::{memory_policy_flags, memory_policy_modes};

/// Facts that a compilation depends on.
#[derive(Clone, Debug)]
pub struct Options {
    /// Absolute directory of the root file system; none when a detached mount is given at run time.
    pub rootfs: Option<String>,
    /// A network namespace is given at run time; it overrules the spec's.
    pub netns: bool,
    /// The standard streams.
    pub streams: Streams,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// The container's id, which names the keyring.
    pub id: String,
    /// How many descriptors from 3 on the process inherits.
    pub preserve_fds: u32,
    /// The capabilities that the caller's bounding set has: more cannot be given.
    pub available_capabilities: u64,
    /// What a mount of type `cgroup` shows.
    pub cgroup_mounts: Vec<CgroupMount>,
    /// Absolute directory of the bundle, from which relative sources of binds count.
    pub bundle: String,
    /// HOME of the user, when the environment does not say.
    pub home: Option<String>,
    /// Use chroot instead of pivot_root.
    pub no_pivot: bool,
    /// Whether the kernel has `/proc/kcore`.
    pub kcore: bool,
    /// Path of the program, where it is not what the first argument says.
    pub program: Option<String>,
    /// A filter that was compiled beforehand; it overrules the spec's.
    pub filter: Option<security::seccomp::Program>,
    /// What Landlock leaves the process, and the version of the kernel's interface.
    pub landlock: Option<(Rules, u32)>,
    /// The caller may mount, and so make binds that root of a user namespace may not.
    pub may_mount: bool,
    /// The file of the mount namespace from which a bind at `/dev/shm` comes, if not from the host's.
    pub shared_memory: Option<String>,
    /// The kernel has SELinux switched on.
    pub selinux: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rootfs: None,
            netns: false,
            streams: Streams::Inherit,
            no_new_keyring: false,
            id: String::new(),
            preserve_fds: 0,
            available_capabilities: u64::MAX,
            cgroup_mounts: Vec::new(),
            bundle: String::from("/"),
            home: None,
            no_pivot: false,
            kcore: true,
            filter: None,
            program: None,
            landlock: None,
            may_mount: true,
            shared_memory: None,
            selinux: false,
        }
    }
}

/// Where the standard streams come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// From the caller.
    Inherit,
    /// Given at run time.
    Given,
    /// A new terminal.
    Terminal,
}

/// Why a spec cannot be obeyed.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The process is missing.
    #[error("process must be specified")]
    NoProcess,
    /// There is no program to execute.
    #[error("args must not be empty")]
    NoArguments,
    /// There is no root file system.
    #[error("root must be specified")]
    NoRoot,
    /// A path that must be absolute is not.
    #[error("{what} must be an absolute path: {path:?}")]
    Relative {
        /// Which path.
        what: &'static str,
        /// Its value.
        path: String,
    },
    /// A text has a zero byte in it.
    #[error("{what} contains a NUL byte: {text:?}")]
    Nul {
        /// Which text.
        what: &'static str,
        /// Its value.
        text: String,
    },
    /// A value that the spec does not define.
    #[error("unknown {what}: {value:?}")]
    Unknown {
        /// What sort of value.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// A setting that needs a namespace of the container's own.
    #[error("{what} requires a private {namespace} namespace")]
    Namespace {
        /// The setting.
        what: String,
        /// The namespace.
        namespace: &'static str,
    },
    /// Two settings that exclude each other.
    #[error("{0}")]
    Contradiction(&'static str),
    /// A feature of the spec that is not there yet.
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
    /// A label where nothing obeys labels; the words are runc's.
    #[error("{0}: selinux label is specified in config, but selinux is disabled or not supported")]
    NoSelinux(&'static str),
    /// A protection that this kernel does not have.
    #[error("{0}: this kernel does not have it switched on")]
    Absent(&'static str),
    /// The annotation for Landlock.
    #[error("{0}")]
    Landlock(#[from] security::landlock::Error),
    /// The capabilities cannot be read.
    #[error("{0}")]
    Capability(#[from] security::capabilities::Error),
    /// The system call filter cannot be compiled.
    #[error("{0}")]
    Seccomp(#[from] security::seccomp::Error),
}

impl Fault for CompileError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unsupported(_) => Kind::NotImplemented,
            _ => Kind::InvalidParameter,
        }
    }
}

/// What the annotation for Landlock asks of this kernel.
pub(crate) fn landlock(annotation: Option<&String>) -> Result<Option<(Rules, u32)>, CompileError> {
    let Some(text) = annotation else { return Ok(None) };
    let rules = Rules::parse(text)?;
    let version = security::landlock::version();
    let version = version.ok_or(CompileError::Absent(
        "Landlock (annotation io.github.dhow.landlock)",
    ))?;
    Ok(Some((rules, version)))
}

/// A C string of a text from the spec.
fn c_string(what: &'static str, text: &str) -> Result<CString, CompileError> {
    CString::new(text).map_err(|_| CompileError::Nul {
        what,
        text: text.to_owned(),
    })
}

/// A C string of a path that must be absolute.
fn absolute(what: &'static str, path: &str) -> Result<CString, CompileError> {
    if !path.starts_with('/') {
        return Err(CompileError::Relative {
            what,
            path: path.to_owned(),
        });
    }
    c_string(what, path)
}

/// Compiles a container's spec.
///
/// # Errors
/// When it asks for something that does not exist or makes no sense.
pub fn compile(spec: &Spec, options: &Options) -> Result<Program, CompileError> {
    let process = spec.process.as_ref().ok_or(CompileError::NoProcess)?;
    let default = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&default);
    let mut program = Program::default();
    program.steps.push(Step::OpenSelf);
    program.steps.push(Step::EnterCgroups);
    let own = namespaces::compile(linux, options, &mut program)?;
    program.steps.push(Step::NewSession);
    keyring(process, options, &mut program)?;
    if own.contains(Flags::CGROUP) {
        program.steps.push(Step::UnshareCgroup);
    }
    if program.namespaces.contains(Flags::NETWORK) {
        program.steps.push(Step::LoopbackUp);
    }
    net_devices(linux, options, &mut program)?;
    if options.streams == Streams::Given {
        program.steps.push(Step::TakeStreams);
    }
    if own.contains(Flags::MOUNT) {
        mounts::compile(spec, linux, options, &mut program)?;
    } else if spec.root.is_some() && options.rootfs.is_some() && !namespaces::joins_mount(linux) {
        return Err(CompileError::Namespace {
            what: "a root file system".into(),
            namespace: "mount",
        });
    }
    system(spec, linux, own, &mut program.steps)?;
    if own.contains(Flags::MOUNT) {
        mounts::compile_after_pivot(spec, linux, &mut program.steps)?;
    }
    process::domain(linux, &mut program.steps)?;
    process::compile(process, linux.seccomp.as_ref(), options, &mut program)?;
    Ok(program)
}

/// A session keyring of its own, with the label of the process, which may not use it otherwise.
fn keyring(
    process: &oci::runtime::Process,
    options: &Options,
    program: &mut Program,
) -> Result<(), CompileError> {
    if options.no_new_keyring {
        return Ok(());
    }
    let name = c_string("id", &format!("_ses.{}", options.id))?;
    program
        .steps
        .extend(process::label(process, c"attr/keycreate", options)?);
    program.steps.push(Step::NewKeyring(name));
    Ok(())
}

/// The step that restricts a process to a list of processors such as `0-3,8`; none for an empty list.
fn affinity_step(what: &'static str, list: &str) -> Result<Option<Step>, CompileError> {
    if list.is_empty() {
        return Ok(None);
    }
    let unknown = || CompileError::Unknown {
        what,
        value: list.to_owned(),
    };
    let mask = process::numbers(list).ok_or_else(unknown)?;
    let mut set = CpuSet::new();
    for cpu in
        (0..CpuSet::MAX_CPU).filter(|cpu| mask.get(cpu / 64).is_some_and(|word| word >> (cpu % 64) & 1 == 1))
    {
        set.set(cpu);
    }
    if set.count() == 0 {
        return Err(unknown());
    }
    Ok(Some(Step::Affinity(set)))
}

/// Network devices of the host: the container must have a network namespace that is not the host's.
fn net_devices(linux: &Linux, options: &Options, program: &mut Program) -> Result<(), CompileError> {
    if linux.net_devices.is_empty() {
        return Ok(());
    }
    let network = oci::runtime::NamespaceKind::Network;
    if !options.netns && !linux.namespaces.iter().any(|namespace| namespace.kind == network) {
        return Err(CompileError::Namespace {
            what: "linux.netDevices".into(),
            namespace: "network",
        });
    }
    let mut names = std::collections::BTreeSet::new();
    for (name, device) in &linux.net_devices {
        let inside = if device.name.is_empty() {
            name
        } else {
            &device.name
        };
        for name in [name, inside] {
            let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c == '\0';
            if name.is_empty() || name.len() > 15 || name == "." || name == ".." || name.contains(bad) {
                return Err(CompileError::Unknown {
                    what: "linux.netDevices: name of a network device",
                    value: name.clone(),
                });
            }
        }
        if !names.insert(inside) {
            return Err(CompileError::Contradiction(
                "linux.netDevices: two devices have the same name inside",
            ));
        }
    }
    program.steps.push(Step::AwaitDevices);
    Ok(())
}

/// Compiles a process that joins a container: `joined` are the namespaces that differ from the caller's.
///
/// # Errors
/// As [`compile`].
pub(crate) fn compile_exec(
    process: &oci::runtime::Process,
    seccomp: Option<&Seccomp>,
    options: &Options,
    joined: Flags,
) -> Result<Program, CompileError> {
    let mut program = Program::default();
    program.steps.push(Step::OpenSelf);
    let affinity = process.exec_cpu_affinity.clone().unwrap_or_default();
    program
        .steps
        .extend(affinity_step("execCPUAffinity.initial", &affinity.initial)?);
    program.steps.push(Step::EnterCgroups);
    program
        .steps
        .extend(affinity_step("execCPUAffinity.final", &affinity.last)?);
    if joined != Flags::empty() {
        program.steps.push(Step::Join {
            fd: 0,
            flags: joined,
            name: "of the container's init".into(),
        });
    }
    program.steps.push(Step::NewSession);
    keyring(process, options, &mut program)?;
    match options.streams {
        Streams::Inherit => {}
        Streams::Given => program.steps.push(Step::TakeStreams),
        Streams::Terminal => program.steps.push(mounts::terminal(process, false)),
    }
    process::compile(process, seccomp, options, &mut program)?;
    Ok(program)
}

/// Host name and kernel parameters.
fn system(spec: &Spec, linux: &Linux, own: Flags, steps: &mut Vec<Step>) -> Result<(), CompileError> {
    for (what, value) in [("hostname", &spec.hostname), ("domainname", &spec.domainname)] {
        if value.is_empty() {
            continue;
        }
        if !own.contains(Flags::UTS) && !namespaces::joins(linux, oci::runtime::NamespaceKind::Uts) {
            return Err(CompileError::Namespace {
                what: what.into(),
                namespace: "UTS",
            });
        }
        let bytes = value.clone().into_bytes();
        steps.push(if what == "hostname" {
            Step::HostName(bytes)
        } else {
            Step::DomainName(bytes)
        });
    }
    for (name, value) in &linux.sysctl {
        let path = namespaces::sysctl_path(name, linux, own)?;
        steps.push(Step::Sysctl {
            path: c_string("sysctl", &path)?,
            value: value.clone().into_bytes(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
