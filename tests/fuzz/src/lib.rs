//! Fuzz targets: whatever reads bytes from outside, and what must hold whatever they are.
//!
//! A target is a function of bytes that panics when an invariant is broken: no escape, no loss in a round trip, bounded
//! output, equal answers to equal questions. `cargo xtask fuzz` lets libFuzzer look for such bytes;
//! `cargo test -p fuzz` replays the seeds and what was found once (`found/TARGET/`). Guide: `docs/guides/fuzzing.md`.

mod archives;
mod build_files;
mod commands;
mod documents;
mod http;
mod logs;
mod netlink;
mod seccomp;
mod seeds;
mod spec;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// What reads the bytes, and what must hold.
    pub about: &'static str,
    /// Bytes of the longest input that the fuzzer tries.
    pub longest: usize,
    /// Panics when an invariant is broken.
    pub run: fn(&[u8]),
    /// Inputs to begin with, small and valid.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

const fn target(
    name: &'static str,
    longest: usize,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
    about: &'static str,
) -> Target {
    Target {
        name,
        about,
        longest,
        run,
        seeds,
    }
}

/// All of them.
pub const TARGETS: [Target; 25] = [
    target(
        "spec",
        8 << 10,
        spec::run,
        seeds::specs,
        "config.json -> init program: deterministic, written back unchanged, absolute mount targets, one-line errors",
    ),
    target(
        "seccomp",
        4 << 10,
        seccomp::run,
        seeds::seccomp,
        "seccomp profile -> BPF: passes the kernel's checks and judges calls as a plain reading of the profile does",
    ),
    target(
        "unpack",
        16 << 10,
        archives::unpack,
        seeds::archives,
        "layer tar -> directory: nothing outside is touched, limits hold, the tar-split record gives the archive back",
    ),
    target(
        "record",
        4 << 10,
        archives::record,
        seeds::records,
        "tar-split record -> archive: reads nothing outside of the tree, says how much it wrote",
    ),
    target(
        "context",
        16 << 10,
        archives::context,
        seeds::archives,
        "build context: nothing outside is touched, the Dockerfile comes from the context",
    ),
    target(
        "load",
        32 << 10,
        archives::load,
        seeds::saved,
        "docker and OCI archives -> images: digests are verified, removing the images leaves nothing",
    ),
    target(
        "reference",
        512,
        documents::reference,
        seeds::references,
        "image references: printing and parsing again gives the same",
    ),
    target(
        "digest",
        256,
        documents::digest,
        seeds::digests,
        "digests and platforms: printing and parsing again gives the same",
    ),
    target(
        "manifest",
        8 << 10,
        documents::manifest,
        seeds::manifests,
        "manifests and indexes: image or index and never both, the chosen platform is acceptable",
    ),
    target(
        "image-config",
        8 << 10,
        documents::image_config,
        seeds::image_configs,
        "image configurations: written back and read again they are the same",
    ),
    target(
        "dockerfile",
        8 << 10,
        build_files::dockerfile,
        seeds::dockerfiles,
        "Dockerfile -> stages, lint: lines exist, errors name one, deterministic",
    ),
    target(
        "ignore",
        2 << 10,
        build_files::ignore,
        seeds::ignores,
        ".dockerignore: bounded time, an exception takes a file back in, children follow their directory",
    ),
    target(
        "glob",
        256,
        build_files::glob,
        seeds::globs,
        "patterns of COPY: the same answer as a naive matcher's",
    ),
    target(
        "expand",
        2 << 10,
        build_files::expand,
        seeds::expansions,
        "$variables: bounded output, text without any stays as it is",
    ),
    target(
        "query",
        2 << 10,
        http::query,
        seeds::queries,
        "query strings and filters: what is written can be read",
    ),
    target(
        "create-body",
        8 << 10,
        http::create_body,
        seeds::create_bodies,
        "bodies of the API: what is written can be read",
    ),
    target(
        "challenge",
        1 << 10,
        http::challenge,
        seeds::challenges,
        "WWW-Authenticate: bounded, written back it is the same",
    ),
    target(
        "credentials",
        2 << 10,
        http::credentials,
        seeds::credentials,
        "X-Registry-Auth and X-Registry-Config",
    ),
    target(
        "frames",
        2 << 10,
        http::frames,
        seeds::frames,
        "multiplexed streams: the same whatever pieces they come in, no more out than in",
    ),
    target(
        "registry-config",
        4 << 10,
        http::registry_config,
        seeds::registry_configs,
        "the registry's configuration: deterministic",
    ),
    target(
        "log-read",
        8 << 10,
        logs::read,
        seeds::logs,
        "log files that somebody has damaged: bounded, tail is the end of the whole",
    ),
    target(
        "log-write",
        8 << 10,
        logs::write,
        seeds::outputs,
        "what a program prints -> log file -> the same bytes",
    ),
    target(
        "format",
        1 << 10,
        commands::format,
        seeds::formats,
        "--format templates: bounded, deterministic",
    ),
    target(
        "flags",
        1 << 10,
        commands::flags,
        seeds::flags,
        "flags of create (mount, port, ulimit, …): a body that the API can read, or one message",
    ),
    target(
        "netlink",
        2 << 10,
        netlink::run,
        seeds::netlink,
        "answers of the kernel about links, addresses, routes, neighbours, nftables, connections",
    ),
];

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// A private folder, in memory where the machine has that.
fn folder() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("dhow-fuzz-");
    builder
        .tempdir_in("/dev/shm")
        .or_else(|_| builder.tempdir())
        .expect("a temporary folder")
}
