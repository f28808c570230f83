//! The settings of an image become those of a container, where the user has not said otherwise.

use std::collections::BTreeMap;

use api_types::container::{Config, Empty, HealthConfig};
use oci::image::RunConfig;

use crate::Error;
use crate::spec::set_variable;

/// Merges `image` into `config` by Docker's rules.
///
/// # Errors
/// A container without a command.
pub(super) fn merge(config: &mut Config, image: &RunConfig) -> Result<(), Error> {
    let text = |own: &mut String, image: &str| {
        if own.is_empty() {
            image.clone_into(own);
        }
    };
    text(&mut config.user, &image.user);
    text(&mut config.working_dir, &image.working_dir);
    text(&mut config.stop_signal, &image.stop_signal);
    config.stop_timeout = config.stop_timeout.or(image.stop_timeout);
    let ports = config.exposed_ports.get_or_insert_default();
    for port in image.exposed_ports.keys() {
        // Either may say `80` for `80/tcp`.
        let port = if port.contains('/') {
            port.clone()
        } else {
            format!("{port}/tcp")
        };
        ports.entry(port).or_insert(Empty {});
    }
    let mut environment = image.env.clone();
    for entry in config.env.iter().flatten() {
        match entry.split_once('=') {
            Some((name, _)) => set_variable(&mut environment, name, entry),
            None => environment.push(entry.clone()),
        }
    }
    config.env = Some(environment);
    let mut labels: BTreeMap<String, String> = image.labels.clone();
    labels.extend(config.labels.take().unwrap_or_default());
    config.labels = Some(labels);
    if !image.volumes.is_empty() {
        let volumes = config.volumes.get_or_insert_default();
        for path in image.volumes.keys() {
            volumes.entry(path.clone()).or_insert(Empty {});
        }
    }
    command(config, image)?;
    health(config, image);
    Ok(())
}

/// The user's entrypoint hides the image's command, too; an empty one (`--entrypoint ""`) only the entrypoint.
fn command(config: &mut Config, image: &RunConfig) -> Result<(), Error> {
    let given = |words: &Option<Vec<String>>| words.as_ref().is_some_and(|words| !words.is_empty());
    if config.entrypoint.is_none() {
        if !given(&config.cmd) {
            config.cmd.clone_from(&image.cmd);
            config.args_escaped = image.args_escaped;
        }
        config.entrypoint.clone_from(&image.entrypoint);
    }
    // docker writes an entrypoint that was taken away as one empty word.
    if config
        .entrypoint
        .as_ref()
        .is_some_and(|words| words.len() == 1 && words[0].is_empty())
    {
        config.entrypoint = None;
    }
    if given(&config.entrypoint) || given(&config.cmd) {
        Ok(())
    } else {
        Err(Error::Invalid("no command specified".into()))
    }
}

/// The image's health check, with the options that the user gave on top.
fn health(config: &mut Config, image: &RunConfig) {
    let Some(image) = &image.healthcheck else { return };
    let own = config.healthcheck.get_or_insert_with(HealthConfig::default);
    if own.test.as_ref().is_none_or(Vec::is_empty) {
        own.test = Some(image.test.clone());
    }
    let number = |own: &mut i64, image: i64| {
        if *own == 0 {
            *own = image;
        }
    };
    number(&mut own.interval, image.interval);
    number(&mut own.timeout, image.timeout);
    number(&mut own.start_period, image.start_period);
    number(&mut own.start_interval, image.start_interval);
    number(&mut own.retries, image.retries);
}

/// The words that are executed: entrypoint, then command.
pub(super) fn words(config: &Config) -> Vec<String> {
    config
        .entrypoint
        .iter()
        .flatten()
        .chain(config.cmd.iter().flatten())
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn image() -> RunConfig {
        RunConfig {
            entrypoint: list(&["/entry"]),
            cmd: list(&["serve"]),
            env: vec!["A=image".into(), "B=image".into()],
            ..RunConfig::default()
        }
    }

    fn merged(mut config: Config) -> Config {
        merge(&mut config, &image()).expect("a command");
        config
    }

    #[test]
    fn the_images_command_is_the_default() {
        assert_eq!(words(&merged(Config::default())), ["/entry", "serve"]);
    }

    #[test]
    fn a_command_replaces_only_the_command() {
        let config = merged(Config {
            cmd: list(&["check", "-v"]),
            ..Config::default()
        });
        assert_eq!(words(&config), ["/entry", "check", "-v"]);
    }

    #[test]
    fn an_entrypoint_hides_the_images_command() {
        let config = merged(Config {
            entrypoint: list(&["sh"]),
            ..Config::default()
        });
        assert_eq!(words(&config), ["sh"]);
    }

    #[test]
    fn an_empty_entrypoint_takes_the_images_away() {
        let config = merged(Config {
            entrypoint: list(&[""]),
            cmd: list(&["id"]),
            ..Config::default()
        });
        assert_eq!(words(&config), ["id"]);
    }

    #[test]
    fn nothing_to_run_is_an_error() {
        let error = merge(&mut Config::default(), &RunConfig::default()).expect_err("no command");
        assert_eq!(error.to_string(), "no command specified");
    }

    #[test]
    fn the_users_variables_win_and_keep_the_images_places() {
        let config = merged(Config {
            env: list(&["A=user", "C=user"]),
            ..Config::default()
        });
        assert_eq!(config.env, list(&["A=user", "B=image", "C=user"]));
    }
}
