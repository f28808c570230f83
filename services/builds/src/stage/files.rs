//! COPY, ADD and WORKDIR: the steps that write files from outside.

use std::sync::Arc;

use dockerfile::instruction::Copy;
use dockerfile::remote::{self, Remote};
use images::{BuiltLayer, Image};
use oci::image::RunConfig;

use super::Stage;
use crate::BuildError;
use crate::configure::no_op_joined;
use crate::contexts::Resolved;
use crate::copy::{Given, Job, Root, make_directory};
use crate::sources::{self, Checksum};

impl Stage {
    /// COPY or ADD.
    pub(super) async fn copy(&mut self, name: &'static str, copy: &Copy) -> Result<(), BuildError> {
        let ready = tokio::task::spawn_blocking({
            let job = self.job(name, copy).await?;
            move || job.prepare()
        });
        let ready = Arc::new(ready.await.map_err(|error| BuildError::task(&error))??);
        let mut flags = String::new();
        let unpack = copy.unpack.map(|on| on.to_string());
        let options = [
            ("chown", &copy.chown),
            ("chmod", &copy.chmod),
            ("unpack", &unpack),
        ];
        for (flag, value) in options
            .into_iter()
            .filter_map(|(flag, value)| Some((flag, value.as_ref()?)))
        {
            flags.push_str(&format!("--{flag}={value} "));
        }
        let switches = [
            ("link", copy.link),
            ("parents", copy.parents),
            ("keep-git-dir", copy.keep_git_dir),
        ];
        for (switch, _) in switches.into_iter().filter(|(_, on)| *on) {
            flags.push_str(&format!("--{switch} "));
        }
        copy.exclude
            .iter()
            .for_each(|pattern| flags.push_str(&format!("--exclude={pattern} ")));
        let comment = format!("{name} {flags}{} in {} ", ready.hash, copy.destination);
        let wanted: RunConfig = self.wanted(no_op_joined(&self.config.config, &comment));
        let Some(_turn) = self.probe_in_turn(&wanted).await? else {
            return Ok(());
        };
        let links = crate::copy::links(&ready, &self.engine.context);
        let layer = self.layer(Box::new(move |out| ready.write(out)), links).await;
        let layer = layer.map_err(|error| match error {
            BuildError::Instruction(problem) => BuildError::Copy { name, problem },
            other => other,
        })?;
        self.commit(wanted, layer).await
    }

    async fn job(&mut self, name: &'static str, copy: &Copy) -> Result<Job, BuildError> {
        let is_add = name == "ADD";
        let mut heredocs = Vec::new();
        for document in &copy.heredocs {
            heredocs.push((document.clone(), self.heredoc_text(document)?));
        }
        let from = match &copy.from {
            None => Arc::clone(&self.engine.context),
            Some(from) => self.files_of(from).await?,
        };
        let mut sources = Vec::new();
        for source in &copy.sources {
            let remote = match is_add {
                true => sources::parse(source)?,
                // A file of the context may be called like that.
                false => None,
            };
            sources.push(match remote {
                Some(remote) => self.fetch(source, remote, copy).await?,
                None if copy.checksum.is_some() => {
                    return Err(BuildError::Instruction(
                        "checksum can't be specified for non-HTTP(S) sources".to_owned(),
                    ));
                }
                None => Given {
                    unpack: is_add && copy.unpack != Some(false),
                    ..Given::written(&from, source)
                },
            });
        }
        Ok(Job {
            name,
            into: self.engine.root(self.image.as_ref()).await?,
            sources,
            heredocs,
            destination: copy.destination.clone(),
            workdir: self.config.config.working_dir.clone(),
            chown: copy.chown.clone(),
            chmod: copy.chmod.clone(),
            parents: copy.parents,
            exclude: copy.exclude.clone(),
            keep_owner: copy.from.is_some(),
            link: copy.link,
            epoch: self.engine.epoch,
            digests: Arc::clone(&self.engine.digests),
        })
    }

    /// ADD of what is not in the context.
    async fn fetch(&self, written: &str, remote: Remote, copy: &Copy) -> Result<Given, BuildError> {
        let engine = &self.engine;
        let directory = engine.directory.join(format!("fetched-{}", engine.number()));
        match remote {
            Remote::Http(url) => {
                let checksum = copy.checksum.as_deref().map(Checksum::parse).transpose()?;
                let name = match remote::file_name(&url) {
                    Some(name) => name,
                    None if copy.destination.ends_with('/') || copy.sources.len() > 1 => {
                        return Err(BuildError::Copy {
                            name: "ADD",
                            problem: format!("cannot determine filename for source {written}"),
                        });
                    }
                    None => "index".to_owned(),
                };
                let root = sources::tree(&directory)?;
                let path = directory.join(&name);
                sources::download(&engine.images, &url, checksum.as_ref(), &path).await?;
                Ok(Given {
                    exact: true,
                    unpack: copy.unpack == Some(true),
                    ..Given::written(&root, &name)
                })
            }
            Remote::Git(repository) => {
                let commit = copy.checksum.as_deref();
                let fetched = sources::checkout(&repository, commit, copy.keep_git_dir, directory).await?;
                let identity = format!(
                    "{} {} {}",
                    fetched.commit, repository.no_submodules, repository.directory
                );
                let fetched = fetched.directory(&repository.directory)?;
                Ok(Given {
                    exact: true,
                    identity: Some(identity),
                    ..Given::written(&fetched.root, "/")
                })
            }
        }
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
        let platform = &self.engine.plan.nodes[self.index].platform;
        let context = self.engine.context(self.part, from, Some(platform)).await?;
        let image = match context {
            Some(Resolved::Files(root)) => return Ok(root),
            Some(Resolved::Image(image)) => Some(image),
            None => self.image_of(from).await?,
        };
        let root = self.engine.root(image.as_ref()).await?;
        // An image without layers has no files: an empty directory stands for it.
        match root {
            Some(root) => Ok(root),
            None => self.empty_root(),
        }
    }

    /// The image of an earlier stage, or one by its name.
    async fn image_of(&self, from: &str) -> Result<Option<Image>, BuildError> {
        Ok(match self.engine.plan.file.stage(from, self.index) {
            Some(stage) => self.engine.stage(stage).await?.image.clone(),
            None if let Ok(number) = from.parse::<usize>() => {
                return Err(BuildError::NoFrom {
                    from: from.to_owned(),
                    problem: match number == self.index {
                        true => "refers to current build stage",
                        false => "index out of bounds",
                    },
                });
            }
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
        })
    }

    fn empty_root(&self) -> Result<Arc<Root>, BuildError> {
        let path = self.engine.directory.join("empty");
        let made = std::fs::create_dir_all(&path).and_then(|()| std::fs::File::open(&path));
        let directory = made.map_err(crate::error::file("create", &path))?;
        Ok(crate::copy::root(directory.into()))
    }

    /// A layer above the present image.
    async fn layer(
        &self,
        write: images::WriteArchive,
        links: Option<images::FindFile>,
    ) -> Result<Option<BuiltLayer>, BuildError> {
        self.engine.layer(self.image.as_ref(), write, links).await
    }

    /// The layer of WORKDIR; nothing when the directory is there.
    pub(super) async fn directory_layer(&self, path: &str) -> Result<Option<BuiltLayer>, BuildError> {
        let root = self.engine.root(self.image.as_ref()).await?;
        let archive =
            make_directory(root.as_deref(), path, self.engine.epoch).map_err(BuildError::Instruction)?;
        let Some(archive) = archive else { return Ok(None) };
        self.layer(Box::new(move |out| out.write_all(&archive)), None)
            .await
    }
}
