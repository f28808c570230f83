//! `checkpoint`: writes the processes of a container to an image, through criu.

use oci::runtime::Status;

use super::criu::{Criu, FLAGS};
use super::flags::{Flag, Flags};
use super::store::Record;
use super::verb::Verb;
use super::{CliError, Outcome, Session};

/// `checkpoint`.
pub(super) const VERB: Verb = Verb {
    name: "checkpoint",
    arguments: "<container-id>",
    about: "writes a running container to an image, with criu",
    least: 1,
    most: 1,
    flags: &[
        FLAGS,
        &[
            Flag::value(
                "parent-path",
                None,
                "image of a pre-dump to build on, seen from the directory of the image",
            ),
            Flag::switch("leave-running", None, "leave the container running"),
            Flag::value(
                "status-fd",
                None,
                "descriptor that gets a byte when lazy pages can be fetched",
            ),
            Flag::value("page-server", None, "ADDRESS:PORT of the server of lazy pages"),
            Flag::switch(
                "pre-dump",
                None,
                "write memory only and leave the container running",
            ),
        ],
    ],
    act: main,
};

/// The file of the image that says what the standard streams were.
pub(super) const STREAMS: &str = "descriptors.json";

fn main(flags: &Flags, rest: &[String], session: &mut Session<'_>) -> Outcome {
    let id = rest[0].as_str();
    let record = session.store.load(id)?;
    let status = session.store.status(&record);
    if !matches!(status, Status::Running | Status::Paused) {
        let name = format!("{status:?}").to_lowercase();
        return Err(CliError::State(format!(
            "Container cannot be checkpointed in {name} state"
        )));
    }
    let spec = session.store.spec(id)?;
    let pre = flags.has("pre-dump");
    let mut criu = Criu::new(if pre { "pre-dump" } else { "dump" }, flags, session)?;
    criu.argument("--tree");
    criu.argument(record.pid.to_string());
    criu.argument("--root");
    criu.argument(&record.rootfs);
    criu.external_mounts(&spec, record.bundle.as_ref(), Some(record.pid));
    let stays = pre || flags.has("leave-running");
    if pre || flags.get("parent-path").is_some() {
        criu.argument("--track-mem");
    }
    if stays && !pre {
        criu.argument("--leave-running");
    }
    for (flag, theirs) in [("parent-path", "--prev-images-dir"), ("status-fd", "--status-fd")] {
        if let Some(value) = flags.get(flag) {
            criu.argument(theirs);
            criu.argument(value);
        }
    }
    page_server(flags, &mut criu)?;
    write_streams(flags, &record)?;
    criu.run()?;
    if !stays {
        super::delete::remove(&record, session)?;
    }
    Ok(0)
}

fn page_server(flags: &Flags, criu: &mut Criu) -> Result<(), CliError> {
    if flags.has("lazy-pages") {
        criu.argument("--lazy-pages");
    }
    let Some(text) = flags.get("page-server") else {
        return Ok(());
    };
    let bad = || {
        CliError::Usage(format!(
            "invalid value {text:?} for --page-server, such as 127.0.0.1:27"
        ))
    };
    let (address, port) = text.rsplit_once(':').ok_or_else(bad)?;
    port.parse::<u16>().map_err(|_| bad())?;
    criu.argument("--page-server");
    for (name, value) in [("--address", address), ("--port", port)] {
        criu.argument(name);
        criu.argument(value);
    }
    Ok(())
}

/// What the standard streams are: a restored process gets those of `restore` in the place of pipes.
fn write_streams(flags: &Flags, record: &Record) -> Result<(), CliError> {
    let streams: Vec<String> = (0..3)
        .map(|number| {
            let link = std::fs::read_link(format!("/proc/{}/fd/{number}", record.pid));
            link.map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default()
        })
        .collect();
    let path = std::path::Path::new(flags.get("image-path").unwrap_or("checkpoint")).join(STREAMS);
    std::fs::write(&path, serde_json::json!(streams).to_string())
        .map_err(CliError::file(format!("write {}", path.display())))
}
