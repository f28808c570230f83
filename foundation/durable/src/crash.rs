//! Named places where a test may kill the process.

/// Kills this process by SIGKILL when the environment variable `DHOW_CRASH_AT` equals `name`.
///
/// Exists only in debug builds; in a release build it is nothing. `name` is `service.operation.step`
/// (`"containers.create.claimed"`) and must be written as a literal at the call: `tests/crash` finds all
/// points by reading the sources, and fails if one of them was never reached.
#[inline]
pub fn crash_point(name: &str) {
    #[cfg(debug_assertions)]
    armed::reach(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;

    static TARGET: OnceLock<Option<String>> = OnceLock::new();

    pub(super) fn reach(name: &str) {
        let target = TARGET.get_or_init(|| std::env::var("DHOW_CRASH_AT").ok());
        if target.as_deref() == Some(name) {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The signal is delivered before the system call returns to this thread.
            std::process::abort();
        }
    }
}
