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

    /// The program as bytes, for another process of this machine: the flags, then the instructions.
    ///
    /// A program that notifies has no such form: its listener must be told as well.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        if self.notifies {
            return None;
        }
        let mut bytes = self.flags.to_ne_bytes().to_vec();
        for i in &self.instructions {
            bytes.extend(i.code.to_ne_bytes());
            bytes.extend([i.jt, i.jf]);
            bytes.extend(i.k.to_ne_bytes());
        }
        Some(bytes)
    }

    /// Reads [`Program::to_bytes`]; `None` when it is cut off.
    pub fn from_bytes(bytes: &[u8]) -> Option<Program> {
        let (flags, rest) = bytes.split_first_chunk::<8>()?;
        let (instructions, cut) = rest.as_chunks::<8>();
        if !cut.is_empty() {
            return None;
        }
        let read = |[a, b, jt, jf, k @ ..]: [u8; 8]| Instruction {
            code: u16::from_ne_bytes([a, b]),
            jt,
            jf,
            k: u32::from_ne_bytes(k),
        };
        Some(Program {
            instructions: instructions.iter().copied().map(read).collect(),
            flags: u64::from_ne_bytes(*flags),
            notifies: false,
        })
    }

    /// Whether some call is handed to a listener, so that `NEW_LISTENER` is needed.
    pub fn notifies(&self) -> bool {
        self.notifies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_give_the_program_back_unless_they_are_cut_off() {
        let profile = super::super::default_profile(&super::super::Context::native(Default::default()));
        let program = super::super::compile(&profile).expect("compiles");
        let bytes = program.to_bytes().expect("notifies nobody");
        assert_eq!(Program::from_bytes(&bytes), Some(program));
        assert_eq!(Program::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Program::from_bytes(&bytes[..7]), None);
    }
}
