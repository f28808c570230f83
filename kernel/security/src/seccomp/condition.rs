//! Conditions on arguments: 64-bit comparisons on a machine that loads 32 bits at a time.

use linux::seccomp::Instruction;
use oci::runtime::{SeccompOp, SyscallArg};

/// Loads a word of `struct seccomp_data`.
pub(super) const LOAD: u16 = 0x20;
/// Jump if equal, greater, greater or equal; the comparisons are unsigned.
pub(super) const JUMP_EQ: u16 = 0x15;
const JUMP_GT: u16 = 0x25;
pub(super) const JUMP_GE: u16 = 0x35;
/// Jump always.
pub(super) const JUMP: u16 = 0x05;
const AND: u16 = 0x54;
/// The verdict.
pub(super) const RETURN: u16 = 0x06;

pub(super) fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// Where a comparison goes on.
#[derive(Clone, Copy)]
enum Go {
    /// To the next instruction.
    On,
    /// Past the comparison: it holds.
    Holds,
    /// To the next rule: it does not.
    Fails,
}

/// One step with symbolic targets.
enum Step {
    Load(u32),
    And(u32),
    Test(u16, u32, Go, Go),
}

/// A block that gives `verdict` if all conditions hold and otherwise goes on behind its end.
///
/// `wide`: the architecture's arguments have 64 bits; of narrow ones only the low half counts, as in libseccomp.
pub(super) fn block(conditions: &[SyscallArg], wide: bool, verdict: u32) -> Vec<Instruction> {
    let parts: Vec<Vec<Step>> = conditions.iter().map(|c| steps(c, wide)).collect();
    let end = parts.iter().map(Vec::len).sum::<usize>() + 1;
    let mut out = Vec::with_capacity(end);
    let mut after = 0;
    for part in parts {
        after += part.len();
        for step in part {
            // At most six conditions of six steps each: every distance fits in the eight bits of a jump.
            let here = out.len() + 1;
            let distance = |go| match go {
                Go::On => 0,
                Go::Holds => (after - here) as u8,
                Go::Fails => (end - here) as u8,
            };
            out.push(match step {
                Step::Load(at) => instruction(LOAD, 0, 0, at),
                Step::And(mask) => instruction(AND, 0, 0, mask),
                Step::Test(code, k, yes, no) => instruction(code, distance(yes), distance(no), k),
            });
        }
    }
    out.push(instruction(RETURN, 0, 0, verdict));
    out
}

fn steps(condition: &SyscallArg, wide: bool) -> Vec<Step> {
    use Go::{Fails, Holds, On};
    let high = |value: u64| (value >> 32) as u32;
    let low = |value: u64| value as u32;
    // The arguments begin at byte 16; little endian, as all supported architectures are.
    let at = 16 + 8 * condition.index;
    let value = condition.value;
    let mut out = Vec::with_capacity(6);
    // `differs` says what an unequal high half decides; equal halves leave it to the low ones.
    let mut upper = |tests: &[(u16, Go, Go)]| {
        if wide {
            out.push(Step::Load(at + 4));
            out.extend(
                tests
                    .iter()
                    .map(|(code, yes, no)| Step::Test(*code, high(value), *yes, *no)),
            );
        }
        out.push(Step::Load(at));
    };
    match condition.op {
        SeccompOp::Eq => {
            upper(&[(JUMP_EQ, On, Fails)]);
            out.push(Step::Test(JUMP_EQ, low(value), Holds, Fails));
        }
        SeccompOp::Ne => {
            upper(&[(JUMP_EQ, On, Holds)]);
            out.push(Step::Test(JUMP_EQ, low(value), Fails, Holds));
        }
        SeccompOp::Gt => {
            upper(&[(JUMP_GT, Holds, On), (JUMP_EQ, On, Fails)]);
            out.push(Step::Test(JUMP_GT, low(value), Holds, Fails));
        }
        SeccompOp::Ge => {
            upper(&[(JUMP_GT, Holds, On), (JUMP_EQ, On, Fails)]);
            out.push(Step::Test(JUMP_GE, low(value), Holds, Fails));
        }
        SeccompOp::Lt => {
            upper(&[(JUMP_GT, Fails, On), (JUMP_EQ, On, Holds)]);
            out.push(Step::Test(JUMP_GE, low(value), Fails, Holds));
        }
        SeccompOp::Le => {
            upper(&[(JUMP_GT, Fails, On), (JUMP_EQ, On, Holds)]);
            out.push(Step::Test(JUMP_GT, low(value), Fails, Holds));
        }
        SeccompOp::MaskedEq => {
            let (mask, wanted) = (value, condition.value_two);
            if wide {
                out.extend([Step::Load(at + 4), Step::And(high(mask))]);
                out.push(Step::Test(JUMP_EQ, high(wanted), On, Fails));
            }
            out.extend([Step::Load(at), Step::And(low(mask))]);
            out.push(Step::Test(JUMP_EQ, low(wanted), Holds, Fails));
        }
    }
    out
}
