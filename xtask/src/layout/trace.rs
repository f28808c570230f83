//! Watches a program and all that it starts, and notes which functions of one file are entered (ptrace(2)).
//!
//! Each function's first byte is a breakpoint until somebody comes by, so that every one stops a process once only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::map::Section;

/// The processor's instruction for a breakpoint.
const INT3: u8 = 0xcc;

/// The sections of `program` that were entered while `command` ran, as places in the list. It must begin when its standard
/// input ends.
///
/// # Errors
/// The command fails, or cannot be traced.
pub(super) fn used(command: &mut Command, program: &Path, sections: &[Section]) -> Result<BTreeSet<usize>> {
    let code = Code::of(program, sections)?;
    let child = command.stdin(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("{command:?}"))?;
    let first = Pid::from_raw(i32::try_from(child.id())?);
    ptrace::seize(first, follow()).context("ptrace(PTRACE_SEIZE)")?;
    drop(child.stdin.take());
    let mut used = BTreeSet::new();
    loop {
        let status = match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(status) => status,
            Err(Errno::ECHILD) => break,
            Err(error) => return Err(error).context("waitpid"),
        };
        let (pid, signal) = match status {
            WaitStatus::Exited(pid, code) => {
                ensure!(pid != first || code == 0, "what is watched ended with {code}");
                continue;
            }
            WaitStatus::PtraceEvent(pid, _, event) => {
                if event == nix::libc::PTRACE_EVENT_EXEC {
                    code.arm(pid)?;
                }
                (pid, None)
            }
            WaitStatus::PtraceSyscall(pid) => {
                code.after_call(pid)?;
                (pid, None)
            }
            WaitStatus::Stopped(pid, Signal::SIGTRAP) => {
                let entered = code.pass(pid)?;
                used.extend(entered);
                (pid, entered.is_none().then_some(Signal::SIGTRAP))
            }
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            _ => continue,
        };
        match ptrace::syscall(pid, signal) {
            // Killed meanwhile.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).context("ptrace(PTRACE_SYSCALL)"),
        }
    }
    Ok(used)
}

fn follow() -> Options {
    Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_EXITKILL
}

/// The functions of a file that is linked for a fixed place.
struct Code {
    /// Of the file; copies of it (in a memfd, on a mount of their own) have the same.
    length: u64,
    /// Where the code begins in memory.
    start: u64,
    /// With breakpoints.
    armed: Vec<u8>,
    /// The byte that stands at a function's beginning, and the section that has it.
    functions: BTreeMap<u64, (u8, usize)>,
}

impl Code {
    fn of(program: &Path, sections: &[Section]) -> Result<Self> {
        let file = fs::read(program)?;
        let ends = sections.iter().map(|section| section.start + section.size);
        let (start, end) = (sections[0].start, ends.max().unwrap_or_default());
        let offset = offset(&file, start).context("the program's code is in none of its segments")?;
        let length = usize::try_from(end - start)?;
        let plain = file
            .get(offset..offset + length)
            .context("the map is another program's")?;
        let mut armed = plain.to_vec();
        let mut functions = BTreeMap::new();
        for (at, section) in sections.iter().enumerate() {
            let inside = |place: &&u64| (section.start..section.start + section.size).contains(place);
            for place in section.symbols.iter().filter(inside) {
                let byte = usize::try_from(place - start)?;
                functions.insert(*place, (plain[byte], at));
                armed[byte] = INT3;
            }
        }
        Ok(Self {
            length: file.len() as u64,
            start,
            armed,
            functions,
        })
    }

    /// Puts the breakpoints into a process that executes the program; others are left alone.
    fn arm(&self, pid: Pid) -> Result<()> {
        let length = fs::metadata(format!("/proc/{pid}/exe")).map(|file| file.size());
        if length.is_ok_and(|length| length == self.length) {
            memory(pid)?.write_all_at(&self.armed, self.start)?;
        }
        Ok(())
    }

    /// A program that gives its pages back gives back the breakpoints with them.
    fn after_call(&self, pid: Pid) -> Result<()> {
        let registers = ptrace::getregs(pid)?;
        let call = i64::try_from(registers.orig_rax).ok();
        match call == Some(nix::libc::SYS_madvise) {
            true => self.arm(pid),
            false => Ok(()),
        }
    }

    /// The section at whose breakpoint a process has stopped; it goes on as if there had been none.
    fn pass(&self, pid: Pid) -> Result<Option<usize>> {
        let mut registers = ptrace::getregs(pid)?;
        let place = registers.rip - 1;
        let Some((byte, section)) = self.functions.get(&place) else {
            return Ok(None);
        };
        memory(pid)?.write_all_at(&[*byte], place)?;
        registers.rip = place;
        ptrace::setregs(pid, registers)?;
        Ok(Some(*section))
    }
}

fn memory(pid: Pid) -> Result<File> {
    let path = format!("/proc/{pid}/mem");
    File::options().write(true).open(&path).context(path)
}

/// Where a place in memory is in the file: by its program headers (elf(5), 64 bits).
fn offset(file: &[u8], place: u64) -> Option<usize> {
    let word = |at: usize| Some(u64::from_le_bytes(file.get(at..at + 8)?.try_into().ok()?));
    let half = |at: usize| Some(u16::from_le_bytes(file.get(at..at + 2)?.try_into().ok()?));
    let (headers, size, count) = (usize::try_from(word(32)?).ok()?, half(54)?, half(56)?);
    (0..count).find_map(|number| {
        let header = headers + usize::from(number) * usize::from(size);
        const LOAD: u32 = 1;
        let kind = u32::from_le_bytes(file.get(header..header + 4)?.try_into().ok()?);
        let (offset, address, length) = (word(header + 8)?, word(header + 16)?, word(header + 32)?);
        let inside = kind == LOAD && (address..address + length).contains(&place);
        inside.then(|| usize::try_from(offset + (place - address)).ok())?
    })
}
