//! Filters are run by a small interpreter, and libseccomp is the oracle where it is installed.
#![allow(clippy::print_stderr)] // a test that cannot run says so

mod interpreter;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use interpreter::{Data, run};
use oci::runtime::{Seccomp, SeccompAction, SeccompArch, SeccompFlag, SeccompOp, SyscallArg, SyscallRule};

use super::{Context, Error, Profile, compile, compile_for, default_profile, table};
use crate::capabilities::CapabilitySet;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

/// Docker's own file, which is not part of this repository.
fn reference() -> Option<Profile> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/reference/seccomp/default.json"
    );
    match std::fs::read(path) {
        Ok(json) => Some(Profile::parse(&json).expect("readable")),
        Err(_) => {
            eprintln!("skipped: {path} is not there");
            None
        }
    }
}

fn number(arch: SeccompArch, name: &str) -> u32 {
    table::calls(arch)
        .into_iter()
        .find(|(_, n)| *n == name)
        .expect("known call")
        .0
}

fn data(arch: SeccompArch, name: &str, args: &[u64]) -> Data {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    Data {
        number: number(arch, name),
        arch: table::audit_number(arch).expect("known"),
        args: all,
    }
}

fn rule(names: &[&str], action: SeccompAction, args: &[(u32, SeccompOp, u64, u64)]) -> SyscallRule {
    let arg = |&(index, op, value, value_two)| SyscallArg {
        index,
        value,
        value_two,
        op,
    };
    SyscallRule {
        names: names.iter().map(|n| n.to_string()).collect(),
        action,
        errno_ret: None,
        args: args.iter().map(arg).collect(),
    }
}

fn filter(default_action: SeccompAction, syscalls: Vec<SyscallRule>) -> Seccomp {
    Seccomp {
        default_action,
        syscalls,
        ..Seccomp::default()
    }
}

/// What a filter says of each call, whatever the order and grouping of its rules.
fn effect(filter: &Seccomp) -> BTreeMap<String, BTreeSet<String>> {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for rule in &filter.syscalls {
        for name in &rule.names {
            let text = format!("{:?} {:?} {:?}", rule.action, rule.errno_ret, rule.args);
            out.entry(name.clone()).or_default().insert(text);
        }
    }
    out
}

#[test]
fn the_default_profile_equals_dockers_in_every_context() {
    let Some(profile) = reference() else { return };
    let all = (1_u64 << 41) - 1;
    let single = (0..41).flat_map(|n| [1 << n, all & !(1 << n)]);
    let sets: Vec<u64> = single
        .chain([0, all, CapabilitySet::docker_default().0])
        .collect();
    use SeccompArch as A;
    for arch in [
        A::X86_64,
        A::Aarch64,
        A::Arm,
        A::X86,
        A::Riscv64,
        A::S390x,
        A::Ppc64le,
        A::Mips64,
        A::Loongarch64,
    ] {
        for kernel in [(3, 10), (4, 7), (4, 8), (4, 19), (6, 18)] {
            for bits in &sets {
                let context = Context {
                    capabilities: CapabilitySet(*bits),
                    arch,
                    kernel,
                };
                let (own, theirs) = (
                    default_profile(&context),
                    profile.resolve(&context).expect("filter"),
                );
                assert_eq!(effect(&own), effect(&theirs), "{context:?}");
                assert_eq!(own.default_action, theirs.default_action);
                assert_eq!(own.default_errno_ret, theirs.default_errno_ret);
                assert_eq!(own.architectures, theirs.architectures, "{arch:?}");
            }
        }
    }
}

