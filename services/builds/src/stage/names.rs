//! How steps are shown to those who draw them: `[build 2/3] RUN make`, as BuildKit does.

use dockerfile::{Command, Instruction};

use crate::engine::Engine;
use crate::plan::Base;

/// Gives the steps of a stage their names. Instructions that only change the configuration have none.
pub(super) struct StepNames {
    /// With the space behind it; empty when there is one stage without a name.
    stage: String,
    steps: usize,
    step: usize,
}

fn is_shown(command: &Command) -> bool {
    use Instruction::{Add, Copy, Run, Workdir};
    matches!(command.instruction, Add(_) | Copy(_) | Run(_) | Workdir(_))
}

impl StepNames {
    pub(super) fn new(engine: &Engine, index: usize) -> Self {
        let stages = &engine.plan.file.stages;
        let stage = match &stages[index].name {
            Some(name) => format!("{name} "),
            None if stages.len() == 1 => String::new(),
            None => format!("stage-{index} "),
        };
        let steps = 1 + stages[index]
            .commands
            .iter()
            .filter(|command| is_shown(command))
            .count();
        Self {
            stage,
            steps,
            step: 1,
        }
    }

    /// The name of FROM; one that stands on nothing or on another stage is no step.
    pub(super) fn from(&self, base: &Base) -> Option<String> {
        match base {
            Base::Image(name) | Base::Context(name) => {
                Some(format!("[{}1/{}] FROM {name}", self.stage, self.steps))
            }
            Base::Scratch | Base::Stage(_) => None,
        }
    }

    /// The name of the next instruction.
    pub(super) fn next(&mut self, command: &Command) -> Option<String> {
        is_shown(command).then(|| {
            self.step += 1;
            format!("[{}{}/{}] {}", self.stage, self.step, self.steps, command.text)
        })
    }
}
