//! The process itself: limits, labels, user, capabilities, filter, program.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{CStr, CString};

use linux::caps::Sets;
use linux::process::{CStringArray, Scheduler};
use oci::runtime::{Linux, Process, Seccomp};
use security::capabilities::CapabilitySet;

use super::{CompileError, Options, absolute, c_string};
use crate::program::{Filter, Program, Step};

/// Where programs are looked for when the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Adds the steps from the limits to the execution.
pub(super) fn compile(
    process: &Process,
    seccomp: Option<&Seccomp>,
    options: &Options,
    program: &mut Program,
) -> Result<(), CompileError> {
    let steps = &mut program.steps;
    labels(process, options, steps)?;
    let cwd = absolute("cwd", &process.cwd)?;
    steps.push(Step::Directory {
        path: cwd.clone(),
        last: false,
    });
    limits(process, steps)?;
    steps.push(Step::OwnStreams(process.user.uid));
    steps.push(Step::Umask(process.user.umask.unwrap_or(0o022)));
    let filter = match (&options.filter, seccomp) {
        (Some(compiled), _) => Some(filter(compiled)),
        (None, Some(profile)) => Some(filter(&security::seccomp::compile(profile)?)),
        (None, None) => None,
    };
    let (early, late) = if process.no_new_privileges {
        (None, filter)
    } else {
        (filter, None)
    };
    if process.no_new_privileges {
        steps.push(Step::NoNewPrivileges);
    }
    // Both need no_new_privs or CAP_SYS_ADMIN, which is about to go; a filter may forbid Landlock's calls.
    landlock(options, steps)?;
    steps.extend(early);
    identity(process, options, steps, &mut program.warnings);
    steps.push(Step::Directory {
        path: cwd,
        last: true,
    });
    steps.push(find(process, options.program.as_ref())?);
    steps.push(Step::CloseFrom(
        3 + i32::try_from(options.preserve_fds).unwrap_or(i32::MAX - 3),
    ));
    steps.extend(late);
    steps.push(Step::AwaitStart);
    steps.push(Step::Execute);
    program.arguments = c_strings("args", &process.args)?;
    let mut environment = without_doubles(&process.env);
    if !environment.iter().any(|variable| variable.starts_with("HOME=")) {
        environment.push(format!("HOME={}", options.home.as_deref().unwrap_or("/")));
    }
    program.environment = c_strings("env", &environment)?;
    Ok(())
}

/// Of several values of a variable the last counts, as with runc: a program would see the first.
fn without_doubles(variables: &[String]) -> Vec<String> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut kept: Vec<String> = Vec::with_capacity(variables.len());
    for variable in variables {
        let name = variable.split('=').next().unwrap_or_default();
        match places.entry(name) {
            Entry::Occupied(place) => kept[*place.get()].clone_from(variable),
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(variable.clone());
            }
        }
    }
    kept
}

/// Leaves the process the files of the rules.
fn landlock(options: &Options, steps: &mut Vec<Step>) -> Result<(), CompileError> {
    let Some((rules, version)) = &options.landlock else {
        return Ok(());
    };
    steps.push(Step::NewRuleset(security::landlock::handled(*version)));
    for (path, rights) in rules.allowed(*version) {
        let path = absolute("annotation io.github.dhow.landlock", path)?;
        steps.push(Step::Allow { path, rights });
    }
    steps.push(Step::Restrict);
    Ok(())
}

fn c_strings(what: &'static str, list: &[String]) -> Result<CStringArray, CompileError> {
    let strings: Result<Vec<_>, _> = list.iter().map(|text| c_string(what, text)).collect();
    strings.map(CStringArray::new)
}

fn labels(process: &Process, options: &Options, steps: &mut Vec<Step>) -> Result<(), CompileError> {
    if let Some(score) = process.oom_score_adj {
        if !(-1000..=1000).contains(&score) {
            return Err(CompileError::Unknown {
                what: "oomScoreAdj",
                value: score.to_string(),
            });
        }
        steps.push(Step::WriteSelf {
            path: c"oom_score_adj".to_owned(),
            fallback: None,
            value: score.to_string().into_bytes(),
            optional: true,
        });
    }
    // Without the module in the kernel, a label has no meaning: Docker passes none then.
    if !process.apparmor_profile.is_empty() && process.apparmor_profile != "unconfined" {
        steps.push(Step::WriteSelf {
            path: c"attr/apparmor/exec".to_owned(),
            fallback: Some(c"attr/exec".to_owned()),
            value: format!("exec {}", process.apparmor_profile).into_bytes(),
            optional: false,
        });
    }
    steps.extend(label(process, c"attr/exec", options)?);
    Ok(())
}

