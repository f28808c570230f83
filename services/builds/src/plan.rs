//! The graph of stages: which there are, what each stands on, and which the target needs. Pure.

use std::collections::{BTreeMap, BTreeSet};

use dockerfile::args::PLATFORM;
use dockerfile::expand::Lexer;
use dockerfile::mount::Mount;
use dockerfile::{Command, Dockerfile, Instruction, Span, Stage};
use oci::platform::Platform;

use crate::contexts::Contexts;
use crate::{BuildError, BuildRequest};

/// What a stage begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Scratch,
    Stage(usize),
    Image(String),
    /// A named context.
    Context(String),
}

/// A stage with its variables put in.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) base: Base,
    pub(crate) platform: Platform,
    /// Stages that it copies or mounts from, and its base.
    pub(crate) needs: BTreeSet<usize>,
}

/// The whole build.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) file: Dockerfile,
    pub(crate) nodes: Vec<Node>,
    pub(crate) target: usize,
    /// The stages that are built, in the order of the Dockerfile.
    pub(crate) needed: Vec<usize>,
    /// Values of the ARGs in front of the first FROM, and of the platform.
    pub(crate) global: BTreeMap<String, String>,
    /// Names of build arguments that were of use in front of the first FROM.
    pub(crate) used: BTreeSet<String>,
}

impl Plan {
    /// Makes the graph.
    pub(crate) fn new(
        mut file: Dockerfile,
        request: &BuildRequest,
        contexts: &Contexts,
        known_epoch: Option<i64>,
    ) -> Result<Self, BuildError> {
        let host = Platform::host();
        let target_platform = match request.platform.as_str() {
            "" => host.clone(),
            text => parse_platform(text)?,
        };
        let mut global = platform_values(&host, &target_platform);
        if let Some(epoch) = known_epoch {
            global.insert("SOURCE_DATE_EPOCH".to_owned(), epoch.to_string());
        }
        let mut used = BTreeSet::new();
        let lexer = Lexer::new(file.directives.escape);
        for arg in &file.global_args {
            let given = request.build_args.get(&arg.name).cloned().flatten();
            used.insert(arg.name.clone());
            let value = match (given, &arg.value) {
                (Some(given), _) => Some(given),
                (None, Some(default)) => Some(expand(&lexer, default, &global)?),
                (None, None) => None,
            };
            if let Some(value) = value {
                global.insert(arg.name.clone(), value);
            }
        }
        let mut nodes = Vec::new();
        for (index, stage) in file.stages.iter().enumerate() {
            nodes.push(node(
                &file,
                index,
                stage,
                &global,
                &lexer,
                &target_platform,
                contexts,
            )?);
        }
        let target = match request.target.as_str() {
            "" => file.stages.len() - 1,
            name => (file.stage(name, usize::MAX)).ok_or_else(|| BuildError::NoTarget(name.to_owned()))?,
        };
        let labels = request.labels.iter().map(|(name, value)| label(name, value));
        file.stages[target].commands.extend(labels);
        let needed = closure(&nodes, target);
        Ok(Self {
            file,
            nodes,
            target,
            needed,
            global,
            used,
        })
    }

    /// How many steps are told: every FROM, instruction and global ARG.
    pub(crate) fn steps(&self) -> usize {
        let stages = self
            .needed
            .iter()
            .map(|index| 1 + self.file.stages[*index].commands.len());
        self.file.global_args.len() + stages.sum::<usize>()
    }

    /// The number of the first step of a stage.
    pub(crate) fn first_step(&self, stage: usize) -> usize {
        let before = self.needed.iter().take_while(|index| **index < stage);
        let steps = before.map(|index| 1 + self.file.stages[*index].commands.len());
        self.file.global_args.len() + steps.sum::<usize>() + 1
    }
}

/// `--label` as the instruction that it is for Docker, its value taken as it is.
fn label(name: &str, value: &str) -> Command {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "'\"'\"'"));
    Command {
        instruction: Instruction::Label(vec![(literal(name), literal(value))]),
        text: format!("LABEL {name}={value}"),
        span: Span::default(),
    }
}

fn parse_platform(text: &str) -> Result<Platform, BuildError> {
    let platform: Platform = text
        .parse()
        .map_err(|error| BuildError::Parameter(format!("invalid platform {text:?}: {error}")))?;
    if platform.os != "linux" {
        return Err(BuildError::NotAvailable(format!("building for {}", platform.os)));
    }
    Ok(platform)
}

fn platform_values(build: &Platform, target: &Platform) -> BTreeMap<String, String> {
    let of = |platform: &Platform| {
        [
            platform.to_string(),
            platform.os.clone(),
            platform.architecture.clone(),
            platform.variant.clone().unwrap_or_default(),
        ]
    };
    let values = of(build).into_iter().chain(of(target));
    PLATFORM
        .iter()
        .map(|name| (*name).to_owned())
        .zip(values)
        .collect()
}

fn expand(lexer: &Lexer, text: &str, values: &BTreeMap<String, String>) -> Result<String, BuildError> {
    lexer
        .word(text, &|name: &str| values.get(name).cloned())
        .map_err(|source| BuildError::Expand {
            text: text.to_owned(),
            source,
        })
}

