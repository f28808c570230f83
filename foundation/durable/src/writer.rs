//! Transactions and the one thread that commits them, many at a time.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redb::{Database, ReadableTable};

use crate::file::{StateFile, is_broken};
use crate::store::{Definition, Store, StoreError};
use crate::table::{Row, Table, encode};

/// Changes to rows that happen together or not at all.
///
/// Nothing happens before [`Transaction::commit`].
#[derive(Debug)]
#[must_use = "a transaction that is not committed does nothing"]
pub struct Transaction {
    /// Keeps the committing thread alive until the transaction is committed or dropped.
    store: Store,
    operations: Vec<Operation>,
    failed: Option<StoreError>,
}

struct Operation {
    table: String,
    key: String,
    change: Change,
    /// Shows the change to readers, once it is durable.
    publish: Box<dyn FnOnce() + Send>,
}

enum Change {
    Put(Vec<u8>),
    Insert(Vec<u8>),
    Delete,
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{:?}]", self.table, self.key)
    }
}

#[derive(Debug)]
struct Job {
    operations: Vec<Operation>,
    outcome: Arc<Outcome>,
}

impl Transaction {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            operations: Vec::new(),
            failed: None,
        }
    }

    /// Writes a row, whether or not there was one.
    pub fn put<R: Row>(self, table: &Table<R>, key: &str, row: &R) -> Self {
        self.write(table, key, row, Change::Put)
    }

    /// Writes a row that must not exist yet; otherwise the whole transaction fails with [`StoreError::Exists`].
    pub fn insert<R: Row>(self, table: &Table<R>, key: &str, row: &R) -> Self {
        self.write(table, key, row, Change::Insert)
    }

    fn write<R: Row>(mut self, table: &Table<R>, key: &str, row: &R, change: fn(Vec<u8>) -> Change) -> Self {
        match encode(row) {
            Ok(bytes) => {
                let (shared, row) = (Arc::clone(&table.shared), Arc::new(row.clone()));
                let target = key.to_owned();
                self.operations.push(Operation {
                    table: table.shared.name.clone(),
                    key: key.to_owned(),
                    change: change(bytes),
                    publish: Box::new(move || {
                        let rows = shared.rows.write();
                        rows.unwrap_or_else(PoisonError::into_inner).insert(target, row);
                    }),
                });
            }
            Err(source) => {
                self.failed.get_or_insert(StoreError::Encode {
                    table: table.shared.name.clone(),
                    key: key.to_owned(),
                    source: Arc::new(source),
                });
            }
        }
        self
    }

    /// Removes a row; nothing happens when there is none.
    pub fn delete<R: Row>(mut self, table: &Table<R>, key: &str) -> Self {
        let shared = Arc::clone(&table.shared);
        let target = key.to_owned();
        self.operations.push(Operation {
            table: table.shared.name.clone(),
            key: key.to_owned(),
            change: Change::Delete,
            publish: Box::new(move || {
                let rows = shared.rows.write();
                rows.unwrap_or_else(PoisonError::into_inner).remove(&target);
            }),
        });
        self
    }

    /// Whether there is anything to commit.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.failed.is_none()
    }

    /// Hands the changes to the committing thread, in the order of the calls of this function. They will be
    /// done whether or not the [`Commit`] is waited for.
    pub fn commit(self) -> Commit {
        let outcome = Arc::new(Outcome::default());
        if let Some(error) = self.failed {
            outcome.settle(Err(error));
        } else if self.operations.is_empty() {
            outcome.settle(Ok(()));
        } else {
            let job = Job {
                operations: self.operations,
                outcome: Arc::clone(&outcome),
            };
            self.store.writer().queue(job);
        }
        Commit { outcome }
    }
}

/// A transaction on its way to the disk: wait for it or await it.
///
/// # Errors
/// Both give the [`StoreError`] with which the transaction failed; then nothing of it was done.
#[derive(Debug)]
pub struct Commit {
    outcome: Arc<Outcome>,
}

