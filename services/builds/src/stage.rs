//! One stage: its instructions in order, each found in the cache or made.

mod files;
mod names;

use std::collections::BTreeMap;
use std::sync::Arc;

use dockerfile::expand::Lexer;
use dockerfile::{Command, Instruction};
use images::{BuiltLayer, Hold, Image};
use jiff::Timestamp;
use oci::image::{History, ImageConfig, RootFs, RunConfig};
use oci::platform::Platform;
use tokio::sync::OwnedMutexGuard;

use crate::BuildError;
use crate::cache;
use crate::configure::{self, no_op, no_op_joined};
use crate::contexts::Resolved;
use crate::engine::Engine;
use crate::plan::Base;
use crate::stage::names::StepNames;
use crate::step;

/// Triggers that a base image may bring.
const MAX_TRIGGERS: usize = 1000;
/// What Docker gives programs of images that set none.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A stage that is built.
#[derive(Debug)]
pub(crate) struct Built {
    /// Its last image; nothing for an empty `FROM scratch`.
    pub(crate) image: Option<Image>,
    /// What its FROM brought.
    pub(crate) base: Option<Image>,
    /// Its configuration.
    pub(crate) config: ImageConfig,
    _hold: Option<Hold>,
}

/// A stage that is being built.
pub(crate) struct Stage {
    pub(crate) engine: Arc<Engine>,
    pub(crate) index: usize,
    pub(crate) part: usize,
    /// The image before the next step.
    pub(crate) image: Option<Image>,
    hold: Option<Hold>,
    /// That image's configuration, with what the instructions have changed in `config.config`.
    pub(crate) config: ImageConfig,
    cmd_set: bool,
    /// Declared arguments and their values.
    pub(crate) args: BTreeMap<String, Option<String>>,
    /// All steps so far were in the cache.
    cached: bool,
}

/// The right to make a step that no other build makes meanwhile.
#[derive(Debug)]
pub(crate) struct Turn {
    _mine: Option<OwnedMutexGuard<()>>,
}

/// Builds a stage.
pub(crate) async fn build(engine: &Arc<Engine>, index: usize) -> Result<Built, BuildError> {
    let mut step = engine.plan.first_step(index);
    let file_stage = &engine.plan.file.stages[index];
    let part = engine.part(index);
    let mut names = StepNames::new(engine, index);
    header(
        engine,
        part,
        step,
        &file_stage.text,
        names.from(&engine.plan.nodes[index].base),
    )
    .await;
    let mut stage = Stage::begin(engine, index, part).await?;
    configure::reset(&mut stage.config.config, &file_stage.reset)?;
    let base = stage.image.clone();
    if !matches!(engine.plan.nodes[index].base, Base::Stage(_)) {
        configure::reset(&mut stage.config.config, &engine.request.unset)?;
    }
    stage.tell_image().await;
    stage.triggers().await?;
    for command in &file_stage.commands {
        step += 1;
        header(engine, part, step, &command.text, names.next(command)).await;
        if let Err(error) = stage.step(command).await {
            stage.tell_failed(&command.text).await;
            return Err(error);
        }
    }
    Ok(Built {
        image: stage.image,
        base,
        config: stage.config,
        _hold: stage.hold,
    })
}

async fn header(engine: &Engine, part: usize, step: usize, text: &str, name: Option<String>) {
    let line = format!("Step {step}/{} : {text}", engine.plan.steps());
    engine.progress.step(part, step, line, name).await;
}

