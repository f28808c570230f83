//! `dhow search`.

use crate::app::App;
use crate::credentials;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag};
use crate::list::{self, Layout};
use crate::template::Value;
use crate::tree::{Command, Count, run};

/// Descriptions are cut here unless `--no-trunc` is given.
const WIDTH: usize = 45;

#[rustfmt::skip] // One line per flag: it is a table.
pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] TERM",
    about: "Search Docker Hub for images",
    aliases: "",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[
        flag("filter", 'f', Kind::List, "filter", "", "Filter output based on conditions provided"),
        flag("format", '\0', Kind::Text, "string", "", "Pretty-print search using a Go template"),
        flag("limit", '\0', Kind::Int, "int", "", "Max number of search results"),
        flag("no-trunc", '\0', Kind::Bool, "", "", "Don't truncate output"),
    ],
    run: run!(execute),
};

static LAYOUT: Layout = Layout {
    table: "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
    headers: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("StarCount", "STARS"),
        ("IsOfficial", "OFFICIAL"),
        ("IsAutomated", "AUTOMATED"),
    ],
    row: "*search.searchContext",
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let term = args.arg(0);
    let login = credentials::header_for(app, term)?;
    let limit = args.int("limit").unwrap_or(0);
    let found = app
        .client()?
        .image_search(term, limit, &args.filters()?, &login)
        .await?;
    let full = args.on("no-trunc");
    let found = App::json(&found)?;
    let rows: Vec<Value> = found.items().iter().map(|result| row(result, full)).collect();
    list::print(args.text("format"), &LAYOUT, &rows)
}

fn row(result: &Value, full: bool) -> Value {
    let mark = |yes: bool| if yes { "[OK]" } else { "" };
    let description = result.str_at("description").replace(['\n', '\r'], " ");
    list::row(vec![
        ("Name", result.str_at("name").into()),
        (
            "Description",
            if full {
                description.into()
            } else {
                cut(&description).into()
            },
        ),
        ("StarCount", result.int_at("star_count").to_string().into()),
        ("IsOfficial", mark(result.bool_at("is_official")).into()),
        ("IsAutomated", mark(result.bool_at("is_automated")).into()),
    ])
}

fn cut(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    let short: String = text.chars().take(WIDTH - 1).collect();
    format!("{short}…")
}
