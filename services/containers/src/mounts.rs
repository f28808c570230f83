//! What the user and the image say about mounts, read, checked, and with its volumes made.

mod bind;
mod mount;
mod propagation;

use std::collections::BTreeMap;
use std::path::Path;

use volumes::{CreateOptions, Hold};

use crate::Error;
use crate::house::House;
use crate::record::{MountSpec, Record};
use bind::Source;

pub(crate) use bind::clean;
pub(crate) use propagation::check as check_propagation;

/// Reads all mounts of a container that is being made: `--volumes-from`, `-v`, `--mount`, `--tmpfs`, and the
/// volumes of the image for places that nothing else takes. Makes the volumes and holds them.
///
/// # Errors
/// A mount that makes no sense; two mounts in one place.
pub(crate) async fn collect(house: &House, record: &Record) -> Result<(Vec<MountSpec>, Vec<Hold>), Error> {
    let mut specs = requested(house, record)?;
    let mut holds = Vec::new();
    for spec in specs.iter_mut().filter(|spec| spec.kind == "volume") {
        let options = CreateOptions {
            name: spec.name.clone(),
            driver: spec.driver.clone(),
            options: std::mem::take(&mut spec.volume_options),
            labels: std::mem::take(&mut spec.volume_labels),
        };
        let made = house.parts.volumes.create_held(options, &record.id).await;
        let (volume, hold) = made.map_err(Error::part)?;
        spec.name = volume.name;
        spec.driver = volume.driver;
        holds.push(hold);
    }
    Ok((specs, holds))
}

/// The mounts as they were asked for, one for each place.
fn requested(house: &House, record: &Record) -> Result<Vec<MountSpec>, Error> {
    let host = &record.host_config;
    let data_root = house.settings.data_root.to_string_lossy();
    let mut inherited = BTreeMap::new();
    for text in host.volumes_from.iter().flatten() {
        for spec in from_container(house, text)? {
            inherited.insert(spec.destination.clone(), spec);
        }
    }
    let mut own: BTreeMap<String, MountSpec> = BTreeMap::new();
    let mut add = |spec: MountSpec| match own.insert(spec.destination.clone(), spec) {
        Some(old) => Err(Error::Invalid(format!(
            "Duplicate mount point: {}",
            old.destination
        ))),
        None => Ok(()),
    };
    for text in host.binds.iter().flatten() {
        let mut spec = from_bind(text)?;
        pass_unmounts(&mut spec, &data_root)?;
        add(spec)?;
    }
    for asked in host.mounts.iter().flatten() {
        let mut spec = mount::from_mount(asked)?;
        pass_unmounts(&mut spec, &data_root)?;
        add(spec)?;
    }
    for (destination, options) in host.tmpfs.iter().flatten() {
        add(mount::tmpfs(destination, options)?)?;
    }
    for (destination, spec) in inherited {
        own.entry(destination).or_insert(spec);
    }
    for path in record.config.volumes.iter().flatten().map(|(path, _)| path) {
        let destination =
            bind::clean_destination(path).ok_or_else(|| Error::Invalid(bind::relative(path)))?;
        if destination == "/" {
            return Err(Error::Invalid(format!(
                "invalid volume specification: '{path}': invalid specification: destination can't be '/'"
            )));
        }
        own.entry(destination.clone()).or_insert_with(|| MountSpec {
            kind: "volume".into(),
            destination,
            driver: "local".into(),
            anonymous: true,
            ..MountSpec::default()
        });
    }
    Ok(own.into_values().collect())
}

fn from_bind(text: &str) -> Result<MountSpec, Error> {
    let bind = bind::parse(text)?;
    let spec = MountSpec {
        destination: bind.destination,
        mode: bind.mode,
        read_only: bind.read_only,
        propagation: bind.propagation,
        no_copy: bind.no_copy,
        ..MountSpec::default()
    };
    Ok(match bind.source {
        Source::Path(path) => MountSpec {
            kind: "bind".into(),
            source: path,
            make_source: true,
            ..spec
        },
        Source::Volume(name) => MountSpec {
            kind: "volume".into(),
            name,
            driver: "local".into(),
            mode: if spec.mode.is_empty() {
                "z".into()
            } else {
                spec.mode.clone()
            },
            ..spec
        },
    })
}

/// Fills in the propagation of a bind. One that shows the data root must hear of unmounts there, or the container would
/// keep the daemon's mounts busy; so does `-v /:/host`.
///
/// # Errors
/// Docker's sentence for a propagation that passes no unmounts on.
fn pass_unmounts(spec: &mut MountSpec, data_root: &str) -> Result<(), Error> {
    if spec.kind != "bind" {
        return Ok(());
    }
    let shows_it =
        Path::new(data_root).starts_with(&spec.source) || Path::new(&spec.source).starts_with(data_root);
    match spec.propagation.as_str() {
        "" if shows_it => {
            spec.propagation = "rslave".into();
            spec.propagation_is_ours = true;
        }
        "" => spec.propagation = "rprivate".into(),
        "rslave" | "rshared" => {}
        other if shows_it => {
            return Err(Error::Invalid(format!(
                "invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount source is \
                 within the daemon root, daemon root: {data_root:?}, bind mount source: {:?}, propagation: {other:?}",
                spec.source
            )));
        }
        _ => {}
    }
    Ok(())
}

/// `--volumes-from CONTAINER[:ro|rw]`.
fn from_container(house: &House, text: &str) -> Result<Vec<MountSpec>, Error> {
    let (name, mode) = text.split_once(':').unwrap_or((text, ""));
    let read_only = match mode {
        "" | "rw" | "z" | "Z" => false,
        "ro" => true,
        _ => return Err(Error::Invalid(format!("invalid mode: {mode}"))),
    };
    let other = house.find(name)?.view();
    let specs = other
        .record
        .mounts
        .iter()
        .filter(|spec| spec.kind != "tmpfs")
        .cloned();
    Ok(specs
        .map(|spec| MountSpec {
            read_only: spec.read_only || read_only,
            // What the other container's image had in this place is there already, and that of this one is not wanted.
            no_copy: true,
            ..spec
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn propagation(bind: &str) -> Result<(String, bool), String> {
        let mut spec = from_bind(bind).expect("a bind");
        pass_unmounts(&mut spec, "/var/lib/dhow").map_err(|error| error.to_string())?;
        Ok((spec.propagation, spec.propagation_is_ours))
    }

    #[test]
    fn binds_that_show_the_data_root_hear_of_unmounts() {
        for path in ["/", "/var/lib", "/var/lib/dhow", "/var/lib/dhow/containers"] {
            let ours = Ok(("rslave".to_owned(), true));
            assert_eq!(propagation(&format!("{path}:/x")), ours, "{path}");
            assert_eq!(
                propagation(&format!("{path}:/x:rshared")),
                Ok(("rshared".to_owned(), false))
            );
            for deaf in ["private", "rprivate", "slave", "shared"] {
                let error = propagation(&format!("{path}:/x:{deaf}")).unwrap_err();
                assert!(error.contains("within the daemon root"), "{error}");
            }
        }
        for path in ["/srv", "/var/lib/dhow2"] {
            let private = Ok(("rprivate".to_owned(), false));
            assert_eq!(propagation(&format!("{path}:/x")), private, "{path}");
            assert_eq!(
                propagation(&format!("{path}:/x:shared")),
                Ok(("shared".to_owned(), false))
            );
        }
        assert_eq!(propagation("name:/x"), Ok((String::new(), false)));
    }
}
