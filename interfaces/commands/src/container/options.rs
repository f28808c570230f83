//! The flags of `run` and `create` as the body of `POST /containers/create`.

mod flags;
mod health;
mod mounts;
mod networks;
mod publish;
mod values;

use std::collections::BTreeMap;

use api_types::container::{
    Config, CreateRequest, DeviceMapping, DeviceRequest, Empty, HostConfig, LogConfig, RestartPolicy,
    ThrottleDevice, Ulimit, WeightDevice,
};

use crate::flags::{Parsed, nano_cpus};
use crate::units;

pub(super) use flags::FLAGS;
pub(crate) use networks::endpoint;
pub(crate) use values::{environment, map, pairs};

/// A list flag as the API has it: null when it was not given.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

/// The body for these flags; arguments are the image and its command.
///
/// # Errors
/// The message for a flag whose value makes no sense.
pub(crate) fn request(args: &Parsed) -> Result<CreateRequest, String> {
    refuse_unsupported(args)?;
    let attach = args.all("attach");
    for stream in &attach {
        if !["stdin", "stdout", "stderr"].contains(&stream.to_lowercase().as_str()) {
            return Err(format!(
                "invalid argument \"{stream}\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR"
            ));
        }
    }
    let wants = |name: &str| attach.iter().any(|a| a.eq_ignore_ascii_case(name));
    let swappiness = args.int("memory-swappiness");
    if swappiness.is_some_and(|s| s != -1 && !(0..=100).contains(&s)) {
        return Err(format!(
            "invalid value: {}. Valid memory swappiness range is 0-100",
            swappiness.unwrap_or(0)
        ));
    }
    let (binds, volumes, tmpfs) = mounts::volumes(&args.all("volume"))?;
    let tmpfs = mounts::tmpfs(tmpfs, &args.all("tmpfs"));
    let mounts = args
        .all("mount")
        .iter()
        .map(|m| mounts::mount(m))
        .collect::<Result<Vec<_>, _>>()?;
    let (exposed, bindings) = publish::ports(&args.all("publish"), &args.all("expose"))?;
    let (network_mode, endpoints) = networks::networking(args)?;
    let stdin = args.on("interactive");
    let detached = args.table_has("detach") && args.on("detach");
    let labels = pairs(&args.all("label"), &args.all("label-file"))?;
    if let Some(nameless) = labels
        .iter()
        .find(|label| label.is_empty() || label.starts_with('='))
    {
        return Err(format!("invalid label '{nameless}': empty name"));
    }
    let mut config = Config {
        hostname: args.text("hostname").to_owned(),
        domainname: args.text("domainname").to_owned(),
        user: args.text("user").to_owned(),
        attach_stdin: wants("stdin") || (stdin && !detached),
        attach_stdout: wants("stdout"),
        attach_stderr: wants("stderr"),
        exposed_ports: some_map(exposed),
        tty: args.on("tty"),
        open_stdin: stdin,
        env: some(environment(&args.all("env"), &args.all("env-file"))?),
        cmd: some(args.args[1..].to_vec()),
        healthcheck: health::check(args)?,
        image: args.arg(0).to_owned(),
        volumes: Some(volumes.into_iter().map(|v| (v, Empty {})).collect()),
        working_dir: args.text("workdir").to_owned(),
        entrypoint: args
            .has("entrypoint")
            .then(|| vec![args.text("entrypoint").to_owned()]),
        labels: Some(map(&labels)),
        stop_signal: args.text("stop-signal").to_owned(),
        stop_timeout: args.int("stop-timeout"),
        ..Config::default()
    };
    if !detached && attach.is_empty() {
        config.attach_stdout = true;
        config.attach_stderr = true;
        config.attach_stdin = stdin;
    }
    config.stdin_once = config.open_stdin && config.attach_stdin;
    let mut host = HostConfig {
        binds: some(binds),
        container_id_file: args.text("cidfile").to_owned(),
        log_config: LogConfig {
            kind: args.text("log-driver").to_owned(),
            config: Some(log_options(args)?),
        },
        network_mode,
        port_bindings: Some(bindings),
        restart_policy: restart_policy(if args.has("restart") {
            args.text("restart")
        } else {
            "no"
        })?,
        auto_remove: args.on("rm"),
        volume_driver: args.text("volume-driver").to_owned(),
        volumes_from: some(args.all("volumes-from")),
        console_size: [0, 0],
        annotations: some_map(map(&args.all("annotation"))),
        links: some(args.all("link")),
        cap_add: some(capabilities(args.all("cap-add"))),
        cap_drop: some(capabilities(args.all("cap-drop"))),
        cgroupns_mode: one_of(args, "cgroupns", &["host", "private"])?,
        dns: Some(addresses(args.all("dns"))?),
        dns_options: Some(args.all("dns-option")),
        dns_search: Some(args.all("dns-search")),
        extra_hosts: some(extra_hosts(args.all("add-host"))?),
        group_add: some(args.all("group-add")),
        ipc_mode: args.text("ipc").to_owned(),
        oom_score_adj: args.int("oom-score-adj").unwrap_or(0),
        pid_mode: mode(args, "pid", "PID")?,
        privileged: args.on("privileged"),
        publish_all_ports: args.on("publish-all"),
        readonly_rootfs: args.on("read-only"),
        storage_opt: some_map(key_values(&args.all("storage-opt"), "storage option")?),
        tmpfs: some_map(tmpfs),
        uts_mode: one_of_mode(args, "uts", "UTS")?,
        userns_mode: one_of_mode(args, "userns", "USER")?,
        shm_size: args.bytes("shm-size"),
        sysctls: some_map(sysctls(&args.all("sysctl"))?),
        runtime: args.text("runtime").to_owned(),
        isolation: args.text("isolation").to_owned(),
        mounts: some(mounts),
        init: args.has("init").then(|| args.on("init")),
        ..HostConfig::default()
    };
    (host.security_opt, host.masked_paths, host.readonly_paths) = values::security(args.all("security-opt"))?;
    resources(args, &mut host)?;
    host.memory_swappiness = Some(swappiness.unwrap_or(-1));
    let detach_and_remove = host.auto_remove && !matches!(host.restart_policy.name.as_str(), "" | "no");
    if detach_and_remove {
        return Err("conflicting options: cannot specify both --restart and --rm".to_owned());
    }
    Ok(CreateRequest {
        config,
        host_config: host,
        networking_config: endpoints,
    })
}

