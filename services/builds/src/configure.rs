//! Instructions that change the configuration only. Pure.

use dockerfile::Instruction;
use dockerfile::instruction::{CommandLine, Health};
use oci::image::{Empty, Healthcheck, RunConfig};

use crate::BuildError;

/// The shell of the text form where SHELL names no other.
pub(crate) const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];
/// Ports that one image may expose.
const MAX_PORTS: usize = 65_536;

/// The shell of the text form.
pub(crate) fn shell(config: &RunConfig) -> Vec<String> {
    match config.shell.as_slice() {
        [] => DEFAULT_SHELL.map(str::to_owned).to_vec(),
        shell => shell.to_vec(),
    }
}

/// What a change was called by in the history; the cache finds steps by it.
pub(crate) fn no_op(config: &RunConfig, comment: &str) -> Vec<String> {
    let mut words = shell(config);
    words.extend(["#(nop) ".to_owned(), comment.to_owned()]);
    words
}

/// The same for COPY, ADD and WORKDIR, which Docker writes in one word.
pub(crate) fn no_op_joined(config: &RunConfig, comment: &str) -> Vec<String> {
    let mut words = shell(config);
    words.push(format!("#(nop) {comment}"));
    words
}

/// Sets a variable.
pub(crate) fn set_env(env: &mut Vec<String>, name: &str, value: &str) {
    let prefix = format!("{name}=");
    let line = format!("{prefix}{value}");
    match env.iter_mut().find(|old| old.starts_with(&prefix)) {
        Some(old) => *old = line,
        None => env.push(line),
    }
}

/// Applies an instruction whose variables are put in; answers the comment for the history. `cmd_set` remembers CMD, which
/// ENTRYPOINT would else take away with the base's.
pub(crate) fn apply(
    config: &mut RunConfig,
    cmd_set: &mut bool,
    instruction: &Instruction,
) -> Result<String, BuildError> {
    Ok(match instruction {
        Instruction::Env(pairs) => {
            pairs
                .iter()
                .for_each(|(name, value)| set_env(&mut config.env, name, value));
            joined("ENV", pairs)
        }
        Instruction::Label(pairs) => {
            config.labels.extend(pairs.iter().cloned());
            joined("LABEL", pairs)
        }
        Instruction::Cmd(line) => {
            let argv = argv(config, line);
            let comment = format!("CMD {}", quoted(&argv));
            (config.cmd, *cmd_set) = (Some(argv), true);
            comment
        }
        Instruction::Entrypoint(line) => {
            let argv = argv(config, line);
            let comment = format!("ENTRYPOINT {}", quoted(&argv));
            config.entrypoint = Some(argv).filter(|argv| !argv.is_empty());
            if !*cmd_set {
                config.cmd = None;
            }
            comment
        }
        Instruction::Expose(ports) => {
            for port in ports {
                expose(config, port)?;
            }
            let mut ports = ports.clone();
            ports.sort();
            format!("EXPOSE {}", ports.join(" "))
        }
        Instruction::Volume(volumes) => {
            if volumes.iter().any(|volume| volume.trim().is_empty()) {
                let text = "VOLUME specified can not be an empty string";
                return Err(BuildError::Instruction(text.to_owned()));
            }
            config
                .volumes
                .extend(volumes.iter().map(|volume| (volume.clone(), Empty {})));
            format!("VOLUME [{}]", volumes.join(" "))
        }
        Instruction::User(user) => {
            config.user.clone_from(user);
            format!("USER {user}")
        }
        Instruction::Shell(words) => {
            config.shell.clone_from(words);
            format!("SHELL [{}]", words.join(" "))
        }
        Instruction::StopSignal(signal) => {
            images::changes::check_signal(signal)
                .map_err(|error| BuildError::Instruction(error.to_string()))?;
            config.stop_signal.clone_from(signal);
            format!("STOPSIGNAL {signal}")
        }
        Instruction::Healthcheck(health) => {
            config.healthcheck = Some(healthcheck(health));
            shown(health)
        }
        Instruction::Maintainer(name) => format!("MAINTAINER {name}"),
        Instruction::Onbuild(trigger, _) => {
            config.on_build.push(trigger.clone());
            format!("ONBUILD {trigger}")
        }
        Instruction::Add(_)
        | Instruction::Arg(_)
        | Instruction::Copy(_)
        | Instruction::Run(_)
        | Instruction::Workdir(_) => instruction.name().to_owned(),
    })
}

fn argv(config: &RunConfig, line: &CommandLine) -> Vec<String> {
    line.argv(&shell(config))
}

fn joined(name: &str, pairs: &[(String, String)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| format!(" {name}={value}"));
    name.to_owned() + &pairs.collect::<String>()
}

/// Go's `%q` of a list.
pub(crate) fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

fn expose(config: &mut RunConfig, word: &str) -> Result<(), BuildError> {
    let wrong = || BuildError::Instruction(format!("invalid containerPort: {word}"));
    let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    // `host:container` is taken, and the host's part left out.
    let range = range.rsplit(':').next().unwrap_or(range);
    let protocol = protocol.to_ascii_lowercase();
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(BuildError::Instruction(format!("invalid proto: {protocol}")));
    }
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (low, high) = (port(low).ok_or_else(wrong)?, port(high).ok_or_else(wrong)?);
    if low > high || config.exposed_ports.len() > MAX_PORTS {
        return Err(wrong());
    }
    let ports = (low..=high).map(|port| (format!("{port}/{protocol}"), Empty {}));
    config.exposed_ports.extend(ports);
    Ok(())
}

