//! Seccomp profiles: the compiled program against a plain reading of the rules.

use std::collections::HashMap;

use linux::seccomp::Instruction;
use oci::runtime::{Seccomp, SeccompAction, SeccompArch, SeccompOp, SyscallArg};
use security::capabilities::CapabilitySet;
use security::seccomp::{Context, Profile, compile_for};
use syscalls::x86_64::Sysno;

/// `AUDIT_ARCH_X86_64`.
const AUDIT: u32 = 0xc000_003e;
/// Numbers of x32's calls have this bit.
const X32: u32 = 0x4000_0000;

/// Takes the bytes for a profile of Docker's, then for a filter of the runtime-spec.
pub(crate) fn run(data: &[u8]) {
    let context = Context {
        capabilities: CapabilitySet::docker_default(),
        arch: SeccompArch::X86_64,
        kernel: (6, 1),
    };
    if let Ok(profile) = Profile::parse(data)
        && let Some(filter) = profile.resolve(&context)
    {
        compare(&filter);
    }
    if let Ok(filter) = serde_json::from_slice::<Seccomp>(data) {
        compare(&filter);
    }
}

fn compare(filter: &Seccomp) {
    for native in [SeccompArch::Aarch64, SeccompArch::X86] {
        if let Ok(program) = compile_for(filter, native) {
            verify(program.instructions());
        }
    }
    let program = match compile_for(filter, SeccompArch::X86_64) {
        Ok(program) => program,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "one line: {error}");
            return;
        }
    };
    let second = compile_for(filter, SeccompArch::X86_64).expect("compiled before");
    assert_eq!(program, second, "deterministic");
    if let Some(bytes) = program.to_bytes() {
        let back = security::seccomp::Program::from_bytes(&bytes).expect("whole");
        assert_eq!(back, program, "what another process gets");
    }
    verify(program.instructions());
    let plain = Plain::of(filter);
    let values = interesting(filter);
    for call in Sysno::iter() {
        let number = u32::try_from(call.id()).expect("numbers are small");
        let rules = plain.rules.get(call.name());
        // Arguments matter only to calls with conditions.
        let tries: &[u64] = if rules.is_some() { &values } else { &values[..1] };
        for (turn, value) in tries.iter().enumerate() {
            let args = std::array::from_fn(|at| {
                // All alike, and then one that differs from the others.
                if turn % 2 == 0 || at == turn % 6 {
                    *value
                } else {
                    tries[(turn + at) % tries.len()]
                }
            });
            let expect = plain.judge(number, rules, &args);
            let found = interpret(program.instructions(), number, AUDIT, &args);
            assert_eq!(found, expect, "{} ({number}) {args:x?}", call.name());
        }
    }
    assert_eq!(
        interpret(program.instructions(), 0, 0x1234, &[0; 6]),
        0,
        "calls of an architecture that nobody named are killed"
    );
}

/// What the kernel checks before it takes a program (`seccomp_check_filter`, `bpf_check_classic`).
pub(crate) fn verify(program: &[Instruction]) {
    assert!((1..=4096).contains(&program.len()), "{}", program.len());
    for (at, i) in program.iter().enumerate() {
        let left = program.len() - at - 1;
        match i.code {
            0x20 => assert!(i.k.is_multiple_of(4) && i.k < 64, "load from {}", i.k),
            0x54 | 0x06 => {}
            0x05 => assert!((i.k as usize) < left, "jump out at {at}"),
            0x15 | 0x25 | 0x35 => {
                assert!(usize::from(i.jt.max(i.jf)) < left, "jump out at {at}");
            }
            other => panic!("operation {other:#x}"),
        }
    }
    assert_eq!(
        program.last().map(|i| i.code),
        Some(0x06),
        "it ends with a verdict"
    );
}

fn interpret(program: &[Instruction], number: u32, arch: u32, args: &[u64; 6]) -> u32 {
    let word = |offset: u32| match offset {
        0 => number,
        4 => arch,
        8 | 12 => 0,
        _ => {
            let arg = args[(offset as usize - 16) / 8];
            (if offset.is_multiple_of(8) { arg } else { arg >> 32 }) as u32
        }
    };
    let (mut at, mut a) = (0, 0);
    loop {
        let i = program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { i.jt } else { i.jf });
        match i.code {
            0x20 => a = word(i.k),
            0x54 => a &= i.k,
            0x05 => at += i.k as usize,
            0x15 => at += jump(a == i.k),
            0x25 => at += jump(a > i.k),
            0x35 => at += jump(a >= i.k),
            _ => return i.k,
        }
    }
}