/// The step that tells the kernel the process's SELinux label, if it has one: for the program that it executes
/// (`attr/exec`), or for keys that it makes (`attr/keycreate`).
pub(super) fn label(process: &Process, file: &CStr, options: &Options) -> Result<Option<Step>, CompileError> {
    if process.selinux_label.is_empty() {
        return Ok(None);
    }
    if !options.selinux {
        return Err(CompileError::NoSelinux("process.selinuxLabel"));
    }
    Ok(Some(Step::WriteSelf {
        path: file.to_owned(),
        fallback: None,
        value: c_string("selinuxLabel", &process.selinux_label)?.into_bytes(),
        optional: false,
    }))
}

fn limits(process: &Process, steps: &mut Vec<Step>) -> Result<(), CompileError> {
    for limit in &process.rlimits {
        let unknown = || CompileError::Unknown {
            what: "rlimit type",
            value: limit.kind.clone(),
        };
        let resource = linux::rlimit::by_name(&limit.kind).ok_or_else(unknown)?;
        steps.push(Step::Limit {
            resource,
            name: limit.kind.clone(),
            soft: limit.soft,
            hard: limit.hard,
        });
    }
    if let Some(scheduler) = &process.scheduler {
        steps.push(Step::Schedule(schedule(scheduler)?));
    }
    if let Some(io) = &process.io_priority {
        let class = match io.class.as_str() {
            "IOPRIO_CLASS_RT" => 1,
            "IOPRIO_CLASS_BE" => 2,
            "IOPRIO_CLASS_IDLE" => 3,
            _ => {
                return Err(CompileError::Unknown {
                    what: "ioPriority class",
                    value: io.class.clone(),
                });
            }
        };
        steps.push(Step::IoPriority {
            class,
            level: io.priority.min(7),
        });
    }
    Ok(())
}

fn schedule(scheduler: &oci::runtime::Scheduler) -> Result<Scheduler, CompileError> {
    const POLICIES: &[(&str, u32)] = &[
        ("SCHED_OTHER", 0),
        ("SCHED_FIFO", 1),
        ("SCHED_RR", 2),
        ("SCHED_BATCH", 3),
        ("SCHED_ISO", 4),
        ("SCHED_IDLE", 5),
        ("SCHED_DEADLINE", 6),
    ];
    const FLAGS: &[(&str, u64)] = &[
        ("SCHED_FLAG_RESET_ON_FORK", 1),
        ("SCHED_FLAG_RECLAIM", 2),
        ("SCHED_FLAG_DL_OVERRUN", 4),
        ("SCHED_FLAG_KEEP_POLICY", 8),
        ("SCHED_FLAG_KEEP_PARAMS", 16),
        ("SCHED_FLAG_UTIL_CLAMP_MIN", 32),
        ("SCHED_FLAG_UTIL_CLAMP_MAX", 64),
    ];
    let policy = POLICIES.iter().find(|(name, _)| *name == scheduler.policy);
    let unknown = |what, value: &str| CompileError::Unknown {
        what,
        value: value.to_owned(),
    };
    let policy = policy
        .ok_or_else(|| unknown("scheduler policy", &scheduler.policy))?
        .1;
    let mut flags = 0;
    for flag in &scheduler.flags {
        flags |= FLAGS
            .iter()
            .find(|(name, _)| name == flag)
            .ok_or_else(|| unknown("scheduler flag", flag))?
            .1;
    }
    Ok(Scheduler {
        policy,
        flags,
        nice: scheduler.nice.unwrap_or(0),
        priority: u32::try_from(scheduler.priority.unwrap_or(0)).unwrap_or(0),
        runtime: scheduler.runtime.unwrap_or(0),
        deadline: scheduler.deadline.unwrap_or(0),
        period: scheduler.period.unwrap_or(0),
    })
}