/// What docker has and this version does not: refused by name rather than ignored.
fn refuse_unsupported(args: &Parsed) -> Result<(), String> {
    if args.has("use-api-socket") && args.on("use-api-socket") {
        return Err("flag --use-api-socket is not available in this version of dhow".to_owned());
    }
    Ok(())
}

fn some_map<V>(map: BTreeMap<String, V>) -> Option<BTreeMap<String, V>> {
    if map.is_empty() { None } else { Some(map) }
}

fn resources(args: &Parsed, host: &mut HostConfig) -> Result<(), String> {
    host.cpu_shares = args.int("cpu-shares").unwrap_or(0);
    host.memory = args.bytes("memory");
    host.nano_cpus = nano_cpus(args.text("cpus")).unwrap_or(0);
    host.cgroup_parent = args.text("cgroup-parent").to_owned();
    host.blkio_weight = args.int("blkio-weight").unwrap_or(0) as u16;
    host.blkio_weight_device = Some(
        args.all("blkio-weight-device")
            .iter()
            .map(|t| weight(t))
            .collect::<Result<_, _>>()?,
    );
    let rates = |name: &str, bytes: bool| {
        args.all(name)
            .iter()
            .map(|t| rate(t, bytes))
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
    };
    host.blkio_device_read_bps = rates("device-read-bps", true)?;
    host.blkio_device_write_bps = rates("device-write-bps", true)?;
    host.blkio_device_read_iops = rates("device-read-iops", false)?;
    host.blkio_device_write_iops = rates("device-write-iops", false)?;
    host.cpu_period = args.int("cpu-period").unwrap_or(0);
    host.cpu_quota = args.int("cpu-quota").unwrap_or(0);
    host.cpu_realtime_period = args.int("cpu-rt-period").unwrap_or(0);
    host.cpu_realtime_runtime = args.int("cpu-rt-runtime").unwrap_or(0);
    host.cpuset_cpus = args.text("cpuset-cpus").to_owned();
    host.cpuset_mems = args.text("cpuset-mems").to_owned();
    host.kernel_memory = args.bytes("kernel-memory");
    host.memory_reservation = args.bytes("memory-reservation");
    host.memory_swap = args.bytes("memory-swap");
    host.oom_kill_disable = Some(args.on("oom-kill-disable"));
    host.pids_limit = Some(args.int("pids-limit").unwrap_or(0));
    host.cpu_count = args.int("cpu-count").unwrap_or(0);
    host.cpu_percent = args.int("cpu-percent").unwrap_or(0);
    host.io_maximum_iops = args.int("io-maxiops").unwrap_or(0) as u64;
    host.io_maximum_bandwidth = args.bytes("io-maxbandwidth") as u64;
    host.device_cgroup_rules = some(args.all("device-cgroup-rule"));
    let ulimits = args
        .all("ulimit")
        .iter()
        .map(|t| ulimit(t))
        .collect::<Result<Vec<_>, _>>()?;
    host.ulimits = Some(ulimits);
    let mut devices = Vec::new();
    let mut requests = Vec::new();
    let mut cdi = Vec::new();
    for text in args.all("device") {
        // `vendor.com/class=name` names a CDI device.
        if !text.starts_with('/') && text.contains('=') && text.contains('/') {
            cdi.push(text);
        } else {
            devices.push(device(&text)?);
        }
    }
    for text in args.all("gpus") {
        requests.push(values::gpus(&text)?);
    }
    if !cdi.is_empty() {
        requests.push(DeviceRequest {
            driver: "cdi".to_owned(),
            device_ids: Some(cdi),
            ..DeviceRequest::default()
        });
    }
    host.devices = Some(devices);
    host.device_requests = some(requests);
    Ok(())
}

