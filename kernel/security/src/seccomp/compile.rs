//! From the rules of a runtime-spec to classic BPF.
//!
//! For each architecture every known call gets its outcome: a verdict, or conditions with verdicts. Neighbouring numbers
//! of equal outcome are one range, and a balanced tree of comparisons finds the range of a call: a filter of Docker's
//! size takes eight or so steps where a list takes hundreds. What several rules for one call mean together is
//! libseccomp's reading, as the profiles of the world are written for it: an unconditional rule beats all conditional
//! ones, and the first of its kind counts.

use std::collections::HashMap;

use linux::seccomp::{FLAG_LOG, FLAG_SPEC_ALLOW, FLAG_WAIT_KILLABLE_RECV, Instruction};
use oci::runtime::{Seccomp, SeccompAction, SeccompArch, SeccompFlag, SeccompOp, SyscallArg, SyscallRule};

use super::condition::{JUMP, JUMP_EQ, JUMP_GE, LOAD, RETURN, block, instruction};
use super::{Error, Program, profile, table};

/// Most instructions that the kernel takes, BPF_MAXINSNS.
const MOST: usize = 4096;
const KILL_THREAD: u32 = 0;
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const ENOSYS: u32 = 38;
const EPERM: u32 = 1;

/// Compiles a filter for the architecture that this program was built for, and those the filter names.
///
/// Calls of architectures that it does not name are killed, as libseccomp does. Calls newer than every call that the
/// filter names fail with ENOSYS where they would fail with another error, as runc does, so that programs fall back.
pub fn compile(filter: &Seccomp) -> Result<Program, Error> {
    compile_for(filter, profile::NATIVE)
}

/// [`compile`] for a kernel of another architecture.
pub fn compile_for(filter: &Seccomp, native: SeccompArch) -> Result<Program, Error> {
    if table::audit_number(native).is_none() {
        return Err(Error::Architecture(native));
    }
    if filter.default_action == SeccompAction::Notify {
        return Err(Error::NotifyByDefault);
    }
    let default = verdict(
        filter.default_action,
        filter.default_errno_ret,
        "the default action",
    )?;
    let rules = Rules::of(filter, default)?;
    // Architectures that this kernel cannot run need no code: their calls cannot come.
    let named = |arch: SeccompArch| filter.architectures.contains(&arch) && table::can_run(native, arch);
    let section = |arch: SeccompArch| rules.section(arch, default);

    let mut sections = Vec::new();
    let x32 = if named(SeccompArch::X32) {
        section(SeccompArch::X32)
    } else {
        kill()
    };
    let mut own = section(native);
    if native == SeccompArch::X86_64 {
        // Both kinds of call have the same audit number; the bit tells them apart.
        own = branch(table::X32_BIT, own, x32);
    }
    sections.push((native, own));
    for arch in [SeccompArch::X86, SeccompArch::Arm] {
        if arch != native && named(arch) {
            sections.push((arch, section(arch)));
        }
    }
    let instructions = assemble(sections);
    if instructions.len() > MOST {
        return Err(Error::TooLong(instructions.len()));
    }
    Ok(Program {
        instructions,
        flags: flags(&filter.flags),
        notifies: rules.notifies,
    })
}

fn flags(flags: &[SeccompFlag]) -> u64 {
    let bit = |flag: &SeccompFlag| match flag {
        SeccompFlag::Tsync => 0,
        SeccompFlag::Log => FLAG_LOG,
        SeccompFlag::SpecAllow => FLAG_SPEC_ALLOW,
        SeccompFlag::WaitKillableRecv => FLAG_WAIT_KILLABLE_RECV,
    };
    flags.iter().map(bit).fold(0, |all, bit| all | bit)
}

/// The value that the filter returns for an action, `SECCOMP_RET_*`.
pub(super) fn verdict(action: SeccompAction, errno: Option<u32>, call: &str) -> Result<u32, Error> {
    let wrong = |value| Error::Errno {
        call: call.to_owned(),
        value,
    };
    let errno = errno.unwrap_or(EPERM);
    Ok(match action {
        SeccompAction::Kill | SeccompAction::KillThread => KILL_THREAD,
        SeccompAction::KillProcess => 0x8000_0000,
        SeccompAction::Trap => 0x0003_0000,
        // Above MAX_ERRNO the kernel would cut it down silently.
        SeccompAction::Errno if errno > 4095 => return Err(wrong(errno)),
        SeccompAction::Errno => ERRNO | errno,
        SeccompAction::Trace if errno > 0xffff => return Err(wrong(errno)),
        SeccompAction::Trace => 0x7ff0_0000 | errno,
        SeccompAction::Log => 0x7ffc_0000,
        SeccompAction::Allow => ALLOW,
        SeccompAction::Notify => 0x7fc0_0000,
    })
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Verdict(u32),
    /// The first list of conditions that holds decides, else the default.
    Conditions(Vec<(Vec<SyscallArg>, u32)>),
}

