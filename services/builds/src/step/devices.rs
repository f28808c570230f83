//! `RUN --device`: devices of the host for one step, if the build may have them.

use api_types::container::DeviceMapping;
use dockerfile::instruction::Run;

use crate::BuildError;

/// What `--allow` says for all devices; `device=/dev/NAME` for one.
const DEVICE: &str = "device";

/// The devices of a step: `[name=]/dev/NAME[,required[=BOOL]]`.
pub(super) fn parse(run: &Run, allow: &[String]) -> Result<Vec<DeviceMapping>, BuildError> {
    let mut devices = Vec::new();
    for text in &run.devices {
        if let Some(name) = one(text)? {
            let allowed = |entry: &String| entry == DEVICE || entry.strip_prefix("device=") == Some(&name);
            if !allow.iter().any(allowed) {
                return Err(BuildError::Instruction(format!(
                    "device {name} is not allowed: --allow {DEVICE} or --allow {DEVICE}={name}"
                )));
            }
            devices.push(DeviceMapping {
                path_on_host: name.clone(),
                path_in_container: name,
                cgroup_permissions: "rwm".to_owned(),
            });
        }
    }
    Ok(devices)
}

/// The path of a device; nothing for one that is not here and need not be.
fn one(text: &str) -> Result<Option<String>, BuildError> {
    let wrong = |why: &str| BuildError::Instruction(format!("invalid --device={text}: {why}"));
    let (mut name, mut required) = ("", true);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("name", value)) => name = value,
            None if field == "required" => required = true,
            Some(("required", "true" | "1")) => required = true,
            Some(("required", "false" | "0")) => required = false,
            // A name of CDI has the sign of equality in it: vendor.com/class=name.
            _ if name.is_empty() => name = field,
            _ => return Err(wrong("name and required are all that it has")),
        }
    }
    let below = name
        .strip_prefix("/dev/")
        .filter(|rest| !rest.split('/').any(|part| part == ".." || part.is_empty()));
    match below {
        Some(_) if required || std::path::Path::new(name).exists() => Ok(Some(name.to_owned())),
        Some(_) => Ok(None),
        None if name.contains('=') && !required => Ok(None),
        None if name.contains('=') => Err(BuildError::NotAvailable(format!(
            "RUN --device={text}: a device of CDI"
        ))),
        None => Err(wrong("a path below /dev is needed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_need_leave_and_a_path_below_dev() {
        let parse = |device: &str, allow: &[&str]| {
            let run = Run {
                devices: vec![device.to_owned()],
                ..Run::default()
            };
            let allow: Vec<String> = allow.iter().map(|&text| text.to_owned()).collect();
            let devices = parse(&run, &allow).map_err(|error| error.to_string())?;
            Ok::<_, String>(
                devices
                    .into_iter()
                    .map(|device| device.path_in_container)
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(parse("/dev/null", &["device"]).unwrap(), ["/dev/null"]);
        assert_eq!(
            parse("name=/dev/null,required", &["device=/dev/null"]).unwrap(),
            ["/dev/null"]
        );
        assert_eq!(
            parse("/dev/no-such,required=false", &["device"]).unwrap(),
            [""; 0]
        );
        assert_eq!(parse("vendor.com/gpu=0,required=false", &[]).unwrap(), [""; 0]);
        for (device, allow) in [
            ("/dev/null", &[][..]),
            ("/dev/null", &["device=/dev/zero"]),
            ("/etc/passwd", &["device"]),
            ("/dev/../etc/passwd", &["device"]),
            ("vendor.com/gpu=0", &["device"]),
            ("/dev/null,what=1", &["device"]),
        ] {
            assert!(parse(device, allow).is_err(), "{device} {allow:?}");
        }
    }
}
