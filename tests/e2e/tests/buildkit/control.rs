//! `Control` and `LLBBridge`, driven by a client that was generated from BuildKit's own definitions.

use std::collections::HashMap;
use std::time::Duration;

use bollard_buildkit_proto::fsutil::types::Stat;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{self, PingRequest, ReturnRequest};
use bollard_buildkit_proto::moby::buildkit::v1::{
    BuildHistoryRequest, DiskUsageRequest, Exporter, InfoRequest, ListWorkersRequest, PruneRequest,
    SolveRequest, SolveResponse, StatusRequest, StatusResponse, UpdateBuildHistoryRequest,
};
use bollard_buildkit_proto::pb;
use e2e::{Daemon, LONGEST, clients, daemon};
use tonic::{Code, Request, Status};

use super::session::{Offer, file, open, services};

const DOCKERFILE: &str = "FROM busybox\nARG who\nCOPY a /a\nRUN --mount=type=secret,id=s cat /a /run/secrets/s | tr a-z A-Z; echo hello $who\n";

fn within<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        tokio::time::timeout(LONGEST, work)
            .await
            .expect("within a minute")
    })
}

fn offer(text: &str, files: Vec<(Stat, Vec<u8>)>) -> Offer {
    Offer {
        files: [("dockerfile", vec![file("Dockerfile", text)]), ("context", files)]
            .map(|(name, files)| (name.to_owned(), files))
            .into(),
        secrets: [("s".to_owned(), b"sesame\n".to_vec())].into(),
        ..Offer::default()
    }
}

fn map(entries: &[(&str, &str)]) -> HashMap<String, String> {
    entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn solve_request(id: &str, session: &str, attributes: &[(&str, &str)]) -> SolveRequest {
    SolveRequest {
        r#ref: id.to_owned(),
        session: session.to_owned(),
        frontend: "dockerfile.v0".to_owned(),
        frontend_attrs: map(attributes),
        ..SolveRequest::default()
    }
}

fn exporter(kind: &str, attributes: &[(&str, &str)]) -> Vec<Exporter> {
    vec![Exporter {
        r#type: kind.to_owned(),
        attrs: map(attributes),
    }]
}

/// Asks for a build while its status is read, as buildx does.
async fn solve(
    daemon: &Daemon,
    request: SolveRequest,
) -> (Result<SolveResponse, Status>, Vec<StatusResponse>) {
    let channel = services(&daemon.socket()).await;
    let (mut solving, mut watching) = (ControlClient::new(channel.clone()), ControlClient::new(channel));
    let of = StatusRequest {
        r#ref: request.r#ref.clone(),
    };
    let told = async {
        let mut messages = watching.status(of).await.expect("the status").into_inner();
        let mut told = Vec::new();
        while let Some(message) = messages.message().await.expect("a message") {
            told.push(message);
        }
        told
    };
    let (solved, told) = tokio::join!(solving.solve(request), told);
    (solved.map(tonic::Response::into_inner), told)
}

fn logs(told: &[StatusResponse]) -> String {
    let logs = told.iter().flat_map(|message| &message.logs);
    logs.map(|log| String::from_utf8_lossy(&log.msg).into_owned())
        .collect()
}

#[test]
fn a_dockerfile_is_built_with_what_the_session_offers() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    within(async {
        let offered = offer(DOCKERFILE, vec![file("a", "from a\n"), file("not wanted", "x")]);
        let asked = offered.asked.clone();
        let _session = open(&daemon.socket(), "s1", "key", offered).await;
        let mut request = solve_request("b1", "s1", &[("build-arg:who", "world"), ("label:l", "m")]);
        request.exporters = exporter("moby", &[("name", "docker.io/library/solved:1")]);
        let (solved, told) = solve(&daemon, request.clone()).await;
        let response = solved.expect("a build").exporter_response;
        let id = &response["containerimage.config.digest"];
        assert!(
            id.starts_with("sha256:") && response["image.name"] == "docker.io/library/solved:1",
            "{response:?}"
        );
        let said = logs(&told);
        assert!(
            said.contains("FROM A\nSESAME\n") && said.contains("hello world"),
            "{said}"
        );
        let names: Vec<_> = told
            .iter()
            .flat_map(|message| &message.vertexes)
            .map(|vertex| vertex.name.as_str())
            .collect();
        for name in [
            "[internal] load build definition from Dockerfile",
            "[2/3] COPY a /a",
            "exporting to image",
        ] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        let wanted: Vec<_> = std::mem::take(&mut *asked.lock().expect("lock"));
        assert_eq!(wanted, ["Dockerfile", "a"]);
        request.r#ref = "b2".to_owned();
        let (solved, told) = solve(&daemon, request).await;
        assert_eq!(
            &solved.expect("a build").exporter_response["containerimage.digest"],
            id
        );
        let cached = told.iter().flat_map(|message| &message.vertexes);
        assert!(
            cached
                .filter(|vertex| vertex.cached && vertex.completed.is_some())
                .count()
                == 2
        );
        assert_eq!(
            *asked.lock().expect("lock"),
            ["Dockerfile"],
            "the context is there already"
        );
    });
    let client = &clients(&daemon)[0];
    assert_eq!(
        client.ok([
            "image",
            "inspect",
            "--format",
            "{{index .Config.Labels \"l\"}}",
            "solved:1"
        ]),
        "m"
    );
}

