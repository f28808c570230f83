//! Lists of objects: `--format`, and the table that stands when there is none.

use std::borrow::Borrow;

use crate::console;
use crate::failure::{Failure, Outcome};
use crate::table;
use crate::template::{HIDDEN, MissingKey, Template, Value};

/// What a kind of list looks like.
pub(crate) struct Layout {
    /// The template of the table, without the word `table`.
    pub(crate) table: &'static str,
    /// Header of each field.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// Go's name of the row's type, as messages have it.
    pub(crate) row: &'static str,
}

/// A row from its fields, in the order in which Go would write them as JSON (by name).
pub(crate) fn row(fields: Vec<(&str, Value)>) -> Value {
    const MARK: &str = "\u{1}";
    with_hidden(fields, MARK, Value::Nil)
}

/// A row with a method of one argument beside its fields.
pub(crate) fn row_with(fields: Vec<(&str, Value)>, method: &str, map: Value) -> Value {
    with_hidden(fields, &format!("{HIDDEN}{method}"), map)
}

fn with_hidden(mut fields: Vec<(&str, Value)>, name: &str, value: Value) -> Value {
    fields.sort_by_key(|(name, _)| *name);
    Value::map(fields.into_iter().chain([(name, value)]))
}

/// A format made ready: what is printed per row, and the header if it is a table.
pub(crate) struct Format {
    template: Template,
    table: bool,
}

impl Format {
    /// Reads `--format`: empty and `table` for the list's own table, `json`, `table TEMPLATE`, or a template.
    pub(crate) fn parse(text: &str, own: &str) -> Result<Self, Failure> {
        let (table, body) = match text {
            "" | "table" => (true, own.to_owned()),
            "json" => (false, "{{json .}}".to_owned()),
            other => match other.strip_prefix("table") {
                Some(rest) => (true, unescape(rest.trim())),
                None => (false, unescape(other)),
            },
        };
        let template =
            Template::parse(&body).map_err(|e| Failure::new(format!("failed to parse template: {e}")))?;
        Ok(Self { template, table })
    }

    /// The rows as text. Each is asked for when the one before is written, so that a long list needs no more memory than a
    /// short one.
    pub(crate) fn render(
        &self,
        layout: &Layout,
        rows: impl IntoIterator<Item = impl Borrow<Value>>,
    ) -> Result<String, Failure> {
        let mut out = String::new();
        let failed = |e| Failure::new(format!("failed to execute template: {e}"));
        if self.table {
            let names = layout
                .headers
                .iter()
                .map(|(name, header)| (*name, Value::from(*header)));
            let mut members: Vec<(String, Value)> = names.map(|(k, v)| (k.to_owned(), v)).collect();
            // The header of a label's column is the end of its name.
            members.push((format!("{HIDDEN}Label"), Value::map([] as [(&str, Value); 0])));
            let header = Value::map(members);
            out.push_str(
                &self
                    .template
                    .execute(&header, MissingKey::Header)
                    .map_err(failed)?,
            );
            out.push('\n');
        }
        for row in rows {
            out.push_str(
                &self
                    .template
                    .execute(row.borrow(), MissingKey::Row(layout.row))
                    .map_err(failed)?,
            );
            out.push('\n');
        }
        Ok(if self.table { table::align(&out) } else { out })
    }
}

fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// Prints the rows of a list.
pub(crate) fn print(
    format: &str,
    layout: &Layout,
    rows: impl IntoIterator<Item = impl Borrow<Value>>,
) -> Outcome {
    let text = Format::parse(format, layout.table)?.render(layout, rows)?;
    console::print(text);
    Ok(())
}

/// Labels as docker shows them: `a=b,c=d`.
pub(crate) fn labels(map: &Value) -> String {
    let mut all: Vec<String> = map
        .members()
        .iter()
        .map(|(k, v)| format!("{k}={}", v.printed()))
        .collect();
    all.sort();
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout {
        table: "{{.ID}}\t{{.Names}}",
        headers: &[("ID", "CONTAINER ID"), ("Names", "NAMES")],
        row: "*formatter.X",
    };

    fn rows() -> Vec<Value> {
        vec![row_with(
            vec![("Names", "we<b".into()), ("ID", "0123".into())],
            "Label",
            Value::map([("a", Value::from("b"))]),
        )]
    }

    fn render(format: &str) -> String {
        match Format::parse(format, LAYOUT.table).and_then(|f| f.render(&LAYOUT, rows())) {
            Ok(text) => text,
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn the_four_kinds_of_format() {
        assert_eq!(render(""), "CONTAINER ID   NAMES\n0123           we<b\n");
        assert_eq!(render("json"), "{\"ID\":\"0123\",\"Names\":\"we\\u003cb\"}\n");
        assert_eq!(
            render("table {{.ID}}\\t{{upper .Names}}"),
            "CONTAINER ID   NAMES\n0123           WE<B\n"
        );
        assert_eq!(render("{{.ID}}={{.Label \"a\"}}"), "0123=b\n");
    }

    #[test]
    fn errors_have_dockers_words() {
        assert_eq!(
            render("{{.Foo}}"),
            "failed to execute template: template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *formatter.X"
        );
        assert_eq!(
            render("{{.ID"),
            "failed to parse template: template: :1: unclosed action"
        );
    }
}
