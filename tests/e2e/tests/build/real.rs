//! Builds as people make them: nginx, a program in Rust, and a package for Python, on a Debian that is fetched here.
//! They need the network, and take minutes.
#![expect(clippy::print_stdout, reason = "says why a test does not run")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::{Client, Daemon, Output, clients, daemon, full, until};

/// Certificates that the machine trusts: whoever stands between it and the registries may have one of their own.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A daemon with the image `debian`, if the long tests are wanted and Debian can be had.
fn with_debian() -> Option<(Daemon, Client)> {
    if !full() {
        println!("skipped: long, and fetched from the network; --full runs it");
        return None;
    }
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path().join("debian");
    let made = Command::new("debootstrap")
        .args(["--variant=minbase", "--include=ca-certificates", "bookworm"])
        .arg(&root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: debootstrap cannot fetch Debian here");
        return None;
    }
    let daemon = daemon()?;
    let dhow = clients(&daemon).into_iter().find(Client::is_dhow).expect("dhow");
    let archive = folder.path().join("debian.tar");
    let packed = Command::new("tar")
        .arg("-C")
        .arg(&root)
        .arg("-cf")
        .arg(&archive)
        .arg(".")
        .status();
    assert!(packed.expect("tar").success());
    dhow.ok(["import", &archive.display().to_string(), "debian"]);
    Some((daemon, dhow))
}

fn build(dhow: &Client, context: &Path, name: &str, dockerfile: &str) -> Output {
    fs::write(context.join("Dockerfile"), dockerfile).expect("file");
    // Without the limit of other commands: programs are fetched and compiled here.
    let mut command = dhow.command(["build", "-t", name, &context.display().to_string()]);
    let built = Output::of(&command.output().expect("dhow"));
    assert_eq!(built.code, 0, "{name}: {built:?}");
    built
}

const NGINX: &str = "FROM debian
RUN apt-get update && apt-get install -y --no-install-recommends nginx-light && rm -rf /var/lib/apt/lists/*
VOLUME [\"/var/log/nginx\"]
WORKDIR /var/www/html
COPY index.html .
EXPOSE 80
ENTRYPOINT [\"nginx\"]
CMD [\"-g\", \"daemon off;\"]
";

const RUST: &str = "FROM debian AS build
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked apt-get update \\
    && apt-get install -y --no-install-recommends rustc gcc libc6-dev
WORKDIR /src
COPY main.rs .
RUN rustc -O -o /hello main.rs
FROM debian
COPY --from=build /hello /usr/bin/hello
CMD [\"hello\"]
";

const PYTHON: &str = "FROM debian
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked apt-get update \\
    && apt-get install -y --no-install-recommends python3-pip
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=bind,source=certificates,target=/certificates \\
    PIP_CERT=/certificates pip install --break-system-packages idna
CMD [\"python3\", \"-c\", \"import idna; print(idna.encode('b\\u00fccher.example').decode())\"]
";

/// Neither mounts nor caches are in the image.
fn assert_clean(dhow: &Client, image: &str) {
    let places = "ls -A /certificates /root/.cache/pip /var/cache/apt/archives/python3-pip*";
    let left = dhow.run(["run", "--rm", image, "sh", "-c", places]);
    assert_eq!(left.stdout, "", "{left:?}");
}

/// A context with the certificates: none are fine where nobody stands in between.
fn context() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let certificates = fs::read(CERTIFICATES).unwrap_or_default();
    fs::write(folder.path().join("certificates"), certificates).expect("file");
    folder
}

#[test]
fn nginx_and_programs_in_rust_and_python_are_built_on_debian() {
    let Some((_daemon, dhow)) = with_debian() else {
        return;
    };
    let folder = context();
    let context = folder.path();
    fs::write(context.join("index.html"), "served from a layer\n").expect("file");
    let main = "fn main() { println!(\"hello from rust\"); }\n";
    fs::write(context.join("main.rs"), main).expect("file");

    build(&dhow, context, "web", NGINX);
    dhow.ok(["run", "-d", "--name", "web", "web"]);
    let fetch = "exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
    until("nginx serves", || {
        let page = dhow.run(["exec", "web", "bash", "-c", fetch]);
        page.stdout.contains("served from a layer")
    });
    dhow.ok(["rm", "--force", "--volumes", "web"]);
    let again = build(&dhow, context, "web", NGINX);
    assert_eq!(again.stdout.matches("Using cache").count(), 7, "{again:?}");

    build(&dhow, context, "rust", RUST);
    assert_eq!(dhow.ok(["run", "--rm", "rust"]), "hello from rust");
    let none = dhow.run(["run", "--rm", "rust", "rustc", "--version"]);
    assert_ne!(none.code, 0, "the compiler stays in its stage: {none:?}");

    build(&dhow, context, "python", PYTHON);
    assert_eq!(dhow.ok(["run", "--rm", "python"]), "xn--bcher-kva.example");
    assert_clean(&dhow, "python");
}
