//! The root file system, the mounts in it, and what is hidden or read-only.

use std::ffi::CString;

use linux::mount::{ATTR_RDONLY, Attributes};
use oci::runtime::{Linux, NamespaceKind, Process, Spec};

use super::mount_options::{MountOptions, libc_ms, parse};
use super::{CompileError, Options, Streams, absolute, c_string, devices, namespaces};
use crate::program::{Kept, Mount, Prepared, Program, Shift, Source, Step};

/// One hierarchy of what a mount of type `cgroup` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupMount {
    /// Name of the directory below the mount (`cpu,cpuacct`); empty for a pure version 2 system, where it is the mount.
    pub name: String,
    /// Directory of the host.
    pub path: String,
    /// Further names, symbolic links to `name`.
    pub links: Vec<String>,
}

/// Everything up to pivot_root.
pub(super) fn compile(
    spec: &Spec,
    linux: &Linux,
    options: &Options,
    program: &mut Program,
) -> Result<(), CompileError> {
    if spec.root.is_none() {
        return Err(CompileError::NoRoot);
    }
    let process = spec.process.as_ref().ok_or(CompileError::NoProcess)?;
    let propagation = propagation(&linux.rootfs_propagation)?.unwrap_or(libc_ms::SLAVE | libc_ms::REC);
    // Unbindable would forbid the binds that follow; it is set on the root afterwards.
    let before = if propagation & libc_ms::UNBINDABLE != 0 {
        libc_ms::PRIVATE | libc_ms::REC
    } else {
        propagation
    };
    program.steps.push(Step::Propagation(before as u32));
    let directory = options
        .rootfs
        .as_deref()
        .map(|path| absolute("root.path", path))
        .transpose()?;
    let hooks = spec.hooks.as_ref();
    let awaits_hooks = hooks.is_some_and(|h| {
        !(h.prestart.is_empty() && h.create_runtime.is_empty() && h.create_container.is_empty())
    });
    // pivot_root takes no root whose place is on a shared mount.
    let visible = awaits_hooks && !options.no_pivot && before & libc_ms::SHARED == 0;
    program.steps.push(Step::AttachRoot { directory, visible });
    program.mount_label = mount_label(linux, options)?;
    for mount in &spec.mounts {
        one(mount, linux, options, program)?;
    }
    let steps = &mut program.steps;
    steps.push(Step::WishDirectory(absolute("cwd", &process.cwd)?));
    let own_dev = !spec
        .mounts
        .iter()
        .any(|m| same_place(&m.destination, "/dev") && is_bind(m));
    if own_dev {
        devices::compile(linux, options.kcore, steps)?;
    }
    if options.streams == Streams::Terminal {
        steps.push(terminal(process, own_dev));
    } else if own_dev {
        steps.push(Step::NullStreams);
    }
    if spec.mounts.iter().any(is_readonly_dev) {
        steps.push(Step::ReadonlyMount(c"/dev".to_owned()));
    }
    if awaits_hooks {
        steps.push(Step::AwaitHooks);
    }
    steps.push(if options.no_pivot {
        Step::Chroot
    } else {
        Step::Pivot
    });
    Ok(())
}

/// Everything below the new root that must come after host name and kernel parameters are set.
pub(super) fn compile_after_pivot(
    spec: &Spec,
    linux: &Linux,
    steps: &mut Vec<Step>,
) -> Result<(), CompileError> {
    for path in &linux.readonly_paths {
        steps.push(Step::ReadonlyPath(absolute("readonlyPaths", path)?));
    }
    for path in &linux.masked_paths {
        steps.push(Step::Mask(absolute("maskedPaths", path)?));
    }
    if spec.root.as_ref().is_some_and(|root| root.readonly) {
        steps.push(Step::ReadonlyRoot);
    }
    if let Some(propagation) = propagation(&linux.rootfs_propagation)?
        && propagation & (libc_ms::SHARED | libc_ms::UNBINDABLE) != 0
    {
        steps.push(Step::RootPropagation(propagation as u32));
    }
    Ok(())
}

