//! The same filters, built by libseccomp (Debian's python3-seccomp) and run on the same calls.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

/// Reads a filter as JSON, adds its rules in order and prints the exported program, eight bytes an instruction, and the
/// calls that libseccomp does not know.
const PROGRAM: &str = r#"
import json, os, struct, sys, tempfile
import seccomp as S
job = json.load(sys.stdin)
ops = {"SCMP_CMP_NE": S.NE, "SCMP_CMP_LT": S.LT, "SCMP_CMP_LE": S.LE, "SCMP_CMP_EQ": S.EQ,
       "SCMP_CMP_GE": S.GE, "SCMP_CMP_GT": S.GT, "SCMP_CMP_MASKED_EQ": S.MASKED_EQ}
def action(name, errno):
    n = 1 if errno is None else errno
    return {"SCMP_ACT_ALLOW": S.ALLOW, "SCMP_ACT_ERRNO": S.ERRNO(n), "SCMP_ACT_KILL": S.KILL, "SCMP_ACT_LOG": S.LOG,
            "SCMP_ACT_KILL_PROCESS": S.KILL_PROCESS, "SCMP_ACT_TRAP": S.TRAP, "SCMP_ACT_TRACE": S.TRACE(n)}[name]
arches = {"SCMP_ARCH_X86": S.Arch.X86, "SCMP_ARCH_X32": S.Arch.X32, "SCMP_ARCH_X86_64": S.Arch.X86_64,
          "SCMP_ARCH_AARCH64": S.Arch.AARCH64, "SCMP_ARCH_ARM": S.Arch.ARM}
out = []
for item in job:
    f = S.SyscallFilter(action(item["defaultAction"], item.get("defaultErrnoRet")))
    for a in item.get("architectures", []):
        if not f.exist_arch(arches[a]): f.add_arch(arches[a])
    # A filter begins with the architecture of the machine that this runs on.
    for a, number in arches.items():
        if a not in item["architectures"] and f.exist_arch(number): f.remove_arch(number)
    default = (item["defaultAction"], item.get("defaultErrnoRet") or 1)
    unknown = []
    for rule in item.get("syscalls", []):
        if (rule["action"], rule.get("errnoRet") or 1) == default and rule["action"] == "SCMP_ACT_ERRNO": continue
        if rule["action"] == default[0] and rule["action"] != "SCMP_ACT_ERRNO": continue
        for name in rule["names"]:
            args = [S.Arg(a["index"], ops[a["op"]], a["value"], a["valueTwo"]) for a in rule.get("args", [])]
            try: f.add_rule(action(rule["action"], rule.get("errnoRet")), name, *args)
            except (OSError, RuntimeError, ValueError) as e: unknown.append(name)
    with tempfile.TemporaryFile() as t:
        f.export_bpf(t); t.seek(0); raw = t.read()
    out.append({"code": [struct.unpack("<HBBI", raw[i:i+8]) for i in range(0, len(raw), 8)],
                "unknown": unknown})
names = sorted({n for n in job[0].get("_names", [])})
print(json.dumps({"filters": out, "known": [[a, n, S.resolve_syscall(arches[a], n) & 0xffffffff] for a in arches for n in names]}))
"#;

/// The architectures whose programs one machine runs, its own first.
const X86: [SeccompArch; 3] = [SeccompArch::X86_64, SeccompArch::X86, SeccompArch::X32];
const ARM: [SeccompArch; 2] = [SeccompArch::Aarch64, SeccompArch::Arm];

type Code = Vec<(u16, u8, u8, u32)>;
type Numbers = BTreeSet<(SeccompArch, String, u32)>;

