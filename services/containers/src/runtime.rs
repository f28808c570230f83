//! Which OCI runtime makes a container (`--runtime`): the built-in one, or a program that the configuration names.

use std::path::{Path, PathBuf};

use api_types::container::HostConfig;
use monitor::plan::OtherRuntime;
use security::landlock::ANNOTATION;

use crate::Error;
use crate::house::House;
use crate::record::Record;
use crate::settings::{BUILT_IN_RUNTIME, Settings};

/// Refuses a name that nobody has configured, in docker's words, and what only the built-in runtime obeys.
pub(crate) fn check(host: &HostConfig, settings: &Settings) -> Result<(), Error> {
    if host.runtime == BUILT_IN_RUNTIME {
        return Ok(());
    }
    let confined = host
        .annotations
        .as_ref()
        .is_some_and(|all| all.contains_key(ANNOTATION));
    if confined {
        // Others would take no notice.
        return Err(Error::Invalid(format!(
            "annotation {ANNOTATION} needs the runtime {BUILT_IN_RUNTIME}"
        )));
    }
    if settings.runtimes.contains_key(&host.runtime) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "unknown or invalid runtime name: {}",
        host.runtime
    )))
}

/// The program that makes a container's processes; `None` for the built-in runtime.
///
/// # Errors
/// A name that the configuration has no longer, a program that is not there.
pub(crate) fn of(house: &House, record: &Record) -> Result<Option<OtherRuntime>, Error> {
    let name = &record.host_config.runtime;
    // Rows of the first versions have none.
    if name.is_empty() || name == BUILT_IN_RUNTIME {
        return Ok(None);
    }
    check(&record.host_config, &house.settings)?;
    let Some(runtime) = house.settings.runtimes.get(name) else {
        return Ok(None);
    };
    let program = find(&runtime.path).ok_or_else(|| {
        let path = &runtime.path;
        Error::Invalid(format!(
            "runtime {name}: fork/exec {path}: no such file or directory"
        ))
    })?;
    let mut arguments = runtime.runtime_args.clone().unwrap_or_default();
    if house.settings.systemd_cgroups {
        arguments.push("--systemd-cgroup".to_owned());
    }
    Ok(Some(OtherRuntime {
        program,
        arguments,
        root: house.state_dir(&record.id).join("runtime"),
    }))
}

/// A program by its path, or by its name in the daemon's PATH.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let is_program = |path: &Path| {
        let found = rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
        found && path.is_file()
    };
    if name.contains('/') {
        let path = Path::new(name);
        return (path.is_absolute() && is_program(path)).then(|| path.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    let mut candidates = std::env::split_paths(&path).map(|directory| directory.join(name));
    candidates.find(|path| path.is_absolute() && is_program(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tests::{record, settings};

    #[test]
    fn only_names_of_the_configuration_are_known() {
        let mut settings = settings();
        settings.runtimes.insert("runc".into(), Default::default());
        let mut host = record().host_config;
        for (name, known) in [
            (BUILT_IN_RUNTIME, true),
            ("runc", true),
            ("kata", false),
            ("", false),
        ] {
            name.clone_into(&mut host.runtime);
            assert_eq!(check(&host, &settings).is_ok(), known, "{name:?}");
        }
        host.annotations = Some([(ANNOTATION.to_owned(), "{}".to_owned())].into());
        "runc".clone_into(&mut host.runtime);
        let told = check(&host, &settings).expect_err("not obeyed").to_string();
        assert!(told.contains(ANNOTATION), "{told}");
        host.annotations = None;
        host.runtime.clear();
        let told = check(&host, &settings).expect_err("no name").to_string();
        assert!(told.contains("unknown or invalid runtime name"), "{told}");
    }

    #[test]
    fn programs_are_found_by_path_or_name() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("/bin/sh"), Some("/bin/sh".into()));
        assert_eq!(find("/etc/passwd"), None, "no program");
        assert_eq!(find("./sh"), None, "relative");
        assert_eq!(find("dhow-no-such-program"), None);
    }
}
