//! Two daemons on one machine never harm each other.

use e2e::{clients, daemon};

#[test]
fn the_end_and_restart_of_one_leaves_the_other_alone() {
    let (Some(one), Some(two)) = (daemon(), daemon()) else {
        return;
    };
    one.load_busybox();
    two.load_busybox();
    let first = &clients(&one)[0];
    let second = &clients(&two)[0];
    first.ok(["run", "-d", "--name", "same", "busybox", "sleep", "1000"]);
    second.ok(["run", "-d", "--name", "same", "busybox", "sleep", "1000"]);
    one.kill_and_restart();
    assert_eq!(first.ok(["exec", "same", "echo", "alive"]), "alive");
    assert_eq!(second.ok(["exec", "same", "echo", "alive"]), "alive");
    first.ok(["rm", "-f", "same"]);
    assert_eq!(one.stop(), 0);
    let gateway = second.ok(["inspect", "--format", "{{.NetworkSettings.Gateway}}", "same"]);
    second.ok(["exec", "same", "ping", "-c1", "-W60", &gateway]);
}