impl Stage {
    /// FROM: the base and its configuration.
    async fn begin(engine: &Arc<Engine>, index: usize, part: usize) -> Result<Self, BuildError> {
        let node = &engine.plan.nodes[index];
        let mut files = None;
        let (image, mut config) = match &node.base {
            Base::Context(name) => match engine.context(part, name, Some(&node.platform)).await? {
                Some(Resolved::Image(image)) => {
                    let config = (*image.config).clone();
                    (Some(image), config)
                }
                _ => {
                    files = Some(name.clone());
                    (None, scratch(&node.platform))
                }
            },
            Base::Scratch => (None, scratch(&node.platform)),
            Base::Stage(stage) => {
                let built = engine.stage(*stage).await?;
                (built.image.clone(), built.config.clone())
            }
            Base::Image(name) => {
                let image = engine.base(part, name, Some(&node.platform)).await?;
                let config = (*image.config).clone();
                (Some(image), config)
            }
        };
        if !config.config.env.iter().any(|line| line.starts_with("PATH=")) {
            config.config.env.push(DEFAULT_PATH.to_owned());
        }
        config.container.clear();
        let hold = image.as_ref().map(|image| engine.hold(image)).transpose()?;
        let mut stage = Self {
            engine: Arc::clone(engine),
            index,
            part,
            image,
            hold,
            config,
            cmd_set: false,
            args: BTreeMap::new(),
            cached: true,
        };
        if let Some(name) = files {
            // The files of a context are all that the stage begins with.
            let copy = dockerfile::instruction::Copy {
                sources: vec!["/".to_owned()],
                destination: "/".to_owned(),
                from: Some(name),
                ..Default::default()
            };
            stage.copy("COPY", &copy).await?;
        }
        Ok(stage)
    }

    /// The ONBUILD instructions of the base.
    async fn triggers(&mut self) -> Result<(), BuildError> {
        let triggers = std::mem::take(&mut self.config.config.on_build);
        if triggers.len() > MAX_TRIGGERS {
            return Err(BuildError::TooManyTriggers);
        }
        if triggers.is_empty() {
            return Ok(());
        }
        let plural = if triggers.len() == 1 { "" } else { "s" };
        self.tell(format!("# Executing {} build trigger{plural}\n", triggers.len()))
            .await;
        for text in &triggers {
            let command = Instruction::parse(text)?;
            if let Instruction::Onbuild(..) = command.instruction {
                return Err(BuildError::Instruction(
                    "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned(),
                ));
            }
            self.step(&command).await?;
        }
        Ok(())
    }

    async fn step(&mut self, command: &Command) -> Result<(), BuildError> {
        let instruction = self.expanded(&command.instruction)?;
        match &instruction {
            Instruction::Arg(args) => self.arg(args).await,
            Instruction::Copy(copy) => self.copy("COPY", copy).await,
            Instruction::Add(copy) => self.copy("ADD", copy).await,
            Instruction::Run(run) => step::run(self, run).await,
            Instruction::Workdir(path) => self.workdir(path).await,
            other => {
                if let Instruction::Maintainer(name) = other {
                    self.config.author.clone_from(name);
                }
                let comment = configure::apply(&mut self.config.config, &mut self.cmd_set, other)?;
                let words = no_op(&self.config.config, &comment);
                self.change(words).await
            }
        }
    }

    /// An instruction with its variables put in.
    fn expanded(&self, instruction: &Instruction) -> Result<Instruction, BuildError> {
        let lexer = Lexer::new(self.engine.plan.file.directives.escape);
        let lookup = |name: &str| self.variable(name);
        let mut instruction = instruction.clone();
        let expanded = instruction.expand(&|text| lexer.word(text, &lookup), &|text| {
            lexer.words(text, &lookup)
        });
        expanded.map_err(|source| BuildError::Expand {
            text: instruction.name().to_owned(),
            source,
        })?;
        Ok(instruction)
    }

