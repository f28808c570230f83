//! Published ports from another machine: a network namespace that a veth pair links with the host.

use std::process::{Command, Output};

use e2e::{Daemon, daemon, for_each_client, until};

/// A namespace with an address of its own; goes away with the value.
struct Outside {
    name: String,
    link: String,
    host: String,
    own: String,
}

fn ip(arguments: &str) -> Output {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    output.expect("ip of the package iproute2")
}

impl Outside {
    /// Named after the daemon, with a subnet of the range for measurements (RFC 2544) that its name chooses.
    fn new(daemon: &Daemon) -> Self {
        let tag = daemon.tag();
        let number = tag
            .bytes()
            .fold(0u32, |sum, byte| sum.wrapping_mul(31) ^ u32::from(byte));
        let (third, fourth) = (number / 64 % 256, number % 64 * 4);
        let outside = Self {
            name: format!("e2e-{tag}"),
            link: format!("eo{}", &tag[..tag.len().min(10)]),
            host: format!("198.19.{third}.{}", fourth + 1),
            own: format!("198.19.{third}.{}", fourth + 2),
        };
        let Self {
            name,
            link,
            host,
            own,
        } = &outside;
        for step in [
            format!("netns add {name}"),
            format!("link add {link} type veth peer name eth0 netns {name}"),
            format!("addr add {host}/30 dev {link}"),
            format!("link set {link} up"),
            format!("-n {name} addr add {own}/30 dev eth0"),
            format!("-n {name} link set eth0 up"),
            format!("-n {name} link set lo up"),
        ] {
            let output = ip(&step);
            assert!(output.status.success(), "ip {step}: {output:?}");
        }
        outside
    }

    /// Fetches a page of the host from there.
    fn fetch(&self, port: &str, path: &str) -> Option<String> {
        let url = format!("http://{}:{port}{path}", self.host);
        let output = Command::new("ip")
            .args(["netns", "exec", &self.name, "busybox", "wget", "-qO-", &url])
            .output()
            .expect("wget");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        ip(&format!("link del {}", self.link));
        ip(&format!("netns del {}", self.name));
    }
}

#[test]
fn a_published_port_is_reached_from_another_machine_with_its_address() {
    let Some(daemon) = daemon() else { return };
    daemon.load_busybox();
    let outside = Outside::new(&daemon);
    let script = "mkdir -p /www/cgi-bin; echo page > /www/index.html; \
                  printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' > /www/cgi-bin/who; chmod 755 /www/cgi-bin/who; \
                  exec httpd -f -p 80 -h /www";
    for_each_client(&daemon, |docker| {
        let serve = |name: &str, publish: &str| {
            docker.ok([
                "run", "-d", "--name", name, "-p", publish, "busybox", "sh", "-c", script,
            ]);
            let shown = docker.ok(["port", name, "80/tcp"]);
            let first = shown.lines().next().expect("a port");
            first.rsplit(':').next().expect("a port").to_owned()
        };
        let port = serve("open", "80");
        until("the page", || {
            outside.fetch(&port, "/").as_deref() == Some("page\n")
        });
        // The container sees who asks, not the bridge.
        let seen = outside.fetch(&port, "/cgi-bin/who").expect("the script");
        // busybox writes it as a mapped IPv6 address.
        assert!(seen.contains(&outside.own), "{seen}");
        // The container's own way out leads there as well.
        let ping = format!("ping -c 1 -W 9 {} >/dev/null && echo reached", outside.own);
        assert_eq!(docker.ok(["exec", "open", "sh", "-c", &ping]), "reached");
        let closed = serve("closed", "127.0.0.1::80");
        assert_eq!(outside.fetch(&closed, "/"), None);
        daemon.kill_and_restart();
        assert_eq!(outside.fetch(&port, "/").as_deref(), Some("page\n"));
        docker.ok(["rm", "-f", "open", "closed"]);
        assert_eq!(outside.fetch(&port, "/"), None);
    });
}