/// The step that makes a terminal of the size that the process asks for.
pub(super) fn terminal(process: &Process, console: bool) -> Step {
    let small = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
    let size = process
        .console_size
        .as_ref()
        .map(|size| (small(size.height), small(size.width)));
    Step::Terminal { size, console }
}

fn one(
    mount: &oci::runtime::Mount,
    linux: &Linux,
    options: &Options,
    program: &mut Program,
) -> Result<(), CompileError> {
    let target = target(&mount.destination)?;
    let mut sorted = parse(&mount.options)?;
    if is_readonly_dev(mount) {
        sorted.attributes.set &= !ATTR_RDONLY;
    }
    if mount.kind == "cgroup" || mount.kind == "cgroup2" {
        return cgroup(target, &sorted, options, program);
    }
    if sorted.copy_up && mount.kind != "tmpfs" {
        return Err(CompileError::Contradiction(
            "mount option tmpcopyup: only a tmpfs can be filled",
        ));
    }
    let mut source = source(mount, &sorted, options, program)?;
    if let Some(prepared) = prepared(mount, &mut sorted, &source, linux, options)? {
        source = Source::Prepared {
            place: program.prepared.len(),
            path: prepared.path.clone(),
        };
        program.prepared.push(prepared);
    }
    let new = matches!(source, Source::New { .. });
    let keep = match mount.kind.as_str() {
        "proc" if new => Some(Kept::Proc),
        "devpts" if new && same_place(&mount.destination, "/dev/pts") => Some(Kept::Devpts),
        _ => None,
    };
    program.steps.push(Step::Mount(Mount {
        source,
        target,
        copy_up: sorted.copy_up,
        attributes: sorted.attributes,
        recursive_attributes: sorted.recursive,
        propagation: sorted.propagation,
        plain_target: new && matches!(mount.kind.as_str(), "proc" | "sysfs"),
        keep,
    }));
    Ok(())
}

/// The mount option that labels a whole file system.
fn context(program: &Program) -> Option<(CString, Option<CString>)> {
    let label = program.mount_label.clone()?;
    Some((c"context".to_owned(), Some(label)))
}

/// The SELinux label of the file systems that are made for the container.
fn mount_label(linux: &Linux, options: &Options) -> Result<Option<CString>, CompileError> {
    match linux.mount_label.as_str() {
        "" => Ok(None),
        _ if !options.selinux => Err(CompileError::NoSelinux("linux.mountLabel")),
        label => c_string("mountLabel", label).map(Some),
    }
}

fn source(
    mount: &oci::runtime::Mount,
    sorted: &MountOptions,
    options: &Options,
    program: &Program,
) -> Result<Source, CompileError> {
    if is_bind(mount) {
        let path = if mount.source.starts_with('/') {
            c_string("mount source", &mount.source)?
        } else {
            c_string(
                "mount source",
                &format!("{}/{}", options.bundle.trim_end_matches('/'), mount.source),
            )?
        };
        return Ok(Source::Bind {
            path,
            recursive: sorted.bind == Some(true),
            optional: false,
        });
    }
    let mut data = sorted.data.clone();
    // What the kernel itself fills has labels of its own; that of queues was made with the namespace, and is labelled
    // when it is in place.
    let takes_label = !matches!(mount.kind.as_str(), "proc" | "sysfs" | "mqueue");
    if takes_label {
        data.extend(context(program));
    }
    if !mount.source.is_empty() {
        data.insert(
            0,
            (
                c"source".to_owned(),
                Some(c_string("mount source", &mount.source)?),
            ),
        );
    }
    Ok(Source::New {
        kind: c_string("mount type", &mount.kind)?,
        options: data,
    })
}

