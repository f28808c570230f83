//! What the `prune` commands share.

use api_types::Filters;

use crate::app::App;
use crate::console;
use crate::failure::Failure;
use crate::flags::Parsed;
use crate::template::Value;
use crate::units;

/// The answer to the question was no: nothing is said, and nothing went wrong.
pub(crate) fn cancelled() -> Failure {
    Failure::exit(0)
}

/// The filters given, and those of the settings (`pruneFilters`).
pub(crate) fn filters(app: &App, args: &Parsed) -> Result<Filters, Failure> {
    let mut filters = args.filters()?;
    for text in app
        .settings()
        .items_at("pruneFilters")
        .iter()
        .filter_map(Value::as_str)
    {
        if let Some((name, value)) = text.split_once('=') {
            filters.add(name, value);
        }
    }
    Ok(filters)
}

/// Prunes one kind; the report.
pub(crate) async fn call(app: &App, kind: &str, filters: &Filters) -> Result<Value, Failure> {
    App::json(&app.client()?.prune(kind, filters).await?)
}

/// Prints what was removed, if anything, and an empty line.
pub(crate) fn show(report: &Value, member: &str, title: &str) {
    let gone: Vec<&str> = report.items_at(member).iter().filter_map(Value::as_str).collect();
    if !gone.is_empty() {
        console::line(format!("{title}\n{}\n", gone.join("\n")));
    }
}

/// The same for images, whose report has names and ids.
pub(crate) fn show_images(report: &Value) {
    let mut lines = Vec::new();
    for item in report.items_at("ImagesDeleted") {
        match (item.str_at("Untagged"), item.str_at("Deleted")) {
            ("", id) => lines.push(format!("deleted: {id}")),
            (name, _) => lines.push(format!("untagged: {name}")),
        }
    }
    if !lines.is_empty() {
        console::line(format!("Deleted Images:\n{}\n", lines.join("\n")));
    }
}

/// Prints how much was won.
pub(crate) fn reclaimed(bytes: i64) {
    console::line(format!("Total reclaimed space: {}", units::decimal(bytes as f64)));
}
