//! SELinux: is it there. Labelling a task is one write of its own to `/proc`.

/// Whether SELinux is switched on: its file system is mounted, and a policy is loaded (every process is `kernel` before
/// that), as other runtimes ask.
pub fn is_enabled() -> bool {
    std::path::Path::new("/sys/fs/selinux/enforce").exists()
        && std::fs::read("/proc/self/attr/current")
            .is_ok_and(|label| !label.starts_with(b"kernel\0") && label != b"kernel")
}