#[test]
fn named_contexts_are_directories_of_the_client_or_images() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let text = "FROM base\nCOPY --from=parts . /parts\nRUN --mount=from=parts,target=/m cat /parts/p /m/p; ls -A /parts\n";
    let mut offer = offer(text, Vec::new());
    let files = vec![file(".dockerignore", "left-out\n"), file("p", "part\n")];
    offer.files.insert("parts-dir".to_owned(), files);
    let contexts = [
        ("context:parts", "local:parts-dir"),
        ("context:base", "docker-image://busybox"),
    ];
    within(async {
        let _session = open(&daemon.socket(), "s1", "key", offer).await;
        let (solved, told) = solve(&daemon, solve_request("n1", "s1", &contexts)).await;
        solved.expect("solved");
        let said = logs(&told);
        assert!(said.contains("part\npart\n"), "{said}");
        let (refused, _) = solve(
            &daemon,
            solve_request("n2", "s1", &[("context:x", "oci-layout://y")]),
        )
        .await;
        let refused = refused.expect_err("refused");
        assert!(
            refused.code() == Code::Unimplemented && refused.message().contains("context x"),
            "{refused}"
        );
    });
}

#[test]
fn a_failing_build_is_told_in_its_status_and_in_the_answer() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    within(async {
        let _session = open(
            &daemon.socket(),
            "s",
            "",
            offer("FROM busybox\nRUN exit 9\n", Vec::new()),
        )
        .await;
        let (solved, told) = solve(&daemon, solve_request("b", "s", &[])).await;
        let says = "process \"/bin/sh -c exit 9\" did not complete successfully: exit code: 9";
        assert_eq!(solved.expect_err("an error").message(), says);
        let mut vertexes = told.iter().flat_map(|message| &message.vertexes);
        assert!(vertexes.any(|vertex| vertex.error == says && vertex.completed.is_some()));
    });
}

