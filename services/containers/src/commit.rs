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
use crate::spec::set_variable;

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
    let of_container = run_config(&record.config);
    let config = match &request.config {
        Some(asked) => completed(run_config(asked), &of_container),
        None => of_container.clone(),
    };
    let (name, tag) = split(&request.reference);
    let options = CommitOptions {
        config,
        container_config: Some(of_container),
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

/// The settings that a client asks for, and those of the container where it leaves them open, as docker merges them.
fn completed(mut asked: RunConfig, container: &RunConfig) -> RunConfig {
    let text = |own: &mut String, other: &String| {
        if own.is_empty() {
            own.clone_from(other);
        }
    };
    text(&mut asked.user, &container.user);
    text(&mut asked.working_dir, &container.working_dir);
    text(&mut asked.stop_signal, &container.stop_signal);
    let has = |words: &Option<Vec<String>>| words.as_ref().is_some_and(|words| !words.is_empty());
    if !has(&asked.entrypoint) {
        if !has(&asked.cmd) {
            asked.cmd.clone_from(&container.cmd);
            asked.args_escaped = container.args_escaped;
        }
        asked.entrypoint.clone_from(&container.entrypoint);
    }
    let mut environment = container.env.clone();
    for entry in &asked.env {
        let name = entry.split('=').next().unwrap_or_default();
        set_variable(&mut environment, name, entry);
    }
    asked.env = environment;
    asked.exposed_ports.extend(container.exposed_ports.clone());
    asked.volumes.extend(container.volumes.clone());
    for (key, value) in &container.labels {
        asked.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    asked.healthcheck = asked.healthcheck.or_else(|| container.healthcheck.clone());
    asked.stop_timeout = asked.stop_timeout.or(container.stop_timeout);
    asked
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
    use super::*;

    #[test]
    fn what_a_client_leaves_open_is_as_in_the_container() {
        let container = RunConfig {
            cmd: Some(vec!["run".into()]),
            user: "web".into(),
            env: vec!["A=1".into(), "B=2".into()],
            labels: [("a".into(), "1".into()), ("b".into(), "2".into())].into(),
            ..RunConfig::default()
        };
        let asked = RunConfig {
            env: vec!["B=3".into(), "C=4".into()],
            labels: [("b".into(), "3".into())].into(),
            ..RunConfig::default()
        };
        let made = completed(asked, &container);
        assert_eq!((made.cmd, made.user.as_str()), (container.cmd.clone(), "web"));
        assert_eq!(made.env, ["A=1", "B=3", "C=4"]);
        assert_eq!(made.labels.into_values().collect::<Vec<_>>(), ["1", "3"]);
        // An entrypoint of its own is not given the container's command.
        let asked = RunConfig {
            entrypoint: Some(vec!["own".into()]),
            ..RunConfig::default()
        };
        assert_eq!(completed(asked, &container).cmd, None);
    }

    #[test]
    fn a_registrys_port_is_no_tag() {
        assert_eq!(split("a/b:1"), ("a/b".into(), "1".into()));
        assert_eq!(split("host:5000/a"), ("host:5000/a".into(), String::new()));
        assert_eq!(split(""), (String::new(), String::new()));
    }
}
