//! `dhow trust inspect`.

use super::keys::Keys;
use super::{look_up, meant, reference};
use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome, Problems};
use crate::flags::{Kind, Parsed, flag};
use crate::list::{self, Layout};
use crate::template::Value;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "IMAGE[:TAG] [IMAGE[:TAG]...]",
    about: "Return low-level information about keys and signatures",
    aliases: "",
    count: Count::AtLeast(1),
    stop_early: false,
    flags: &[flag(
        "pretty",
        '\0',
        Kind::Bool,
        "",
        "",
        "Print the information in a human friendly format",
    )],
    run: run!(execute),
};

/// What is shown for a signature by a key that is not known here.
const STRANGER: &str = "(unknown key)";

static TAGS: Layout = Layout {
    table: "table {{.SignedTag}}\t{{.Digest}}\t{{.Signers}}",
    headers: &[
        ("SignedTag", "SIGNED TAG"),
        ("Digest", "DIGEST"),
        ("Signers", "SIGNERS"),
    ],
    row: "*trust.trustTagContext",
};

static SIGNERS: Layout = Layout {
    table: "table {{.Signer}}\t{{.Keys}}",
    headers: &[("Signer", "SIGNER"), ("Keys", "KEYS")],
    row: "*trust.signerInfoContext",
};

/// One argument's signatures.
struct Shown {
    name: String,
    /// Tag, digest without its algorithm, signers.
    tags: Vec<(String, String, Vec<String>)>,
    /// Name and id of the key.
    signers: Vec<(String, String)>,
}

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let mut found = Vec::new();
    let mut problems = Problems::default();
    for text in &args.args {
        match gather(app, text).await {
            Ok(shown) => found.push(shown),
            Err(error) => problems.note(error.message),
        }
    }
    if args.on("pretty") {
        found.iter().try_for_each(pretty)?;
    } else {
        let mut out = String::new();
        Value::list(found.iter().map(value).collect()).json_pretty(&mut out, "    ", 0);
        console::line(out);
    }
    problems.outcome()
}

async fn gather(app: &App, text: &str) -> Result<Shown, Failure> {
    let mut tags = Vec::new();
    for name in meant(app, text).await? {
        let Some(found) = look_up(app, &name).await? else {
            continue;
        };
        let signers = match found.signers {
            known if !known.is_empty() => known,
            _ if found.count > 0 => vec![STRANGER.to_owned()],
            _ => continue,
        };
        let tag = name.tag().unwrap_or_default().to_owned();
        tags.push((tag, found.digest.hex().to_owned(), signers));
    }
    if tags.is_empty() {
        return Err(Failure::new(format!("No signatures or cannot access {text}")));
    }
    let known = Keys::of(app).known(&reference(text)?)?;
    Ok(Shown {
        name: text.to_owned(),
        tags,
        signers: known.into_iter().map(|(name, key)| (name, key.id())).collect(),
    })
}

fn value(shown: &Shown) -> Value {
    let texts = |all: &[String]| Value::list(all.iter().map(Value::text).collect());
    let tag = |(tag, digest, signers): &(String, String, Vec<String>)| {
        Value::map([
            ("SignedTag", Value::text(tag)),
            ("Digest", Value::text(digest)),
            ("Signers", texts(signers)),
        ])
    };
    let signer = |(name, key): &(String, String)| {
        let key = Value::map([("ID", Value::text(key))]);
        Value::map([("Name", Value::text(name)), ("Keys", Value::list(vec![key]))])
    };
    Value::map([
        ("Name", Value::text(&shown.name)),
        ("SignedTags", Value::list(shown.tags.iter().map(tag).collect())),
        ("Signers", Value::list(shown.signers.iter().map(signer).collect())),
        ("AdministrativeKeys", Value::list(Vec::new())),
    ])
}

fn pretty(shown: &Shown) -> Outcome {
    console::line(format!("\nSignatures for {}\n", shown.name));
    let rows: Vec<Value> = shown
        .tags
        .iter()
        .map(|(tag, digest, signers)| {
            list::row(vec![
                ("SignedTag", tag.clone().into()),
                ("Digest", digest.clone().into()),
                ("Signers", signers.join(", ").into()),
            ])
        })
        .collect();
    list::print("", &TAGS, &rows)?;
    if !shown.signers.is_empty() {
        console::line(format!("\nList of signers and their keys for {}\n", shown.name));
        let rows: Vec<Value> = shown
            .signers
            .iter()
            .map(|(name, key)| {
                let short: String = key.chars().take(12).collect();
                list::row(vec![("Signer", name.clone().into()), ("Keys", short.into())])
            })
            .collect();
        list::print("", &SIGNERS, &rows)?;
    }
    Ok(())
}
