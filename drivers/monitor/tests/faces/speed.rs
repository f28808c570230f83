//! Much output through a monitor. The figures that it prints mean something with a release build of the runtime only
//! (`DHOW_TEST_RUNTIME`).

use std::io::Read;
use std::time::Instant;

use monitor::protocol::{Attach, Framing};

use crate::Test;
use crate::support::{Container, everything};

pub(crate) const TESTS: &[Test] = &[("much_output_is_logged_and_delivered_whole", output)];

const LINE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n";

/// A tenth of the usual amount in a debug build, to spare the others on the machine.
fn amount() -> usize {
    let is_fast = !cfg!(debug_assertions) || std::env::var_os("DHOW_TEST_RUNTIME").is_some();
    if is_fast { 200_000_000 } else { 20_000_000 }
}

/// User and system time of a process in milliseconds (proc(5): fields 14 and 15, in ticks of 10 ms).
fn cpu_time(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let fields = text.rsplit(')').next().expect("fields").split_whitespace();
    fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum::<u64>()
        * 10
}

fn output() {
    let bytes = amount();
    let mut container = Container::new(["/bin/cat", "/tmp/output"].map(str::to_owned).to_vec());
    std::fs::write(
        container.path("rootfs/tmp/output"),
        LINE.repeat(bytes / LINE.len()),
    )
    .expect("write");
    container.spawn(&[]);
    let mut client = container.daemon().attach(Attach {
        framing: Framing::Raw,
        stdin: false,
        ..everything(1)
    });
    let reading = std::thread::spawn(move || {
        let mut buffer = vec![0u8; 256 * 1024];
        let mut total = 0;
        loop {
            match client.read(&mut buffer).expect("read") {
                0 => return total,
                count => total += count,
            }
        }
    });
    let begin = Instant::now();
    container.daemon().started();
    assert_eq!(container.daemon().exited().exit_code, 0);
    let logged = begin.elapsed();
    assert_eq!(reading.join().expect("join"), bytes);
    let delivered = begin.elapsed();
    let cpu = cpu_time(container.spawned.as_ref().expect("spawned").pid);
    println!(
        "    {bytes} bytes: logged after {logged:?}, delivered after {delivered:?}, {cpu} ms of the monitor's time"
    );
    let log = std::fs::read(&container.plan.log.path).expect("log");
    assert_eq!(
        log.iter().filter(|byte| **byte == b'\n').count(),
        bytes / LINE.len()
    );
}
