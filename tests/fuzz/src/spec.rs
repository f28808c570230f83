//! `config.json` of the OCI runtime-spec.

use oci::runtime::Spec;
use runtime::program::{Program, Step};
use runtime::{CgroupMount, Options, Streams, compile};

/// Compiles for each way that streams may come.
pub(crate) fn run(data: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<Spec>(data) else {
        return;
    };
    let text = serde_json::to_string(&spec).expect("a spec can be written");
    let again: Spec = serde_json::from_str(&text).expect("what was written can be read");
    assert_eq!(spec, again, "reading what was written gives the same");
    for streams in [Streams::Inherit, Streams::Given, Streams::Terminal] {
        let options = Options {
            rootfs: (streams == Streams::Inherit).then(|| "/root".to_owned()),
            streams,
            netns: streams == Streams::Given,
            id: "fuzz".to_owned(),
            cgroup_mounts: vec![CgroupMount {
                name: "cpu,cpuacct".to_owned(),
                path: "/sys/fs/cgroup/cpu,cpuacct/fuzz".to_owned(),
                links: vec!["cpu".to_owned()],
            }],
            may_mount: streams != Streams::Terminal,
            ..Options::default()
        };
        match (compile(&spec, &options), compile(&spec, &options)) {
            (Ok(program), Ok(second)) => {
                assert_eq!(shown(&program), shown(&second), "deterministic");
                check(&program);
            }
            (Err(error), Err(second)) => {
                let sentence = error.to_string();
                assert_eq!(sentence, second.to_string(), "deterministic");
                assert!(!sentence.contains('\n'), "one line: {sentence:?}");
                assert!(!sentence.is_empty());
            }
            _ => panic!("compiled once, refused once"),
        }
    }
}

/// All of it but the arguments and the environment, which are shown with their addresses.
fn shown(program: &Program) -> String {
    let Program {
        namespaces,
        parent,
        id_maps,
        prepared,
        steps,
        ..
    } = program;
    format!("{namespaces:?} {parent:?} {id_maps:?} {prepared:?} {steps:?}")
}

fn check(program: &Program) {
    assert!(
        matches!(program.steps.last(), Some(Step::Execute)),
        "the last step executes"
    );
    let mut filters = 0;
    for step in &program.steps {
        assert!(!step.sentence().contains('\n'), "one line: {:?}", step.sentence());
        match step {
            Step::Mount(mount) => {
                assert!(mount.target.to_bytes().starts_with(b"/"), "{:?}", mount.target);
            }
            Step::Mask(path) | Step::ReadonlyPath(path) | Step::ReadonlyMount(path) => {
                assert!(path.to_bytes().starts_with(b"/"), "{path:?}");
            }
            Step::Device(device) => assert!(device.path.to_bytes().starts_with(b"/"), "{:?}", device.path),
            Step::Sysctl { path, .. } => {
                let path = path.to_str().expect("a text");
                assert!(
                    !path.starts_with('/') && !path.split('/').any(|part| part == ".."),
                    "{path}"
                );
            }
            Step::Filter(filter) => {
                filters += 1;
                crate::seccomp::verify(&filter.instructions);
            }
            _ => {}
        }
    }
    assert!(filters <= 1, "one filter at most");
}
