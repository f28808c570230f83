//! An engine under load for minutes or hours, its daemon and its monitors killed at random.
//!
//! Workers tell stories (`stories`): containers, execs, logs, ports, volumes, networks, builds, pushes and pulls, each of
//! which says what must come out. Witnesses (`witness`) live through the whole run. `chaos` kills; `measure` counts what
//! the daemon holds. Whatever goes wrong is a line of the result, and so is everything that is left behind. Choices come
//! from a seed, so that a run can be repeated as far as the machine's timing allows.

mod chaos;
mod house;
mod measure;
mod random;
mod stories;
mod witness;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::{build, packages};
use house::House;
use measure::Held;
use random::Random;
use witness::Witnesses;

/// The image's content, and what shows links and rules.
const PACKAGES: [&str; 3] = ["busybox-static", "iproute2", "nftables"];
/// The last part of the time in which nothing is killed, so that growth of the daemon can be told.
const CALM: f64 = 0.3;
/// How much more memory the daemon may hold at the end of the calm than at its beginning, in MB: caches fill, and an
/// allocator keeps what it has once had.
const GROWTH_MB: f64 = 24.0;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Repeat the choices of another run
    #[arg(long)]
    seed: Option<u64>,
    /// How many stories are told at a time
    #[arg(long, default_value_t = 3)]
    workers: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    packages::ensure(&PACKAGES)?;
    // As for the end-to-end tests: other binaries may be named, such as those of a release.
    if std::env::var_os("DHOW_TEST_BINARIES").is_none() {
        build::for_tests()?;
    }
    let seed = arguments.seed.unwrap_or_else(random::fresh);
    println!(
        "seed {seed}: {} minutes, {} workers",
        arguments.minutes, arguments.workers
    );
    let Some(house) = House::open() else {
        bail!("the soak test needs root and built binaries");
    };
    let problems = catch_unwind(AssertUnwindSafe(|| soak(&house, arguments, seed)));
    let mut problems = problems.unwrap_or_else(|_| vec!["the soak test itself panicked".to_owned()]);
    // The daemon asserts when it is dropped that nothing of it is left.
    if catch_unwind(AssertUnwindSafe(|| drop(house))).is_err() {
        problems.push("something is left of the ended daemon (told above)".to_owned());
    }
    problems.iter().for_each(|problem| println!("WRONG   {problem}"));
    ensure!(
        problems.is_empty(),
        "{} problems with seed {seed}",
        problems.len()
    );
    println!("ok      nothing went wrong, nothing is left behind");
    Ok(())
}

fn soak(house: &House, arguments: &Arguments, seed: u64) -> Vec<String> {
    let whole = Duration::from_secs(60 * arguments.minutes);
    let (start, calm) = (Instant::now(), whole.mul_f64(1.0 - CALM));
    let empty = house.empty();
    house.daemon.load_busybox();
    let witnesses = Witnesses::call(house);
    let (mut at_calm, mut peak) = (None, Held::default());
    std::thread::scope(|scope| {
        for worker in 0..arguments.workers {
            let random = Random::new(seed.wrapping_add(worker + 1));
            scope.spawn(move || {
                house.guarded("a worker", || stories::tell(house, worker, random, start + whole))
            });
        }
        scope.spawn(|| {
            house.guarded("chaos", || {
                chaos::strike(house, &witnesses, Random::new(seed), start + calm)
            })
        });
        let mut told = 0;
        while start.elapsed() < whole {
            std::thread::sleep(Duration::from_secs(2));
            house.guarded("a witness", || witnesses.check(house));
            let Some(held) = Held::by(house) else { continue };
            peak = peak.max(held);
            if at_calm.is_none() && start.elapsed() > calm + Duration::from_secs(10) {
                at_calm = Some(held);
            }
            let minute = start.elapsed().as_secs() / 60;
            if minute > told {
                told = minute;
                println!("{minute:>4} min  {}  {held}", house.progress());
            }
        }
    });
    house.guarded("a witness at the end", || witnesses.dismiss(house));
    house.guarded("what is left", || house.assert_like(&empty));
    let end = Held::by(house).unwrap_or_default();
    println!("{}", house.progress());
    println!("the daemon at most {peak}");
    if let Some(begin) = at_calm {
        println!("in the calm from {begin}\n              to {end}");
        if end.memory_mb > begin.memory_mb + GROWTH_MB {
            house.wrong(format!("memory grew from {begin} to {end}"));
        }
        // At the beginning of the calm witnesses and stories were there, at the end nothing is.
        if end.files > begin.files || end.threads > begin.threads + 2 {
            house.wrong(format!("files or threads grew from {begin} to {end}"));
        }
    }
    println!(
        "monitors at most {:.1} MB, dhow-registry {:.1} MB",
        witnesses.monitor_mb(),
        house.registry_mb()
    );
    house.take_problems()
}