#[test]
fn the_default_profile_decides_as_it_should() {
    let capabilities = CapabilitySet::docker_default();
    let context = Context {
        capabilities,
        arch: SeccompArch::X86_64,
        kernel: (6, 18),
    };
    let program = compile_for(&default_profile(&context), SeccompArch::X86_64).expect("compiles");
    let check = |arch, name, args: &[u64], expect| {
        assert_eq!(
            run(&program, &data(arch, name, args)),
            expect,
            "{arch:?} {name} {args:x?}"
        );
    };
    for arch in [SeccompArch::X86_64, SeccompArch::X86, SeccompArch::X32] {
        check(arch, "read", &[], ALLOW);
        check(arch, "mount", &[], EPERM);
        check(arch, "keyctl", &[], EPERM);
        check(arch, "clone3", &[], ENOSYS);
        check(arch, "clone", &[0x11], ALLOW);
        check(arch, "clone", &[0x1000_0011], EPERM);
        check(arch, "personality", &[0xffff_ffff], ALLOW);
        check(arch, "personality", &[0x0004_0000], EPERM);
        check(arch, "socket", &[2], ALLOW);
        check(arch, "socket", &[38], EPERM);
        check(arch, "socket", &[40], EPERM);
        check(arch, "socket", &[41], ALLOW);
    }
    check(SeccompArch::X86_64, "chroot", &[], ALLOW);
    check(SeccompArch::X86, "socketcall", &[1], ALLOW);
    // The upper half counts where arguments are wide.
    check(SeccompArch::X86_64, "socket", &[38 | 1 << 32], ALLOW);
    check(SeccompArch::X86_64, "personality", &[1 << 32], EPERM);
    // Newer than the profile.
    let unknown = Data {
        number: 900,
        ..data(SeccompArch::X86_64, "read", &[])
    };
    assert_eq!(run(&program, &unknown), ENOSYS);
    // Of an architecture that cannot be meant.
    assert_eq!(
        run(
            &program,
            &Data {
                arch: 0xc000_00b7,
                ..unknown
            }
        ),
        0
    );
}

#[test]
fn comparisons_are_of_64_bits() {
    use SeccompOp::{Eq, Ge, Gt, Le, Lt, MaskedEq, Ne};
    let values = [
        0,
        1,
        0xffff_ffff,
        1 << 32,
        (1 << 32) + 1,
        (2 << 32) + 1,
        u64::MAX,
        u64::MAX - 1,
        1 << 63,
    ];
    for op in [Eq, Ne, Lt, Le, Gt, Ge, MaskedEq] {
        for value in values {
            for other in values {
                let list = vec![rule(
                    &["read"],
                    SeccompAction::Errno,
                    &[(3, op, value, other & value)],
                )];
                let program =
                    compile_for(&filter(SeccompAction::Allow, list), SeccompArch::X86_64).expect("filter");
                for got in values {
                    let holds = match op {
                        Eq => got == value,
                        Ne => got != value,
                        Lt => got < value,
                        Le => got <= value,
                        Gt => got > value,
                        Ge => got >= value,
                        MaskedEq => got & value == other & value,
                    };
                    let expect = if holds { EPERM } else { ALLOW };
                    let result = run(&program, &data(SeccompArch::X86_64, "read", &[9, 9, 9, got]));
                    assert_eq!(result, expect, "{got:#x} {op:?} {value:#x} {other:#x}");
                }
            }
        }
    }
}

#[test]
fn every_action_has_its_value() {
    use SeccompAction as A;
    for (action, errno, expect) in [
        (A::Allow, None, ALLOW),
        (A::Errno, None, EPERM),
        (A::Errno, Some(0), 0x0005_0000),
        (A::Errno, Some(4095), 0x0005_0fff),
        (A::Kill, None, 0),
        (A::KillThread, None, 0),
        (A::KillProcess, None, 0x8000_0000),
        (A::Trap, None, 0x0003_0000),
        (A::Trace, Some(77), 0x7ff0_004d),
        (A::Log, None, 0x7ffc_0000),
        (A::Notify, None, 0x7fc0_0000),
    ] {
        let mut one = rule(&["getpid"], action, &[]);
        one.errno_ret = errno;
        let default = if action == A::Allow { A::Errno } else { A::Allow };
        let program = compile_for(&filter(default, vec![one]), SeccompArch::X86_64).expect("compiles");
        assert_eq!(
            run(&program, &data(SeccompArch::X86_64, "getpid", &[])),
            expect,
            "{action:?}"
        );
        assert_eq!(program.notifies(), action == A::Notify);
    }
}

#[test]
fn several_rules_for_a_call_mean_what_libseccomp_means() {
    use SeccompAction::{Allow, Errno, KillProcess};
    use SeccompOp::Eq;
    let check = |rules: Vec<SyscallRule>, args: &[u64], expect| {
        let program = compile_for(&filter(Errno, rules.clone()), SeccompArch::X86_64).expect("compiles");
        assert_eq!(
            run(&program, &data(SeccompArch::X86_64, "ioctl", args)),
            expect,
            "{args:?} {rules:?}"
        );
    };
    let one = |value| rule(&["ioctl"], Allow, &[(1, Eq, value, 0)]);
    check(vec![one(1), one(2)], &[0, 2], ALLOW);
    check(vec![one(1), one(2)], &[0, 3], EPERM);
    // An unconditional rule beats conditional ones, before and after.
    check(
        vec![one(1), rule(&["ioctl"], KillProcess, &[])],
        &[0, 1],
        0x8000_0000,
    );
    check(
        vec![rule(&["ioctl"], KillProcess, &[]), one(1)],
        &[0, 1],
        0x8000_0000,
    );
    // Different arguments: all of them. The same argument twice: one of them.
    let both = rule(&["ioctl"], Allow, &[(0, Eq, 7, 0), (1, Eq, 8, 0)]);
    check(vec![both.clone()], &[7, 8], ALLOW);
    check(vec![both], &[7, 9], EPERM);
    let either = rule(&["ioctl"], Allow, &[(1, Eq, 7, 0), (1, Eq, 8, 0)]);
    check(vec![either], &[0, 8], ALLOW);
}