fn healthcheck(health: &Health) -> Healthcheck {
    Healthcheck {
        test: health.test.clone(),
        interval: health.interval,
        timeout: health.timeout,
        start_period: health.start_period,
        start_interval: health.start_interval,
        retries: health.retries,
    }
}

/// As Docker's history shows it.
fn shown(health: &Health) -> String {
    let seconds = |nanos: i64| match nanos % 1_000_000_000 {
        0 => go_duration(nanos / 1_000_000_000),
        _ => format!("{}ms", nanos / 1_000_000),
    };
    format!(
        "HEALTHCHECK &{{{} \"{}\" \"{}\" \"{}\" \"{}\" '\\x{:02x}'}}",
        quoted(&health.test),
        seconds(health.interval),
        seconds(health.timeout),
        seconds(health.start_period),
        seconds(health.start_interval),
        health.retries
    )
}

fn go_duration(seconds: i64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

/// `FROM --reset=…`: takes away what the base sets.
pub(crate) fn reset(config: &mut RunConfig, items: &[String]) -> Result<(), BuildError> {
    for item in items {
        match item.split_once(':').unwrap_or((item, "")) {
            ("volume" | "volumes", "") => config.volumes.clear(),
            ("volume", path) => _ = config.volumes.remove(path),
            ("expose", "") => config.exposed_ports.clear(),
            ("expose", port) => config
                .exposed_ports
                .retain(|known, _| known.split('/').next() != Some(port) && known != port),
            ("env", "") => config.env.clear(),
            ("env", name) => config.env.retain(|line| line.split('=').next() != Some(name)),
            ("label" | "labels", "") => config.labels.clear(),
            ("label", name) => _ = config.labels.remove(name),
            ("entrypoint", "") => config.entrypoint = None,
            ("cmd", "") => config.cmd = None,
            ("user", "") => config.user.clear(),
            ("workdir", "") => config.working_dir.clear(),
            ("healthcheck", "") => config.healthcheck = None,
            ("onbuild", "") => config.on_build.clear(),
            ("stopsignal", "") => config.stop_signal.clear(),
            ("shell", "") => config.shell.clear(),
            _ => {
                return Err(BuildError::Instruction(format!(
                    "FROM --reset={item}: must be volume[:PATH], expose[:PORT], env[:NAME], label[:NAME], entrypoint, \
                     cmd, user, workdir, healthcheck, onbuild, stopsignal or shell"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(lines: &[&str]) -> (RunConfig, Vec<String>) {
        let (mut config, mut cmd_set) = (RunConfig::default(), false);
        let mut comments = Vec::new();
        for line in lines {
            let command = Instruction::parse(line).unwrap();
            comments.push(apply(&mut config, &mut cmd_set, &command.instruction).unwrap());
        }
        (config, comments)
    }

    #[test]
    fn the_history_says_what_docker_says() {
        let (_, comments) = changed(&[
            "ENV a=b c=d",
            "CMD echo hi",
            "ENTRYPOINT [\"x\"]",
            "EXPOSE 80 53/udp",
            "VOLUME /a /b",
            "HEALTHCHECK --interval=90s --retries=3 CMD true",
            "SHELL [\"bash\", \"-c\"]",
            "ONBUILD RUN x",
            "STOPSIGNAL SIGINT",
        ]);
        assert_eq!(
            comments,
            [
                "ENV a=b c=d",
                "CMD [\"/bin/sh\" \"-c\" \"echo hi\"]",
                "ENTRYPOINT [\"x\"]",
                "EXPOSE 53/udp 80",
                "VOLUME [/a /b]",
                "HEALTHCHECK &{[\"CMD-SHELL\" \"true\"] \"1m30s\" \"0s\" \"0s\" \"0s\" '\\x03'}",
                "SHELL [bash -c]",
                "ONBUILD RUN x",
                "STOPSIGNAL SIGINT",
            ]
        );
    }

    #[test]
    fn entrypoint_takes_the_bases_cmd_away_but_not_the_own() {
        let mut config = RunConfig {
            cmd: Some(vec!["base".into()]),
            ..RunConfig::default()
        };
        let entrypoint = Instruction::parse("ENTRYPOINT x").unwrap().instruction;
        apply(&mut config, &mut false, &entrypoint).unwrap();
        assert_eq!(config.cmd, None);
        assert_eq!(
            changed(&["CMD [\"a\"]", "ENTRYPOINT [\"b\"]"]).0.cmd,
            Some(vec!["a".into()])
        );
    }

    #[test]
    fn ports_are_ranges_with_protocols() {
        let (config, _) = changed(&["EXPOSE 80 7000-7002/udp 8080:81"]);
        let ports: Vec<&str> = config.exposed_ports.keys().map(String::as_str).collect();
        assert_eq!(ports, ["7000/udp", "7001/udp", "7002/udp", "80/tcp", "81/tcp"]);
        for bad in ["0", "x", "5-4", "1/foo", "65536"] {
            assert!(expose(&mut RunConfig::default(), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reset_takes_away_what_the_base_sets() {
        let (mut config, _) = changed(&["VOLUME /a /b", "ENV x=1 y=2", "EXPOSE 80"]);
        let items = ["volume:/a", "env:x", "expose"].map(str::to_owned);
        reset(&mut config, &items).unwrap();
        assert_eq!(config.volumes.keys().collect::<Vec<_>>(), ["/b"]);
        assert_eq!(
            (config.env.as_slice(), config.exposed_ports.len()),
            (["y=2".to_owned()].as_slice(), 0)
        );
        assert!(reset(&mut config, &["what".to_owned()]).is_err());
    }
}