#[test]
fn a_client_that_is_its_own_frontend_is_served_through_the_bridge() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    within(async {
        let offered = offer(DOCKERFILE, vec![file("a", "from a\n")]);
        let _session = open(&daemon.socket(), "s", "key", offered).await;
        let channel = services(&daemon.socket()).await;
        let named = |mut request: Request<_>| {
            request
                .metadata_mut()
                .insert("buildkit-controlapi-buildid", "b".parse().expect("text"));
            Ok::<_, Status>(request)
        };
        let mut bridge = LlbBridgeClient::with_interceptor(channel, named);
        let work = async {
            let pong = bridge.ping(PingRequest {}).await.expect("a pong").into_inner();
            assert!(
                pong.frontend_api_caps
                    .iter()
                    .any(|able| able.id == "solve.base" && able.enabled)
            );
            let mut request = frontend::SolveRequest {
                frontend: "dockerfile.v0".to_owned(),
                frontend_opt: map(&[("no-cache", "")]),
                allow_result_return: true,
                allow_result_array_ref: true,
                ..frontend::SolveRequest::default()
            };
            let result = bridge
                .solve(request.clone())
                .await
                .expect("a build")
                .into_inner()
                .result;
            request.definition = Some(pb::Definition {
                def: vec![vec![1]],
                ..pb::Definition::default()
            });
            let refused = bridge.solve(request).await.expect_err("LLB");
            assert_eq!(refused.code(), Code::Unimplemented);
            bridge
                .r#return(ReturnRequest { result, error: None })
                .await
                .expect("the end");
        };
        let request = SolveRequest {
            frontend: String::new(),
            exporters: exporter("moby", &[("name", "bridged")]),
            ..solve_request("b", "s", &[])
        };
        let ((solved, told), ()) = tokio::join!(solve(&daemon, request), work);
        assert_eq!(
            solved.expect("a build").exporter_response["image.name"],
            "docker.io/library/bridged:latest"
        );
        assert!(logs(&told).contains("SESAME"));
    });
    clients(&daemon)[0].ok(["image", "inspect", "bridged"]);
}

#[test]
fn an_archive_comes_by_upload_and_others_go_back() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    within(async {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, text) in [
            ("Dockerfile", "FROM scratch\nCOPY a /out\n"),
            ("a", "in the archive"),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            archive
                .append_data(&mut header, name, text.as_bytes())
                .expect("archive");
        }
        let offered = Offer {
            uploads: [("/up".to_owned(), archive.into_inner().expect("archive"))].into(),
            ..Offer::default()
        };
        let received = offered.received.clone();
        let _session = open(&daemon.socket(), "s", "", offered).await;
        for (kind, member) in [("tar", "out"), ("docker", "manifest.json"), ("oci", "index.json")] {
            let mut request = solve_request(kind, "s", &[("context", "http://buildkit-session/up")]);
            request.exporters = exporter(kind, &[]);
            solve(&daemon, request).await.0.expect("a build");
            let bytes = std::mem::take(&mut *received.lock().expect("lock"));
            let mut archive = tar::Archive::new(bytes.as_slice());
            let names = archive.entries().expect("archive").map(|entry| {
                let entry = entry.expect("entry");
                entry.path().expect("path").display().to_string()
            });
            let names: Vec<String> = names.collect();
            assert!(names.iter().any(|name| name == member), "{kind}: {names:?}");
        }
        let request = solve_request("none", "s", &[("context", "http://buildkit-session/none")]);
        let missing = solve(&daemon, request).await.0.expect_err("no archive");
        assert!(missing.message().contains("no such archive"), "{missing:?}");
    });
}

#[test]
fn hostile_files_are_refused_and_lead_nowhere() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let evil = daemon.folder().join("evil");
    let special = |path: &str, mode: u32, link: &str| {
        let (mut stat, content) = file(path, "");
        stat.mode = mode;
        stat.linkname = link.to_owned();
        (stat, content)
    };
    let (directory, symlink, device) = (1 << 31, 1 << 27, 1 << 26);
    let evil_text = evil.display().to_string();
    let hostile = [
        (vec![file("../evil", "x")], "relative and clean"),
        (vec![file(&evil_text, "x")], "relative and clean"),
        (vec![special("d", device, "")], "devices are not taken"),
        (vec![special("l", symlink, "/"), file("l/evil", "x")], "l/evil"),
        (vec![special("h", 0o644, "../../evil")], "link"),
        (vec![special("h", 0o644, "never/sent")], "h"),
        (vec![file("a", "x"), file("a", "x")], "twice"),
        (vec![file("a", "x"), special("a/b", directory, "")], "a/b"),
    ];
    within(async {
        for (number, (files, says)) in hostile.into_iter().enumerate() {
            let id = format!("h{number}");
            let _session = open(
                &daemon.socket(),
                &id,
                "same",
                offer("FROM busybox\nCOPY . /\n", files),
            )
            .await;
            let refused = solve(&daemon, solve_request(&id, &id, &[])).await.0;
            let refused = refused.expect_err(says);
            assert!(refused.message().contains(says), "{says}: {refused:?}");
        }
        // The copy that they left is of use to the next build all the same.
        let last = offer("FROM busybox\nCOPY . /c\nRUN ls /c\n", vec![file("good", "x")]);
        let _session = open(&daemon.socket(), "good", "same", last).await;
        let (solved, told) = solve(&daemon, solve_request("good", "good", &[])).await;
        solved.expect("a build");
        assert!(logs(&told).contains("good\n"));
    });
    assert!(!evil.exists());
}

