//! The same bundles run by Debian's runc and by this program: exit codes and what the containers see must agree.
//!
//! The corpus is each feature alone, all pairs of features, and bundles that must be refused. What [`may_differ`] has its
//! reason in `docs/decisions/oci-runtime.md`.

// Tests say on stderr that they were skipped.
#![allow(clippy::print_stderr)]

mod place;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use place::Place;
use serde_json::{Value, json};

type Change = fn(&mut Value);

/// Everything that a container can tell of itself, in an order that does not depend on chance.
const SCRIPT: &str = "\
id; pwd; hostname; umask; env | sort; grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups|Uid|Gid)' /proc/self/status; \
cat /proc/self/oom_score_adj; ulimit -a; cat /proc/self/uid_map; \
while read a b c root place options rest; do echo \"$place $options $rest\"; done < /proc/self/mountinfo | sort; \
ls -1 /dev | sort; stat -c '%n %a %u %g %t:%T' /dev/null /dev/zero /dev/tty; \
ls /proc/self/ns | sort; ls /proc/self/fd | wc -l; cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward; \
nice; uname -m; ls /data 2>&1; touch /root-write 2>&1; touch /tmp/x 2>&1; cat /proc/keys 2>&1 | wc -c; exit 3";

const FEATURES: &[(&str, Change)] = &[
    ("user", |s| {
        s["process"]["user"] = json!({ "uid": 1000, "gid": 100, "additionalGids": [10, 20] })
    }),
    ("umask", |s| s["process"]["user"]["umask"] = json!(0o077)),
    ("cwd", |s| s["process"]["cwd"] = json!("/made/by/runtime")),
    ("rlimit", |s| {
        s["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "hard": 100, "soft": 50 }])
    }),
    ("privileges", |s| s["process"]["noNewPrivileges"] = json!(false)),
    ("capabilities", |s| {
        let all = json!(["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_KILL"]);
        s["process"]["capabilities"] = json!({ "bounding": all, "effective": all, "permitted": all, "inheritable": all, "ambient": all });
    }),
    ("oom", |s| s["process"]["oomScoreAdj"] = json!(200)),
    ("writable", |s| s["root"]["readonly"] = json!(false)),
    ("sysctl", |s| {
        s["linux"]["sysctl"] = json!({ "kernel.msgmax": "9000", "net.ipv4.ip_forward": "1" })
    }),
    ("tmpfs", |s| {
        push(
            &mut s["mounts"],
            json!({ "destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "size=64k", "mode=755"] }),
        )
    }),
    (
        "device",
        |s| s["linux"]["devices"] = json!([{ "path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 416, "uid": 5, "gid": 6 }]),
    ),
    ("masked", |s| {
        s["linux"]["maskedPaths"] = json!(["/proc/keys", "/etc/hidden", "/proc/acpi"])
    }),
    ("readonly-paths", |s| {
        s["linux"]["readonlyPaths"] = json!(["/proc/sys", "/tmp"])
    }),
    (
        "seccomp",
        |s| s["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["mkdir", "chmod"], "action": "SCMP_ACT_ERRNO" }] }),
    ),
    ("host-network", |s| without(s, "network")),
    ("host-ipc", |s| {
        without(s, "ipc");
        s["mounts"]
            .as_array_mut()
            .expect("mounts")
            .retain(|m| m["destination"] != "/dev/mqueue");
    }),
];

/// Features that are not paired, because they change what all others show.
const ALONE: &[(&str, Change)] = &[
    ("nothing", |_| {}),
    ("no-script", |s| s["process"]["args"] = json!(["true"])),
    ("signal", |s| {
        s["process"]["args"] = json!(["sh", "-c", "kill -9 $$; exit 0"])
    }),
    ("code-255", |s| {
        s["process"]["args"] = json!(["sh", "-c", "exit 255"])
    }),
    ("bind", |s| {
        push(
            &mut s["mounts"],
            json!({ "destination": "/data", "type": "bind", "source": "rootfs/etc", "options": ["rbind", "ro"] }),
        )
    }),
    ("bind-file", |s| {
        push(
            &mut s["mounts"],
            json!({ "destination": "/data", "type": "bind", "source": "rootfs/etc/word", "options": ["bind", "nosuid", "noexec"] }),
        )
    }),
    ("private", |s| s["linux"]["rootfsPropagation"] = json!("rprivate")),
    ("user-namespace", |s| {
        push(&mut s["linux"]["namespaces"], json!({ "type": "user" }));
        let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
        s["linux"]["uidMappings"] = map.clone();
        s["linux"]["gidMappings"] = map;
    }),
    ("nosymfollow-tmpfs", |s| {
        push(
            &mut s["mounts"],
            json!({ "destination": "/data", "type": "tmpfs", "source": "t", "options": ["noexec", "nodev", "noatime"] }),
        )
    }),
    ("path", |s| {
        s["process"]["env"] = json!(["PATH=/nowhere:/bin", "A=b", "A=c", "EMPTY="])
    }),
    ("home", |s| {
        s["process"]["env"] = json!(["PATH=/bin", "HOME=/somewhere"])
    }),
];

/// Bundles that cannot be run.
const WRONG: &[(&str, Change)] = &[
    ("no-program", |s| s["process"]["args"] = json!(["absent"])),
    ("no-file", |s| s["process"]["args"] = json!(["/absent"])),
    ("directory", |s| s["process"]["args"] = json!(["/etc"])),
    ("not-executable", |s| {
        s["process"]["args"] = json!(["/etc/passwd"])
    }),
    ("no-args", |s| s["process"]["args"] = json!([])),
    ("no-root", |s| s["root"]["path"] = json!("absent")),
    ("relative-cwd", |s| s["process"]["cwd"] = json!("here")),
    ("unknown-rlimit", |s| {
        s["process"]["rlimits"] = json!([{ "type": "RLIMIT_X", "hard": 1, "soft": 1 }])
    }),
    ("unknown-type", |s| {
        push(
            &mut s["mounts"],
            json!({ "destination": "/data", "type": "nofs", "source": "x" }),
        )
    }),
    ("absent-bind", |s| {
        push(
            &mut s["mounts"],
            json!({ "destination": "/data", "type": "bind", "source": "/absent", "options": ["bind"] }),
        )
    }),
    ("host-sysctl", |s| {
        s["linux"]["sysctl"] = json!({ "kernel.panic": "1" })
    }),
    ("unknown-action", |s| {
        s["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_SING" })
    }),
    ("double-namespace", |s| {
        push(&mut s["linux"]["namespaces"], json!({ "type": "pid" }))
    }),
    ("absent-namespace", |s| {
        s["linux"]["namespaces"][0]["path"] = json!("/absent")
    }),
    ("not-json", |s| *s = json!("text")),
    ("failing-hook", |s| {
        s["hooks"] = json!({ "prestart": [{ "path": "/bin/false" }] })
    }),
    ("bad-propagation", |s| {
        s["linux"]["rootfsPropagation"] = json!("sideways")
    }),
];

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().expect("a list").push(item);
}

fn without(spec: &mut Value, kind: &str) {
    spec["linux"]["namespaces"]
        .as_array_mut()
        .expect("namespaces")
        .retain(|n| n["type"] != kind);
}

fn run(program: &str, place: &Place, name: &str) -> Output {
    Command::new(program)
        .arg("--root")
        .arg(place.directory.path().join(format!("state-{name}")))
        .args(["run", "--bundle"])
        .arg(place.bundle())
        .arg(format!("{}-{name}", place.id))
        .stdin(Stdio::null())
        .output()
        .expect("run")
}

/// Lines of the first that the second has not, but for those that may differ.
fn more<'a>(first: &'a str, second: &str) -> Vec<&'a str> {
    let lines: Vec<&str> = second.lines().collect();
    first
        .lines()
        .filter(|line| !lines.contains(line) && !may_differ(line))
        .collect()
}

/// Lines of `mountinfo` that tell how a thing is done, not what comes of it.
fn may_differ(line: &str) -> bool {
    let hides = line.contains(" - tmpfs ") || line.contains(" - devtmpfs ");
    // What paths are hidden with.
    (hides && ["/proc/", "/sys/firmware ", "/etc/hidden "].iter().any(|place| line.starts_with(place)))
        // Read-only as a mount, or as a file system, too.
        || line.starts_with("/sys ro,")
        // The mode of a tmpfs that takes it from the directory it covers is shown, or is not.
        || (line.starts_with("/data ") && line.contains(" - tmpfs t rw"))
}

#[test]
fn runc_and_we_agree_on_the_corpus() {
    if !Path::new("/usr/sbin/runc").exists() && !Path::new("/usr/bin/runc").exists() {
        eprintln!("skipped: no runc (apt-get install runc)");
        return;
    }
    let Some(place) = Place::new("corpus", SCRIPT) else {
        return;
    };
    let etc = place.bundle().join("rootfs/etc");
    for directory in ["etc", "tmp", "data", "made/by/runtime"] {
        std::fs::create_dir_all(place.bundle().join("rootfs").join(directory)).expect("mkdir");
    }
    std::fs::write(
        etc.join("passwd"),
        "root:x:0:0::/root:/bin/sh\nuser:x:1000:100::/home/user:/bin/sh\n",
    )
    .expect("passwd");
    for (name, text) in [("hidden", "secret"), ("word", "word")] {
        std::fs::write(etc.join(name), text).expect("file");
    }
    place.configure(|spec| {
        // Debian's runc knows 1.0 only.
        spec["ociVersion"] = json!("1.0.2");
        spec["linux"]
            .as_object_mut()
            .expect("linux")
            .remove("cgroupsPath");
        spec["mounts"]
            .as_array_mut()
            .expect("mounts")
            .retain(|mount| mount["type"] != "cgroup");
    });
    let path = place.bundle().join("config.json");
    let base: Value = serde_json::from_slice(&std::fs::read(&path).expect("spec")).expect("json");
    let mut cases: Vec<(String, Vec<Change>)> = Vec::new();
    for (name, change) in ALONE.iter().chain(FEATURES).chain(WRONG) {
        cases.push(((*name).to_owned(), vec![*change]));
    }
    for (at, (name, change)) in FEATURES.iter().enumerate() {
        for (other, second) in &FEATURES[at + 1..] {
            cases.push((format!("{name}+{other}"), vec![*change, *second]));
        }
    }
    assert!(cases.len() >= 100, "{}", cases.len());
    let mut differences = Vec::new();
    for (name, changes) in &cases {
        let mut spec = base.clone();
        changes.iter().for_each(|change| change(&mut spec));
        std::fs::write(&path, spec.to_string()).expect("config");
        let theirs = run("runc", &place, "runc");
        let ours = run(env!("CARGO_BIN_EXE_dhow-runtime"), &place, "dhow");
        let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
        if theirs.status.code() != ours.status.code() {
            differences.push(format!(
                "{name}: runc {:?}, we {:?}: {}",
                theirs.status.code(),
                ours.status.code(),
                String::from_utf8_lossy(&ours.stderr)
            ));
        }
        let (theirs, ours) = (text(&theirs), text(&ours));
        for line in more(&theirs, &ours) {
            differences.push(format!("{name}: only runc: {line}"));
        }
        for line in more(&ours, &theirs) {
            differences.push(format!("{name}: only we: {line}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} cases\n{}",
        differences.len(),
        cases.len(),
        differences.join("\n")
    );
}
