//! `commit`: an image from what a container has changed.

use std::sync::Arc;

use api_types::container::Config;
use images::CommitOptions;
use oci::image::{Healthcheck, RunConfig};

use crate::Error;
use crate::cell::Cell;
use crate::house::House;
use crate::machine::{Command, Phase};
use crate::requests::CommitRequest;

/// Makes the image; the container is frozen meanwhile if that is wished and it runs.
///
/// # Errors
/// A container that is being removed, changes that make no sense.
pub(crate) async fn commit(
    house: &Arc<House>,
    cell: &Arc<Cell>,
    request: CommitRequest,
) -> Result<String, Error> {
    let view = cell.view();
    match view.phase {
        Phase::Removing | Phase::Removed => {
            return Err(Error::Conflict(format!(
                "you cannot commit container {} which is being removed",
                cell.id
            )));
        }
        Phase::Dead => {
            return Err(Error::Conflict(format!(
                "You cannot commit container {} which is Dead",
                cell.id
            )));
        }
        _ => {}
    }
    let frozen = request.pause && view.phase == Phase::Running && cell.ask(Command::Pause).await.is_ok();
    let result = make(house, cell, request).await;
    if frozen {
        cell.ask(Command::Unpause).await?;
    }
    let image = result?;
    house.event(&view.record, "commit", &[("imageID", image.clone())]);
    Ok(image)
}

async fn make(house: &Arc<House>, cell: &Arc<Cell>, request: CommitRequest) -> Result<String, Error> {
    let view = cell.view();
    let record = &view.record;
    let config = request.config.as_ref().unwrap_or(&record.config);
    let (name, tag) = split(&request.reference);
    let options = CommitOptions {
        config: run_config(config),
        container_config: Some(run_config(&record.config)),
        created_by: record.args.join(" "),
        author: request.author,
        comment: request.comment,
        changes: request.changes,
        reference: (!name.is_empty()).then_some((name, tag)),
    };
    let image = house
        .parts
        .images
        .commit(&record.id, options)
        .await
        .map_err(Error::part)?;
    Ok(image.id.to_string())
}

/// `repository[:tag]`; a colon before a slash belongs to a registry's port.
fn split(reference: &str) -> (String, String) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name.to_owned(), tag.to_owned()),
        _ => (reference.to_owned(), String::new()),
    }
}

/// The settings of a container as those of an image: without what belongs to one container only.
fn run_config(config: &Config) -> RunConfig {
    let keys = |map: &Option<std::collections::BTreeMap<String, api_types::container::Empty>>| {
        map.iter()
            .flatten()
            .map(|(key, _)| (key.clone(), oci::image::Empty {}))
            .collect()
    };
    RunConfig {
        user: config.user.clone(),
        exposed_ports: keys(&config.exposed_ports),
        env: config.env.clone().unwrap_or_default(),
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        args_escaped: config.args_escaped,
        volumes: keys(&config.volumes),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone().unwrap_or_default(),
        stop_signal: config.stop_signal.clone(),
        stop_timeout: config.stop_timeout,
        healthcheck: config.healthcheck.as_ref().map(|check| Healthcheck {
            test: check.test.clone().unwrap_or_default(),
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: check.retries,
        }),
        on_build: config.on_build.clone().unwrap_or_default(),
        shell: config.shell.clone().unwrap_or_default(),
        ..RunConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_registrys_port_is_no_tag() {
        assert_eq!(split("a/b:1"), ("a/b".into(), "1".into()));
        assert_eq!(split("host:5000/a"), ("host:5000/a".into(), String::new()));
        assert_eq!(split(""), (String::new(), String::new()));
    }
}