#[test]
fn what_is_not_there_is_refused_by_name_and_the_rest_answers() {
    let Some(daemon) = daemon() else { return };
    within(async {
        let channel = services(&daemon.socket()).await;
        let mut control = ControlClient::new(channel.clone());
        let info = control.info(InfoRequest {}).await.expect("info").into_inner();
        assert_eq!(info.buildkit_version.expect("a version").package, "dhow");
        let workers = control
            .list_workers(ListWorkersRequest::default())
            .await
            .expect("workers")
            .into_inner();
        assert_eq!(
            (workers.record.len(), workers.record[0].platforms[0].os.as_str()),
            (1, "linux")
        );
        control
            .disk_usage(DiskUsageRequest::default())
            .await
            .expect("usage");
        let mut pruned = control
            .prune(PruneRequest::default())
            .await
            .expect("prune")
            .into_inner();
        assert!(pruned.message().await.expect("the end").is_none());
        let mut history = control
            .listen_build_history(BuildHistoryRequest::default())
            .await
            .expect("history")
            .into_inner();
        assert!(history.message().await.expect("the end").is_none());
        let kept = control
            .update_build_history(UpdateBuildHistoryRequest::default())
            .await;
        assert_eq!(kept.expect_err("no history").code(), Code::NotFound);
        let llb = SolveRequest {
            r#ref: "llb".to_owned(),
            definition: Some(pb::Definition {
                def: vec![vec![1]],
                ..pb::Definition::default()
            }),
            ..SolveRequest::default()
        };
        let refused = control.solve(llb).await.expect_err("LLB");
        assert!(
            refused.code() == Code::Unimplemented && refused.message().contains("LLB"),
            "{refused:?}"
        );
        let mut bridge = LlbBridgeClient::new(channel);
        let refused = bridge
            .read_file(frontend::ReadFileRequest::default())
            .await
            .expect_err("no build");
        assert_eq!(refused.code(), Code::InvalidArgument);
        for (key, value, says) in [
            ("platform", "linux/amd64,linux/arm64", "several platforms"),
            ("attest:sbom", "x", "sbom"),
            ("unheard-of", "y", "unheard-of"),
        ] {
            let _session = open(&daemon.socket(), key, "", Offer::default()).await;
            let refused = control
                .solve(solve_request(key, key, &[(key, value)]))
                .await
                .expect_err(says);
            assert!(refused.message().contains(says), "{refused:?}");
        }
    });
}

#[test]
fn a_build_ends_when_its_session_or_its_call_does() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let client = clients(&daemon).remove(0);
    let runs = || !client.ok(["ps", "--quiet"]).is_empty();
    within(async {
        let text = "FROM busybox\nRUN sleep 1000000\n";
        let session = open(&daemon.socket(), "s1", "", offer(text, Vec::new())).await;
        let mut control = ControlClient::new(services(&daemon.socket()).await);
        let build = tokio::spawn(async move { control.solve(solve_request("b1", "s1", &[])).await });
        while !runs() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(session);
        let ended = build.await.expect("task").expect_err("no session");
        assert!(ended.message().contains("session ended"), "{ended:?}");
        assert!(!runs(), "the answer comes when the step is over");
        let _session = open(&daemon.socket(), "s2", "", offer(text, Vec::new())).await;
        let mut control = ControlClient::new(services(&daemon.socket()).await);
        let build = tokio::spawn(async move { control.solve(solve_request("b2", "s2", &[])).await });
        while !runs() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        build.abort();
        while runs() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}
