//! Restart policies: whether a container that ended is started again, and after how long.

use std::time::Duration;

/// First pause before a restart; it doubles with every restart.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// Longest pause before a restart.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A run of at least this length was a success: the next pause is the first one again.
const STABLE_RUN: Duration = Duration::from_secs(10);

/// `--restart` of `docker run`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// After every end, also when the machine starts.
    Always,
    /// The same, but not after somebody stopped the container.
    UnlessStopped,
    /// After an end with another code than 0, at most so many times (0: without a limit).
    OnFailure(u32),
}

impl RestartPolicy {
    /// Whether a container that ended with `code` after `restarts` restarts is started again.
    pub(crate) fn wants_restart(self, code: i32, restarts: u32, manually_stopped: bool) -> bool {
        if manually_stopped {
            return false;
        }
        match self {
            Self::No => false,
            Self::Always | Self::UnlessStopped => true,
            Self::OnFailure(most) => code != 0 && (most == 0 || restarts < most),
        }
    }

    /// Whether a container is started when the machine has been started anew. `was_running` says that it ran
    /// when the machine went down.
    pub(crate) fn wants_boot(self, was_running: bool, manually_stopped: bool, code: i32) -> bool {
        match self {
            Self::No => false,
            Self::Always => true,
            Self::UnlessStopped => !manually_stopped,
            Self::OnFailure(_) => was_running || (code != 0 && !manually_stopped),
        }
    }
}

/// The growing pause between restarts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// The pause before the next restart, after a run that lasted `ran_for`.
    pub(crate) fn next(&mut self, ran_for: Duration) -> Duration {
        let delay = match self.last {
            Some(last) if ran_for < STABLE_RUN => (last * 2).min(LONGEST_DELAY),
            _ => FIRST_DELAY,
        };
        self.last = Some(delay);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_failure_counts_and_ignores_success() {
        let policy = RestartPolicy::OnFailure(2);
        assert!(policy.wants_restart(1, 0, false));
        assert!(policy.wants_restart(1, 1, false));
        assert!(!policy.wants_restart(1, 2, false));
        assert!(!policy.wants_restart(0, 0, false));
    }

    #[test]
    fn a_stop_by_hand_wins_over_always() {
        assert!(!RestartPolicy::Always.wants_restart(0, 0, true));
        assert!(RestartPolicy::Always.wants_boot(false, true, 0));
        assert!(!RestartPolicy::UnlessStopped.wants_boot(true, true, 0));
    }

    #[test]
    fn the_pause_doubles_up_to_a_minute_and_a_stable_run_resets_it() {
        let mut backoff = Backoff::default();
        let short = Duration::from_secs(1);
        assert_eq!(backoff.next(short), Duration::from_millis(100));
        assert_eq!(backoff.next(short), Duration::from_millis(200));
        for _ in 0..20 {
            backoff.next(short);
        }
        assert_eq!(backoff.next(short), LONGEST_DELAY);
        assert_eq!(backoff.next(Duration::from_secs(11)), FIRST_DELAY);
    }
}