impl Outcome {
    /// Adds a rule behind those that are there.
    fn add(&mut self, conditions: Vec<SyscallArg>, verdict: u32) {
        match self {
            Outcome::Verdict(_) => {}
            Outcome::Conditions(_) if conditions.is_empty() => *self = Outcome::Verdict(verdict),
            Outcome::Conditions(list) => list.push((conditions, verdict)),
        }
    }
}

/// The rules by name of the call.
struct Rules<'a> {
    /// Every name in the filter, also of rules that say no more than the default.
    by_name: HashMap<&'a str, Outcome>,
    /// Whether any call goes to a listener.
    notifies: bool,
}

impl<'a> Rules<'a> {
    fn of(filter: &'a Seccomp, default: u32) -> Result<Rules<'a>, Error> {
        let mut rules = Rules {
            by_name: HashMap::new(),
            notifies: false,
        };
        for rule in &filter.syscalls {
            rules.take(rule, default)?;
        }
        Ok(rules)
    }

    fn take(&mut self, rule: &'a SyscallRule, default: u32) -> Result<(), Error> {
        let first = rule.names.first().map_or("(no call)", String::as_str);
        let verdict = verdict(rule.action, rule.errno_ret, first)?;
        if let Some(arg) = rule.args.iter().find(|arg| arg.index > 5) {
            return Err(Error::Argument {
                call: first.to_owned(),
                index: arg.index,
            });
        }
        if rule.action == SeccompAction::Notify {
            if rule.names.iter().any(|name| name == "write") {
                return Err(Error::NotifyWrite);
            }
            self.notifies |= !rule.names.is_empty();
        }
        for name in &rule.names {
            let outcome = self
                .by_name
                .entry(name)
                .or_insert(Outcome::Conditions(Vec::new()));
            if verdict != default {
                alternatives(&rule.args)
                    .into_iter()
                    .for_each(|list| outcome.add(list, verdict));
            }
        }
        Ok(())
    }

    /// The code for the calls of one architecture; the call's number is loaded already.
    fn section(&self, arch: SeccompArch, default: u32) -> Vec<Instruction> {
        let mut outcomes: Vec<(u32, Outcome)> = Vec::new();
        let mut shared: HashMap<&str, Outcome> = HashMap::new();
        let calls = table::calls(arch);
        for (number, name) in &calls {
            let Some(outcome) = self.by_name.get(name) else {
                continue;
            };
            outcomes.push((*number, outcome.clone()));
        }
        if arch == SeccompArch::X86 {
            self.multiplex(&mut shared);
            for (number, name) in &calls {
                let Some(outcome) = shared.remove(name) else {
                    continue;
                };
                match outcomes.binary_search_by_key(number, |(n, _)| *n) {
                    Ok(at) => outcomes[at].1 = outcome,
                    Err(at) => outcomes.insert(at, (*number, outcome)),
                }
            }
        }
        let newest = outcomes.last().map(|(number, _)| *number);
        let mut ranges = vec![(0, Outcome::Verdict(default))];
        for (number, outcome) in outcomes {
            let outcome = match outcome {
                Outcome::Conditions(list) if list.is_empty() => Outcome::Verdict(default),
                other => other,
            };
            put(&mut ranges, number, outcome, default);
        }
        // An errno by default, but for calls that the author of the filter could not know.
        if let Some(newest) = newest.filter(|_| default & 0xffff_0000 == ERRNO && default != ERRNO | ENOSYS) {
            put_from(&mut ranges, newest + 1, Outcome::Verdict(ERRNO | ENOSYS));
        }
        tree(&ranges, table::is_wide(arch), default)
    }

    /// Rules for `socketcall` and `ipc` that follow from those for the calls that they carry.
    fn multiplex(&self, shared: &mut HashMap<&str, Outcome>) {
        // By number, so that equal filters give equal programs.
        let mut carried: Vec<_> = self
            .by_name
            .iter()
            .filter_map(|(name, outcome)| {
                let (carrier, number) = table::multiplexed(SeccompArch::X86, name)?;
                Some((carrier, number, outcome))
            })
            .collect();
        carried.sort_unstable_by_key(|(carrier, number, _)| (*carrier, *number));
        for (carrier, number, outcome) in carried {
            let start = || {
                self.by_name
                    .get(carrier)
                    .cloned()
                    .unwrap_or(Outcome::Conditions(Vec::new()))
            };
            let target = shared.entry(carrier).or_insert_with(start);
            let which = SyscallArg {
                index: 0,
                value: u64::from(number),
                value_two: 0,
                op: SeccompOp::Eq,
            };
            match outcome {
                Outcome::Verdict(verdict) => target.add(vec![which], *verdict),
                Outcome::Conditions(list) => list.iter().for_each(|(conditions, verdict)| {
                    // The first argument is taken by the selector, and the others lie in memory: libseccomp, too,
                    // keeps only conditions on the remaining registers.
                    let rest = conditions.iter().filter(|c| c.index != 0).cloned();
                    target.add(std::iter::once(which.clone()).chain(rest).collect(), *verdict);
                }),
            }
        }
    }
}

/// Conditions of one rule must all hold, but two on the same argument mean "one of them", as in runc and crun.
fn alternatives(args: &[SyscallArg]) -> Vec<Vec<SyscallArg>> {
    let repeated = args
        .iter()
        .enumerate()
        .any(|(at, arg)| args[..at].iter().any(|a| a.index == arg.index));
    if repeated {
        args.iter().map(|arg| vec![arg.clone()]).collect()
    } else {
        vec![args.to_vec()]
    }
}

/// Gives one number its outcome; numbers come in ascending order, each range reaches to the next one's start.
fn put(ranges: &mut Vec<(u32, Outcome)>, number: u32, outcome: Outcome, default: u32) {
    put_from(ranges, number, outcome);
    put_from(ranges, number + 1, Outcome::Verdict(default));
}

/// Gives all numbers from `start` on an outcome.
fn put_from(ranges: &mut Vec<(u32, Outcome)>, start: u32, outcome: Outcome) {
    if ranges.last().is_some_and(|(at, _)| *at == start) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|(_, last)| *last != outcome) {
        ranges.push((start, outcome));
    }
}

