//! SELinux: is it there. Labelling a task is one write of its own to `/proc`.

/// Whether the kernel has SELinux switched on: its file system is mounted.
pub fn is_enabled() -> bool {
    std::path::Path::new("/sys/fs/selinux/enforce").exists()
}
