//! `dhow context export`.

use super::store;
use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::Parsed;
use crate::streams::{cause, is_terminal};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] CONTEXT [FILE|-]",
    about: "Export a context to a tar archive FILE or a tar stream on STDOUT.",
    aliases: "",
    count: Count::Between(1, 2),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let name = args.arg(0);
    store::load(app, name)?;
    let meta = std::fs::read(store::meta_dir(app, name).join("meta.json"))
        .map_err(|e| Failure::new(format!("context {name:?}: {}", cause(&e))))?;
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(meta.len() as u64);
    let packed = archive
        .append_data(&mut header, "meta.json", meta.as_slice())
        .and_then(|()| archive.into_inner());
    let packed = packed.map_err(|e| Failure::new(cause(&e)))?;
    let default = format!("{name}.dockercontext");
    match args.arg(1) {
        "-" if is_terminal(1) => {
            return Err(Failure::new(
                "cowardly refusing to export to a terminal, specify a file path",
            ));
        }
        "-" => console::bytes(&packed),
        path => {
            let path = if path.is_empty() { default.as_str() } else { path };
            std::fs::File::create_new(path)
                .and_then(|mut f| std::io::Write::write_all(&mut f, &packed))
                .map_err(|e| Failure::new(format!("open {path}: {}", cause(&e))))?;
            console::error(format!("Written file {path:?}"));
        }
    }
    Ok(())
}
