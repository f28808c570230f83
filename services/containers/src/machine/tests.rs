use super::*;

const TERM: i32 = 15;

fn container(policy: RestartPolicy) -> Machine {
    Machine::new(Phase::Created, policy, false)
}

fn running(policy: RestartPolicy) -> Machine {
    let mut machine = container(policy);
    machine.step(Input::Command(Ticket(0), Command::Start));
    machine.step(Input::Launched);
    machine
}

fn ended(code: i32) -> Input {
    Input::Ended(Ended {
        code,
        ran_for: Duration::from_secs(1),
    })
}

fn stop() -> Command {
    Command::Stop {
        signal: TERM,
        timeout: Some(Duration::from_secs(10)),
    }
}

fn replies(effects: &[Effect]) -> Vec<(u64, bool)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Reply(ticket, result) => Some((ticket.0, result.is_ok())),
            _ => None,
        })
        .collect()
}

fn refusal(effects: &[Effect]) -> Option<&Refusal> {
    effects.iter().find_map(|effect| match effect {
        Effect::Reply(_, Err(refusal)) => Some(refusal),
        _ => None,
    })
}

/// The number of the alarm that is set for `timer`.
fn alarm(effects: &[Effect], timer: Timer) -> u64 {
    let mut alarms = effects.iter().filter_map(|effect| match effect {
        Effect::Arm(of, alarm, _) if *of == timer => Some(*alarm),
        _ => None,
    });
    alarms.next_back().expect("an alarm")
}

#[test]
fn two_starts_at_once_launch_one_process_and_both_are_answered() {
    let mut machine = container(RestartPolicy::No);
    assert_eq!(
        machine.step(Input::Command(Ticket(1), Command::Start)),
        [Effect::Launch { automatic: false }]
    );
    assert_eq!(machine.step(Input::Command(Ticket(2), Command::Start)), []);
    assert_eq!(replies(&machine.step(Input::Launched)), [(1, true), (2, true)]);
    assert_eq!(machine.phase(), Phase::Running);
}

#[test]
fn starting_a_running_container_is_refused_as_not_modified() {
    let effects = running(RestartPolicy::No).step(Input::Command(Ticket(1), Command::Start));
    assert_eq!(refusal(&effects), Some(&Refusal::AlreadyRunning));
}

#[test]
fn a_stop_during_a_start_is_carried_out_when_the_process_runs() {
    let mut machine = container(RestartPolicy::Always);
    machine.step(Input::Command(Ticket(1), Command::Start));
    assert_eq!(machine.step(Input::Command(Ticket(2), stop())), []);
    let effects = machine.step(Input::Launched);
    assert!(effects.contains(&Effect::Signal(TERM)));
    machine.step(ended(143));
    assert_eq!(replies(&machine.step(Input::TornDown)), [(2, true)]);
    assert_eq!(machine.phase(), Phase::Exited);
}

#[test]
fn a_stop_that_is_not_heard_ends_in_sigkill() {
    let mut machine = running(RestartPolicy::No);
    let effects = machine.step(Input::Command(Ticket(1), stop()));
    let effects = machine.step(Input::Elapsed(Timer::Stop, alarm(&effects, Timer::Stop)));
    assert!(effects.contains(&Effect::Signal(SIGKILL)));
}

#[test]
fn a_second_stop_during_a_stop_waits_for_the_same_end() {
    let mut machine = running(RestartPolicy::No);
    machine.step(Input::Command(Ticket(1), stop()));
    machine.step(Input::Command(Ticket(2), stop()));
    machine.step(ended(0));
    assert_eq!(replies(&machine.step(Input::TornDown)), [(1, true), (2, true)]);
}

#[test]
fn kill_during_a_stop_is_accepted() {
    let mut machine = running(RestartPolicy::No);
    machine.step(Input::Command(Ticket(1), stop()));
    let effects = machine.step(Input::Command(
        Ticket(2),
        Command::Kill {
            signal: SIGKILL,
            stops: false,
        },
    ));
    assert!(effects.contains(&Effect::Signal(SIGKILL)));
    machine.step(ended(137));
    assert_eq!(replies(&machine.step(Input::TornDown)), [(1, true), (2, true)]);
}

#[test]
fn forced_removal_during_a_start_kills_what_was_started() {
    let mut machine = container(RestartPolicy::Always);
    machine.step(Input::Command(Ticket(1), Command::Start));
    machine.step(Input::Command(
        Ticket(2),
        Command::Remove {
            force: true,
            volumes: false,
        },
    ));
    assert!(machine.step(Input::Launched).contains(&Effect::Signal(SIGKILL)));
    machine.step(ended(137));
    assert!(
        machine
            .step(Input::TornDown)
            .contains(&Effect::Delete { volumes: false })
    );
    assert_eq!(replies(&machine.step(Input::Deleted(Ok(())))), [(2, true)]);
    assert_eq!(machine.phase(), Phase::Removed);
}

