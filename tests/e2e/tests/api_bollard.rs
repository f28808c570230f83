//! A client that nobody here wrote: bollard, with types made from Docker's schema.

use std::collections::HashMap;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::container::LogOutput;
use bollard::exec::StartExecResults;
use bollard::models::{ContainerCreateBody, ExecConfig, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, InspectContainerOptions, ListContainersOptions, LogsOptions,
    RemoveContainerOptions, StartContainerOptions, StatsOptions, WaitContainerOptions,
};
use e2e::image::busybox_at;
use e2e::{Daemon, LONGEST, daemon, http};
use fake_registry::Registry;
use futures_util::StreamExt;

fn connect(daemon: &Daemon) -> Docker {
    let path = daemon.socket().display().to_string();
    Docker::connect_with_unix(&path, LONGEST.as_secs(), bollard::API_DEFAULT_VERSION).expect("a client")
}

async fn create(docker: &Docker, name: &str, command: &[&str]) -> String {
    let body = ContainerCreateBody {
        image: Some("busybox".into()),
        cmd: Some(command.iter().map(|s| (*s).to_owned()).collect()),
        labels: Some(HashMap::from([("made-by".into(), "bollard".into())])),
        host_config: Some(HostConfig {
            memory: Some(32 << 20),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptions {
        name: Some(name.into()),
        ..CreateContainerOptions::default()
    };
    docker
        .create_container(Some(options), body)
        .await
        .expect("create")
        .id
}

#[tokio::test]
async fn a_container_lives_its_life_for_bollard() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let docker = connect(&daemon);
    assert_eq!(docker.ping().await.expect("ping"), "OK");
    assert_eq!(
        docker.version().await.expect("version").os.as_deref(),
        Some("linux")
    );
    assert_eq!(docker.info().await.expect("info").images, Some(1));

    let id = create(
        &docker,
        "for-bollard",
        &["sh", "-c", "echo out; echo err >&2; exit 6"],
    )
    .await;
    docker
        .start_container(&id, None::<StartContainerOptions>)
        .await
        .expect("start");
    // Its next exit may be over by now; this client does not say when a wait has begun.
    let mut waits = docker.wait_container(
        &id,
        Some(WaitContainerOptions {
            condition: "not-running".into(),
        }),
    );
    let code = match waits.next().await.expect("an answer") {
        Ok(answer) => answer.status_code,
        Err(bollard::errors::Error::DockerContainerWaitError { code, .. }) => code,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(code, 6);

    let options = LogsOptions {
        stdout: true,
        stderr: true,
        ..LogsOptions::default()
    };
    let lines: Vec<_> = docker
        .logs(&id, Some(options))
        .map(|l| l.expect("a line"))
        .collect()
        .await;
    assert!(
        lines.contains(&LogOutput::StdOut {
            message: "out\n".into()
        }),
        "{lines:?}"
    );
    assert!(
        lines.contains(&LogOutput::StdErr {
            message: "err\n".into()
        }),
        "{lines:?}"
    );

    let filters = HashMap::from([("label".into(), vec!["made-by=bollard".into()])]);
    let options = ListContainersOptions {
        all: true,
        filters: Some(filters),
        ..ListContainersOptions::default()
    };
    let list = docker.list_containers(Some(options)).await.expect("list");
    assert_eq!(list.len(), 1);
    let seen = docker
        .inspect_container(&id, None::<InspectContainerOptions>)
        .await
        .expect("inspect");
    assert_eq!(seen.state.and_then(|s| s.exit_code), Some(6));
    assert_eq!(seen.host_config.and_then(|h| h.memory), Some(32 << 20));
    docker
        .remove_container(&id, None::<RemoveContainerOptions>)
        .await
        .expect("remove");
}

#[tokio::test]
async fn exec_and_statistics_work_for_bollard() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let docker = connect(&daemon);
    let id = create(&docker, "for-exec", &["sleep", "600"]).await;
    docker
        .start_container(&id, None::<StartContainerOptions>)
        .await
        .expect("start");
    let config = ExecConfig {
        cmd: Some(vec!["echo".into(), "inside".into()]),
        attach_stdout: Some(true),
        ..ExecConfig::default()
    };
    let exec = docker.create_exec(&id, config).await.expect("exec").id;
    let StartExecResults::Attached { output, .. } = docker.start_exec(&exec, None).await.expect("start")
    else {
        panic!("not attached");
    };
    let said: Vec<_> = output.map(|o| o.expect("output").to_string()).collect().await;
    assert_eq!(said.concat(), "inside\n");
    assert_eq!(
        docker.inspect_exec(&exec).await.expect("inspect").exit_code,
        Some(0)
    );

    let options = StatsOptions {
        stream: false,
        one_shot: true,
    };
    let sample = docker
        .stats(&id, Some(options))
        .next()
        .await
        .expect("a sample")
        .expect("a sample");
    assert_eq!(sample.memory_stats.and_then(|m| m.limit), Some(32 << 20));
    let options = RemoveContainerOptions {
        force: true,
        ..RemoveContainerOptions::default()
    };
    docker.remove_container(&id, Some(options)).await.expect("remove");
}

#[tokio::test]
async fn credentials_that_are_half_filled_in_or_unreadable_are_taken_as_docker_takes_them() {
    let Some(daemon) = daemon() else { return };
    let registry = Registry::start();
    busybox_at(&registry, "team/busybox");
    let name = format!("{}/team/busybox", registry.address());
    // Nothing is needed, and whatever this client has to show is no JSON at all.
    let path = format!("/images/create?fromImage={name}&tag=latest");
    let header = Some(("X-Registry-Auth", "b29wcw=="));
    let reply = http::send(&daemon, "POST", &path, header, &[]);
    assert!(
        reply.text().contains("Downloaded newer image"),
        "{}",
        reply.text()
    );

    registry.require_password("u", "p");
    let docker = connect(&daemon);
    let pull = async |password: &str| {
        // What it does not know this client sends as null.
        let credentials = DockerCredentials {
            username: Some("u".into()),
            password: Some(password.into()),
            ..DockerCredentials::default()
        };
        let options = CreateImageOptions {
            from_image: Some(name.clone()),
            tag: Some("latest".into()),
            ..CreateImageOptions::default()
        };
        let told: Vec<_> = docker
            .create_image(Some(options), None, Some(credentials))
            .collect()
            .await;
        told.into_iter().collect::<Result<Vec<_>, _>>()
    };
    pull("p").await.expect("pull");
    pull("wrong").await.expect_err("a wrong password");
}
