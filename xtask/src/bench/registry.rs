//! dhow-registry beside Debian's docker-registry: requests per second over loopback, and memory under that load.
//!
//! Both store in a folder, log nothing and serve the same image; `wrk` asks, the rounds are interleaved, medians count.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use conformance::{Request, with};
use serde_json::json;

use crate::packages;

/// Clients at a time.
const CLIENTS: &str = "32";
/// How long each round of each row lasts.
const ROUND: &str = "3s";
/// As many push the tags at a time.
const PUSHERS: usize = 16;
/// Tags of the long list.
const TAGS: usize = 10_000;

/// A registry that is measured; ends with the value.
struct Subject {
    name: &'static str,
    child: Child,
    address: SocketAddr,
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is asked for in a row.
struct Row {
    what: &'static str,
    path: String,
}

pub(super) fn run(binaries: &Path, work: &Path, runs: usize) -> Result<Vec<String>> {
    ensure!(
        packages::ensure(&["docker-registry", "wrk"])?,
        "docker-registry and wrk are needed"
    );
    let own = start("dhow", binaries.join("dhow-registry"), work)?;
    let other = start("docker-registry", PathBuf::from("docker-registry"), work)?;
    let subjects = [own, other];
    let mut rows = Vec::new();
    for subject in &subjects {
        rows = fill(subject)?;
    }
    let mut table = vec![
        "| registry | dhow | docker-registry | × |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    for row in &rows {
        let mut rates = [Vec::new(), Vec::new()];
        // The first round warms caches and does not count.
        for round in 0..=runs {
            for (subject, rates) in subjects.iter().zip(&mut rates) {
                let rate = requests_per_second(subject.address, &row.path)?;
                if round > 0 {
                    rates.push(rate);
                }
            }
        }
        let [own, other] = rates.map(median);
        table.push(format!(
            "| {} | {own:.0}/s | {other:.0}/s | {:.1} |",
            row.what,
            own / other
        ));
        println!("{}", table.last().map_or("", String::as_str));
    }
    let [own, other] = [&subjects[0], &subjects[1]].map(|subject| pss(subject.child.id()));
    let (own, other) = (own?, other?);
    table.push(format!(
        "| memory after that (PSS) | {:.1} MB | {:.1} MB | {:.1} |",
        own / 1e6,
        other / 1e6,
        other / own
    ));
    let mut times = [0.0; 2];
    for (subject, time) in subjects.iter().zip(&mut times) {
        *time = list_tags(subject, runs)?;
    }
    table.push(format!(
        "| list of {TAGS} tags | {:.1} ms | {:.1} ms | {:.1} |",
        times[0] * 1e3,
        times[1] * 1e3,
        times[1] / times[0]
    ));
    Ok(table)
}

fn start(name: &'static str, program: PathBuf, work: &Path) -> Result<Subject> {
    let root = work.join(name);
    fs::create_dir_all(&root)?;
    // Taken and given back: the one that is started takes it a moment later.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new(&program);
    command.arg("serve");
    if name == "dhow" {
        command
            .arg("--listen")
            .arg(address.to_string())
            .arg("--root")
            .arg(&root);
    } else {
        let config = work.join("docker-registry.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  cache:\n    blobdescriptor: inmemory\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n",
            root.display()
        );
        fs::write(&config, text)?;
        command.arg(config);
    }
    let log = fs::File::create(work.join(format!("{name}.log")))?;
    let child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn();
    let child = child.with_context(|| program.display().to_string())?;
    let mut subject = Subject { name, child, address };
    let end = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_err() {
        ensure!(
            subject.child.try_wait()?.is_none() && Instant::now() < end,
            "{name} does not listen"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(subject)
}

/// Pushes the image that is measured, by what both have in common: the protocol.
fn fill(subject: &Subject) -> Result<Vec<Row>> {
    let push = |content: &[u8]| -> Result<oci::digest::Digest> {
        let begun = Request::new(subject.address, "POST", "/v2/app/blobs/uploads/").send();
        let digest = oci::digest::Digest::sha256(content);
        let path = with(&begun.location(), &format!("digest={digest}"));
        let reply = Request::new(subject.address, "PUT", &path).body(content).send();
        ensure!(reply.status == 201, "{}: pushing a blob: {reply:?}", subject.name);
        Ok(digest)
    };
    let bytes = |length: usize| -> Vec<u8> { (0..length).map(|n| (n * 31 % 251) as u8).collect() };
    let (small, large) = (bytes(4 << 10), bytes(1 << 20));
    let (config, layer) = (push(&small)?, push(&large)?);
    let media = oci::image::media_type::DOCKER_MANIFEST;
    let manifest = json!({"schemaVersion": 2, "mediaType": media,
        "config": {"mediaType": oci::image::media_type::DOCKER_CONFIG, "digest": config, "size": small.len()},
        "layers": [{"mediaType": oci::image::media_type::DOCKER_LAYER_GZIP, "digest": layer, "size": large.len()}]})
    .to_string();
    let tag = |name: &str| -> Result<()> {
        let path = format!("/v2/app/manifests/{name}");
        let request = Request::new(subject.address, "PUT", &path).header("Content-Type", media);
        let reply = request.body(manifest.as_bytes()).send();
        ensure!(
            reply.status == 201,
            "{}: pushing a manifest: {reply:?}",
            subject.name
        );
        Ok(())
    };
    println!("{}: pushing {TAGS} tags", subject.name);
    std::thread::scope(|scope| {
        let tag = &tag;
        let pushers = (0..PUSHERS).map(|first| {
            scope.spawn(move || {
                (first..TAGS)
                    .step_by(PUSHERS)
                    .try_for_each(|number| tag(&format!("v{number:05}")))
            })
        });
        let pushers: Vec<_> = pushers.collect();
        let mut pushers = pushers.into_iter();
        pushers.try_for_each(|pusher| {
            pusher
                .join()
                .unwrap_or_else(|_| bail!("{}: a push failed", subject.name))
        })
    })?;
    let digest = oci::digest::Digest::sha256(&manifest);
    Ok(vec![
        Row {
            what: "manifest by tag",
            path: "/v2/app/manifests/v00001".to_owned(),
        },
        Row {
            what: "manifest by digest",
            path: format!("/v2/app/manifests/{digest}"),
        },
        Row {
            what: "blob of 4 KiB",
            path: format!("/v2/app/blobs/{config}"),
        },
        Row {
            what: "blob of 1 MiB",
            path: format!("/v2/app/blobs/{layer}"),
        },
    ])
}

fn requests_per_second(address: SocketAddr, path: &str) -> Result<f64> {
    let accept = format!("Accept: {}", oci::image::media_type::DOCKER_MANIFEST);
    let output = Command::new("wrk")
        .args(["-t", "2", "-c", CLIENTS, "-d", ROUND, "-H", &accept])
        .arg(format!("http://{address}{path}"))
        .output()
        .context("wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") {
        bail!("{path} was not always served: {text}");
    }
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok())
        .with_context(|| text.into_owned())
}

/// Seconds for the whole list of tags; the median.
fn list_tags(subject: &Subject, runs: usize) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..=runs {
        let start = Instant::now();
        let reply = Request::new(subject.address, "GET", "/v2/app/tags/list").send();
        times.push(start.elapsed().as_secs_f64());
        let tags = reply.json()["tags"].as_array().map_or(0, Vec::len);
        ensure!(tags == TAGS, "{}: {tags} tags", subject.name);
    }
    Ok(median(times))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Memory in bytes, with its share of what it shares.
fn pss(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kilobytes.context("no Pss")? * 1024.0)
}
