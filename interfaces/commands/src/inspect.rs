//! What every `inspect` does: one JSON list of everything found, or a template per object.

use std::future::Future;

use client::ClientError;

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome, Problems};
use crate::template::{MissingKey, Template, Value};

/// Looks up each name and prints what was found; what was not found is said at the end.
pub(crate) async fn print<'a, F, Fut>(names: &'a [String], format: &str, get: F) -> Outcome
where
    F: Fn(&'a str) -> Fut,
    Fut: Future<Output = Result<Vec<u8>, ClientError>>,
{
    let mut found = Vec::new();
    let mut problems = Problems::default();
    let shape = parse(format)?;
    for name in names {
        match get(name).await {
            Ok(reply) => found.push(App::json(&reply)?),
            // A daemon that is away would be away for the next one, too.
            Err(error) if error.status().is_some() => problems.note(error),
            Err(error) => {
                problems.note(error);
                break;
            }
        }
    }
    show(&found, &shape)?;
    problems.outcome()
}

/// What is asked for: nothing, `json`, or a template.
pub(crate) enum Shape {
    /// One list, indented.
    Pretty,
    /// One list in one line.
    Json,
    /// Something per object.
    Template(Template),
}

/// Reads `--format`.
pub(crate) fn parse(format: &str) -> Result<Shape, Failure> {
    match format {
        "" => Ok(Shape::Pretty),
        "json" => Ok(Shape::Json),
        text => match Template::parse(text) {
            Ok(template) => Ok(Shape::Template(template)),
            Err(error) => Err(Failure::from(error).code(64)),
        },
    }
}

/// Prints what was found.
pub(crate) fn show(found: &[Value], shape: &Shape) -> Outcome {
    let mut out = String::new();
    match shape {
        Shape::Pretty => Value::list(found.to_vec()).json_pretty(&mut out, "    ", 0),
        Shape::Json => Value::list(found.to_vec()).json(&mut out),
        Shape::Template(template) => {
            for value in found {
                match template.execute(value, MissingKey::Error) {
                    Ok(text) => console::line(text),
                    Err(error) => {
                        // Docker ends the line that it had begun.
                        console::line("");
                        return Err(error.into());
                    }
                }
            }
            if !found.is_empty() {
                return Ok(());
            }
        }
    }
    console::line(out);
    Ok(())
}