#[test]
fn removal_of_a_running_container_needs_force() {
    let mut machine = running(RestartPolicy::No);
    let effects = machine.step(Input::Command(
        Ticket(1),
        Command::Remove {
            force: false,
            volumes: false,
        },
    ));
    assert_eq!(refusal(&effects), Some(&Refusal::RemoveRunning { paused: false }));
}

#[test]
fn a_failed_removal_can_be_tried_again() {
    let mut machine = Machine::new(Phase::Exited, RestartPolicy::No, false);
    machine.step(Input::Command(
        Ticket(1),
        Command::Remove {
            force: false,
            volumes: false,
        },
    ));
    machine.step(Input::Deleted(Err("device busy".into())));
    assert_eq!(machine.phase(), Phase::Dead);
    let effects = machine.step(Input::Command(Ticket(2), Command::Start));
    assert_eq!(refusal(&effects), Some(&Refusal::MarkedForRemoval));
    let effects = machine.step(Input::Command(
        Ticket(3),
        Command::Remove {
            force: false,
            volumes: false,
        },
    ));
    assert!(effects.contains(&Effect::Delete { volumes: false }));
}

#[test]
fn always_restarts_after_an_end_but_not_after_a_stop() {
    let mut machine = running(RestartPolicy::Always);
    machine.step(ended(0));
    let effects = machine.step(Input::TornDown);
    assert_eq!(machine.phase(), Phase::Waiting);
    assert_eq!(machine.restart_count(), 1);
    let Some(Effect::Arm(Timer::Restart, alarm, _)) = effects.last() else {
        panic!("{effects:?}")
    };
    let effects = machine.step(Input::Elapsed(Timer::Restart, *alarm));
    assert_eq!(effects, [Effect::Launch { automatic: true }]);
    machine.step(Input::Launched);
    machine.step(Input::Command(Ticket(1), stop()));
    machine.step(ended(0));
    machine.step(Input::TornDown);
    assert_eq!(machine.phase(), Phase::Exited);
    assert!(machine.manually_stopped());
}

#[test]
fn a_disarmed_clock_that_rings_all_the_same_is_not_heard() {
    let mut machine = running(RestartPolicy::Always);
    machine.step(ended(1));
    let effects = machine.step(Input::TornDown);
    let Some(Effect::Arm(Timer::Restart, alarm, _)) = effects.last() else {
        panic!("{effects:?}")
    };
    machine.step(Input::Command(Ticket(1), stop()));
    assert_eq!(machine.step(Input::Elapsed(Timer::Restart, *alarm)), []);
    assert_eq!(machine.phase(), Phase::Exited);
}

#[test]
fn restart_ends_the_run_and_starts_anew_even_with_auto_remove() {
    let mut machine = Machine::new(Phase::Created, RestartPolicy::No, true);
    machine.step(Input::Command(Ticket(0), Command::Start));
    machine.step(Input::Launched);
    let command = Command::Restart {
        signal: TERM,
        timeout: Some(Duration::from_secs(10)),
    };
    machine.step(Input::Command(Ticket(1), command));
    machine.step(ended(143));
    assert!(
        machine
            .step(Input::TornDown)
            .contains(&Effect::Launch { automatic: false })
    );
    assert_eq!(replies(&machine.step(Input::Launched)), [(1, true)]);
}

#[test]
fn a_container_with_auto_remove_is_deleted_when_it_ends() {
    let mut machine = Machine::new(Phase::Created, RestartPolicy::No, true);
    machine.step(Input::Command(Ticket(0), Command::Start));
    machine.step(Input::Launched);
    machine.step(ended(0));
    assert!(
        machine
            .step(Input::TornDown)
            .contains(&Effect::Delete { volumes: true })
    );
}

#[test]
fn a_failed_launch_answers_the_starter_and_leaves_the_container() {
    let mut machine = container(RestartPolicy::Always);
    machine.step(Input::Command(Ticket(1), Command::Start));
    assert_eq!(replies(&machine.step(Input::LaunchFailed)), [(1, false)]);
    assert_eq!(machine.phase(), Phase::Exited);
}

#[test]
fn stopping_a_paused_container_thaws_it_so_that_the_signal_is_heard() {
    let mut machine = running(RestartPolicy::No);
    machine.step(Input::Command(Ticket(1), Command::Pause));
    machine.step(Input::Frozen(Ok(())));
    assert_eq!(machine.phase(), Phase::Paused);
    let effects = machine.step(Input::Command(Ticket(2), stop()));
    assert!(effects.contains(&Effect::Thaw));
}

