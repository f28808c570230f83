//! Kills at random.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::house::House;
use super::measure::field;
use super::random::Random;
use super::witness::Witnesses;

/// Seconds between two blows.
const PAUSE: (u64, u64) = (2, 15);

pub(super) fn strike(house: &House, witnesses: &Witnesses, mut random: Random, end: Instant) {
    loop {
        let pause = Duration::from_millis(1000 * PAUSE.0 + random.below(1000 * (PAUSE.1 - PAUSE.0)));
        if Instant::now() + pause > end {
            return;
        }
        std::thread::sleep(pause);
        match random.below(3) {
            0 => kill_a_monitor(house, &mut random),
            1 => witnesses.strike(house),
            _ => house.kill_daemon(),
        }
    }
}

/// The monitor of a container of some story. Its container ends with 137, and its commands may fail from now on.
fn kill_a_monitor(house: &House, random: &mut Random) {
    let Ok(list) = house.text(&["ps", "--format", "{{.Names}}"]) else {
        return;
    };
    let names: Vec<&str> = list.lines().filter(|name| name.starts_with("story-")).collect();
    if let Some(name) = random.of(&names)
        && let Some(monitor) = monitor_of(house, name)
    {
        house.mark_struck(name);
        kill(monitor);
    }
}

/// The parent of a container's first process.
pub(super) fn monitor_of(house: &House, name: &str) -> Option<u32> {
    let pid = house
        .text(&["inspect", "--format", "{{.State.Pid}}", name])
        .ok()?;
    let parent = u32::try_from(field(pid.parse().ok()?, "PPid:")?).ok()?;
    // A container that has just ended leaves its number to anybody: only a monitor is killed.
    let command = std::fs::read(format!("/proc/{parent}/cmdline")).ok()?;
    let ours = house.daemon.exec_root();
    let is_monitor = std::fs::read_link(format!("/proc/{parent}/exe"))
        .is_ok_and(|program| program.to_string_lossy().contains("dhow-runtime"));
    let names_us = String::from_utf8_lossy(&command).contains(&*ours.to_string_lossy());
    (is_monitor || names_us).then_some(parent)
}

pub(super) fn kill(pid: u32) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::KILL);
    }
}