/// The bind that the parent must make, if it must. Its attributes are set where it is made.
fn prepared(
    mount: &oci::runtime::Mount,
    sorted: &mut MountOptions,
    source: &Source,
    linux: &Linux,
    options: &Options,
) -> Result<Option<Prepared>, CompileError> {
    let shift = shift(mount, sorted, linux)?;
    let in_user_namespace = linux.namespaces.iter().any(|n| n.kind == NamespaceKind::User);
    let Source::Bind { path, recursive, .. } = source else {
        return match shift {
            Some(_) => Err(CompileError::Contradiction("id-mapped mounts must be binds")),
            None => Ok(None),
        };
    };
    let foreign = options.shared_memory.as_deref();
    let foreign = foreign.filter(|_| same_place(&mount.destination, "/dev/shm"));
    let namespace = foreign.map(|path| absolute("annotation of the shared memory", path));
    if shift.is_none() && namespace.is_none() && !(in_user_namespace && options.may_mount) {
        return Ok(None);
    }
    Ok(Some(Prepared {
        path: path.clone(),
        namespace: namespace.transpose()?,
        recursive: *recursive,
        shift,
        whole_tree: sorted.shift == Some(true),
        attributes: std::mem::take(&mut sorted.attributes),
        recursive_attributes: std::mem::take(&mut sorted.recursive),
    }))
}

/// How the owners of a mount are shifted: by its own maps, or by those of the container's user namespace.
fn shift(
    mount: &oci::runtime::Mount,
    sorted: &MountOptions,
    linux: &Linux,
) -> Result<Option<Shift>, CompileError> {
    let (uids, gids) = (&mount.uid_mappings, &mount.gid_mappings);
    if uids.is_empty() != gids.is_empty() {
        return Err(CompileError::Contradiction(
            "an id-mapped mount needs both uidMappings and gidMappings",
        ));
    }
    if !uids.is_empty() {
        return Ok(Some(Shift::Maps(namespaces::id_map(uids, gids))));
    }
    if sorted.shift.is_none() {
        return Ok(None);
    }
    let namespace = shift_of_namespace(linux).ok_or_else(|| CompileError::Namespace {
        what: "an id-mapped mount without uidMappings and gidMappings".into(),
        namespace: "user",
    })?;
    Ok(Some(namespace))
}

/// The shift into the container's user namespace, if it has one.
fn shift_of_namespace(linux: &Linux) -> Option<Shift> {
    let user = linux.namespaces.iter().find(|n| n.kind == NamespaceKind::User)?;
    if user.path.is_empty() {
        let maps = namespaces::id_map(&linux.uid_mappings, &linux.gid_mappings);
        Some(Shift::Maps(maps))
    } else {
        Some(Shift::Namespace(user.path.clone()))
    }
}

/// The annotation that asks for a root file system whose owners are shifted; the specification has no property for it.
pub(crate) const ROOT_SHIFT: &str = "io.github.dhow.rootfs.idmap";

/// The annotation with the file of a mount namespace: a bind at `/dev/shm` shows a path of that one. So containers that
/// share an IPC namespace share what POSIX shared memory is made of; the specification has no property for it.
pub const SHARED_MEMORY: &str = "io.github.dhow.shm.namespace";

/// The root file system in `directory` as a mount whose owners are shifted as the annotation's value says.
pub(crate) fn shifted_root(spec: &Spec, value: &str, directory: &str) -> Result<Prepared, CompileError> {
    if value != "container" {
        return Err(CompileError::Unknown {
            what: "annotation io.github.dhow.rootfs.idmap",
            value: value.to_owned(),
        });
    }
    let shift = spec.linux.as_ref().and_then(shift_of_namespace);
    let shift = shift.ok_or_else(|| CompileError::Namespace {
        what: format!("annotation {ROOT_SHIFT}"),
        namespace: "user",
    })?;
    Ok(Prepared {
        path: absolute("root.path", directory)?,
        namespace: None,
        recursive: true,
        shift: Some(shift),
        whole_tree: true,
        attributes: Attributes::default(),
        recursive_attributes: Attributes::default(),
    })
}