/// libseccomp's programs for the filters, and its number for each call of `names`; `None` where it is not installed.
fn ask(filters: &[Seccomp], names: &[&str]) -> Option<(Vec<Code>, Numbers)> {
    let mut job = serde_json::to_value(filters).expect("json");
    job[0]["_names"] = serde_json::to_value(names).expect("json");
    // Debian's interpreter, for whose version the module is built.
    let child = Command::new("/usr/bin/python3")
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: no /usr/bin/python3");
        return None;
    };
    let mut input = child.stdin.take().expect("stdin");
    let writer = std::thread::spawn(move || input.write_all(job.to_string().as_bytes()));
    let output = child.wait_with_output().expect("python3");
    // An interpreter that ends at once (no such module) leaves the pipe broken.
    let _ = writer.join();
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("No module named") {
        eprintln!("skipped: Debian's package python3-seccomp is not installed");
        return None;
    }
    assert!(output.status.success(), "{errors}");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("answer");
    let filters = answer["filters"].as_array().expect("list").iter();
    let programs = filters
        .map(|f| serde_json::from_value(f["code"].clone()).expect("code"))
        .collect();
    Some((
        programs,
        serde_json::from_value(answer["known"].clone()).expect("names"),
    ))
}

fn as_program(code: &[(u16, u8, u8, u32)]) -> super::super::Program {
    let instructions = code
        .iter()
        .map(|&(code, jt, jf, k)| super::super::Instruction { code, jt, jf, k })
        .collect();
    super::super::Program {
        instructions,
        flags: 0,
        notifies: false,
    }
}

/// Values at which comparisons change their answer, around those in the filter.
fn interesting(filter: &Seccomp) -> Vec<u64> {
    let mut values = BTreeSet::from([0, 1, 0xffff_ffff, 1 << 32, u64::MAX]);
    for arg in filter.syscalls.iter().flat_map(|rule| &rule.args) {
        for value in [arg.value, arg.value_two] {
            values.extend([
                value,
                value.wrapping_add(1),
                value.wrapping_sub(1),
                value ^ 1 << 33,
                value & !1,
            ]);
        }
    }
    values.into_iter().collect()
}

fn compare(filters: &[Seccomp], arches: &[SeccompArch]) {
    let names: BTreeSet<&str> = arches
        .iter()
        .flat_map(|a| table::calls(*a))
        .map(|(_, name)| name)
        .collect();
    let Some((programs, known)) = ask(filters, &names.into_iter().collect::<Vec<_>>()) else {
        return;
    };
    let mut state = 7_u64;
    let mut compared = 0_u64;
    for (filter, code) in filters.iter().zip(programs) {
        let own = compile_for(filter, arches[0]).expect("compiles");
        let theirs = as_program(&code);
        let values = interesting(filter);
        for arch in arches.iter().copied() {
            let calls = table::calls(arch);
            let listed = |name: &str| {
                filter
                    .syscalls
                    .iter()
                    .any(|rule| rule.names.iter().any(|n| n == name))
            };
            let newest = calls
                .iter()
                .filter(|(_, n)| listed(n))
                .map(|(number, _)| *number)
                .max()
                .unwrap_or(u32::MAX);
            for (number, name) in calls {
                // Younger than libseccomp 2.5.4, or answered with ENOSYS on purpose.
                if !known.contains(&(arch, name.to_owned(), number)) || number > newest {
                    continue;
                }
                for round in 0..values.len().clamp(8, 24) {
                    let mut args = [0_u64; 6];
                    for (at, arg) in args.iter_mut().enumerate() {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let pick = if at == 0 { round } else { (state >> 33) as usize };
                        *arg = values[pick % values.len()];
                        if matches!(arch, SeccompArch::X86 | SeccompArch::Arm) {
                            *arg &= 0xffff_ffff;
                        }
                    }
                    let data = Data {
                        number,
                        arch: table::audit_number(arch).expect("known"),
                        args,
                    };
                    let about = filter
                        .syscalls
                        .iter()
                        .filter(|rule| rule.names.iter().any(|n| n == name));
                    let (ours, judged) = (run(&own, &data), run(&theirs, &data));
                    assert!(
                        ours == judged,
                        "{arch:?} {name} {args:x?}: {ours:#x}, libseccomp {judged:#x}\n{:?}",
                        about.collect::<Vec<_>>()
                    );
                    compared += 1;
                }
            }
        }
    }
    eprintln!("{compared} calls judged alike by libseccomp");
    assert!(compared > 1000);
}

#[test]
fn libseccomp_judges_the_default_profile_alike() {
    let sets = [
        CapabilitySet::docker_default(),
        CapabilitySet(0),
        CapabilitySet((1 << 41) - 1),
    ];
    for arches in [&X86[..], &ARM] {
        let filters: Vec<Seccomp> = sets
            .into_iter()
            .map(|capabilities| Context {
                capabilities,
                arch: arches[0],
                kernel: (6, 18),
            })
            .map(|context| default_profile(&context))
            .collect();
        compare(&filters, arches);
    }
}

