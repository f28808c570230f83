//! The service itself: one method for each thing that can be asked of containers.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use api_types::Filters;
use api_types::container::{
    Change, CreateRequest, CreateResponse, Inspect, PathStat, PruneReport, Stats, Summary, Top,
    UpdateRequest, UpdateResponse,
};
use api_types::exec;
use cgroups::Cgroup;
use events::Events;
use images::Images;
use monitor::protocol::Request;
use networks::Networks;
use volumes::Volumes;

use crate::attach::Attachment;
use crate::cell::Cell;
use crate::exec::ExecStart;
use crate::files::{TarSink, TarStream};
use crate::house::House;
use crate::logs::LogStream;
use crate::machine::{Command, Phase};
use crate::requests::{
    AttachRequest, CommitRequest, Counts, ListRequest, LogRequest, PutArchive, RemoveRequest, StopRequest,
    WaitCondition,
};
use crate::wait::Waiter;
use crate::{
    Error, Settings, attach, commit, connect, create, files, inspect, launch, list, logs, names, restore,
    stats, top, update,
};

/// The services that containers are made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where everything that happens is told.
    pub events: Arc<Events>,
    /// Where root file systems come from.
    pub images: Arc<Images>,
    /// Where named volumes come from.
    pub volumes: Arc<Volumes>,
    /// Where addresses and ports come from.
    pub networks: Arc<Networks>,
    /// The sealed `dhow-runtime`.
    pub runtime: Arc<OwnedFd>,
}

/// All containers of this daemon.
#[derive(Debug)]
pub struct Containers {
    house: Arc<House>,
}

impl Containers {
    /// Opens the service: reads the rows, finds what runs, sweeps what belongs to nobody. `new_boot` says that the
    /// exec root was empty or of another boot.
    ///
    /// # Errors
    /// The rows cannot be read, the cgroups of the machine not be understood.
    pub async fn open(
        settings: Settings,
        tables: durable::Scope,
        parts: Parts,
        new_boot: bool,
    ) -> Result<Arc<Self>, Error> {
        let house = Arc::new(House {
            rows: tables.table().map_err(Error::part)?,
            tables,
            layout: cgroups::Layout::detect().map_err(Error::part)?,
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_nodes: crate::spec::memory_nodes(),
            apparmor: crate::spec::AppArmor::detect(),
            directory: crate::directory::Directory::default(),
            execs: crate::exec::Execs::default(),
            filters: crate::filters::Filters::default(),
            holds: std::sync::Mutex::default(),
            settings,
            parts,
        });
        for dir in [
            house.settings.data_root.join("containers"),
            house.settings.exec_root.join("containers"),
            house.records_dir(),
        ] {
            launch::make_dir(&dir)?;
        }
        restore::restore(&house, new_boot).await?;
        Ok(Arc::new(Self { house }))
    }

    /// The daemon ends. `stop` says that the containers end too (`live-restore: false`); else they run on.
    pub async fn shutdown(&self, stop: bool) {
        if stop {
            self.stop_all().await;
        }
        let runs = |cell: &Arc<Cell>| cell.view().link.is_some();
        if !self.house.directory.all().iter().any(runs) {
            self.remove_parent_cgroup().await;
        }
    }