#[test]
fn wrong_filters_are_refused() {
    use SeccompAction::{Allow, Errno, Notify};
    let check = |filter: Seccomp, expect: &str| {
        assert_eq!(compile(&filter).expect_err("refused").to_string(), expect);
    };
    let six = rule(&["read"], Errno, &[(6, SeccompOp::Eq, 0, 0)]);
    check(
        filter(Allow, vec![six]),
        "seccomp rule for read: there is no argument 6",
    );
    let mut large = rule(&["read"], Errno, &[]);
    large.errno_ret = Some(4096);
    check(
        filter(Allow, vec![large]),
        "seccomp rule for read: 4096 is no error number",
    );
    check(
        filter(Notify, vec![]),
        "SCMP_ACT_NOTIFY cannot be used as default action",
    );
    let write = rule(&["read", "write"], Notify, &[]);
    check(
        filter(Allow, vec![write]),
        "SCMP_ACT_NOTIFY cannot be used for the write syscall",
    );
    let error = compile_for(&filter(Allow, vec![]), SeccompArch::Parisc).expect_err("refused");
    assert!(matches!(error, Error::Architecture(SeccompArch::Parisc)));
}

#[test]
fn a_filter_that_is_too_long_is_refused() {
    let many = |count: u64| {
        let one = |value| rule(&["ioctl"], SeccompAction::Errno, &[(1, SeccompOp::Eq, value, 0)]);
        filter(SeccompAction::Allow, (0..count).map(one).collect())
    };
    let program = compile_for(&many(700), SeccompArch::X86_64).expect("fits");
    let ioctl = |value| data(SeccompArch::X86_64, "ioctl", &[0, value]);
    assert_eq!(
        (run(&program, &ioctl(699)), run(&program, &ioctl(700))),
        (EPERM, ALLOW)
    );
    // What lies behind a section of more than 255 instructions is reached as well.
    assert_eq!(run(&program, &data(SeccompArch::X86_64, "read", &[])), ALLOW);
    assert_eq!(run(&program, &data(SeccompArch::X86_64, "openat2", &[])), ALLOW);
    assert!(matches!(
        compile_for(&many(900), SeccompArch::X86_64),
        Err(Error::TooLong(_))
    ));
}

#[test]
fn flags_are_passed_on() {
    let mut with = filter(SeccompAction::Allow, vec![]);
    with.flags = vec![
        SeccompFlag::Tsync,
        SeccompFlag::Log,
        SeccompFlag::SpecAllow,
        SeccompFlag::WaitKillableRecv,
    ];
    assert_eq!(compile(&with).expect("compiles").flags(), 2 | 4 | 32);
}

#[test]
fn an_arm_machine_runs_programs_of_both_widths() {
    let capabilities = CapabilitySet::docker_default();
    let context = Context {
        capabilities,
        arch: SeccompArch::Aarch64,
        kernel: (6, 1),
    };
    let program = compile_for(&default_profile(&context), SeccompArch::Aarch64).expect("compiles");
    for arch in [SeccompArch::Aarch64, SeccompArch::Arm] {
        assert_eq!(run(&program, &data(arch, "read", &[])), ALLOW);
        assert_eq!(run(&program, &data(arch, "mount", &[])), EPERM);
    }
    assert_eq!(run(&program, &data(SeccompArch::Arm, "set_tls", &[])), ALLOW);
}

#[test]
fn the_default_profile_becomes_a_short_program() {
    let context = Context::native(CapabilitySet::docker_default());
    let filter = default_profile(&context);
    let start = Instant::now();
    let program = compile(&filter).expect("compiles");
    let length = program.instructions().len();
    // A figure for the reader, not a bound: a busy machine has none.
    eprintln!("compiled in {:?}, {length} instructions", start.elapsed());
    assert!(length < 1000, "{length}");
}
