//! COPY, ADD and WORKDIR: the steps that write files from outside.

use std::sync::{Arc, OnceLock};

use dockerfile::instruction::Copy;
use images::BuiltLayer;
use oci::image::RunConfig;

use super::Stage;
use crate::BuildError;
use crate::configure::no_op_joined;
use crate::copy::{Job, Root, make_directory};

impl Stage {
    /// COPY or ADD.
    pub(super) async fn copy(&mut self, name: &'static str, copy: &Copy) -> Result<(), BuildError> {
        let ready = tokio::task::spawn_blocking({
            let job = self.job(name, copy).await?;
            move || job.prepare()
        });
        let ready = Arc::new(ready.await.map_err(|error| BuildError::task(&error))??);
        let mut flags = String::new();
        let options = [("chown", &copy.chown), ("chmod", &copy.chmod)];
        for (flag, value) in options
            .into_iter()
            .filter_map(|(flag, value)| Some((flag, value.as_ref()?)))
        {
            flags.push_str(&format!("--{flag}={value} "));
        }
        if copy.parents {
            flags.push_str("--parents ");
        }
        copy.exclude
            .iter()
            .for_each(|pattern| flags.push_str(&format!("--exclude={pattern} ")));
        let destination = crate::copy::shown(&self.config.config.working_dir, &copy.destination);
        let comment = format!("{name} {flags}{} in {destination} ", ready.hash);
        let wanted: RunConfig = self.wanted(no_op_joined(&self.config.config, &comment));
        if self.probe(&wanted).await? {
            return Ok(());
        }
        let layer = self.layer(Box::new(move |out| ready.write(out))).await;
        let layer = layer.map_err(|error| match error {
            BuildError::Instruction(problem) => BuildError::Copy { name, problem },
            other => other,
        })?;
        self.commit(wanted, layer).await
    }

    async fn job(&mut self, name: &'static str, copy: &Copy) -> Result<Job, BuildError> {
        let is_add = name == "ADD";
        let remote = copy.sources.iter().find(|source| {
            ["http://", "https://", "git://", "git@", "ssh://"]
                .iter()
                .any(|scheme| source.starts_with(scheme))
        });
        if let Some(remote) = remote.filter(|_| is_add) {
            return Err(BuildError::NotAvailable(format!(
                "ADD of {remote}: fetching URLs and repositories"
            )));
        }
        if copy.checksum.is_some() {
            return Err(BuildError::Instruction(
                "--checksum is for URLs and repositories only".to_owned(),
            ));
        }
        let mut heredocs = Vec::new();
        for document in &copy.heredocs {
            heredocs.push((document.clone(), self.heredoc_text(document)?));
        }
        let from = match &copy.from {
            None => Arc::clone(&self.engine.context),
            Some(from) => self.files_of(from).await?,
        };
        Ok(Job {
            name,
            from,
            into: self.engine.root(self.image.as_ref()).await?,
            sources: copy.sources.clone(),
            heredocs,
            destination: copy.destination.clone(),
            workdir: self.config.config.working_dir.clone(),
            chown: copy.chown.clone(),
            chmod: copy.chmod.clone(),
            parents: copy.parents,
            exclude: copy.exclude.clone(),
            unpack: is_add && copy.unpack != Some(false),
            keep_owner: copy.from.is_some(),
            epoch: self.engine.epoch,
        })
    }

    fn heredoc_text(&self, document: &dockerfile::heredoc::Heredoc) -> Result<String, BuildError> {
        let text = document.text();
        if !document.expand {
            return Ok(text);
        }
        let lexer = dockerfile::expand::Lexer {
            raw_quotes: true,
            no_quotes: true,
            ..dockerfile::expand::Lexer::new(self.engine.plan.file.directives.escape)
        };
        lexer
            .word(&text, &|name: &str| self.variable(name))
            .map_err(|source| BuildError::Expand {
                text: document.name.clone(),
                source,
            })
    }

    /// The files of an earlier stage, or of an image.
    pub(crate) async fn files_of(&mut self, from: &str) -> Result<Arc<Root>, BuildError> {
        let image = match self.engine.plan.file.stage(from, self.index) {
            Some(stage) => self.engine.stage(stage).await?.image.clone(),
            None if from.parse::<usize>().is_ok() => return Err(BuildError::NoFrom(from.to_owned())),
            None => {
                let engine = &self.engine;
                // Where no platform is asked for, any will do to take files from.
                let asked = !engine.request.platform.is_empty();
                let platform = asked.then(|| &engine.plan.nodes[self.index].platform);
                let image = engine.base(self.part, from, platform).await;
                let image = image.map_err(|source| BuildError::From {
                    from: from.to_owned(),
                    source: Box::new(source),
                })?;
                Some(image)
            }
        };
        let root = self.engine.root(image.as_ref()).await?;
        // An image without layers has no files: an empty directory stands for it.
        match root {
            Some(root) => Ok(root),
            None => self.empty_root(),
        }
    }

    fn empty_root(&self) -> Result<Arc<Root>, BuildError> {
        let path = self.engine.directory.join("empty");
        let made = std::fs::create_dir_all(&path).and_then(|()| std::fs::File::open(&path));
        let directory = made.map_err(crate::error::file("create", &path))?;
        Ok(crate::copy::root(directory.into()))
    }

    /// A layer above the present image.
    async fn layer(&self, write: images::WriteArchive) -> Result<Option<BuiltLayer>, BuildError> {
        let below = self.image.as_ref().map(|image| &image.id);
        // Both ends of the pipe fail when the writing one does, and only that one knows why.
        let cause = Arc::new(OnceLock::new());
        let told = Arc::clone(&cause);
        let write: images::WriteArchive =
            Box::new(move |out| write(out).inspect_err(|error| _ = told.set(error.to_string())));
        let made = self.engine.images.build_layer(below, write).await;
        made.map_err(|error| match cause.get() {
            Some(cause) => BuildError::Instruction(cause.clone()),
            None => BuildError::part(error),
        })
    }

    /// The layer of WORKDIR; nothing when the directory is there.
    pub(super) async fn directory_layer(&self, path: &str) -> Result<Option<BuiltLayer>, BuildError> {
        let root = self.engine.root(self.image.as_ref()).await?;
        let archive =
            make_directory(root.as_deref(), path, self.engine.epoch).map_err(BuildError::Instruction)?;
        let Some(archive) = archive else { return Ok(None) };
        self.layer(Box::new(move |out| out.write_all(&archive))).await
    }
}
