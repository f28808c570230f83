//! Rotated logs are compressed by a process of its own, so that the monitor goes on.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use linux::process::{Child, Program, Spawn};

/// Starts `dhow-runtime compress-log PATH MAX-FILE`.
pub(crate) fn spawn(path: &Path, max_file: u32) -> linux::Result<Child> {
    let exe = crate::own_program()?;
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| linux::Errno::INVAL)?;
    let max_file = CString::new(max_file.to_string()).map_err(|_| linux::Errno::INVAL)?;
    let arguments = vec![
        c"dhow-runtime".to_owned(),
        c"compress-log".to_owned(),
        path,
        max_file,
    ];
    Spawn::new(Program::Fd(std::os::fd::AsFd::as_fd(&exe)), arguments)
        .death_signal(crate::SIGKILL)
        .start()
}

/// The face: `args` is the path and the number of files. The exit code.
pub(crate) fn run(args: &[OsString]) -> i32 {
    let [path, max_file] = args else { return 2 };
    let Some(max_file) = max_file.to_str().and_then(|text| text.parse().ok()) else {
        return 2;
    };
    // Anything more urgent goes first; it is fine if the kernel refuses.
    let _ = rustix::process::nice(19);
    i32::from(log_drivers::compress_rotated(Path::new(path), max_file).is_err())
}