/// A cgroup mount shows the container's own groups: each is bound from the host, which gives the same view in a cgroup
/// namespace of its own and in the host's.
fn cgroup(
    target: CString,
    sorted: &MountOptions,
    options: &Options,
    program: &mut Program,
) -> Result<(), CompileError> {
    let mut data = vec![
        (c"source".to_owned(), Some(c"tmpfs".to_owned())),
        (c"mode".to_owned(), Some(c"755".to_owned())),
    ];
    data.extend(context(program));
    let steps = &mut program.steps;
    let bind = |path: &str, target: CString| -> Result<Step, CompileError> {
        Ok(Step::Mount(Mount {
            source: Source::Bind {
                path: c_string("cgroup", path)?,
                recursive: false,
                optional: true,
            },
            target,
            attributes: sorted.attributes,
            recursive_attributes: Attributes::default(),
            propagation: sorted.propagation,
            plain_target: false,
            copy_up: false,
            keep: None,
        }))
    };
    if let [only] = options.cgroup_mounts.as_slice()
        && only.name.is_empty()
    {
        steps.push(bind(&only.path, target)?);
        return Ok(());
    }
    // Not the destination as it is written, which may be relative.
    let destination = target.to_string_lossy().into_owned();
    let writable = Attributes {
        set: sorted.attributes.set & !ATTR_RDONLY,
        ..sorted.attributes
    };
    steps.push(Step::Mount(Mount {
        source: Source::New {
            kind: c"tmpfs".to_owned(),
            options: data,
        },
        target: target.clone(),
        attributes: writable,
        recursive_attributes: Attributes::default(),
        propagation: sorted.propagation,
        plain_target: false,
        copy_up: false,
        keep: None,
    }));
    for hierarchy in &options.cgroup_mounts {
        let place = format!("{}/{}", destination.trim_end_matches('/'), hierarchy.name);
        steps.push(bind(&hierarchy.path, c_string("cgroup", &place)?)?);
        for link in &hierarchy.links {
            let path = format!("{}/{link}", destination.trim_end_matches('/'));
            let target = c_string("cgroup", &hierarchy.name)?;
            steps.push(Step::Symlink {
                target,
                path: c_string("cgroup", &path)?,
            });
        }
    }
    if sorted.attributes.set & ATTR_RDONLY != 0 {
        steps.push(Step::ReadonlyMount(target));
    }
    Ok(())
}

/// Old specs have relative destinations; they count from the root.
fn target(destination: &str) -> Result<CString, CompileError> {
    if destination.starts_with('/') {
        return c_string("mount destination", destination);
    }
    c_string("mount destination", &format!("/{destination}"))
}

fn is_bind(mount: &oci::runtime::Mount) -> bool {
    mount.kind == "bind"
        || mount
            .options
            .iter()
            .any(|option| option == "bind" || option == "rbind")
}

fn is_readonly_dev(mount: &oci::runtime::Mount) -> bool {
    same_place(&mount.destination, "/dev")
        && !is_bind(mount)
        && mount.options.iter().any(|option| option == "ro")
}

fn same_place(path: &str, other: &str) -> bool {
    let parts = |p: &str| {
        p.split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    parts(path) == parts(other)
}

fn propagation(name: &str) -> Result<Option<u64>, CompileError> {
    let (plain, recursive) = match name {
        "rprivate" | "rslave" | "rshared" | "runbindable" => (&name[1..], libc_ms::REC),
        other => (other, 0),
    };
    let kind = match plain {
        "" => return Ok(None),
        "private" => libc_ms::PRIVATE,
        "slave" => libc_ms::SLAVE,
        "shared" => libc_ms::SHARED,
        "unbindable" => libc_ms::UNBINDABLE,
        _ => {
            return Err(CompileError::Unknown {
                what: "rootfsPropagation",
                value: name.to_owned(),
            });
        }
    };
    Ok(Some(kind | recursive))
}
