//! `build` and its cache, from the command line.

use e2e::{Client, Output, daemon, for_each_client};

/// Without BuildKit: docker's command would look for a plugin first.
fn build(docker: &Client, arguments: &[&str]) -> Output {
    let mut command = docker.command(arguments);
    Output::of(&command.env("DOCKER_BUILDKIT", "0").output().expect("client"))
}

#[test]
fn a_dockerfile_becomes_an_image_that_runs() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let folder = daemon.folder().join("context");
    std::fs::create_dir(&folder).expect("folder");
    std::fs::write(folder.join("said"), "from the context").expect("file");
    let text = "FROM busybox\nCOPY said /said\nRUN echo >> /said\nCMD [\"cat\", \"/said\"]\n";
    std::fs::write(folder.join("Dockerfile"), text).expect("file");
    let path = folder.to_string_lossy().into_owned();
    for_each_client(&daemon, |docker| {
        let output = build(docker, &["build", "-t", "made:1", &path]);
        assert_eq!(output.code, 0, "{output:?}");
        assert_eq!(docker.ok(["run", "--rm", "made:1"]), "from the context");
        docker.ok(["rmi", "made:1"]);
        if docker.is_dhow() {
            let text = docker.ok(["builder", "prune", "-f"]);
            assert!(text.contains("Total"), "{text}");
        }
    });
}
