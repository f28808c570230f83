//! `dhow images`.

mod tree;

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag, recurring};
use crate::list::{self, Layout};
use crate::template::Value;
use crate::tree::{Command, Count, run};
use crate::units;

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] [REPOSITORY[:TAG]]",
    about: "List images",
    aliases: "image ls, image list, images",
    count: Count::Between(0, 1),
    stop_early: false,
    flags: &[
        flag(
            "all",
            'a',
            Kind::Bool,
            "",
            "",
            "Show all images (default hides intermediate images)",
        ),
        flag("digests", '\0', Kind::Bool, "", "", "Show digests"),
        recurring::FILTER,
        recurring::FORMAT_LIST,
        recurring::NO_TRUNC,
        flag("quiet", 'q', Kind::Bool, "", "", "Only show image IDs"),
        flag(
            "tree",
            '\0',
            Kind::Bool,
            "",
            "",
            "List multi-platform images as a tree (EXPERIMENTAL)",
        ),
    ],
    run: run!(execute),
};

const TABLE: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const TABLE_DIGEST: &str = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

fn layout(digests: bool) -> Layout {
    Layout {
        table: if digests { TABLE_DIGEST } else { TABLE },
        headers: &[
            ("ID", "IMAGE ID"),
            ("Repository", "REPOSITORY"),
            ("Tag", "TAG"),
            ("Digest", "DIGEST"),
            ("CreatedSince", "CREATED"),
            ("CreatedAt", "CREATED AT"),
            ("Size", "SIZE"),
            ("Containers", "CONTAINERS"),
            ("VirtualSize", "SIZE"),
            ("SharedSize", "SHARED SIZE"),
            ("UniqueSize", "UNIQUE SIZE"),
        ],
        row: "*formatter.imageContext",
    }
}

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let mut filters = args.filters()?;
    if !args.arg(0).is_empty() {
        filters.add("reference", args.arg(0));
    }
    if args.on("tree") {
        if let Some(other) = ["quiet", "no-trunc", "digests"]
            .into_iter()
            .find(|flag| args.on(flag))
        {
            return Err(Failure::new(format!(
                "--{other} is not yet supported with --tree"
            )));
        }
        if !args.text("format").is_empty() {
            return Err(Failure::new("--format is not yet supported with --tree"));
        }
        let images = app.client()?.image_tree(args.on("all"), &filters).await?;
        console::print(tree::listing(&images));
        return Ok(());
    }
    let quiet = args.on("quiet");
    let format = if quiet && args.text("format").is_empty() {
        "{{.ID}}"
    } else {
        app.format(args.text("format"), "imagesFormat")
    };
    let digests = args.on("digests") || format.contains(".Digest");
    let images = App::json(
        &app.client()?
            .image_list(args.on("all"), digests, &filters)
            .await?,
    )?;
    let full = args.on("no-trunc");
    let rows: Vec<Value> = images
        .items()
        .iter()
        .flat_map(|image| rows(image, full, digests))
        .collect();
    if quiet && format == "{{.ID}}" {
        // An image with several names is listed once per name here, too; docker does the same.
        return list::print(format, &layout(false), &rows);
    }
    list::print(format, &layout(args.on("digests")), &rows)
}

/// One row per name, or per digest where there is no name; one `<none>` for an image that has neither.
pub(crate) fn rows(image: &Value, full: bool, digests: bool) -> Vec<Value> {
    let texts = |name: &str| -> Vec<String> {
        let list = image.items_at(name).iter().filter_map(Value::as_str);
        list.filter(|t| !t.starts_with("<none>"))
            .map(str::to_owned)
            .collect()
    };
    let (tags, references) = (texts("RepoTags"), texts("RepoDigests"));
    let mut out = Vec::new();
    let mut repositories: Vec<&str> = Vec::new();
    for tag in &tags {
        let (repository, tag) = super::split_name(tag);
        repositories.push(repository);
        let of_it: Vec<&str> = references
            .iter()
            .filter_map(|d| d.split_once('@'))
            .filter(|(r, _)| *r == repository)
            .map(|(_, d)| d)
            .collect();
        if digests && !of_it.is_empty() {
            out.extend(of_it.iter().map(|d| row(image, repository, tag, d, full)));
        } else {
            out.push(row(image, repository, tag, "<none>", full));
        }
    }
    for (repository, digest) in references.iter().filter_map(|d| d.split_once('@')) {
        if !repositories.contains(&repository) {
            out.push(row(image, repository, "<none>", digest, full));
        }
    }
    if out.is_empty() {
        out.push(row(image, "<none>", "<none>", "<none>", full));
    }
    out
}

fn row(image: &Value, repository: &str, tag: &str, digest: &str, full: bool) -> Value {
    let id = image.str_at("Id");
    let (size, shared) = (
        image.int_at("Size"),
        image.get("SharedSize").map_or(-1, Value::as_int),
    );
    let known = |n: i64, text: String| if n < 0 { "N/A".to_owned() } else { text };
    let containers = image.get("Containers").map_or(-1, Value::as_int);
    list::row(vec![
        (
            "ID",
            if full {
                id.into()
            } else {
                units::short_id(id).into()
            },
        ),
        ("Repository", repository.into()),
        ("Tag", tag.into()),
        ("Digest", digest.into()),
        ("CreatedSince", units::ago(image.int_at("Created")).into()),
        ("CreatedAt", units::stamp(image.int_at("Created")).into()),
        ("Size", units::decimal3(size as f64).into()),
        ("Containers", known(containers, containers.to_string()).into()),
        ("VirtualSize", units::decimal(size as f64).into()),
        ("SharedSize", known(shared, units::decimal(shared as f64)).into()),
        (
            "UniqueSize",
            known(shared, units::decimal((size - shared) as f64)).into(),
        ),
    ])
}
