//! What everybody may see of a container: its latest view, and the mailbox of its actor.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard, mpsc, oneshot, watch};

use crate::Error;
use crate::actor::Message;
use crate::link::Link;
use crate::machine::{Command, Phase};
use crate::record::Record;

/// A container as it was after the last thing that happened to it. Never changes; a newer one replaces it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) record: Arc<Record>,
    pub(crate) phase: Phase,
    /// Whether the policy has begun to restart it.
    pub(crate) restarting: bool,
    /// The conversation with the monitor, while there is one.
    pub(crate) link: Option<Arc<Link>>,
    /// How many runs have ended since the daemon started.
    pub(crate) ended: u64,
}

impl View {
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub(crate) fn status(&self) -> &'static str {
        match self.phase {
            Phase::Created => "created",
            _ if self.restarting => "restarting",
            // What it was before: nothing but the engine knows that a start is under way, and one that failed was none.
            Phase::Starting | Phase::Exited if self.record.run.started.is_none() => "created",
            Phase::Running => "running",
            Phase::Paused => "paused",
            Phase::Waiting => "restarting",
            Phase::Removing | Phase::Removed => "removing",
            Phase::Dead => "dead",
            Phase::Starting | Phase::Ending | Phase::Exited => "exited",
        }
    }

    /// The monitor of a container with a process, or docker's refusal.
    pub(crate) fn running_link(&self) -> Result<&Arc<Link>, Error> {
        match &self.link {
            Some(link) if self.phase.has_process() => Ok(link),
            _ => Err(Error::Conflict(format!(
                "container {} is not running",
                self.record.id
            ))),
        }
    }
}

/// How long a monitor may take to unmount the tree of an ended run; a slow disk is synced meanwhile.
const RELEASE_PATIENCE: Duration = Duration::from_secs(60);

/// The right to mount a container's root file system; ends when dropped.
pub(crate) type Lease = OwnedMutexGuard<Option<Arc<Link>>>;

/// One container's place in the directory.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) id: String,
    view: watch::Sender<Arc<View>>,
    mailbox: mpsc::UnboundedSender<Message>,
    /// Who may mount the root file system, and the monitor of the last run, which may have it mounted still.
    tree: Arc<Mutex<Option<Arc<Link>>>>,
    network: Mutex<()>,
}

impl Cell {
    pub(crate) fn new(id: &str, view: View, mailbox: mpsc::UnboundedSender<Message>) -> Self {
        Self {
            id: id.to_owned(),
            view: watch::Sender::new(Arc::new(view)),
            mailbox,
            tree: Arc::default(),
            network: Mutex::default(),
        }
    }

    /// The latest view.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Follows the views as they come.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    pub(crate) fn show(&self, view: View) {
        self.view.send_replace(Arc::new(view));
    }

    /// Puts something into the actor's mailbox; an actor that has ended has nothing to do with it any more.
    pub(crate) fn tell(&self, message: Message) {
        let _ = self.mailbox.send(message);
    }

    /// The right to mount the root file system of a container that does not run. Two overlays on one upper
    /// directory would corrupt it, so whoever starts the container takes the lease first, too.
    ///
    /// # Errors
    /// The monitor of the last run does not let go of it.
    pub(crate) async fn lease(&self) -> Result<Lease, Error> {
        let mut lease = self.tree.clone().lock_owned().await;
        if let Some(last) = lease.take()
            && tokio::time::timeout(RELEASE_PATIENCE, last.released())
                .await
                .is_err()
        {
            *lease = Some(last);
            return Err(Error::Monitor {
                container: self.id.clone(),
                problem: "still has the root file system of the last run mounted".into(),
            });
        }
        Ok(lease)
    }

    /// The run of `link` has ended; whoever mounts the tree next waits for its monitor.
    pub(crate) fn run_ended(&self, link: Arc<Link>) {
        let tree = self.tree.clone();
        // Free but for an operation on files that began before the start; then it is set a moment later.
        match tree.clone().try_lock_owned() {
            Ok(mut last) => *last = Some(link),
            Err(_) => drop(tokio::spawn(async move { *tree.lock().await = Some(link) })),
        }
    }

    /// The right to change which networks the container is in: one change after the other.
    pub(crate) async fn network_turn(&self) -> MutexGuard<'_, ()> {
        self.network.lock().await
    }

    /// Asks for something and waits for the answer.
    pub(crate) async fn ask(&self, command: Command) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::Command(command, reply));
        answer
            .await
            .unwrap_or_else(|_| Err(Error::NoSuchContainer(self.id.clone())))
    }

    /// Changes the record and waits until the change survives the daemon.
    pub(crate) async fn edit<F>(&self, change: F) -> Result<(), Error>
    where
        F: FnOnce(&mut Record) -> Result<(), Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::Edit(Box::new(change), reply));
        answer
            .await
            .unwrap_or_else(|_| Err(Error::NoSuchContainer(self.id.clone())))
    }
}
