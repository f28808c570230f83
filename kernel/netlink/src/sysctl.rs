//! Kernel parameters of the calling thread's network namespace, through /proc/sys.

use crate::error::Error;

fn path(name: &str) -> String {
    format!("/proc/sys/{name}")
}

/// Read a parameter such as `net/ipv4/ip_forward`, without the final newline.
pub fn get(name: &str) -> Result<String, Error> {
    match std::fs::read_to_string(path(name)) {
        Ok(text) => Ok(text.trim_end().to_owned()),
        Err(source) => Err(Error::Sysctl {
            path: path(name),
            source,
        }),
    }
}

/// Set a parameter; does not write when the value is there already, so that a read-only /proc/sys is no obstacle.
pub fn set(name: &str, value: &str) -> Result<(), Error> {
    if get(name)? == value {
        return Ok(());
    }
    std::fs::write(path(name), value).map_err(|source| Error::Sysctl {
        path: path(name),
        source,
    })
}

/// Whether this kernel has the parameter.
pub fn exists(name: &str) -> bool {
    std::path::Path::new(&path(name)).exists()
}
