//! Containers that live through the whole run, and what they have seen.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use e2e::{LONGEST, until};

use super::chaos::{kill, monitor_of};
use super::house::House;
use super::measure::memory_mb;

/// Counts, a line each time.
pub(super) const COUNTER: &str = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done";
const WEB: &str = "mkdir /www; echo witness > /www/index.html; exec httpd -f -p 80 -h /www";

pub(super) struct Witnesses {
    /// Host's port of the web server.
    port: u16,
    /// First process of the one that nobody may disturb.
    pid: String,
    strikes: AtomicU64,
    /// Since when the web server has not answered.
    silent: Mutex<Option<Instant>>,
    monitor_mb: Mutex<f64>,
}

impl Witnesses {
    pub(super) fn call(house: &House) -> Witnesses {
        let docker = &house.docker;
        docker.ok([
            "run", "--detach", "--name", "calm", "busybox", "sh", "-c", COUNTER,
        ]);
        let always = ["run", "--detach", "--name", "always", "--restart", "always"];
        docker.ok(always.iter().chain(&["busybox", "sleep", "100000"]));
        let web = ["run", "--detach", "--name", "web", "--publish", "127.0.0.1::80"];
        docker.ok(web.iter().chain(&["busybox", "sh", "-c", WEB]));
        let port = docker.ok(["port", "web", "80"]);
        Witnesses {
            port: port
                .rsplit(':')
                .next()
                .and_then(|port| port.parse().ok())
                .expect("a port"),
            pid: docker.ok(["inspect", "--format", "{{.State.Pid}}", "calm"]),
            strikes: AtomicU64::new(0),
            silent: Mutex::new(Some(Instant::now())),
            monitor_mb: Mutex::default(),
        }
    }

    /// Kills the monitor of the one that is always started again; it must come back.
    pub(super) fn strike(&self, house: &House) {
        let Some(monitor) = monitor_of(house, "always") else {
            return;
        };
        let pid = || {
            house.text(&[
                "inspect",
                "--format",
                "{{.State.Pid}} {{.State.Running}}",
                "always",
            ])
        };
        let Ok(before) = pid() else { return };
        kill(monitor);
        self.strikes.fetch_add(1, Ordering::Relaxed);
        until(
            "a container that is always started again, after its monitor's death",
            || pid().is_ok_and(|now| now != before && now.ends_with("true")),
        );
    }

    /// What must hold at every moment.
    pub(super) fn check(&self, house: &House) {
        let mut silent = self.silent.lock().expect("lock");
        match ask(self.port) {
            Ok(()) => *silent = None,
            Err(error) => {
                let since = *silent.get_or_insert_with(Instant::now);
                assert!(since.elapsed() < LONGEST, "the published port is silent: {error}");
            }
        }
        if let Some(monitor) = monitor_of(house, "calm") {
            let mut most = self.monitor_mb.lock().expect("lock");
            *most = most.max(memory_mb(monitor));
        }
    }

    /// The most memory that a monitor had, in MB.
    pub(super) fn monitor_mb(&self) -> f64 {
        *self.monitor_mb.lock().expect("lock")
    }

    /// Hears them at the end, and removes them.
    pub(super) fn dismiss(&self, house: &House) {
        let docker = &house.docker;
        let state = docker.ok([
            "inspect",
            "--format",
            "{{.State.Pid}} {{.State.Running}} {{.RestartCount}}",
            "calm",
        ]);
        assert_eq!(state, format!("{} true 0", self.pid), "nobody touched it");
        let log = docker.run(["logs", "calm"]).stdout;
        assert_eq!(
            gap(&log, false),
            None,
            "the log of a container that nobody touched"
        );
        let count = docker.ok(["inspect", "--format", "{{.RestartCount}}", "always"]);
        let strikes = self.strikes.load(Ordering::Relaxed);
        println!("a container that is always started again: {strikes} deaths of its monitor, {count} starts");
        assert!(
            count.parse::<u64>().is_ok_and(|count| count >= strikes),
            "{count} of {strikes}"
        );
        docker.ok(["rm", "--force", "--volumes", "calm", "always", "web"]);
    }
}

fn ask(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    match text.contains("witness") {
        true => Ok(()),
        false => Err(std::io::Error::other(text)),
    }
}

/// Where lines of [`COUNTER`] do not follow one another; with `again` it may have begun anew.
pub(super) fn gap(log: &str, again: bool) -> Option<String> {
    let mut expect = 0;
    for (at, line) in log.lines().enumerate() {
        match line.parse::<u64>() {
            Ok(number) if number == expect || (again && number == 0) => expect = number + 1,
            _ => return Some(format!("line {at} is {line:?} instead of {expect}")),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::gap;

    #[test]
    fn gaps_doubles_and_restarts_are_seen() {
        assert_eq!(gap("0\n1\n2\n", false), None);
        assert_eq!(gap("0\n1\n0\n1\n", true), None);
        assert_eq!(gap("", false), None);
        for bad in ["0\n2\n", "0\n1\n1\n", "1\n2\n", "0\n1\n0\n", "0\nx\n"] {
            assert!(gap(bad, false).is_some(), "{bad:?}");
        }
        assert!(gap("0\n1\n3\n", true).is_some());
    }
}
