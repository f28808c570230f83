//! Classic BPF as far as seccomp(2) has it, checked as strictly as the kernel's verifier does.

use super::super::Program;

/// `struct seccomp_data` without the instruction pointer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data {
    pub(super) number: u32,
    pub(super) arch: u32,
    pub(super) args: [u64; 6],
}

impl Data {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            8 | 12 => 0,
            16..=60 if offset.is_multiple_of(8) => self.args[(offset as usize - 16) / 8] as u32,
            20..=60 if offset.is_multiple_of(4) => (self.args[(offset as usize - 16) / 8] >> 32) as u32,
            other => panic!("load from {other}"),
        }
    }
}

/// The verdict of a program.
pub(super) fn run(program: &Program, data: &Data) -> u32 {
    let (mut at, mut a) = (0, 0_u32);
    loop {
        let i = program.instructions()[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { i.jt } else { i.jf });
        match i.code {
            0x20 => a = data.word(i.k),
            0x54 => a &= i.k,
            0x05 => at += i.k as usize,
            0x15 => at += jump(a == i.k),
            0x25 => at += jump(a > i.k),
            0x35 => at += jump(a >= i.k),
            0x06 => return i.k,
            other => panic!("operation {other:#x}"),
        }
    }
}