/// Rules as their text reads: an unconditional one beats all others, the first that holds counts.
struct Plain<'a> {
    default: u32,
    /// Conditions (none: unconditional) and verdicts, by name of the call; also of names whose rules say nothing new.
    rules: HashMap<&'a str, Vec<(Vec<SyscallArg>, u32)>>,
    newest: Option<u32>,
}

impl<'a> Plain<'a> {
    fn of(filter: &'a Seccomp) -> Self {
        let default = verdict(filter.default_action, filter.default_errno_ret);
        let mut rules: HashMap<&str, Vec<_>> = HashMap::new();
        for rule in &filter.syscalls {
            let verdict = verdict(rule.action, rule.errno_ret);
            for name in &rule.names {
                let list = rules.entry(name).or_default();
                if verdict == default {
                    continue;
                }
                let mut seen = rule.args.iter().map(|arg| arg.index).collect::<Vec<_>>();
                seen.sort_unstable();
                seen.dedup();
                // Two conditions on one argument mean that one of all must hold, as runc reads it.
                if seen.len() < rule.args.len() {
                    list.extend(rule.args.iter().map(|arg| (vec![arg.clone()], verdict)));
                } else {
                    list.push((rule.args.clone(), verdict));
                }
            }
        }
        let known = Sysno::iter().filter(|call| rules.contains_key(call.name()));
        let newest = known.map(|call| call.id() as u32).max();
        Self {
            default,
            rules,
            newest,
        }
    }

    fn judge(&self, number: u32, rules: Option<&Vec<(Vec<SyscallArg>, u32)>>, args: &[u64; 6]) -> u32 {
        assert!(number < X32);
        let list = rules.map(Vec::as_slice).unwrap_or_default();
        let always = list.iter().find(|(conditions, _)| conditions.is_empty());
        let holds = |conditions: &[SyscallArg]| conditions.iter().all(|c| met(c, args));
        let first = always.or_else(|| list.iter().find(|(conditions, _)| holds(conditions)));
        match first {
            Some((_, verdict)) => *verdict,
            // A call that the author could not know fails with ENOSYS where it would fail.
            None if self.default >> 16 == 5 && self.newest.is_some_and(|newest| number > newest) => {
                0x0005_0026
            }
            None => self.default,
        }
    }
}

fn met(condition: &SyscallArg, args: &[u64; 6]) -> bool {
    let (arg, value) = (args[condition.index as usize], condition.value);
    match condition.op {
        SeccompOp::Ne => arg != value,
        SeccompOp::Lt => arg < value,
        SeccompOp::Le => arg <= value,
        SeccompOp::Eq => arg == value,
        SeccompOp::Ge => arg >= value,
        SeccompOp::Gt => arg > value,
        SeccompOp::MaskedEq => arg & value == condition.value_two,
    }
}

/// `SECCOMP_RET_*`, seccomp(2).
fn verdict(action: SeccompAction, errno: Option<u32>) -> u32 {
    let errno = errno.unwrap_or(1);
    match action {
        SeccompAction::Kill | SeccompAction::KillThread => 0,
        SeccompAction::KillProcess => 0x8000_0000,
        SeccompAction::Trap => 0x0003_0000,
        SeccompAction::Errno => 0x0005_0000 | errno,
        SeccompAction::Trace => 0x7ff0_0000 | errno,
        SeccompAction::Log => 0x7ffc_0000,
        SeccompAction::Allow => 0x7fff_0000,
        SeccompAction::Notify => 0x7fc0_0000,
    }
}

/// Values at which comparisons change their answer.
fn interesting(filter: &Seccomp) -> Vec<u64> {
    let mut values = vec![0, u64::MAX, 1 << 32, 0xffff_ffff];
    for arg in filter.syscalls.iter().flat_map(|rule| &rule.args).take(8) {
        for value in [arg.value, arg.value_two] {
            values.extend([
                value,
                value.wrapping_add(1),
                value.wrapping_sub(1),
                value ^ 1 << 33,
                value | !arg.value,
            ]);
        }
    }
    values.sort_unstable();
    values.dedup();
    values
}
