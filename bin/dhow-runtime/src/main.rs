//! The `dhow-runtime` program: an OCI runtime on the command line, and the faces that `dhowd` starts.
//!
//! The daemon gives the name of a face as the only argument and everything else in descriptors. As `docker-init` it is
//! PID 1 of a container. Every other command line is that of an OCI runtime.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt as _;

use monitor::face;

fn main() {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let program = if arguments.is_empty() {
        OsString::new()
    } else {
        arguments.remove(0)
    };
    if std::path::Path::new(&program).file_name() == Some("docker-init".as_ref()) {
        face::init(&arguments);
    }
    match (arguments.first().and_then(|name| name.to_str()), arguments.len()) {
        (Some("monitor"), 1) => face::monitor(),
        // With a container's id it is the OCI runtime's verb.
        (Some("exec"), 1) => face::exec(),
        (Some("files"), 1) => face::files(),
        (Some("write-log"), 1) => face::write_log(),
        (Some("proxy"), _) => face::proxy(&arguments[1..]),
        (Some("with-root"), _) => face::with_root(&arguments[1..]),
        (Some("compress-log"), _) => face::compress_log(&arguments[1..]),
        _ => command_line(arguments),
    }
}

fn command_line(arguments: Vec<OsString>) -> ! {
    let arguments = arguments
        .into_iter()
        .map(|text| text.to_string_lossy().into_owned())
        .collect();
    let variable = |(name, value): (OsString, OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
    };
    let code = runtime::cli::main(
        arguments,
        std::env::vars_os().filter_map(variable).collect(),
        &mut std::io::stdout().lock(),
        &mut std::io::stderr().lock(),
    );
    std::process::exit(code)
}