fn node(
    file: &Dockerfile,
    index: usize,
    stage: &Stage,
    global: &BTreeMap<String, String>,
    lexer: &Lexer,
    target: &Platform,
    contexts: &Contexts,
) -> Result<Node, BuildError> {
    let name = expand(lexer, &stage.base, global)?;
    if name.is_empty() {
        return Err(BuildError::BlankBase(stage.base.clone()));
    }
    let platform = match &stage.platform {
        None => target.clone(),
        Some(text) => parse_platform(&expand(lexer, text, global)?)?,
    };
    let by_name = file
        .stage(&name, index)
        .filter(|_| name.parse::<usize>().is_err());
    let base = match by_name {
        _ if contexts.has(&name) => Base::Context(name),
        Some(stage) => Base::Stage(stage),
        None if name == "scratch" => Base::Scratch,
        None => Base::Image(name),
    };
    let mut needs: BTreeSet<usize> = stage
        .commands
        .iter()
        .flat_map(|c| from_stages(file, index, &c.instruction, contexts))
        .collect();
    if let Base::Stage(stage) = &base {
        needs.insert(*stage);
    }
    Ok(Node {
        base,
        platform,
        needs,
    })
}

/// The stages that an instruction takes files from.
fn from_stages(
    file: &Dockerfile,
    before: usize,
    instruction: &Instruction,
    contexts: &Contexts,
) -> Vec<usize> {
    let stage = |from: &str| file.stage(from, before).filter(|_| !contexts.has(from));
    match instruction {
        Instruction::Copy(copy) => copy.from.iter().filter_map(|from| stage(from)).collect(),
        Instruction::Run(run) => {
            // A mount with variables is looked at again when it is made; its stage is then built on demand.
            let mounts = run.mounts.iter().filter_map(|mount| Mount::parse(mount).ok());
            mounts.filter_map(|mount| stage(mount.from.as_deref()?)).collect()
        }
        _ => Vec::new(),
    }
}

fn closure(nodes: &[Node], target: usize) -> Vec<usize> {
    let mut needed = BTreeSet::from([target]);
    let mut open = vec![target];
    while let Some(index) = open.pop() {
        for next in &nodes[index].needs {
            if needed.insert(*next) {
                open.push(*next);
            }
        }
    }
    needed.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str, request: &BuildRequest) -> Result<Plan, BuildError> {
        let contexts = Contexts::parse(&request.contexts)?;
        Plan::new(Dockerfile::parse(text).unwrap(), request, &contexts, None)
    }

    #[test]
    fn stages_that_the_target_does_not_need_are_left_out() {
        let text = "FROM a AS one\nFROM b AS two\nRUN x\nFROM scratch\nCOPY --from=one /x /\n";
        let plan = plan(text, &BuildRequest::default()).unwrap();
        assert_eq!(plan.needed, [0, 2]);
        assert_eq!((plan.steps(), plan.first_step(2)), (3, 2));
        assert_eq!(plan.nodes[2].base, Base::Scratch);
    }

    #[test]
    fn a_named_context_goes_before_a_stage_and_an_image() {
        let text = "FROM a AS one\nRUN x\nFROM b AS two\nFROM one\nCOPY --from=two /x /\n";
        let contexts = ["one", "two"].map(|name| (name.to_owned(), "sent:d".to_owned()));
        let request = BuildRequest {
            contexts: contexts.into(),
            ..BuildRequest::default()
        };
        let plan = plan(text, &request).unwrap();
        assert_eq!(plan.needed, [2]);
        assert_eq!(plan.nodes[2].base, Base::Context("one".into()));
    }

    #[test]
    fn a_mount_needs_its_stage() {
        let text = "FROM a AS one\nFROM b\nRUN --mount=from=one,target=/x y\n";
        assert_eq!(plan(text, &BuildRequest::default()).unwrap().needed, [0, 1]);
    }

    #[test]
    fn from_takes_global_arguments_and_stages() {
        let text = "ARG V=1\nARG W=${V}2\nFROM a:$W AS x\nFROM X\n";
        let mut request = BuildRequest::default();
        let nodes = plan(text, &request).unwrap().nodes;
        assert_eq!(nodes[0].base, Base::Image("a:12".into()));
        assert_eq!(nodes[1].base, Base::Stage(0));
        request.build_args.insert("V".into(), Some("9".into()));
        assert_eq!(
            plan(text, &request).unwrap().nodes[0].base,
            Base::Image("a:92".into())
        );
    }

    #[test]
    fn a_target_that_is_not_there_and_a_blank_base_are_refused() {
        let request = BuildRequest {
            target: "no".into(),
            ..BuildRequest::default()
        };
        assert!(matches!(plan("FROM a\n", &request), Err(BuildError::NoTarget(_))));
        assert!(matches!(
            plan("ARG X\nFROM $X\n", &BuildRequest::default()),
            Err(BuildError::BlankBase(_))
        ));
    }
}
