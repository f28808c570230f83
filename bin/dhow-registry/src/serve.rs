//! `dhow-registry serve`: configuration, socket, signals, end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use registry::{Config, Registry};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::filter::LevelFilter;

use crate::ServeArguments;

/// Threads that serve; more only helps on machines that have nothing else to do.
const MOST_WORKERS: usize = 4;
/// Threads at most for what waits for the disk.
const BLOCKING: usize = 32;
/// Stack of each thread, in bytes.
const STACK: usize = 512 << 10;
/// So often it is looked whether the certificate has been replaced.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(60);
/// Open requests get this long at the end.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

pub(crate) fn run(arguments: &ServeArguments) -> Result<()> {
    let config = configuration(arguments)?;
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::INFO)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(MOST_WORKERS))
        .max_blocking_threads(BLOCKING)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .context("start the threads")?;
    runtime.block_on(serve(&config))
}

fn configuration(arguments: &ServeArguments) -> Result<Config> {
    let mut config = match &arguments.config {
        Some(path) => Config::read(path)?,
        None => Config {
            root: default_root(),
            ..Config::default()
        },
    };
    if let Some(listen) = &arguments.listen {
        config.listen.clone_from(listen);
    }
    if arguments.self_signed {
        config.tls.get_or_insert_default().self_signed = true;
    }
    if let Some(root) = &arguments.root {
        config.root.clone_from(root);
    }
    Ok(config)
}

/// The place for root, or one in the home folder of anybody else.
fn default_root() -> PathBuf {
    let usual = Config::default().root;
    let writable = |path: &Path| std::fs::create_dir_all(path).is_ok();
    match std::env::var_os("HOME") {
        Some(home) if !writable(&usual) => Path::new(&home).join(".local/share/dhow-registry"),
        _ => usual,
    }
}

async fn serve(config: &Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen to signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen to signals")?;
    let hangup = signal(SignalKind::hangup()).context("listen to signals")?;
    let registry = Registry::open(config).with_context(|| format!("open {}", config.root.display()))?;
    let listener = TcpListener::bind(&config.listen)
        .await
        .with_context(|| format!("listen on {}", config.listen))?;
    let address = listener.local_addr().context("find the own address")?;
    tracing::info!(%address, root = %config.root.display(), version = env!("CARGO_PKG_VERSION"), "ready");
    let (stop, stopping) = watch::channel(false);
    let mut serving = tokio::spawn(registry::serve(listener, Arc::clone(&registry), stopping));
    let renewing = tokio::spawn(renew(Arc::clone(&registry), hangup));
    let sweeping = tokio::spawn(sweep(registry, config.garbage_collection.interval));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut serving => return ended.context("serve"),
    }
    sweeping.abort();
    renewing.abort();
    // Nobody listens any more only if all connections have ended already.
    let _ = stop.send(true);
    tokio::select! {
        _ = &mut serving => {}
        () = tokio::time::sleep(LAST_REQUESTS) => tracing::warn!("not all requests have ended in time"),
        _ = terminate.recv() => tracing::warn!("told to stop twice: not all requests have ended"),
        _ = interrupt.recv() => tracing::warn!("told to stop twice: not all requests have ended"),
    }
    Ok(())
}

/// Reads the certificate anew when told to by SIGHUP, and when its files are others.
async fn renew(registry: Arc<Registry>, mut hangup: Signal) {
    loop {
        let told = tokio::select! {
            told = hangup.recv() => told.is_some(),
            () = tokio::time::sleep(CERTIFICATE_LOOK) => false,
        };
        let registry = Arc::clone(&registry);
        let renewed = tokio::task::spawn_blocking(move || {
            (told || registry.certificate_is_outdated()).then(|| registry.renew_certificate())
        });
        match renewed.await {
            Ok(Some(Ok(()))) => tracing::info!("read the certificate again"),
            Ok(Some(Err(error))) => {
                tracing::error!(%error, "the certificate stays the one that was read before")
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "read the certificate again"),
        }
    }
}

/// Collects garbage from time to time.
async fn sweep(registry: Arc<Registry>, interval: Duration) {
    if interval.is_zero() {
        return;
    }
    loop {
        tokio::time::sleep(interval).await;
        match registry.collect_garbage().await {
            Ok(swept) if swept == registry::Swept::default() => {}
            Ok(swept) => tracing::info!(?swept, "collected garbage"),
            Err(error) => tracing::error!(%error, "collect garbage"),
        }
    }
}