#[test]
fn libseccomp_judges_random_profiles_alike() {
    // One rule for each call: with several comparisons by size for one call, libseccomp 2.5.4 lets calls through that no
    // rule is about (its tree confuses branches); those are checked against plain evaluation instead.
    for arches in [&X86[..], &ARM] {
        let filters: Vec<_> = (0..12).map(|seed| random_filter(seed, 1, arches)).collect();
        compare(&filters, arches);
    }
}

#[test]
fn several_conditional_rules_mean_that_one_must_hold() {
    for seed in 0..40 {
        let filter = random_filter(seed, 4, &X86);
        let program = compile_for(&filter, SeccompArch::X86_64).expect("compiles");
        let values = interesting(&filter);
        let mut next = generator(seed);
        for first in &filter.syscalls {
            let name = first.names[0].as_str();
            let rules: Vec<_> = filter
                .syscalls
                .iter()
                .filter(|rule| rule.names[0] == name)
                .collect();
            let decisive = rules.iter().find(|rule| rule.args.is_empty());
            for _ in 0..50 {
                let args: [u64; 6] = std::array::from_fn(|_| values[next(values.len() as u64) as usize]);
                let matching = decisive.or_else(|| {
                    rules
                        .iter()
                        .find(|rule| rule.args.iter().all(|c| holds(c, &args)))
                });
                let action = matching.map_or(filter.default_action, |rule| rule.action);
                let expect = super::super::compile::verdict(action, None, name).expect("verdict");
                assert_eq!(
                    run(&program, &data(SeccompArch::X86_64, name, &args)),
                    expect,
                    "{args:x?} {rules:?}"
                );
            }
        }
    }
}

fn holds(c: &SyscallArg, args: &[u64; 6]) -> bool {
    let got = args[c.index as usize];
    match c.op {
        SeccompOp::Eq => got == c.value,
        SeccompOp::Ne => got != c.value,
        SeccompOp::Lt => got < c.value,
        SeccompOp::Le => got <= c.value,
        SeccompOp::Gt => got > c.value,
        SeccompOp::Ge => got >= c.value,
        SeccompOp::MaskedEq => got & c.value == c.value_two,
    }
}

/// The same numbers for the same seed.
fn generator(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_add(99);
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

/// Up to sixty calls with up to `most` rules, each of one action.
fn random_filter(seed: u64, most: u64, arches: &[SeccompArch]) -> Seccomp {
    use SeccompAction as A;
    use SeccompOp::{Eq, Ge, Gt, Le, Lt, MaskedEq, Ne};
    let names: Vec<&str> = table::calls(arches[0])
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    let mut next = generator(seed);
    let actions = [A::Allow, A::Errno, A::Log, A::KillProcess, A::Trap];
    let default = actions[next(5) as usize];
    let mut out = filter(default, Vec::new());
    out.architectures = arches.to_vec();
    for _ in 0..next(60) {
        let name = names[next(names.len() as u64) as usize];
        if out.syscalls.iter().any(|rule| rule.names[0] == name) {
            continue;
        }
        let action = actions[next(5) as usize];
        if action == default {
            continue;
        }
        for _ in 0..=next(most) {
            let mut args = Vec::new();
            for index in 0..6 {
                if next(4) == 0 {
                    let op = [Eq, Ne, Lt, Le, Gt, Ge, MaskedEq][next(7) as usize];
                    let value = [next(4), next(1 << 31), next(1 << 31) << 20, 0xffff_ffff][next(4) as usize];
                    let value_two = if op == MaskedEq { next(1 << 31) & value } else { 0 };
                    args.push((index, op, value, value_two));
                }
            }
            out.syscalls.push(rule(&[name], action, &args));
        }
    }
    let last = if default == A::Allow { A::Log } else { A::Allow };
    out.syscalls.retain(|rule| rule.names[0] != "pwritev2");
    out.syscalls.push(rule(&["pwritev2"], last, &[]));
    out
}
