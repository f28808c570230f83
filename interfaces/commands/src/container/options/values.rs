//! Values with a syntax of their own: environment, labels, security options, GPUs.

use std::collections::BTreeMap;

use api_types::container::DeviceRequest;

/// `a=b` texts as a map; a name alone has an empty value.
pub(crate) fn map(list: &[String]) -> BTreeMap<String, String> {
    list.iter()
        .map(|text| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

/// The lines of the files, then the list.
pub(crate) fn pairs(list: &[String], files: &[String]) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    for file in files {
        out.extend(lines(file)?);
    }
    out.extend(list.iter().cloned());
    Ok(out)
}

/// `--env-file` and `--env`: a name alone takes the value that it has here, and is left out if it has none.
pub(crate) fn environment(list: &[String], files: &[String]) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    for file in files {
        for line in lines(file)? {
            if line.contains('=') {
                out.push(line);
            } else if let Ok(value) = std::env::var(&line) {
                out.push(format!("{line}={value}"));
            }
        }
    }
    for text in list {
        match text.split_once('=') {
            Some(("", _)) => {
                return Err(format!(
                    "invalid argument {text:?} for \"-e, --env\" flag: invalid environment variable: {text}"
                ));
            }
            Some(_) => out.push(text.clone()),
            None if text.is_empty() => {
                return Err(
                    "invalid argument \"\" for \"-e, --env\" flag: invalid environment variable: ".to_owned(),
                );
            }
            None => match std::env::var(text) {
                Ok(value) => out.push(format!("{text}={value}")),
                // A name alone removes the image's variable.
                Err(_) => out.push(text.clone()),
            },
        }
    }
    Ok(out)
}

/// The lines of an environment or label file, without comments.
fn lines(file: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read(file).map_err(|e| format!("open {file}: {}", crate::streams::cause(&e)))?;
    let text = String::from_utf8(text).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        format!("invalid env file ({file}): invalid utf8 bytes at line {line}")
    })?;
    let mut out = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or_default();
        if name.is_empty() {
            return Err(format!(
                "invalid env file ({file}): no variable name on line '{line}'"
            ));
        }
        if name.contains(char::is_whitespace) {
            return Err(format!(
                "invalid env file ({file}): variable '{name}' contains whitespaces"
            ));
        }
        out.push(line.to_owned());
    }
    Ok(out)
}

type Security = (Option<Vec<String>>, Option<Vec<String>>, Option<Vec<String>>);

/// `--security-opt`: a seccomp profile is read here, `systempaths=unconfined` empties the masks.
pub(super) fn security(list: Vec<String>) -> Result<Security, String> {
    let (mut masked, mut readonly) = (None, None);
    let mut out = Vec::new();
    for text in list {
        let pair = text.split_once('=').or_else(|| text.split_once(':'));
        match pair {
            None if text == "no-new-privileges" => out.push(text),
            None => return Err(format!("invalid --security-opt: {text:?}")),
            Some(("systempaths", "unconfined")) => {
                masked = Some(Vec::new());
                readonly = Some(Vec::new());
            }
            Some(("seccomp", profile)) if profile != "unconfined" && profile != "builtin" => {
                let json = std::fs::read(profile).map_err(|e| {
                    format!(
                        "opening seccomp profile ({profile}) failed: open {profile}: {}",
                        crate::streams::cause(&e)
                    )
                })?;
                let value: serde_json::Value = serde_json::from_slice(&json)
                    .map_err(|e| format!("compacting json for seccomp profile ({profile}) failed: {e}"))?;
                out.push(format!("seccomp={value}"));
            }
            Some(_) => out.push(text),
        }
    }
    Ok((super::some(out), masked, readonly))
}

/// `--gpus all`, `--gpus 2`, `--gpus '"device=0,1"'`, `--gpus driver=...,capabilities=...`.
pub(super) fn gpus(text: &str) -> Result<DeviceRequest, String> {
    let count = |t: &str| match t {
        "all" => Ok(-1),
        n => n
            .parse::<i64>()
            .map_err(|_| format!("invalid count ({n}): value must be either \"all\" or an integer")),
    };
    let mut request = DeviceRequest::default();
    let mut counted = false;
    for field in super::mounts::csv(text)? {
        match field.split_once('=') {
            None => {
                request.count = count(&field)?;
                counted = true;
            }
            Some(("count", n)) => {
                request.count = count(n)?;
                counted = true;
            }
            Some(("driver", name)) => request.driver = name.to_owned(),
            Some(("device", ids)) => request.device_ids = Some(ids.split(',').map(str::to_owned).collect()),
            Some(("capabilities", names)) => {
                let mut all: Vec<String> = names.split(',').map(str::to_owned).collect();
                all.push("gpu".to_owned());
                request.capabilities = Some(vec![all]);
            }
            Some(("options", list)) => {
                request.options = Some(map(&list.split(',').map(str::to_owned).collect::<Vec<_>>()));
            }
            Some((key, _)) => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if !counted && request.device_ids.is_none() {
        request.count = 1;
    }
    request.options.get_or_insert_default();
    request
        .capabilities
        .get_or_insert_with(|| vec![vec!["gpu".to_owned()]]);
    Ok(request)
}