#[derive(Debug, Default)]
struct OutcomeState {
    result: Option<Result<(), StoreError>>,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Outcome {
    state: Mutex<OutcomeState>,
    settled: Condvar,
}

impl Outcome {
    fn settle(&self, result: Result<(), StoreError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.result.get_or_insert(result);
        let waker = state.waker.take();
        drop(state);
        self.settled.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Commit {
    /// Blocks until the transaction is durable.
    ///
    /// # Errors
    /// See [`Commit`].
    pub fn wait(self) -> Result<(), StoreError> {
        let mut state = self.outcome.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = state.result.clone() {
                return result;
            }
            state = (self.outcome.settled.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Future for Commit {
    type Output = Result<(), StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.outcome.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.result.clone() {
            Some(result) => Poll::Ready(result),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The committing thread; it ends, after all that was queued, when this is dropped.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// How long after a change the export is renewed.
const EXPORT_DELAY: Duration = Duration::from_secs(30);
/// How many transactions may share one commit.
const MAX_BATCH: usize = 1024;

impl Writer {
    pub(crate) fn start(file: Arc<StateFile>, export: PathBuf) -> Self {
        let (queue, jobs) = channel();
        let thread = std::thread::Builder::new()
            .name("durable".to_owned())
            .stack_size(512 << 10)
            .spawn(move || run(&file, &jobs, &export));
        // Without a thread the receiver is gone, and every commit says `Closed`.
        Self {
            queue: Some(queue),
            thread: thread.ok(),
        }
    }

    fn queue(&self, job: Job) {
        let outcome = Arc::clone(&job.outcome);
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(job).is_ok());
        if !sent {
            outcome.settle(Err(StoreError::Closed));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(file: &StateFile, jobs: &Receiver<Job>, export: &std::path::Path) {
    let mut export_due: Option<Instant> = None;
    loop {
        let first = match export_due {
            None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => jobs.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match first {
            Ok(job) => {
                let mut batch = vec![job];
                while batch.len() < MAX_BATCH
                    && let Ok(job) = jobs.try_recv()
                {
                    batch.push(job);
                }
                commit_batch(file, batch);
                export_due.get_or_insert_with(|| Instant::now() + EXPORT_DELAY);
            }
            Err(RecvTimeoutError::Timeout) => {
                // The export is a second chance only: that it fails must not stop the first one.
                let _ = file.with(|database| crate::export::write_export(database, export));
                export_due = None;
            }
            Err(RecvTimeoutError::Disconnected) => {
                if export_due.is_some() {
                    let _ = file.with(|database| crate::export::write_export(database, export));
                }
                return;
            }
        }
    }
}

fn commit_batch(file: &StateFile, mut batch: Vec<Job>) {
    let mut written = file.with(|database| write_batch(database, &mut batch, false));
    if written.as_ref().is_err_and(is_broken) {
        // There may be room by now, and another commit must not fail because this one did.
        written =
            (file.reopen()).and_then(|()| file.with(|database| write_batch(database, &mut batch, true)));
    }
    match written {
        Ok(()) => {
            for job in batch {
                for operation in job.operations {
                    (operation.publish)();
                }
                job.outcome.settle(Ok(()));
            }
        }
        Err(source) => {
            let source = Arc::new(source);
            for job in batch {
                let source = Arc::clone(&source);
                job.outcome.settle(Err(StoreError::Commit { source }));
            }
        }
    }
}

/// Leaves in the batch every job that has part in the commit, or in its failure; the others are answered here.
///
/// `again`: these jobs were part of a commit that failed, of which nobody knows how far it came.
fn write_batch(database: &Database, batch: &mut Vec<Job>, again: bool) -> Result<(), redb::Error> {
    let mut refused = BTreeSet::new();
    let transaction = database.begin_write()?;
    for (index, job) in batch.iter().enumerate() {
        if let Some(error) = taken(&transaction, job, again)? {
            job.outcome.settle(Err(error));
            refused.insert(index);
            continue;
        }
        for operation in &job.operations {
            let mut table = transaction.open_table(Definition::new(&operation.table))?;
            match &operation.change {
                Change::Put(bytes) | Change::Insert(bytes) => {
                    table.insert(operation.key.as_str(), bytes.as_slice())?;
                }
                Change::Delete => {
                    table.remove(operation.key.as_str())?;
                }
            }
        }
    }
    let mut index = 0;
    batch.retain(|_| {
        index += 1;
        !refused.contains(&(index - 1))
    });
    if batch.is_empty() {
        transaction.abort()?;
    } else {
        crate::crash_point("durable.commit.before");
        transaction.commit()?;
        crate::crash_point("durable.commit.after");
    }
    Ok(())
}

/// The refusal of a job of which an `insert` finds its key taken; when it is tried `again`, not by its own row.
fn taken(
    transaction: &redb::WriteTransaction,
    job: &Job,
    again: bool,
) -> Result<Option<StoreError>, redb::Error> {
    for operation in &job.operations {
        let Change::Insert(bytes) = &operation.change else {
            continue;
        };
        let table = transaction.open_table(Definition::new(&operation.table))?;
        let found = table.get(operation.key.as_str())?;
        if found.is_some_and(|row| !again || row.value() != bytes) {
            return Ok(Some(StoreError::Exists {
                table: operation.table.clone(),
                key: operation.key.clone(),
            }));
        }
    }
    Ok(None)
}
