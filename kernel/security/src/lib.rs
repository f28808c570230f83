//! Capabilities, the seccomp compiler, AppArmor, SELinux and Landlock.
//!
//! Everything here is computed before a container's init is cloned: sets of capabilities, lists of paths, a compiled
//! filter. The crate must not know containers or Docker's API; texts of errors are Docker's where its clients see them.
//! Start at [`seccomp`] and [`capabilities`].

pub mod apparmor;
pub mod capabilities;
pub mod landlock;
pub mod paths;
pub mod seccomp;
pub mod selinux;
