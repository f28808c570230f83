//! The daemon's own log, on standard error.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::Settings;

/// Changes the level while the daemon runs.
#[derive(Debug)]
pub(crate) struct Level(reload::Handle<LevelFilter, Registry>);

impl Level {
    /// Follows a reloaded configuration.
    pub(crate) fn set(&self, settings: &Settings) {
        // Fails only when the subscriber is gone, with the process.
        let _ = self.0.reload(level(settings));
    }
}

/// Starts to log. Call it once.
pub(crate) fn start(settings: &Settings) -> Level {
    let (filter, handle) = reload::Layer::new(level(settings));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false);
    let lines = if settings.log_format == "json" {
        lines.json().boxed()
    } else {
        lines.boxed()
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    Level(handle)
}

fn level(settings: &Settings) -> LevelFilter {
    match settings.log_level.as_str() {
        "trace" => LevelFilter::TRACE,
        _ if settings.debug => LevelFilter::DEBUG,
        "debug" => LevelFilter::DEBUG,
        "warn" => LevelFilter::WARN,
        "error" | "fatal" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    }
}
