//! The OCI runtimes alone: `run` of a bundle.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::PAUSE;
use super::table::{Line, duration, median};

/// For `--list`.
pub(super) const ROW: (&str, &str) = ("runtime", "OCI runtime alone, `run` of a bundle");

/// The line of the table; each runtime stands in the column of the engine that uses it.
pub(super) fn measure(binaries: &Path, work: &Path, runs: usize) -> Result<Line> {
    let bundle = work.join("bundle");
    make_bundle(&bundle)?;
    let own = binaries.join("dhow-runtime");
    let programs = [
        ("dhow", own.as_path()),
        ("docker", Path::new("runc")),
        ("podman", Path::new("crun")),
    ];
    let mut times: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    let mut broken: Vec<&str> = Vec::new();
    for round in 0..=runs {
        for (name, program) in programs {
            if broken.contains(&name) {
                continue;
            }
            std::thread::sleep(PAUSE);
            let id = format!("dhow-bench-{}-{name}-{round}", std::process::id());
            let state = work.join(format!("state-{name}"));
            let mut command = without_unified_tree(program);
            command.arg("--root").arg(state).args(["run", "--bundle"]);
            let start = Instant::now();
            let output = command.arg(&bundle).arg(id).stdin(Stdio::null()).output()?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                println!("  {}: {}: {}", ROW.0, program.display(), said.trim());
                broken.push(name);
            } else if round > 0 {
                times.entry(name.to_owned()).or_default().push(start.elapsed());
            }
        }
    }
    let medians: BTreeMap<String, f64> = times
        .into_iter()
        .map(|(name, times)| (name, median(times)))
        .collect();
    let said: Vec<String> = medians
        .iter()
        .map(|(name, time)| format!("{name} {}", duration(*time)))
        .collect();
    println!("{:<12} {}", ROW.0, said.join(", "));
    let what = "OCI runtime alone, `run` of a bundle: dhow-runtime, runc, crun";
    Ok(Line::times(what, medians))
}

fn make_bundle(bundle: &Path) -> Result<()> {
    let root = bundle.join("rootfs");
    fs::create_dir_all(root.join("bin"))?;
    fs::copy("/bin/busybox", root.join("bin/busybox"))
        .or_else(|_| fs::copy("/usr/bin/busybox", root.join("bin/busybox")))?;
    for name in ["proc", "dev", "sys"] {
        fs::create_dir_all(root.join(name))?;
    }
    let made = Command::new("runc")
        .args(["spec", "--bundle"])
        .arg(bundle)
        .status();
    ensure!(
        made.is_ok_and(|status| status.success()),
        "runc spec (package runc)"
    );
    let file = bundle.join("config.json");
    let mut spec: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
    spec["process"]["args"] = serde_json::json!(["/bin/busybox", "true"]);
    spec["process"]["terminal"] = false.into();
    // What a machine without CAP_SYS_RESOURCE allows.
    spec["process"]["rlimits"] = serde_json::json!([]);
    fs::write(&file, spec.to_string())?;
    Ok(())
}

/// crun takes a machine with both cgroup versions for one with version 2, unless that tree is out of its sight. What it
/// costs to hide it is paid by all.
fn without_unified_tree(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(program);
    command
}