#[test]
fn pause_and_unpause_refuse_what_makes_no_sense() {
    let mut machine = running(RestartPolicy::No);
    assert_eq!(
        refusal(&machine.step(Input::Command(Ticket(1), Command::Unpause))),
        Some(&Refusal::NotPaused)
    );
    machine.step(Input::Command(Ticket(2), Command::Pause));
    assert_eq!(
        refusal(&machine.step(Input::Command(Ticket(3), Command::Pause))),
        Some(&Refusal::Freezing)
    );
    machine.step(Input::Frozen(Ok(())));
    assert_eq!(
        refusal(&machine.step(Input::Command(Ticket(4), Command::Pause))),
        Some(&Refusal::AlreadyPaused)
    );
    let effects = machine.step(Input::Command(Ticket(5), Command::Start));
    assert_eq!(refusal(&effects), Some(&Refusal::StartWhilePaused));
}

#[test]
fn a_process_that_sigkill_does_not_end_is_reported_and_its_end_is_still_noticed() {
    let mut machine = running(RestartPolicy::No);
    let effects = machine.step(Input::Command(
        Ticket(1),
        Command::Kill {
            signal: SIGKILL,
            stops: false,
        },
    ));
    let Some(Effect::Arm(Timer::Kill, alarm, _)) = effects.last() else {
        panic!("{effects:?}")
    };
    let effects = machine.step(Input::Elapsed(Timer::Kill, *alarm));
    assert!(effects.contains(&Effect::KillMonitor) && refusal(&effects).is_none());
    let Some(Effect::Arm(Timer::Kill, alarm, _)) = effects.last() else {
        panic!("{effects:?}")
    };
    let effects = machine.step(Input::Elapsed(Timer::Kill, *alarm));
    assert_eq!(refusal(&effects), Some(&Refusal::WillNotDie));
    machine.step(ended(137));
    assert_eq!(machine.phase(), Phase::Ending);
}

#[test]
fn from_the_death_of_its_process_to_the_next_launch_a_container_is_restarting() {
    let mut machine = running(RestartPolicy::OnFailure(1));
    assert!(!machine.is_restarting());
    machine.step(ended(1));
    assert!(machine.is_restarting());
    let alarm = alarm(&machine.step(Input::TornDown), Timer::Restart);
    assert!(machine.is_restarting());
    machine.step(Input::Elapsed(Timer::Restart, alarm));
    assert!(machine.phase() == Phase::Starting && machine.is_restarting());
    machine.step(Input::Launched);
    assert!(!machine.is_restarting());
    // Its second failure is the last.
    machine.step(ended(1));
    assert!(!machine.is_restarting());
    machine.step(Input::TornDown);
    assert!(machine.phase() == Phase::Exited && !machine.is_restarting());
}

#[test]
fn a_kill_ends_a_restart_wherever_it_is() {
    let kill = |signal| Command::Kill {
        signal,
        stops: signal == TERM,
    };
    let mut waiting = running(RestartPolicy::Always);
    waiting.step(ended(1));
    waiting.step(Input::TornDown);
    let effects = waiting.step(Input::Command(Ticket(1), kill(1)));
    assert_eq!(refusal(&effects), Some(&Refusal::Restarting));
    let effects = waiting.step(Input::Command(Ticket(2), kill(SIGKILL)));
    assert_eq!(replies(&effects), [(2, true)]);
    assert!(waiting.phase() == Phase::Exited && waiting.manually_stopped());

    let mut ending = running(RestartPolicy::Always);
    ending.step(ended(1));
    assert_eq!(ending.step(Input::Command(Ticket(1), kill(TERM))), []);
    assert!(!ending.is_restarting());
    assert_eq!(replies(&ending.step(Input::TornDown)), [(1, true)]);
    assert_eq!(ending.phase(), Phase::Exited);

    let mut starting = running(RestartPolicy::Always);
    starting.step(ended(1));
    let alarm = alarm(&starting.step(Input::TornDown), Timer::Restart);
    starting.step(Input::Elapsed(Timer::Restart, alarm));
    assert_eq!(starting.step(Input::Command(Ticket(1), kill(SIGKILL))), []);
    assert!(starting.step(Input::Launched).contains(&Effect::Signal(SIGKILL)));
    starting.step(ended(137));
    assert_eq!(replies(&starting.step(Input::TornDown)), [(1, true)]);
    assert_eq!(starting.phase(), Phase::Exited);
}

#[test]
fn only_a_stop_is_told_as_one() {
    for (command, told) in [
        (stop(), true),
        (
            Command::Kill {
                signal: SIGKILL,
                stops: false,
            },
            false,
        ),
    ] {
        let mut machine = running(RestartPolicy::No);
        machine.step(Input::Command(Ticket(1), command));
        machine.step(ended(137));
        let effects = machine.step(Input::TornDown);
        assert_eq!(effects.contains(&Effect::Event("stop")), told, "{command:?}");
        assert_eq!(replies(&effects), [(1, true)]);
    }
}
