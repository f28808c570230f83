//! A compiled filter.

pub use linux::seccomp::Instruction;

/// A filter ready for `seccomp(2)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub(super) instructions: Vec<Instruction>,
    pub(super) flags: u64,
    pub(super) notifies: bool,
}

impl Program {
    /// The instructions, at most 4096.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// `SECCOMP_FILTER_FLAG_*` asked for by the profile, without `NEW_LISTENER`; nor `TSYNC`, because whoever installs
    /// the filter has one thread.
    pub fn flags(&self) -> u64 {
        self.flags
    }

    /// Whether some call is handed to a listener, so that `NEW_LISTENER` is needed.
    pub fn notifies(&self) -> bool {
        self.notifies
    }
}
