//! `dhow context inspect`.

use super::store;
use crate::app::App;
use crate::failure::{Outcome, Problems};
use crate::flags::{Parsed, recurring};
use crate::inspect;
use crate::template::Value;
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
    about: "Display detailed information on one or more contexts",
    aliases: "",
    count: Count::AtLeast(0),
    stop_early: false,
    flags: &[recurring::FORMAT_OBJECT],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let current = app.context_name();
    let names = if args.args.is_empty() {
        std::slice::from_ref(&current)
    } else {
        &args.args
    };
    let shape = inspect::parse(args.text("format"))?;
    let (mut found, mut problems) = (Vec::new(), Problems::default());
    for name in names {
        match store::load(app, name) {
            Ok(context) => found.push(describe(app, &context)),
            Err(failure) => problems.note(failure.message),
        }
    }
    inspect::show(&found, &shape)?;
    problems.outcome()
}

fn describe(app: &App, context: &store::Stored) -> Value {
    let mut metadata = Vec::new();
    if !context.description.is_empty() {
        metadata.push(("Description", Value::from(context.description.as_str())));
    }
    let place = |dir: std::path::PathBuf| {
        if context.name == super::DEFAULT {
            Value::from("<IN MEMORY>")
        } else {
            dir.display().to_string().into()
        }
    };
    Value::map([
        ("Name", context.name.as_str().into()),
        ("Metadata", Value::map(metadata)),
        (
            "Endpoints",
            Value::map([(
                "docker",
                Value::map([
                    ("Host", context.host.as_str().into()),
                    ("SkipTLSVerify", Value::Bool(false)),
                ]),
            )]),
        ),
        ("TLSMaterial", Value::map([] as [(&str, Value); 0])),
        (
            "Storage",
            Value::map([
                ("MetadataPath", place(store::meta_dir(app, &context.name))),
                ("TLSPath", place(store::tls_dir(app, &context.name))),
            ]),
        ),
    ])
}
