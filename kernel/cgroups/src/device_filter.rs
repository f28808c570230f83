//! The device rules of version 2: a program of extended BPF, made here instruction by instruction.
//!
//! The program keeps the permission bits of the device in question in one register, works the rules off in order, each
//! of which sets or clears bits, and at the end allows the access if all bits that it needs are set. So it decides
//! exactly as version 1 does with the same list, also where a rule covers only a part of the access.

use linux::bpf::{self, Instruction};

use crate::dir::Dir;
use crate::{Error, Result};

/// Making a node, as in `BPF_DEVCG_ACC_MKNOD`.
pub(crate) const MKNOD: i32 = 1;
/// Opening for reading.
pub(crate) const READ: i32 = 2;
/// Opening for writing.
pub(crate) const WRITE: i32 = 4;
/// All three.
pub(crate) const ANY: i32 = 7;

/// Which nodes a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    All,
    Block,
    Char,
}

/// One rule; no number means every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) allow: bool,
    pub(crate) kind: Kind,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) access: i32,
}

impl Rule {
    /// Whether the rule makes all rules before it pointless.
    fn is_total(&self) -> bool {
        self.kind == Kind::All && self.major.is_none() && self.minor.is_none() && self.access == ANY
    }
}

/// Puts the filter in the place of those that are there; without any, a group may use every device.
pub(crate) fn install(dir: &Dir, rules: &[Rule]) -> Result<()> {
    let failed = |what: &'static str| {
        let path = dir.path().to_path_buf();
        move |e: linux::Errno| Error::Write {
            path,
            value: what.to_owned(),
            source: e.into(),
        }
    };
    let program = bpf::load_device_filter(&assemble(rules)).map_err(failed("(load device filter)"))?;
    let old = bpf::device_filters(dir).map_err(failed("(query device filters)"))?;
    use std::os::fd::AsFd;
    // All filters of a group must agree, so a wider new one has an effect only when every old one is gone.
    let replace = if old.len() == 1 {
        old.first().map(AsFd::as_fd)
    } else {
        None
    };
    let replaced = replace.is_some();
    bpf::attach_device_filter(dir, &program, replace).map_err(failed("(attach device filter)"))?;
    if !replaced {
        for filter in &old {
            bpf::detach_device_filter(dir, filter).map_err(failed("(detach device filter)"))?;
        }
    }
    Ok(())
}

// Operations, from linux/bpf.h and linux/bpf_common.h.
const LOAD_WORD: u8 = 0x61;
const MOVE_IMM: u8 = 0xb7;
const MOVE_REG: u8 = 0xbf;
const AND_IMM: u8 = 0x57;
const AND_REG: u8 = 0x5f;
const OR_IMM: u8 = 0x47;
const SHIFT_RIGHT_IMM: u8 = 0x77;
const JUMP_NE_IMM32: u8 = 0x56;
const JUMP_NE_REG: u8 = 0x5d;
const EXIT: u8 = 0x95;

// Registers: 0 is the result, 1 points to `struct bpf_cgroup_dev_ctx`.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const NEEDED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const ALLOWED: u8 = 6;

fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: source << 4 | destination,
        offset,
        immediate,
    }
}

/// The program for a list of rules; before the first rule nothing is allowed.
pub(crate) fn assemble(rules: &[Rule]) -> Vec<Instruction> {
    let op = instruction;
    let mut out = vec![
        // access_type: kind in the low, access in the high half.
        op(LOAD_WORD, KIND, CONTEXT, 0, 0),
        op(MOVE_REG, NEEDED, KIND, 0, 0),
        op(SHIFT_RIGHT_IMM, NEEDED, 0, 0, 16),
        op(AND_IMM, KIND, 0, 0, 0xffff),
        op(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        op(LOAD_WORD, MINOR, CONTEXT, 8, 0),
        op(MOVE_IMM, ALLOWED, 0, 0, 0),
    ];
    let start = rules.iter().rposition(Rule::is_total).unwrap_or(0);
    for rule in &rules[start..] {
        let mut tests = Vec::new();
        match rule.kind {
            Kind::All => {}
            Kind::Block => tests.push((KIND, 1)),
            Kind::Char => tests.push((KIND, 2)),
        }
        tests.extend(rule.major.map(|n| (MAJOR, n.cast_signed())));
        tests.extend(rule.minor.map(|n| (MINOR, n.cast_signed())));
        let count = tests.len() as i16;
        for (at, (register, value)) in (0..).zip(tests) {
            // Each failing test skips the remaining ones and the one change.
            out.push(op(JUMP_NE_IMM32, register, 0, count - at, value));
        }
        out.push(match rule.allow {
            true => op(OR_IMM, ALLOWED, 0, 0, rule.access),
            false => op(AND_IMM, ALLOWED, 0, 0, !rule.access),
        });
    }
    out.extend([
        op(MOVE_IMM, RESULT, 0, 0, 0),
        op(AND_REG, ALLOWED, NEEDED, 0, 0),
        op(JUMP_NE_REG, ALLOWED, NEEDED, 1, 0),
        op(MOVE_IMM, RESULT, 0, 0, 1),
        op(EXIT, 0, 0, 0, 0),
    ]);
    out
}

#[cfg(test)]
mod tests;
