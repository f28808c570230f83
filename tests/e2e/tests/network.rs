//! Networks: the bridge, published ports, names.

use std::io::{Read, Write};
use std::net::TcpStream;

use e2e::{Client, LONGEST, daemon, for_each_client, until};

/// A small server of one file with this word, on a port that the host chooses.
fn serve(docker: &Client, word: &str, flags: &[&str]) -> u16 {
    let run = ["run", "-d", "--name", "web"].iter().chain(flags);
    let script = format!("mkdir /w; echo {word} > /w/index.html; exec httpd -f -h /w -p 80");
    docker.ok(run.chain(&["busybox", "sh", "-c", &script]));
    let port = docker.ok(["port", "web", "80/tcp"]);
    port.lines()
        .next()
        .and_then(|line| line.rsplit(':').next()?.parse().ok())
        .expect("port")
}

fn fetch(address: (&str, u16)) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LONGEST))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn a_published_port_is_reached_from_the_host_and_from_a_sibling() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let port = serve(docker, "served", &["-p", "80"]);
        for host in ["127.0.0.1", "::1"] {
            until("an answer", || {
                fetch((host, port)).is_ok_and(|text| text.ends_with("served\n"))
            });
        }
        let address = docker.ok(["inspect", "--format", "{{.NetworkSettings.IPAddress}}", "web"]);
        assert_eq!(
            docker.ok([
                "run",
                "--rm",
                "busybox",
                "wget",
                "-qO-",
                &format!("http://{address}/")
            ]),
            "served"
        );
        let gateway = docker.ok(["inspect", "--format", "{{.NetworkSettings.Gateway}}", "web"]);
        let through_host = format!("http://{gateway}:{port}/");
        assert_eq!(
            docker.ok(["run", "--rm", "busybox", "wget", "-qO-", &through_host]),
            "served"
        );
        let taken = format!("{port}:80");
        let error = docker.fails(
            125,
            [
                "run", "-d", "--name", "second", "-p", &taken, "busybox", "sleep", "9",
            ],
        );
        assert!(error.contains("already"), "{error}");
        docker.run(["rm", "-f", "second"]);
        docker.ok(["rm", "-f", "web"]);
        // A server of another daemon may have the port by now.
        assert!(
            !fetch(("127.0.0.1", port)).is_ok_and(|text| text.ends_with("served\n")),
            "the port is closed with the container"
        );
    });
}

#[test]
fn published_ports_outlive_the_daemon() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let port = serve(docker, "lasting", &["-p", "80"]);
        let answers = || fetch(("127.0.0.1", port)).is_ok_and(|text| text.ends_with("lasting\n"));
        until("an answer", answers);
        daemon.kill();
        assert!(answers(), "without a daemon");
        daemon.start();
        assert!(answers(), "with a new one");
        docker.ok(["rm", "-f", "web"]);
    });
}

#[test]
fn published_ports_close_with_their_network_and_open_with_it_again() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let port = |docker: &Client| {
            let text = docker.ok(["port", "web"]);
            let first = text.lines().next();
            first.and_then(|line| line.rsplit(':').next()?.parse::<u16>().ok())
        };
        let answers = |port: u16| fetch(("127.0.0.1", port)).is_ok_and(|text| text.ends_with("joined\n"));
        let before = serve(docker, "joined", &["-p", "80"]);
        until("an answer", || answers(before));
        docker.ok(["network", "disconnect", "bridge", "web"]);
        assert_eq!(port(docker), None);
        assert!(!answers(before), "in no network");
        docker.ok(["network", "connect", "bridge", "web"]);
        let again = port(docker).expect("a port");
        until("an answer again", || answers(again));
        daemon.kill_and_restart();
        assert!(answers(again), "with a new daemon");
        docker.ok(["rm", "-f", "web"]);
    });
}

#[test]
fn modes_without_a_network_of_its_own() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let links = |mode: &str| {
            docker.ok([
                "run",
                "--rm",
                "--network",
                mode,
                "busybox",
                "ls",
                "/sys/class/net",
            ])
        };
        assert_eq!(links("none"), "lo");
        assert!(links("host").lines().count() > 1 || links("host") != "eth0");
        docker.ok(["run", "-d", "--name", "first", "busybox", "sleep", "1000"]);
        let address = |name: &str| docker.ok(["exec", name, "ip", "-4", "-o", "addr", "show", "eth0"]);
        docker.ok([
            "run",
            "-d",
            "--name",
            "joined",
            "--network",
            "container:first",
            "busybox",
            "sleep",
            "1000",
        ]);
        assert_eq!(address("first"), address("joined"));
        docker.ok(["rm", "-f", "first", "joined"]);
    });
}

#[test]
fn names_and_hosts_are_written() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    for_each_client(&daemon, |docker| {
        let text = docker.ok([
            "run",
            "--rm",
            "--hostname",
            "me",
            "--add-host",
            "far:192.0.2.7",
            "--dns",
            "192.0.2.53",
            "busybox",
            "sh",
            "-c",
            "cat /etc/hosts /etc/resolv.conf /etc/hostname",
        ]);
        for expect in [
            "192.0.2.7\tfar",
            "nameserver 192.0.2.53",
            "127.0.0.1\tlocalhost",
            "\tme",
        ] {
            assert!(text.contains(expect), "{expect:?} in {text}");
        }
    });
}