    /// The group of all containers goes with the daemon when nothing is in it; one that the administrator has chosen
    /// stays.
    async fn remove_parent_cgroup(&self) {
        let house = self.house.clone();
        if house.settings.systemd_cgroups || !house.settings.cgroup_parent.starts_with("/dhow") {
            return;
        }
        let work = move || match Cgroup::open(&house.layout, &house.settings.cgroup_parent) {
            Ok(parent) => parent.remove(),
            // No container was ever started.
            Err(cgroups::Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        };
        if let Ok(Err(error)) = tokio::task::spawn_blocking(work).await {
            tracing::debug!(%error, "the cgroup of all containers stays");
        }
    }

    async fn stop_all(&self) {
        let stopping: Vec<_> = self
            .house
            .directory
            .all()
            .into_iter()
            .map(|cell| {
                let command = self.stop_command(&cell, StopRequest::default());
                tokio::spawn(async move {
                    if let Ok(Command::Stop { signal, timeout }) = command {
                        // One that does not run has nothing to stop.
                        let _ = cell.ask(Command::Shutdown { signal, timeout }).await;
                    }
                })
            })
            .collect();
        for task in stopping {
            let _ = task.await;
        }
    }

    /// How many containers there are, by state.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for cell in self.house.directory.all() {
            let view = cell.view();
            match view.phase {
                _ if view.restarting => counts.running += 1,
                Phase::Running => counts.running += 1,
                Phase::Paused => counts.paused += 1,
                _ => counts.stopped += 1,
            }
        }
        counts
    }

    fn find(&self, name: &str) -> Result<Arc<Cell>, Error> {
        self.house.find(name)
    }

    /// The full id behind a name, id or prefix.
    ///
    /// # Errors
    /// No such container, or several.
    pub fn resolve(&self, name: &str) -> Result<String, Error> {
        Ok(self.find(name)?.id.clone())
    }

    /// Makes a container.
    ///
    /// # Errors
    /// No such image, a taken name, options that make no sense.
    pub async fn create(
        self: &Arc<Self>,
        name: Option<&str>,
        platform: Option<&str>,
        request: CreateRequest,
    ) -> Result<CreateResponse, Error> {
        create::create(&self.house, name, platform, request).await
    }

    /// Makes a container for one step of a build: `image` may have another configuration than the one that is stored.
    /// Answers the id.
    ///
    /// # Errors
    /// As [`Containers::create`].
    pub async fn create_from(
        &self,
        name: &str,
        image: &images::Image,
        request: CreateRequest,
    ) -> Result<String, Error> {
        create::create_from(&self.house, name, image, request).await
    }

    /// The names of all containers, for whoever made some under names of its own.
    pub fn names(&self) -> Vec<String> {
        let all = self.house.directory.all();
        all.iter().map(|cell| cell.view().record.name.clone()).collect()
    }

    /// Starts a container.
    ///
    /// # Errors
    /// It runs already, or its process could not be started.
    pub async fn start(&self, name: &str) -> Result<(), Error> {
        self.find(name)?.ask(Command::Start).await
    }

    /// Stops a container: its stop signal, and SIGKILL when that takes too long.
    ///
    /// # Errors
    /// It does not run, or does not die.
    pub async fn stop(&self, name: &str, request: StopRequest) -> Result<(), Error> {
        let cell = self.find(name)?;
        cell.ask(self.stop_command(&cell, request)?).await
    }

    /// Stops and starts a container.
    ///
    /// # Errors
    /// As [`Containers::stop`] and [`Containers::start`].
    pub async fn restart(&self, name: &str, request: StopRequest) -> Result<(), Error> {
        let cell = self.find(name)?;
        match self.stop_command(&cell, request)? {
            Command::Stop { signal, timeout } => cell.ask(Command::Restart { signal, timeout }).await,
            other => cell.ask(other).await,
        }
    }

    fn stop_command(&self, cell: &Cell, request: StopRequest) -> Result<Command, Error> {
        let view = cell.view();
        let signal = match request.signal.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => parse_signal(text)?,
            None => parse_signal(view.record.stop_signal())?,
        };
        let seconds = request
            .timeout
            .or(view.record.config.stop_timeout)
            .unwrap_or(self.house.settings.stop_timeout);
        Ok(Command::Stop {
            signal,
            timeout: u64::try_from(seconds).ok().map(Duration::from_secs),
        })
    }

    /// Sends a signal; SIGKILL, and no other, is waited for.
    ///
    /// # Errors
    /// It does not run, or there is no such signal.
    pub async fn kill(&self, name: &str, signal: Option<&str>) -> Result<(), Error> {
        let killing = async {
            let cell = self.find(name)?;
            let signal = parse_signal(signal.filter(|text| !text.is_empty()).unwrap_or("SIGKILL"))?;
            let stops = parse_signal(cell.view().record.stop_signal())? == signal;
            cell.ask(Command::Kill { signal, stops }).await
        };
        killing.await.map_err(|why| Error::Kill {
            name: name.to_owned(),
            why: Box::new(why),
        })
    }

    /// Freezes all processes.
    ///
    /// # Errors
    /// It does not run or is frozen already.
    pub async fn pause(&self, name: &str) -> Result<(), Error> {
        self.find(name)?.ask(Command::Pause).await
    }

    /// Thaws all processes.
    ///
    /// # Errors
    /// It is not frozen.
    pub async fn unpause(&self, name: &str) -> Result<(), Error> {
        self.find(name)?.ask(Command::Unpause).await
    }

    /// Deletes a container.
    ///
    /// # Errors
    /// It runs and `force` was not given.
    pub async fn remove(&self, name: &str, request: RemoveRequest) -> Result<(), Error> {
        let RemoveRequest { force, volumes } = request;
        self.find(name)?.ask(Command::Remove { force, volumes }).await
    }

    /// Takes a link away from a container: `NAME/ALIAS`, as `ps --no-trunc` shows it.
    ///
    /// # Errors
    /// There is no such link.
    pub async fn remove_link(&self, name: &str) -> Result<(), Error> {
        crate::links::remove(&self.house, name).await
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// The name is taken or breaks the rule.
    pub async fn rename(&self, name: &str, new: &str) -> Result<(), Error> {
        let cell = self.find(name)?;
        let new = new.strip_prefix('/').unwrap_or(new).to_owned();
        if new.is_empty() {
            return Err(Error::Invalid("Neither old nor new names may be empty".into()));
        }
        if !names::is_valid(&new) {
            return Err(Error::NewName(Box::new(Error::InvalidName(format!("/{new}")))));
        }
        let old = cell.view().record.name.clone();
        if old == new {
            return Err(Error::Invalid(
                "Renaming a container with the same name as its current name".into(),
            ));
        }
        self.house
            .directory
            .reserve(&new, &cell.id)
            .map_err(|taken| Error::NewName(Box::new(taken)))?;
        let wanted = new.clone();
        let renamed = cell.edit(move |record| {
            record.name = wanted;
            Ok(())
        });
        if let Err(error) = renamed.await {
            self.house.directory.release(&new, &cell.id);
            return Err(error);
        }
        self.house.directory.release(&old, &cell.id);
        self.house.parts.networks.renamed(&cell.id, &new);
        self.house
            .event(&cell.view().record, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    /// Changes limits and the restart policy.
    ///
    /// # Errors
    /// Limits that make no sense.
    pub async fn update(&self, name: &str, request: UpdateRequest) -> Result<UpdateResponse, Error> {
        update::update(&self.house, &self.find(name)?, request).await
    }

    /// Sets the size of the terminal.
    ///
    /// # Errors
    /// It does not run.
    pub async fn resize(&self, name: &str, rows: u16, columns: u16) -> Result<(), Error> {
        let cell = self.find(name)?;
        let view = cell.view();
        let link = view.running_link()?;
        link.send(&Request::Resize { rows, columns }, &[])
            .await
            .map_err(Error::part)?;
        self.house.event(
            &view.record,
            "resize",
            &[("height", rows.to_string()), ("width", columns.to_string())],
        );
        Ok(())
    }

    /// Begins to wait.
    ///
    /// # Errors
    /// No such container.
    pub fn wait(&self, name: &str, condition: WaitCondition) -> Result<Waiter, Error> {
        Ok(Waiter::new(&*self.find(name)?, condition))
    }

    /// The containers that pass the filters, the newest first.
    ///
    /// # Errors
    /// A filter that is not known.
    pub async fn list(&self, request: ListRequest) -> Result<Vec<Summary>, Error> {
        list::list(&self.house, request).await
    }

    /// All there is to know; with `size`, the layers are measured.
    ///
    /// # Errors
    /// No such container.
    pub async fn inspect(&self, name: &str, size: bool) -> Result<Inspect, Error> {
        let view = self.find(name)?.view();
        let size = if size {
            Some(
                self.house
                    .parts
                    .images
                    .container_size(&view.record.id)
                    .await
                    .map_err(Error::part)?,
            )
        } else {
            None
        };
        Ok(inspect::inspect(&self.house, &view, size))
    }

    /// The log.
    ///
    /// # Errors
    /// A log driver that keeps nothing.
    pub async fn logs(&self, name: &str, request: LogRequest) -> Result<LogStream, Error> {
        logs::of_container(&self.house, &self.find(name)?, request).await
    }

    /// Checks that a client may be attached.
    ///
    /// # Errors
    /// A paused container, malformed detach keys.
    pub async fn attach(self: &Arc<Self>, name: &str, request: AttachRequest) -> Result<Attachment, Error> {
        attach::prepare(&self.house, &self.find(name)?, request)
    }

    /// The processes inside, as `ps` shows them.
    ///
    /// # Errors
    /// It does not run; arguments that `ps` refuses.
    pub async fn top(&self, name: &str, ps_args: &str) -> Result<Top, Error> {
        top::top(&self.house, &self.find(name)?.view(), ps_args).await
    }

    /// One measurement; `precpu_stats` and `preread` are the caller's to fill when it streams.
    ///
    /// # Errors
    /// The cgroup cannot be read.
    pub async fn stats(&self, name: &str) -> Result<Stats, Error> {
        let (house, view) = (self.house.clone(), self.find(name)?.view());
        let measured = tokio::task::spawn_blocking(move || stats::measure(&house, &view)).await;
        measured.map_err(|error| Error::System {
            action: "measure",
            source: std::io::Error::other(error),
        })?
    }

    /// What was changed in the writable layer.
    ///
    /// # Errors
    /// The layer cannot be read.
    pub async fn changes(&self, name: &str) -> Result<Vec<Change>, Error> {
        let cell = self.find(name)?;
        let images = &self.house.parts.images;
        let changes = images.container_changes(&cell.id).await.map_err(Error::part)?;
        Ok(changes.into_iter().map(images::shown_change).collect())
    }

    /// The whole file system as a tar.
    ///
    /// # Errors
    /// The tree cannot be mounted.
    pub async fn export(&self, name: &str) -> Result<TarStream, Error> {
        files::export(&self.house, &self.find(name)?).await
    }

    /// What a path inside is.
    ///
    /// # Errors
    /// No such path.
    pub async fn path_stat(&self, name: &str, path: &str) -> Result<PathStat, Error> {
        files::stat(&self.house, &self.find(name)?, path).await
    }

    /// A path inside as a tar.
    ///
    /// # Errors
    /// No such path.
    pub async fn get_archive(&self, name: &str, path: &str) -> Result<TarStream, Error> {
        files::get(&self.house, &self.find(name)?, path).await
    }

    /// A tar into a directory inside.
    ///
    /// # Errors
    /// No such container; all else is told by the sink.
    pub async fn put_archive(&self, name: &str, request: PutArchive) -> Result<TarSink, Error> {
        files::put(&self.house, &self.find(name)?, request).await
    }

    /// Deletes stopped containers.
    ///
    /// # Errors
    /// A filter that is not known.
    pub async fn prune(&self, filters: &Filters) -> Result<PruneReport, Error> {
        let mut report = PruneReport::default();
        for cell in list::prunable(&self.house, filters)? {
            let size = self
                .house
                .parts
                .images
                .container_size(&cell.id)
                .await
                .map_or(0, |size| size.writable);
            // One that was started in the meantime stays.
            if cell
                .ask(Command::Remove {
                    force: false,
                    volumes: false,
                })
                .await
                .is_ok()
            {
                report
                    .containers_deleted
                    .get_or_insert_default()
                    .push(cell.id.clone());
                report.space_reclaimed += size;
            }
        }
        let attributes = [("reclaimed".to_owned(), report.space_reclaimed.to_string())].into();
        self.house
            .parts
            .events
            .publish(events::Kind::Container, "prune", "", attributes);
        Ok(report)
    }

    /// Makes an image; the answer is its id.
    ///
    /// # Errors
    /// A container that is being removed, changes that make no sense.
    pub async fn commit(&self, name: &str, request: CommitRequest) -> Result<String, Error> {
        commit::commit(&self.house, &self.find(name)?, request).await
    }

    /// Makes an exec; the answer is its id.
    ///
    /// # Errors
    /// A container that does not run, no command.
    pub async fn exec_create(&self, name: &str, request: exec::CreateRequest) -> Result<String, Error> {
        crate::exec::create(&self.house, &*self.find(name)?, request)
    }

    /// Checks that an exec can be started; [`ExecStart::serve`] starts it once the connection is upgraded.
    ///
    /// # Errors
    /// No such exec, or it has run.
    pub fn exec_prepare(self: &Arc<Self>, id: &str, request: exec::StartRequest) -> Result<ExecStart, Error> {
        crate::exec::prepare(&self.house, id, request)
    }

    /// How an exec stands.
    ///
    /// # Errors
    /// No such exec.
    pub async fn exec_inspect(&self, id: &str) -> Result<exec::Inspect, Error> {
        Ok(self.house.execs.find(id)?.inspect().await)
    }

    /// Sets the size of an exec's terminal.
    ///
    /// # Errors
    /// It does not run.
    pub async fn exec_resize(&self, id: &str, rows: u16, columns: u16) -> Result<(), Error> {
        self.house.execs.find(id)?.resize(rows, columns).await
    }

    /// `network connect`: at once if the container runs, else when it starts next.
    ///
    /// # Errors
    /// Networks that do not go together; an address that is taken.
    pub async fn connect(
        &self,
        network: &str,
        request: api_types::network::ConnectRequest,
    ) -> Result<(), Error> {
        connect::connect(&self.house, network, request).await
    }

    /// `network disconnect`.
    ///
    /// # Errors
    /// The container is not in the network.
    pub async fn disconnect(
        &self,
        network: &str,
        request: api_types::network::DisconnectRequest,
    ) -> Result<(), Error> {
        connect::disconnect(&self.house, network, request).await
    }
}

fn parse_signal(text: &str) -> Result<i32, Error> {
    linux::signal::parse(text).ok_or_else(|| Error::Invalid(format!("invalid signal: {text}")))
}