fn identity(process: &Process, options: &Options, steps: &mut Vec<Step>, warnings: &mut Vec<String>) {
    let available = options.available_capabilities;
    let default = oci::runtime::Capabilities::default();
    let capabilities = process.capabilities.as_ref().unwrap_or(&default);
    let mut unknown = std::collections::BTreeSet::new();
    // One that is not known cannot be given, and that is no error (config.md, "Linux Process").
    let mut set = |names: &[String]| {
        let each = names.iter().filter_map(|name| {
            let known = CapabilitySet::from_names(std::slice::from_ref(name)).ok();
            if known.is_none() {
                unknown.insert(name.clone());
            }
            known
        });
        each.fold(0, |all, one| all | one.0) & available
    };
    // From here on it has no more rights than the container's processes. A caller without rights must be able to enter it.
    if options.may_mount {
        steps.push(Step::Hide);
    }
    steps.push(Step::Bounding(set(&capabilities.bounding)));
    steps.push(Step::Become {
        uid: process.user.uid,
        gid: process.user.gid,
        groups: process.user.additional_gids.clone(),
        set_groups: true,
    });
    let permitted = set(&capabilities.permitted);
    let inheritable = set(&capabilities.inheritable);
    steps.push(Step::Capabilities {
        sets: Sets {
            effective: set(&capabilities.effective) & permitted,
            permitted,
            inheritable,
        },
        // The kernel refuses an ambient capability that is not in both of the others; runc leaves it out as well.
        ambient: set(&capabilities.ambient) & permitted & inheritable,
    });
    if !unknown.is_empty() {
        let names = Vec::from_iter(unknown).join(", ");
        warnings.push(format!("ignoring unknown or unavailable capabilities: [{names}]"));
    }
}

fn filter(program: &security::seccomp::Program) -> Step {
    Step::Filter(Filter {
        instructions: program.instructions().to_vec(),
        // A filter for one thread needs no synchronisation with others; with a listener the kernel refuses it.
        flags: program.flags(),
        notifies: program.notifies(),
    })
}

/// The paths to try, as `execvp` would: a name with a slash is a path, any other is looked for in PATH.
fn find(process: &Process, program: Option<&String>) -> Result<Step, CompileError> {
    let name = program
        .or(process.args.first())
        .ok_or(CompileError::NoArguments)?;
    if name.contains('/') {
        let candidates = vec![c_string("args", name)?];
        return Ok(Step::Find {
            name: name.clone(),
            candidates,
            searched: false,
        });
    }
    let path = process
        .env
        .iter()
        .rev()
        .find_map(|variable| variable.strip_prefix("PATH="))
        .unwrap_or(DEFAULT_PATH);
    let mut candidates: Vec<CString> = Vec::new();
    // An empty entry means the working directory to a shell, but a container's program is never taken from there.
    for directory in path.split(':').filter(|d| !d.is_empty() && !name.is_empty()) {
        let slash = if directory.ends_with('/') { "" } else { "/" };
        candidates.push(c_string("args", &format!("{directory}{slash}{name}"))?);
    }
    Ok(Step::Find {
        name: name.clone(),
        candidates,
        searched: true,
    })
}

/// NUMA policies of set_mempolicy(2).
const POLICY_MODES: &[(&str, i32)] = &[
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

const POLICY_FLAGS: &[(&str, i32)] = &[
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

/// Names of the NUMA policies, for `features`.
pub(crate) fn memory_policy_modes() -> Vec<&'static str> {
    POLICY_MODES.iter().map(|(name, _)| *name).collect()
}

/// Names of their flags.
pub(crate) fn memory_policy_flags() -> Vec<&'static str> {
    POLICY_FLAGS.iter().map(|(name, _)| *name).collect()
}

/// Execution domain and NUMA policy, which the spec has beside the process.
pub(super) fn domain(linux: &Linux, steps: &mut Vec<Step>) -> Result<(), CompileError> {
    let unknown = |what, value: &str| CompileError::Unknown {
        what,
        value: value.to_owned(),
    };
    if let Some(personality) = &linux.personality {
        if let Some(flag) = personality.flags.first() {
            return Err(unknown("personality flag", flag));
        }
        steps.push(Step::Personality(match personality.domain.as_str() {
            "LINUX" => 0,
            "LINUX32" => 8,
            other => return Err(unknown("personality domain", other)),
        }));
    }
    if let Some(policy) = &linux.memory_policy {
        let find = |list: &[(&str, i32)], name: &str| {
            list.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, bits)| *bits)
        };
        let mut mode =
            find(POLICY_MODES, &policy.mode).ok_or_else(|| unknown("memory policy mode", &policy.mode))?;
        for flag in &policy.flags {
            mode |= find(POLICY_FLAGS, flag).ok_or_else(|| unknown("memory policy flag", flag))?;
        }
        let nodes = numbers(&policy.nodes).ok_or_else(|| unknown("memory policy nodes", &policy.nodes))?;
        steps.push(Step::MemoryPolicy { mode, nodes });
    }
    Ok(())
}

/// The bit mask of a list of numbers below 1024 such as `0-3,8`.
pub(super) fn numbers(list: &str) -> Option<Vec<u64>> {
    let mut mask = Vec::new();
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= 1024 {
            return None;
        }
        mask.resize(mask.len().max(last / 64 + 1), 0);
        for node in first..=last {
            mask[node / 64] |= 1 << (node % 64);
        }
    }
    Some(mask)
}
