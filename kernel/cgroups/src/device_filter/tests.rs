//! The program is run by a small interpreter and compared with the rules worked off in plain Rust.

#![allow(clippy::print_stderr)] // a test that cannot run says so

use std::process::Command;

use super::*;
use crate::{Layout, signal};

/// Runs the few operations that [`assemble`] emits, as the kernel would.
fn run(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> u64 {
    let context = [access << 16 | kind, major, minor];
    let mut r = [0_u64; 11];
    let mut at = 0_usize;
    loop {
        let i = program[at];
        let (d, s) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
        let immediate = i64::from(i.immediate).cast_unsigned();
        at += 1;
        let jump = match i.code {
            LOAD_WORD => {
                r[d] = u64::from(context[i.offset as usize / 4]);
                false
            }
            MOVE_IMM => {
                r[d] = immediate;
                false
            }
            MOVE_REG => {
                r[d] = r[s];
                false
            }
            AND_IMM => {
                r[d] &= immediate;
                false
            }
            AND_REG => {
                r[d] &= r[s];
                false
            }
            OR_IMM => {
                r[d] |= immediate;
                false
            }
            SHIFT_RIGHT_IMM => {
                r[d] >>= immediate;
                false
            }
            JUMP_NE_IMM32 => r[d] as u32 != immediate as u32,
            JUMP_NE_REG => r[d] != r[s],
            EXIT => return r[0],
            other => panic!("operation {other:#x}"),
        };
        if jump {
            at = at.checked_add_signed(isize::from(i.offset)).expect("jump");
        }
    }
}

fn expected(rules: &[Rule], kind: u32, access: i32, major: u32, minor: u32) -> bool {
    let mut allowed = 0;
    for rule in rules {
        let right_kind = match rule.kind {
            Kind::All => true,
            Kind::Block => kind == 1,
            Kind::Char => kind == 2,
        };
        if right_kind && rule.major.is_none_or(|n| n == major) && rule.minor.is_none_or(|n| n == minor) {
            if rule.allow {
                allowed |= rule.access
            } else {
                allowed &= !rule.access
            }
        }
    }
    allowed & access == access
}

fn rule(allow: bool, kind: Kind, major: Option<u32>, minor: Option<u32>, access: i32) -> Rule {
    Rule {
        allow,
        kind,
        major,
        minor,
        access,
    }
}

#[test]
fn the_program_decides_as_the_rules_one_after_the_other() {
    let numbers = [None, Some(0), Some(1), Some(3), Some(0xffff_ffff)];
    // A small linear generator: the same lists in every run.
    let mut state = 1_u32;
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize % below
    };
    for _ in 0..300 {
        let rules: Vec<Rule> = (0..next(12))
            .map(|_| Rule {
                allow: next(2) == 0,
                kind: [Kind::All, Kind::Block, Kind::Char][next(3)],
                major: numbers[next(5)],
                minor: numbers[next(5)],
                access: 1 + next(7) as i32,
            })
            .collect();
        let program = assemble(&rules);
        for kind in [1, 2] {
            for access in 1..=7 {
                for major in [0, 1, 3, 9, 0xffff_ffff] {
                    for minor in [0, 1, 3, 9, 0xffff_ffff] {
                        let got = run(&program, kind, access as u32, major, minor) == 1;
                        assert_eq!(got, expected(&rules, kind, access, major, minor), "{rules:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn without_rules_nothing_is_allowed() {
    assert_eq!(run(&assemble(&[]), 2, 2, 1, 3), 0);
}

#[test]
fn rules_before_a_total_one_cost_nothing() {
    let many = vec![rule(true, Kind::Char, Some(1), Some(3), ANY); 20];
    let total = rule(false, Kind::All, None, None, ANY);
    let with = [many, vec![total]].concat();
    assert_eq!(assemble(&with), assemble(&[total]));
}

/// Hybrid machines use the rules of version 1, but the version 2 tree beside them takes programs just as well.
#[test]
fn the_kernel_accepts_the_program_and_obeys_it() {
    let layout = Layout::detect().expect("layout");
    let Some(unified) = layout.unified().filter(|_| rustix::process::geteuid().is_root()) else {
        eprintln!("skipped: needs root and a tree of cgroup v2");
        return;
    };
    let name = format!("dhow-test-{}-devices", std::process::id());
    let top = Dir::top(&unified.mount).expect("top");
    let (dir, _) = top.make_child(&name).expect("group");
    let null = rule(true, Kind::Char, Some(1), Some(3), READ | WRITE);
    let zero = rule(true, Kind::Char, Some(1), Some(5), READ);
    let procs = unified.mount.join(&name).join("cgroup.procs");
    let script = format!(
        "echo $$ > {}; (: < /dev/null) && echo null; (: < /dev/zero) && echo zero; :",
        procs.display()
    );
    let run = || {
        let output = Command::new("sh").args(["-c", &script]).output().expect("sh");
        String::from_utf8(output.stdout).expect("text")
    };
    let first = install(&dir, &[null]).map(|()| run());
    // A second, wider filter takes the place of the first.
    let second = install(&dir, &[null, zero]).map(|()| run());
    let third = install(&dir, &[zero]).map(|()| run());
    signal::remove_tree(&top, &name).expect("remove");
    assert_eq!(first.expect("first"), "null\n");
    assert_eq!(second.expect("second"), "null\nzero\n");
    assert_eq!(third.expect("third"), "zero\n");
}
