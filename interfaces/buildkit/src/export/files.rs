//! Files to the client: `FileSend.DiffCopy` as fsutil's sender. See `sync` for the protocol; here the daemon is the side
//! that has the files.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use images::{Image, Images};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::archive::{FILE_SEND, failed, metadata};
use crate::grpc::{Answers, Code, Questions, Status};
use crate::session::Session;
use crate::sync::mode_of;

/// Bytes of a file that travel in one message.
const CHUNK: usize = 32 << 10;
/// Directories nested more deeply are refused: each is open while what is below it is told.
const DEEPEST: usize = 512;

/// The files of an image, mounted nowhere; nothing if it has no layers.
pub(super) async fn root(images: &Arc<Images>, image: &Image) -> Result<Option<OwnedFd>, Status> {
    if image.chain_ids.is_empty() {
        return Ok(None);
    }
    let recipe = images
        .image_recipe(&image.id)
        .map_err(|error| Status::of(&error))?;
    let mounting = tokio::task::spawn_blocking(move || recipe.mount_detached());
    mounting.await.map_err(failed)?.map_err(failed).map(Some)
}

/// Sends all files of an image.
pub(super) async fn send(
    images: &Arc<Images>,
    image: &Image,
    session: &Session,
    number: usize,
) -> Result<(), Status> {
    let root = root(images, image).await?;
    let channel = session.call(FILE_SEND)?;
    let (questions, answers) = channel.duplex::<Packet, Packet>(FILE_SEND, &metadata(number))?;
    let (alive, gone) = oneshot::channel::<()>();
    let (wishes, wanted) = mpsc::unbounded_channel();
    let handle = Handle::current();
    let sending = tokio::task::spawn_blocking(move || {
        let mut sender = Sender {
            root,
            handle,
            gone,
            questions,
            files: Vec::new(),
            links: HashMap::new(),
        };
        sender.run(wanted)
    });
    // The client asks while files are still told: who only told would wait for it, as it would for its answers.
    let heard = hear(answers, &wishes).await;
    drop(wishes);
    let sent = sending.await.map_err(failed)?;
    drop(alive);
    heard.and(sent)
}

/// Reads what the client asks for until it has everything.
async fn hear(mut answers: Answers<Packet>, wishes: &mpsc::UnboundedSender<u32>) -> Result<(), Status> {
    let mut asked = 0_u32;
    while let Some(packet) = answers.next().await? {
        match packet.r#type() {
            PacketType::PacketReq => {
                asked += 1;
                // Each file is asked for once at most; nobody has this many.
                if asked > 1 << 24 {
                    return Err(Status::new(
                        Code::ResourceExhausted,
                        "too many files are asked for",
                    ));
                }
                let _ = wishes.send(packet.id);
            }
            PacketType::PacketFin => return Ok(()),
            PacketType::PacketErr => {
                let text = String::from_utf8_lossy(&packet.data).into_owned();
                return Err(Status::new(Code::Unknown, format!("the client failed: {text}")));
            }
            other => {
                let text = format!("{} was not expected", other.as_str_name());
                return Err(Status::new(Code::InvalidArgument, text));
            }
        }
    }
    Err(Status::broken("it did not say that it has all files"))
}

struct Sender {
    root: Option<OwnedFd>,
    handle: Handle,
    /// Fires when nobody waits for the outcome any more.
    gone: oneshot::Receiver<()>,
    questions: Questions<Packet>,
    /// The paths that were told, by number.
    files: Vec<String>,
    /// The first path of each file that has several.
    links: HashMap<(u64, u64), String>,
}

impl Sender {
    fn run(&mut self, mut wanted: mpsc::UnboundedReceiver<u32>) -> Result<(), Status> {
        if let Some(root) = self.root.take() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let top = rustix::fs::openat(&root, ".", flags, Mode::empty()).map_err(failed)?;
            self.root = Some(root);
            self.tell(&top, "", 0)?;
        }
        self.send(Packet::default())?;
        // The sender of wishes goes when the client has everything, or is gone.
        while let Some(number) = self.handle.block_on(wanted.recv()) {
            self.content(number)?;
        }
        self.send(Packet {
            r#type: PacketType::PacketFin.into(),
            ..Packet::default()
        })
    }

    fn send(&mut self, packet: Packet) -> Result<(), Status> {
        match self
            .questions
            .send_blocking(&self.handle, &mut self.gone, &packet)
        {
            true => Ok(()),
            false => Err(Status::broken("it takes no more files")),
        }
    }

    /// Tells what is in a directory, in the order of names, each directory followed by what is in it.
    fn tell(&mut self, directory: &OwnedFd, path: &str, depth: usize) -> Result<(), Status> {
        if depth > DEEPEST {
            return Err(failed(format!("{path}: directories are nested too deeply")));
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let text = String::from_utf8(name.to_vec());
                names.push(text.map_err(|_| failed(format!("in {path}/: a file name is not UTF-8")))?);
            }
        }
        names.sort();
        for name in names {
            let full = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}/{name}")
            };
            let stat = rustix::fs::statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::Socket {
                continue;
            }
            let mut told = Stat {
                path: full.clone(),
                mode: mode_of(stat.st_mode),
                uid: stat.st_uid,
                gid: stat.st_gid,
                mod_time: stat
                    .st_mtime
                    .saturating_mul(1_000_000_000)
                    .saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or_default()),
                ..Stat::default()
            };
            match kind {
                FileType::RegularFile => {
                    told.size = stat.st_size;
                    if stat.st_nlink > 1 {
                        let first = self
                            .links
                            .entry((stat.st_dev, stat.st_ino))
                            .or_insert_with(|| full.clone());
                        if *first != full {
                            told.linkname.clone_from(first);
                        }
                    }
                }
                FileType::Symlink => {
                    let link = rustix::fs::readlinkat(directory, &name, Vec::new()).map_err(failed)?;
                    told.linkname = link.to_string_lossy().into_owned();
                }
                FileType::CharacterDevice | FileType::BlockDevice => {
                    told.devmajor = rustix::fs::major(stat.st_rdev).into();
                    told.devminor = rustix::fs::minor(stat.st_rdev).into();
                }
                _ => {}
            }
            self.files.push(full.clone());
            self.send(Packet {
                stat: Some(told),
                ..Packet::default()
            })?;
            if kind == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let below = rustix::fs::openat(directory, &name, flags, Mode::empty()).map_err(failed)?;
                self.tell(&below, &full, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Sends the content of a file.
    fn content(&mut self, number: u32) -> Result<(), Status> {
        let unknown = || Status::new(Code::InvalidArgument, format!("file {number} was not told"));
        let path = self.files.get(number as usize).ok_or_else(unknown)?;
        let root = self.root.as_ref().ok_or_else(unknown)?;
        let name = std::ffi::CString::new(path.as_str()).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = linux::fd::open_beneath(std::os::fd::AsFd::as_fd(root), &name, flags, Mode::empty());
        let mut file = File::from(file.map_err(failed)?);
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = file.read(&mut buffer).map_err(failed)?;
            self.send(Packet {
                r#type: PacketType::PacketData.into(),
                id: number,
                data: buffer[..count].to_vec(),
                ..Packet::default()
            })?;
            // Nothing is the end for the client, too.
            if count == 0 {
                return Ok(());
            }
        }
    }
}