/// `no`, `always`, `unless-stopped`, `on-failure[:n]`.
pub(crate) fn restart_policy(text: &str) -> Result<RestartPolicy, String> {
    let (name, count) = match text.split_once(':') {
        Some((name, count)) => (name, Some(count)),
        None => (text, None),
    };
    if name.is_empty() && count.is_some() {
        return Err("invalid restart policy format: no policy provided before colon".to_owned());
    }
    let maximum_retry_count = match count {
        None => 0,
        Some(n) => n
            .parse()
            .map_err(|_| "invalid restart policy format: maximum retry count must be an integer")?,
    };
    Ok(RestartPolicy {
        name: name.to_owned(),
        maximum_retry_count,
    })
}

fn log_options(args: &Parsed) -> Result<BTreeMap<String, String>, String> {
    let options = args.all("log-opt");
    if args.text("log-driver") == "none" && !options.is_empty() {
        return Err(format!(
            "invalid logging opts for driver {}",
            args.text("log-driver")
        ));
    }
    Ok(map(&options))
}

/// Names in capital letters with `CAP_` in front; `ALL` is no name.
fn capabilities(list: Vec<String>) -> Vec<String> {
    let full = |name: String| {
        let name = name.trim().to_uppercase();
        if name == "ALL" || name.starts_with("CAP_") {
            name
        } else {
            format!("CAP_{name}")
        }
    };
    list.into_iter().map(full).collect()
}

/// Kernel parameters that belong to a namespace.
fn sysctls(list: &[String]) -> Result<BTreeMap<String, String>, String> {
    const NAMES: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    for text in list {
        let name = text.split('=').next().unwrap_or_default();
        let known = NAMES.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue.");
        if !known || !text.contains('=') {
            return Err(format!(
                "invalid argument {text:?} for \"--sysctl\" flag: sysctl '{text}' is not allowed"
            ));
        }
    }
    Ok(map(list))
}

fn key_values(list: &[String], what: &str) -> Result<BTreeMap<String, String>, String> {
    list.iter()
        .map(|text| match text.split_once('=') {
            Some((k, v)) => Ok((k.to_owned(), v.to_owned())),
            None => Err(format!("invalid {what}")),
        })
        .collect()
}

fn one_of(args: &Parsed, name: &str, allowed: &[&str]) -> Result<String, String> {
    let text = args.text(name);
    if text.is_empty() || allowed.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("--{name}: invalid CGROUP mode"))
}

fn one_of_mode(args: &Parsed, name: &str, noun: &str) -> Result<String, String> {
    match args.text(name) {
        text @ ("" | "host") => Ok(text.to_owned()),
        _ => Err(format!("--{name}: invalid {noun} mode")),
    }
}

fn mode(args: &Parsed, name: &str, noun: &str) -> Result<String, String> {
    let text = args.text(name);
    let joins = text.strip_prefix("container:").is_some_and(|c| !c.is_empty());
    if matches!(text, "" | "host") || joins {
        Ok(text.to_owned())
    } else {
        Err(format!("--{name}: invalid {noun} mode"))
    }
}

