//! The client's files: `FileSync.DiffCopy`, fsutil's protocol.
//!
//! The client sends one `STAT` for each file that it would send, in the order of a walk, and an empty one at their end;
//! the daemon answers `REQ` with the number of each file that it does not have yet, gets its bytes in `DATA` (an empty one
//! is its end), and says `FIN`. What the daemon has from last time stays where it is: a file whose kind, mode, size, time
//! and link are the same is not asked for again.

mod kept;
mod listed;
mod stat;
mod tree;

use std::collections::{HashMap, VecDeque};

use bollard_buildkit_proto::fsutil::types::Packet;
use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub(crate) use kept::{Kept, KeptTree};
pub(crate) use listed::Listed;
pub(crate) use stat::mode_of;
use stat::{Entry, Kind};
use tree::{Incoming, Tree};

use crate::grpc::{Answers, Code, Questions, Status};
use crate::session::Session;

const DIFF_COPY: &str = "/moby.filesync.v1.FileSync/DiffCopy";

/// Files that are asked for at the same time; each has an open descriptor.
const ASKED: usize = 32;

/// What is wanted of a directory that the client offers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// The directory's name: `context`, `dockerfile` or that of a named context.
    pub(crate) name: String,
    /// Patterns of a `.dockerignore`.
    pub(crate) exclude: Vec<String>,
    /// Only these and what their links lead to; empty for all.
    pub(crate) follow: Vec<String>,
    /// More entries than this are refused.
    pub(crate) most: usize,
}

impl Wanted {
    fn metadata(&self) -> Vec<(String, String)> {
        let own = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        // Clients before BuildKit 0.9 have patterns of their own unless they are told so.
        let mut metadata = vec![own("dir-name", &self.name), own("override-excludes", "true")];
        metadata.extend(
            self.exclude
                .iter()
                .map(|pattern| own("exclude-patterns", pattern)),
        );
        metadata.extend(self.follow.iter().map(|path| own("followpaths", path)));
        metadata
    }
}

/// What a synchronisation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Files whose content was sent.
    pub(crate) files: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
}

/// Makes a directory of the daemon's equal to what the client has. It ends when the future is dropped.
///
/// # Errors
/// The client's words, or what the kernel said of a file.
pub(crate) async fn receive(
    session: &Session,
    wanted: &Wanted,
    kept: KeptTree,
) -> Result<(KeptTree, Stats), Status> {
    let channel = session.call(DIFF_COPY)?;
    let (questions, answers) = channel.duplex::<Packet, Packet>(DIFF_COPY, &wanted.metadata())?;
    let (alive, gone) = oneshot::channel::<()>();
    let most = wanted.most;
    let handle = Handle::current();
    let working = tokio::task::spawn_blocking(move || {
        let stats = {
            let tree = Tree::open(kept.path())?;
            let mut receiver = Receiver {
                tree,
                handle: &handle,
                gone,
                questions,
                answers,
                most,
                asked: HashMap::new(),
                waiting: VecDeque::new(),
                stats: Stats::default(),
            };
            receiver.run()?
        };
        Ok((kept, stats))
    });
    let outcome = working.await.map_err(Status::broken)?;
    drop(alive);
    outcome
}

struct Receiver<'a> {
    tree: Tree,
    handle: &'a Handle,
    /// Fires when nobody waits for the outcome any more.
    gone: oneshot::Receiver<()>,
    questions: Questions<Packet>,
    answers: Answers<Packet>,
    most: usize,
    asked: HashMap<u32, Asked>,
    waiting: VecDeque<(u32, Entry)>,
    stats: Stats,
}

/// A file that is on its way; it is begun with its first bytes.
struct Asked {
    entry: Entry,
    file: Option<Incoming>,
}

impl Receiver<'_> {
    fn run(&mut self) -> Result<Stats, Status> {
        let mut number = 0_u32;
        let mut all_told = false;
        loop {
            if all_told && self.asked.is_empty() && self.waiting.is_empty() {
                break;
            }
            let packet = self.next()?;
            let kind = packet.r#type();
            match kind {
                PacketType::PacketStat => match packet.stat {
                    None if all_told => return Err(unexpected(kind)),
                    None => all_told = true,
                    Some(_) if all_told || number as usize >= self.most => {
                        let text = format!("more than {} files were sent", self.most);
                        return Err(Status::new(Code::ResourceExhausted, text));
                    }
                    Some(stat) => {
                        let entry = Entry::read(stat)?;
                        self.entry(number, entry)?;
                        number += 1;
                    }
                },
                PacketType::PacketData => self.data(packet.id, &packet.data)?,
                PacketType::PacketErr => {
                    let text = String::from_utf8_lossy(&packet.data).into_owned();
                    return Err(Status::new(Code::Unknown, format!("the client failed: {text}")));
                }
                PacketType::PacketReq | PacketType::PacketFin => return Err(unexpected(kind)),
            }
        }
        self.tree.finish()?;
        self.send(PacketType::PacketFin, 0)?;
        // The client answers the same; one that only hangs up has sent everything too.
        let _ = self.next();
        Ok(self.stats)
    }

    fn next(&mut self) -> Result<Packet, Status> {
        let (answers, gone) = (&mut self.answers, &mut self.gone);
        let packet = self.handle.block_on(async {
            tokio::select! {
                biased;
                _ = gone => Err(Status::new(Code::Cancelled, "the build was given up")),
                packet = answers.next() => packet,
            }
        })?;
        packet.ok_or_else(|| Status::broken("its files ended too early"))
    }

    fn send(&mut self, kind: PacketType, id: u32) -> Result<(), Status> {
        let packet = Packet {
            r#type: kind.into(),
            id,
            ..Packet::default()
        };
        match self.questions.send_blocking(self.handle, &mut self.gone, &packet) {
            true => Ok(()),
            false => Err(Status::broken("it takes no more requests")),
        }
    }

    fn entry(&mut self, number: u32, entry: Entry) -> Result<(), Status> {
        if self.tree.place(&entry)? {
            return Ok(());
        }
        match entry.kind {
            // What it links to may still be on its way.
            Kind::File if !entry.link.is_empty() => self.tree.link_later(entry),
            _ => {
                self.waiting.push_back((number, entry));
                self.ask()?;
            }
        }
        Ok(())
    }

    fn ask(&mut self) -> Result<(), Status> {
        while self.asked.len() < ASKED
            && let Some((number, entry)) = self.waiting.pop_front()
        {
            self.asked.insert(number, Asked { entry, file: None });
            self.send(PacketType::PacketReq, number)?;
        }
        Ok(())
    }

    fn data(&mut self, number: u32, data: &[u8]) -> Result<(), Status> {
        let unasked = || Status::new(Code::InvalidArgument, format!("file {number} was not asked for"));
        let asked = self.asked.get_mut(&number).ok_or_else(unasked)?;
        let file = match &mut asked.file {
            Some(file) => file,
            none => none.insert(self.tree.begin(number)?),
        };
        if !data.is_empty() {
            self.stats.bytes += data.len() as u64;
            return self.tree.write(file, &asked.entry, data);
        }
        if let Some(Asked {
            entry,
            file: Some(file),
        }) = self.asked.remove(&number)
        {
            self.tree.put(file, &entry)?;
            self.stats.files += 1;
        }
        self.ask()
    }
}

fn unexpected(kind: PacketType) -> Status {
    let text = format!("{} was not expected", kind.as_str_name());
    Status::new(Code::InvalidArgument, text)
}
