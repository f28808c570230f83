//! One archive to the client: `FileSend.DiffCopy` with plain bytes.

use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;

use bollard_buildkit_proto::moby::filesync::v1::BytesMessage;
use images::{Image, Images};

use crate::grpc::{Code, Status};
use crate::session::Session;

pub(super) const FILE_SEND: &str = "/moby.filesync.v1.FileSend/DiffCopy";

/// Which of several results it is.
pub(super) fn metadata(number: usize) -> [(String, String); 1] {
    [("buildkit-attachable-exporter-id".to_owned(), number.to_string())]
}

pub(super) fn failed(error: impl std::fmt::Display) -> Status {
    Status::new(Code::Internal, format!("export the image: {error}"))
}

/// Sends the image's files.
pub(super) async fn send_files(
    images: &Arc<Images>,
    image: &Image,
    session: &Session,
    number: usize,
) -> Result<(), Status> {
    let root = super::files::root(images, image).await?;
    let (mut writer, chunks) = images::output();
    let packing = tokio::task::spawn_blocking(move || {
        if let Some(root) = root {
            archive::pack(root.as_fd(), &mut writer, archive::PackOptions::default()).map_err(failed)?;
        } else {
            archive::Writer::new(&mut writer).finish().map_err(failed)?;
        }
        writer.flush().map_err(failed)
    });
    let sent = pass_on(chunks, session, number).await;
    // What the client said comes first: packing fails when nobody takes it.
    sent.and(packing.await.map_err(failed)?)
}

/// Sends the image under these names.
pub(super) async fn send_image(
    images: &Arc<Images>,
    image: &Image,
    names: &[String],
    session: &Session,
    number: usize,
) -> Result<(), Status> {
    let (writer, chunks) = images::output();
    let saving = images.save_as(&image.id, names, writer);
    let (saved, sent) = tokio::join!(saving, pass_on(chunks, session, number));
    sent?;
    saved.map_err(|error| Status::of(&error))
}

async fn pass_on(
    mut chunks: tokio::sync::mpsc::Receiver<std::io::Result<Vec<u8>>>,
    session: &Session,
    number: usize,
) -> Result<(), Status> {
    let channel = session.call(FILE_SEND)?;
    let (questions, mut answers) =
        channel.duplex::<BytesMessage, BytesMessage>(FILE_SEND, &metadata(number))?;
    while let Some(chunk) = chunks.recv().await {
        let data = chunk.map_err(failed)?;
        if !questions.send(&BytesMessage { data }).await {
            break;
        }
    }
    drop((questions, chunks));
    // The client closes its file, and then the call.
    while answers.next().await?.is_some() {}
    Ok(())
}
