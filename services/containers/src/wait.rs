//! `wait`: the end of a container, for whoever asked.

use std::sync::Arc;

use api_types::container::{WaitError, WaitResponse};
use tokio::sync::watch;

use crate::cell::{Cell, View};
use crate::machine::Phase;
use crate::requests::WaitCondition;

/// Waits for a container; it counts from the moment when it was made.
#[derive(Debug)]
pub struct Waiter {
    views: watch::Receiver<Arc<View>>,
    condition: WaitCondition,
    /// How many runs had ended when the wait began.
    ended: u64,
}

impl Waiter {
    pub(crate) fn new(cell: &Cell, condition: WaitCondition) -> Self {
        Self {
            views: cell.watch(),
            condition,
            ended: cell.view().ended,
        }
    }

    /// The answer, once the condition is met.
    pub async fn outcome(mut self) -> WaitResponse {
        let (condition, ended) = (self.condition, self.ended);
        let is_met = |view: &Arc<View>| match condition {
            // As with docker, a run that has ended answers, though its restart is due.
            WaitCondition::NotRunning => {
                view.ended > ended
                    || matches!(
                        view.phase,
                        Phase::Created | Phase::Exited | Phase::Removing | Phase::Removed | Phase::Dead
                    )
            }
            WaitCondition::NextExit => view.ended > ended || view.phase == Phase::Removed,
            WaitCondition::Removed => matches!(view.phase, Phase::Removed | Phase::Dead),
        };
        if let Ok(view) = self.views.wait_for(is_met).await {
            return answer(&view, condition);
        }
        // The container is gone; its last view is the answer then.
        answer(&self.views.borrow(), condition)
    }
}

fn answer(view: &View, condition: WaitCondition) -> WaitResponse {
    let run = &view.record.run;
    let failed = condition == WaitCondition::Removed && view.phase == Phase::Dead;
    WaitResponse {
        status_code: run.exit_code.into(),
        error: failed.then(|| WaitError {
            message: format!("container {} could not be removed", view.record.id),
        }),
    }
}