/// A balanced tree over the ranges; each leaf ends with a verdict.
fn tree(ranges: &[(u32, Outcome)], wide: bool, default: u32) -> Vec<Instruction> {
    match ranges {
        [] => vec![instruction(RETURN, 0, 0, default)],
        [(_, Outcome::Verdict(verdict))] => vec![instruction(RETURN, 0, 0, *verdict)],
        [(_, Outcome::Conditions(list))] => {
            let blocks = list
                .iter()
                .flat_map(|(conditions, verdict)| block(conditions, wide, *verdict));
            blocks.chain([instruction(RETURN, 0, 0, default)]).collect()
        }
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            branch(high[0].0, tree(low, wide, default), tree(high, wide, default))
        }
    }
}

/// `high` for calls from `number` on, else `low`. Jumps on a condition reach 255 steps; beyond, a plain jump helps out.
fn branch(number: u32, low: Vec<Instruction>, high: Vec<Instruction>) -> Vec<Instruction> {
    far_branch(JUMP_GE, number, high, low)
}

fn far_branch(code: u16, k: u32, yes: Vec<Instruction>, no: Vec<Instruction>) -> Vec<Instruction> {
    let mut out = Vec::with_capacity(yes.len() + no.len() + 2);
    match u8::try_from(no.len()) {
        Ok(distance) => out.push(instruction(code, distance, 0, k)),
        Err(_) => {
            out.push(instruction(code, 0, 1, k));
            out.push(instruction(JUMP, 0, 0, no.len() as u32));
        }
    }
    out.extend(no);
    out.extend(yes);
    out
}

fn kill() -> Vec<Instruction> {
    vec![instruction(RETURN, 0, 0, KILL_THREAD)]
}

/// Puts the sections behind a choice by architecture.
fn assemble(sections: Vec<(SeccompArch, Vec<Instruction>)>) -> Vec<Instruction> {
    let mut rest = kill();
    for (arch, code) in sections.into_iter().rev() {
        let number = table::audit_number(arch).unwrap_or_default();
        // `struct seccomp_data`: the call's number at 0, the architecture at 4.
        let body: Vec<_> = std::iter::once(instruction(LOAD, 0, 0, 0)).chain(code).collect();
        rest = far_branch(JUMP_EQ, number, body, rest);
    }
    std::iter::once(instruction(LOAD, 0, 0, 4)).chain(rest).collect()
}