fn addresses(list: Vec<String>) -> Result<Vec<String>, String> {
    for text in &list {
        if text.parse::<std::net::IpAddr>().is_err() {
            return Err(format!(
                "invalid argument {text:?} for \"--dns\" flag: {text} is not an ip address"
            ));
        }
    }
    Ok(list)
}

/// `name:address` or `name=address`; brackets around a v6 address go.
fn extra_hosts(list: Vec<String>) -> Result<Vec<String>, String> {
    list.into_iter()
        .map(|text| {
            let bad = |what: &str| format!("invalid argument {text:?} for \"--add-host\" flag: {what}");
            let (name, address) = text
                .split_once('=')
                .or_else(|| text.split_once(':'))
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| bad(&format!("bad format for add-host: {text:?}")))?;
            let plain = address
                .strip_prefix('[')
                .and_then(|a| a.strip_suffix(']'))
                .unwrap_or(address);
            if plain != "host-gateway" && plain.parse::<std::net::IpAddr>().is_err() {
                return Err(bad(&format!("invalid IP address in add-host: {address:?}")));
            }
            Ok(format!("{name}:{plain}"))
        })
        .collect()
}

fn weight(text: &str) -> Result<WeightDevice, String> {
    let bad = || format!("bad format: {text}");
    let (path, weight) = text.split_once(':').ok_or_else(bad)?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    let weight: u16 = weight
        .parse()
        .map_err(|_| format!("invalid weight for device: {text}"))?;
    if weight > 0 && !(10..=1000).contains(&weight) {
        return Err(format!("invalid weight for device: {text}"));
    }
    Ok(WeightDevice {
        path: path.to_owned(),
        weight,
    })
}

fn rate(text: &str, bytes: bool) -> Result<ThrottleDevice, String> {
    let form = if bytes {
        "<device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
    } else {
        "<device-path>:<number>. Number must be a positive integer"
    };
    let (path, rate) = text
        .split_once(':')
        .ok_or_else(|| format!("bad format: {text}"))?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    let rate = if bytes {
        units::parse_bytes(rate)
    } else {
        rate.parse().ok()
    };
    let rate = rate.and_then(|r| u64::try_from(r).ok());
    Ok(ThrottleDevice {
        path: path.to_owned(),
        rate: rate.ok_or_else(|| format!("invalid rate for device: {text}. The correct format is {form}"))?,
    })
}

/// `name=soft[:hard]`.
pub(crate) fn ulimit(text: &str) -> Result<Ulimit, String> {
    let bad = |what: String| format!("invalid argument {text:?} for \"--ulimit\" flag: {what}");
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| bad(format!("invalid ulimit argument: {text}")))?;
    const NAMES: &[&str] = &[
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    if !NAMES.contains(&name) {
        return Err(bad(format!("invalid ulimit type: {name}")));
    }
    let (soft, hard) = value.split_once(':').unwrap_or((value, value));
    let number = |t: &str| {
        t.parse::<i64>()
            .map_err(|_| bad(format!("strconv.ParseInt: parsing {t:?}: invalid syntax")))
    };
    let (soft, hard) = (number(soft)?, number(hard)?);
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(bad(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    Ok(Ulimit {
        name: name.to_owned(),
        hard,
        soft,
    })
}

/// `host[:container[:rwm]]`.
fn device(text: &str) -> Result<DeviceMapping, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_mode = |m: &str| !m.is_empty() && m.bytes().all(|b| b"rwm".contains(&b));
    let (host, container, mode) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, mode] if is_mode(mode) => (*host, *host, *mode),
        [host, container] => (*host, *container, "rwm"),
        [host, container, mode] if is_mode(mode) => (*host, *container, *mode),
        [_, _, mode] => {
            return Err(format!(
                "invalid argument {text:?} for \"--device\" flag: bad mode specified: {mode}"
            ));
        }
        _ => return Err(format!("invalid device specification: {text}")),
    };
    if host.is_empty() || !container.starts_with('/') {
        return Err(format!(
            "invalid argument {text:?} for \"--device\" flag: {container} is not an absolute path"
        ));
    }
    Ok(DeviceMapping {
        path_on_host: host.to_owned(),
        path_in_container: container.to_owned(),
        cgroup_permissions: mode.to_owned(),
    })
}

#[cfg(test)]
mod tests;
