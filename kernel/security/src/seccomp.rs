//! System call filters: Docker's profile format, dhow's default profile, and the compiler to classic BPF.
//!
//! [`Profile::parse`] reads a file given with `--security-opt seccomp=FILE`; [`default_profile`] is the one used otherwise.
//! Both give, for one [`Context`], the runtime-spec's filter, and [`compile`] makes the program for `seccomp(2)` from that.

mod compile;
mod condition;
mod default;
mod profile;
mod program;
mod table;

use oci::runtime::SeccompArch;

use fault::{Fault, Kind};

pub use compile::{compile, compile_for};
pub use default::default_profile;
pub use profile::{Context, Profile};
pub use program::{Instruction, Program};

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not of Docker's form.
    #[error("Decoding seccomp profile failed: {0}")]
    Decode(#[source] serde_json::Error),
    /// Both forms of naming architectures, or of naming a call, are used at once.
    #[error("both '{0}' and '{1}' are specified in the seccomp profile, use either '{0}' or '{1}'")]
    Ambiguous(&'static str, &'static str),
    /// Telling a listener is no default: the container could not even be started.
    #[error("SCMP_ACT_NOTIFY cannot be used as default action")]
    NotifyByDefault,
    /// The starting process itself writes before it executes the container's program.
    #[error("SCMP_ACT_NOTIFY cannot be used for the write syscall")]
    NotifyWrite,
    /// A number of an argument above 5.
    #[error("seccomp rule for {call}: there is no argument {index}")]
    Argument {
        /// The call.
        call: String,
        /// The number given.
        index: u32,
    },
    /// An error number that does not fit.
    #[error("seccomp rule for {call}: {value} is no error number")]
    Errno {
        /// The call, or "the default action".
        call: String,
        /// The number given.
        value: u32,
    },
    /// This architecture's calls are not known here.
    #[error("seccomp: architecture {0:?} is not supported")]
    Architecture(SeccompArch),
    /// More instructions than the kernel takes.
    #[error("seccomp filter has {0} instructions, the kernel takes at most 4096")]
    TooLong(usize),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        Kind::InvalidParameter
    }
}

#[cfg(test)]
mod tests;
