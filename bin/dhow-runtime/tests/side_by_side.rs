//! The same bundles run by Debian's runc and crun and by this program: exit codes, state and what the containers see must
//! agree.
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

const OURS: &str = env!("CARGO_BIN_EXE_dhow-runtime");

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

/// A runtime that ours is compared with.
#[derive(Clone, Copy)]
struct Reference {
    name: &'static str,
    /// What may stand in one output only, besides [`may_differ`].
    differs: fn(&str) -> bool,
    /// Cases that are not compared at all.
    left_out: &'static [&'static str],
}

const REFERENCES: [Reference; 2] = [
    Reference {
        name: "runc",
        differs: |_| false,
        left_out: &[],
    },
    Reference {
        name: "crun",
        differs: crun_differs,
        left_out: CRUN_LEFT_OUT,
    },
];

fn is_installed(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin"]
        .iter()
        .any(|place| Path::new(place).join(program).exists())
}

/// The command of a runtime. Debian's crun 1.8 refuses hybrid cgroups, so it sees none of version 2.
fn command(program: &str) -> Command {
    if program != "crun" || Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    let script = "umount -a -t cgroup2 && exec crun \"$@\"";
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "crun"]);
    command
}

fn run(program: &str, place: &Place, name: &str) -> Output {
    command(program)
        .arg("--root")
        .arg(place.directory.path().join(format!("state-{name}")))
        .args(["run", "--bundle"])
        .arg(place.bundle())
        .arg(format!("{}-{name}", place.id))
        .stdin(Stdio::null())
        .output()
        .expect("run")
}

/// What `state` says of the container before it is started, without what is chance: numbers, names, times.
fn state(program: &str, place: &Place, name: &str) -> Value {
    let id = format!("{}-{name}", place.id);
    let verb = |arguments: &[&str]| {
        let mut command = command(program);
        command
            .arg("--root")
            .arg(place.directory.path().join(format!("state-{name}")));
        command.args(arguments).stdin(Stdio::null());
        command
    };
    let bundle = place.bundle();
    let create = ["create", "--bundle", bundle.to_str().expect("utf-8"), &id];
    // The container keeps the streams: pipes would never end.
    let status = verb(&create)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status();
    let created = status.expect("run").success();
    let output = verb(&["state", &id]).output().expect("run");
    let mut state: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let deleted = verb(&["delete", "--force", &id]).output().expect("run");
    assert!(created && deleted.status.success(), "{name}: {deleted:?}");
    let known = [
        "ociVersion",
        "id",
        "status",
        "pid",
        "bundle",
        "rootfs",
        "annotations",
        "owner",
        "created",
    ];
    let fields = state.as_object_mut().expect("an object");
    fields.retain(|field, _| known.contains(&field.as_str()));
    for chance in ["pid", "created", "id"] {
        assert!(fields.contains_key(chance), "{name}: {chance}");
        fields.insert(chance.to_owned(), json!("there"));
    }
    // The newest version that each knows.
    fields.remove("ociVersion");
    if program == "crun" {
        // It writes the root as the bundle does, and root's name.
        fields.remove("rootfs");
        fields.remove("owner");
    }
    state
}

/// Lines of the first that the second has not, but for those that may differ.
fn more<'a>(first: &'a str, second: &str, differs: fn(&str) -> bool) -> Vec<&'a str> {
    let lines: Vec<&str> = second.lines().collect();
    first
        .lines()
        .filter(|line| !lines.contains(line) && !may_differ(line) && !differs(line))
        .collect()
}

/// What crun 1.8 shows otherwise than runc and this runtime.
fn crun_differs(line: &str) -> bool {
    // It still makes /dev/core.
    line == "core"
        // It gives the standard streams, also those that are no terminal, to the container's user.
        || line.starts_with("/dev/null 666 ")
        // Nodes that are bound into a user namespace: it adds options to the mounts.
        || (line.starts_with("/dev/") && line.contains(" - devtmpfs devtmpfs "))
}

/// Where crun 1.8 takes another way than runc, which is the reference then.
const CRUN_LEFT_OUT: &[&str] = &[
    // It takes what runc and this runtime refuse by name.
    "relative-cwd",
    "double-namespace",
    "bad-propagation",
    // Its own exit code, 255, where runc has 1.
    "failing-hook",
];

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
fn runc_and_crun_and_we_agree_on_the_corpus() {
    let references: Vec<Reference> = REFERENCES
        .into_iter()
        .filter(|other| is_installed(other.name))
        .collect();
    if references.len() < REFERENCES.len() {
        eprintln!("skipped: runc and crun are not both there (apt-get install runc crun)");
    }
    if references.is_empty() {
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
        let ours = run(OURS, &place, "dhow");
        // Alone and well-formed: the state, too.
        let is_plain = changes.len() == 1
            && ours.status.code() != Some(1)
            && !WRONG.iter().any(|(wrong, _)| wrong == name);
        let our_state = is_plain.then(|| state(OURS, &place, "dhow"));
        for reference in references
            .iter()
            .filter(|other| !other.left_out.contains(&name.as_str()))
        {
            let theirs = run(reference.name, &place, reference.name);
            let mut note = |text: String| differences.push(format!("{name}: {} {text}", reference.name));
            let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
            if theirs.status.code() != ours.status.code() {
                let (theirs, code) = (theirs.status.code(), ours.status.code());
                note(format!(
                    "{theirs:?}, we {code:?}: {}",
                    String::from_utf8_lossy(&ours.stderr)
                ));
            }
            let (theirs, ours) = (text(&theirs), text(&ours));
            for line in more(&theirs, &ours, reference.differs) {
                note(format!("alone: {line}"));
            }
            for line in more(&ours, &theirs, reference.differs) {
                note(format!("has not: {line}"));
            }
            if let Some(ours) = &our_state {
                let theirs = state(reference.name, &place, reference.name);
                let fields = theirs.as_object().into_iter().flatten();
                if fields.into_iter().any(|(field, value)| ours[field] != *value) {
                    note(format!("state {theirs}, we {ours}"));
                }
            }
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