    /// A variable as instructions see it: ENV before ARG.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let prefix = format!("{name}=");
        let env = self
            .config
            .config
            .env
            .iter()
            .find_map(|line| line.strip_prefix(&prefix));
        env.map(str::to_owned)
            .or_else(|| self.args.get(name).cloned().flatten())
    }

    async fn arg(&mut self, args: &[dockerfile::instruction::Arg]) -> Result<(), BuildError> {
        let mut comment = "ARG".to_owned();
        for arg in args {
            self.engine.consume(&arg.name);
            let given = self.engine.request.build_args.get(&arg.name).cloned().flatten();
            let value = given
                .or_else(|| arg.value.clone())
                .or_else(|| self.engine.plan.global.get(&arg.name).cloned());
            self.args.insert(arg.name.clone(), value);
            comment.push(' ');
            comment.push_str(&arg.name);
            if let Some(default) = &arg.value {
                comment.push_str(&format!("={default}"));
            }
        }
        let words = no_op(&self.config.config, &comment);
        self.change(words).await
    }

    /// A step that changes the configuration only.
    async fn change(&mut self, words: Vec<String>) -> Result<(), BuildError> {
        let wanted = self.wanted(words);
        if self.probe(&wanted).await? {
            return Ok(());
        }
        self.commit(wanted, None).await
    }

    /// What the step is found by in the cache.
    pub(crate) fn wanted(&self, words: Vec<String>) -> RunConfig {
        RunConfig {
            cmd: Some(words),
            ..self.config.config.clone()
        }
    }

    /// Looks a step up that takes its time: one that another build is making now is waited for. Nothing when it is there;
    /// else nobody makes it before what is answered is dropped.
    pub(crate) async fn probe_in_turn(&mut self, wanted: &RunConfig) -> Result<Option<Turn>, BuildError> {
        let turn = if self.uses_cache().is_ok() {
            let parent = self.image.as_ref().map(|image| &image.id);
            let (turn, waited) = self.engine.turns.take(parent, wanted).await;
            // What another build has just made is as good as one's own, whatever was in the cache before.
            self.cached |= waited;
            Some(turn)
        } else {
            None
        };
        Ok(match self.probe(wanted).await? {
            true => None,
            false => Some(Turn { _mine: turn }),
        })
    }

    /// Whether steps are looked up at all; if not, why.
    fn uses_cache(&self) -> Result<(), &'static str> {
        let request = &self.engine.request;
        let filtered = |name: &String| self.engine.plan.file.stage(name, usize::MAX) == Some(self.index);
        match () {
            () if request.no_cache => Err("--no-cache"),
            () if request.no_cache_filter.iter().any(filtered) => Err("--no-cache-filter"),
            () => Ok(()),
        }
    }

    /// Looks the step up; true when it is there and the stage stands on it now.
    pub(crate) async fn probe(&mut self, wanted: &RunConfig) -> Result<bool, BuildError> {
        let refused = match self.uses_cache() {
            Ok(()) if !self.cached => Err("an earlier step was not in the cache"),
            other => other,
        };
        if let Err(why) = refused {
            self.explain(&format!("not cached: {why}")).await;
            return Ok(false);
        }
        let request = &self.engine.request;
        let parent = self.image.as_ref().map(|image| &image.id);
        let from_any = !request.cache_only_from || request.cache_from.is_empty();
        let child = from_any.then(|| cache::child(&self.engine.images, parent, wanted, &self.config));
        if let Some(image) = child.flatten() {
            let id = short(&image);
            self.stand_on(image)?;
            self.tell_cached().await;
            self.explain(&format!(
                "cached: {id} was made from the same image by the same step"
            ))
            .await;
            self.tell_image().await;
            return Ok(true);
        }
        if let Some(restored) = cache::from_history(&self.engine.state.cache_from, &self.config, wanted) {
            let config = self.next_config(wanted, restored.diff_id.as_ref(), Some(restored.step));
            self.add(config).await?;
            self.tell_cached().await;
            self.explain("cached: an image of --cache-from has the same history")
                .await;
            self.tell_image().await;
            return Ok(true);
        }
        self.cached = false;
        let names = self.engine.images.children(parent).len();
        self.explain(&format!(
            "not cached: none of the {names} images made from the one before has this step and configuration"
        ))
        .await;
        Ok(false)
    }

    /// Makes the step's image.
    pub(crate) async fn commit(
        &mut self,
        wanted: RunConfig,
        layer: Option<BuiltLayer>,
    ) -> Result<(), BuildError> {
        let config = self.next_config(&wanted, layer.as_ref().map(BuiltLayer::diff_id), None);
        durable::crash_point("builds.step.layer-made");
        self.add(config).await?;
        durable::crash_point("builds.step.committed");
        self.tell_image().await;
        Ok(())
    }

    fn next_config(
        &self,
        wanted: &RunConfig,
        diff_id: Option<&oci::digest::Digest>,
        known: Option<History>,
    ) -> ImageConfig {
        let mut config = self.config.clone();
        let now = match self.engine.epoch {
            Some(epoch) => Timestamp::from_second(epoch).unwrap_or_default(),
            None => Timestamp::now(),
        };
        config.created = known
            .as_ref()
            .and_then(|step| step.created.clone())
            .or_else(|| Some(now.to_string()));
        config.history.push(known.unwrap_or_else(|| History {
            created: config.created.clone(),
            author: config.author.clone(),
            created_by: wanted.cmd.as_deref().unwrap_or_default().join(" "),
            empty_layer: diff_id.is_none(),
            ..History::default()
        }));
        config.rootfs.diff_ids.extend(diff_id.cloned());
        config.container_config = Some(wanted.clone());
        config
    }

    async fn add(&mut self, config: ImageConfig) -> Result<(), BuildError> {
        let parent = self.image.as_ref().map(|image| image.id.clone());
        let image = self
            .engine
            .images
            .add(&config, parent)
            .await
            .map_err(BuildError::part)?;
        self.stand_on(image)
    }

    /// The stage stands on another image; what its instructions have set stays.
    fn stand_on(&mut self, image: Image) -> Result<(), BuildError> {
        let run = std::mem::take(&mut self.config.config);
        let author = std::mem::take(&mut self.config.author);
        self.hold = Some(self.engine.hold(&image)?);
        self.config = (*image.config).clone();
        (self.config.config, self.config.author) = (run, author);
        self.image = Some(image);
        Ok(())
    }

    /// Says in what state a step failed, for those who want to look at it.
    async fn tell_failed(&self, text: &str) {
        let Some(image) = self.image.as_ref().filter(|_| self.engine.request.debug) else {
            return;
        };
        let state = serde_json::json!({
            "Image": image.id.to_string(),
            "Step": text,
            "Shell": configure::shell(&self.config.config),
            "Env": step::variables(self),
        });
        let message = api_types::progress::Message {
            aux: Some(serde_json::json!({ "FailedStep": state })),
            ..Default::default()
        };
        self.engine.progress.message(self.part, message).await;
    }

    pub(crate) async fn tell(&self, text: String) {
        self.engine.progress.text(self.part, text).await;
    }

    pub(crate) async fn explain(&self, text: &str) {
        if self.engine.request.explain {
            self.tell(format!(" ---> {text}\n")).await;
        }
    }

    async fn tell_cached(&self) {
        self.tell(" ---> Using cache\n".to_owned()).await;
        self.engine.progress.cached(self.part).await;
    }

    async fn tell_image(&self) {
        let id = self.image.as_ref().map(short).unwrap_or_default();
        self.tell(format!(" ---> {id}\n")).await;
    }

    async fn workdir(&mut self, path: &str) -> Result<(), BuildError> {
        let joined = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/{}/{path}", self.config.config.working_dir),
        };
        let path = dockerfile::ignore::clean(&joined);
        self.config.config.working_dir.clone_from(&path);
        let words = no_op_joined(&self.config.config, &format!("WORKDIR {path}"));
        let wanted = self.wanted(words);
        if self.probe(&wanted).await? {
            return Ok(());
        }
        let layer = self.directory_layer(&path).await?;
        self.commit(wanted, layer).await
    }
}

fn scratch(platform: &Platform) -> ImageConfig {
    ImageConfig {
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
        os: platform.os.clone(),
        rootfs: RootFs::default(),
        ..ImageConfig::default()
    }
}

/// The first twelve digits of an image's id.
pub(crate) fn short(image: &Image) -> String {
    image.id.hex().chars().take(12).collect()
}
