//! What may pass and what may not, from every side. Each test lives in its own namespaces.

mod world;

use std::os::fd::AsFd;

use network_drivers::{Driver, Protocol};
use world::{
    Container, HOST, Instance, OUTSIDE, ask_tcp, ask_udp, binding, in_world, is_silent_tcp, is_silent_udp,
    network, nft, output, serve, tcp,
};

/// Both with and without bridged packets passing the IP rules.
fn in_both_worlds(test: fn(&world::World)) {
    for filtered in ["1", "0"] {
        in_world(move |world| {
            if netlink::sysctl::exists("net/bridge/bridge-nf-call-iptables") {
                netlink::sysctl::set("net/bridge/bridge-nf-call-iptables", filtered).unwrap();
            }
            test(world);
        });
    }
}

#[test]
fn a_container_reaches_the_outside_under_the_hosts_address() {
    in_both_worlds(|world| {
        let dhow = Instance::new("aaaaaa");
        dhow.bridge.create_network(&network(1)).unwrap();
        let c = Container::start(&dhow, 1, 2, &[]);
        serve(
            world.outside.as_fd(),
            format!("{OUTSIDE}:80").parse().unwrap(),
            "outside",
        );
        let answer = ask_tcp(c.sandbox.fd(), &format!("{OUTSIDE}:80"));
        assert_eq!(answer.as_deref(), Some(format!("outside {HOST}").as_str()));
        assert_eq!(ask_udp(c.sandbox.fd(), &format!("{OUTSIDE}:80")), answer);
    });
}

#[test]
fn published_ports_answer_outside_host_sibling_and_self() {
    in_both_worlds(|world| {
        let dhow = Instance::new("aaaaaa");
        dhow.bridge.create_network(&network(1)).unwrap();
        dhow.bridge.create_network(&network(2)).unwrap();
        let ports = [
            tcp(8080),
            binding("0.0.0.0", 8080, Protocol::Udp),
            binding(HOST, 9090, Protocol::Tcp),
        ];
        let web = Container::start(&dhow, 1, 2, &ports);
        let sibling = Container::start(&dhow, 1, 3, &[]);
        let stranger = Container::start(&dhow, 2, 2, &[]);
        web.serve("web");
        let port = format!("{HOST}:8080");
        // The outside keeps its address.
        let from_outside = Some(format!("web {OUTSIDE}"));
        assert_eq!(ask_tcp(world.outside.as_fd(), &port), from_outside);
        assert_eq!(ask_udp(world.outside.as_fd(), &port), from_outside);
        assert_eq!(
            ask_tcp(world.outside.as_fd(), &format!("{HOST}:9090")),
            from_outside
        );
        assert_eq!(ask_tcp(world.host.as_fd(), &port), Some(format!("web {HOST}")));
        assert_eq!(ask_udp(world.host.as_fd(), &port), Some(format!("web {HOST}")));
        // Siblings come under the gateway's address, so that the answers find their way.
        assert_eq!(
            ask_tcp(sibling.sandbox.fd(), &port).as_deref(),
            Some("web 10.1.0.1")
        );
        assert_eq!(
            ask_udp(sibling.sandbox.fd(), &port).as_deref(),
            Some("web 10.1.0.1")
        );
        assert_eq!(ask_tcp(web.sandbox.fd(), &port).as_deref(), Some("web 10.1.0.1"));
        assert!(
            ask_tcp(stranger.sandbox.fd(), &port).is_some(),
            "published means published"
        );
        let mut tracked = netlink::conntrack::Conntrack::open().unwrap();
        let to_web = netlink::conntrack::Filter::ReplySource(web.address());
        assert!(tracked.count(to_web).unwrap() > 0);
        web.stop(&dhow);
        assert_eq!(
            tracked.count(to_web).unwrap(),
            0,
            "the next owner of the address starts afresh"
        );
        assert!(is_silent_tcp(world.outside.as_fd(), &port));
        assert!(is_silent_udp(world.outside.as_fd(), &port));
    });
}

#[test]
fn what_is_not_published_cannot_be_reached() {
    in_both_worlds(|world| {
        let dhow = Instance::new("aaaaaa");
        let mut closed = network(3);
        closed.icc = false;
        let mut internal = network(4);
        internal.internal = true;
        for plan in [&network(1), &network(2), &closed, &internal] {
            dhow.bridge.create_network(plan).unwrap();
        }
        let c = Container::start(&dhow, 1, 2, &[tcp(8080)]);
        let sibling = Container::start(&dhow, 1, 3, &[]);
        let stranger = Container::start(&dhow, 2, 2, &[]);
        c.serve("c");
        let direct = "10.1.0.2:80";
        assert_eq!(
            ask_tcp(sibling.sandbox.fd(), direct).as_deref(),
            Some("c 10.1.0.3")
        );
        assert_eq!(ask_tcp(world.host.as_fd(), direct).as_deref(), Some("c 10.1.0.1"));
        assert!(is_silent_tcp(stranger.sandbox.fd(), direct), "another network");
        world.outside_routes_to("10.1.0.0/16".parse().unwrap());
        assert!(
            is_silent_tcp(world.outside.as_fd(), direct),
            "a neighbour with a route"
        );
        assert!(ask_tcp(world.outside.as_fd(), &format!("{HOST}:8080")).is_some());

        let (a, b) = (
            Container::start(&dhow, 3, 2, &[]),
            Container::start(&dhow, 3, 3, &[]),
        );
        a.serve("a");
        let bridged_packets_are_filtered =
            netlink::sysctl::get("net/bridge/bridge-nf-call-iptables").is_ok_and(|v| v == "1");
        if bridged_packets_are_filtered {
            assert!(is_silent_tcp(b.sandbox.fd(), "10.3.0.2:80"), "icc is off");
        }
        serve(
            world.outside.as_fd(),
            format!("{OUTSIDE}:80").parse().unwrap(),
            "outside",
        );
        let inner = Container::start(&dhow, 4, 2, &[]);
        assert!(ask_tcp(b.sandbox.fd(), &format!("{OUTSIDE}:80")).is_some());
        assert!(
            is_silent_tcp(inner.sandbox.fd(), &format!("{OUTSIDE}:80")),
            "internal"
        );
    });
}

const DOCKERLIKE: &str = "
    table ip filter {
        chain DOCKER-USER { counter return
        }
        chain FORWARD { type filter hook forward priority 0; policy drop; counter jump DOCKER-USER
        }
    }";

const UFWLIKE: &str = "
    table ip filter {
        chain FORWARD { type filter hook forward priority 0; policy drop;
        }
    }";

#[test]
fn a_forward_chain_that_drops_does_not_stop_us_and_is_left_as_it_was() {
    for docker in [true, false] {
        in_world(move |world| {
            nft(if docker { DOCKERLIKE } else { UFWLIKE });
            let before = output("nft", &["list", "ruleset"]);
            let dhow = Instance::new("aaaaaa");
            dhow.bridge.create_network(&network(1)).unwrap();
            let web = Container::start(&dhow, 1, 2, &[tcp(8080)]);
            let sibling = Container::start(&dhow, 1, 3, &[]);
            web.serve("web");
            assert!(
                ask_tcp(world.outside.as_fd(), &format!("{HOST}:8080")).is_some(),
                "published"
            );
            assert!(ask_tcp(sibling.sandbox.fd(), "10.1.0.2:80").is_some(), "sibling");
            serve(
                world.outside.as_fd(),
                format!("{OUTSIDE}:80").parse().unwrap(),
                "outside",
            );
            assert!(
                ask_tcp(web.sandbox.fd(), &format!("{OUTSIDE}:80")).is_some(),
                "egress"
            );
            let chain = if docker { "DOCKER-USER" } else { "FORWARD" };
            let rules = output("nft", &["list", "chain", "ip", "filter", chain]);
            assert!(rules.contains("iifname \"br1\" counter packets"), "{rules}");
            assert!(
                rules.contains("accept comment \"dhow-aaaaaa: to br1\""),
                "{rules}"
            );
            if docker {
                assert!(
                    rules
                        .trim_end()
                        .trim_end_matches(['}', '\n', '\t', ' '])
                        .ends_with("return"),
                    "{rules}"
                );
            }
            dhow.firewall.remove().unwrap();
            let after = output("nft", &["list", "ruleset"]);
            let without_counters = |text: &str| {
                let words: Vec<&str> = text
                    .split_whitespace()
                    .filter(|w| w.parse::<u64>().is_err())
                    .collect();
                words.join(" ")
            };
            assert_eq!(without_counters(&after), without_counters(&before));
        });
    }
}

#[test]
fn a_flushed_ruleset_is_put_back() {
    in_world(|world| {
        let dhow = Instance::new("aaaaaa");
        dhow.bridge.create_network(&network(1)).unwrap();
        let web = Container::start(&dhow, 1, 2, &[tcp(8080)]);
        web.serve("web");
        assert!(dhow.firewall.heal().unwrap().opened.is_empty());
        let before = output("nft", &["list", "table", "inet", "dhow-aaaaaa"]);
        let mut watcher = netlink::nft::Watcher::open().unwrap();
        for damage in [
            &["flush", "ruleset"][..],
            &["flush", "table", "inet", "dhow-aaaaaa"],
            &["flush", "map", "inet", "dhow-aaaaaa", "ports4-any"],
            &["flush", "set", "inet", "dhow-aaaaaa", "bridges"],
        ] {
            output("nft", damage);
            assert!(watcher.drain().unwrap());
            assert!(dhow.firewall.heal().unwrap().restored, "{damage:?}");
            assert_eq!(
                output("nft", &["list", "table", "inet", "dhow-aaaaaa"])
                    .lines()
                    .count(),
                before.lines().count()
            );
            assert!(
                ask_tcp(world.outside.as_fd(), &format!("{HOST}:8080")).is_some(),
                "{damage:?}"
            );
            assert!(!dhow.firewall.heal().unwrap().restored);
        }
        // Somebody else's drop that comes later is found, too.
        nft(DOCKERLIKE);
        assert_eq!(dhow.firewall.heal().unwrap().opened, ["filter FORWARD"]);
        assert_eq!(dhow.firewall.heal().unwrap().opened, Vec::<String>::new());
        assert!(ask_tcp(world.outside.as_fd(), &format!("{HOST}:8080")).is_some());
    });
}

#[test]
fn two_instances_live_side_by_side_and_each_leaves_nothing() {
    in_world(|world| {
        let links = || {
            let mut route = netlink::Route::open().unwrap();
            let mut names: Vec<String> = route.links().unwrap().into_iter().map(|l| l.name).collect();
            names.sort();
            names
        };
        let before = links();
        let (one, two) = (Instance::new("aaaaaa"), Instance::new("bbbbbb"));
        one.bridge.create_network(&network(1)).unwrap();
        two.bridge.create_network(&network(2)).unwrap();
        let a = Container::start(&one, 1, 2, &[tcp(8081)]);
        let b = Container::start(&two, 2, 2, &[tcp(8082)]);
        a.serve("a");
        b.serve("b");
        assert!(ask_tcp(world.outside.as_fd(), &format!("{HOST}:8081")).is_some());
        assert!(ask_tcp(world.outside.as_fd(), &format!("{HOST}:8082")).is_some());
        assert!(
            is_silent_tcp(b.sandbox.fd(), "10.1.0.2:80"),
            "isolated from each other"
        );
        one.bridge.sweep(&[], &[]).unwrap();
        one.bridge.delete_network(&network(1)).unwrap();
        one.firewall.remove().unwrap();
        assert!(
            ask_tcp(world.outside.as_fd(), &format!("{HOST}:8082")).is_some(),
            "a sweep touches its own only"
        );
        b.stop(&two);
        two.bridge.delete_network(&network(2)).unwrap();
        two.firewall.remove().unwrap();
        assert_eq!(links(), before);
        assert_eq!(output("nft", &["list", "ruleset"]), "");
    });
}

#[test]
fn a_bridge_of_the_administrator_keeps_its_addresses_and_stays() {
    in_world(|world| {
        let mut route = netlink::Route::open().unwrap();
        route.add_bridge("br1", None, 0).unwrap();
        let link = route.index("br1").unwrap();
        route.add_address(link, "10.200.0.1/24".parse().unwrap()).unwrap();
        let dhow = Instance::new("aaaaaa");
        dhow.bridge.create_network(&network(1)).unwrap();
        let c = Container::start(&dhow, 1, 2, &[]);
        c.serve("c");
        assert!(ask_tcp(world.host.as_fd(), "10.1.0.2:80").is_some());
        c.stop(&dhow);
        dhow.bridge.delete_network(&network(1)).unwrap();
        let kept = route
            .addresses()
            .unwrap()
            .iter()
            .any(|a| a.link == link && a.net.to_string() == "10.200.0.1/24");
        assert!(kept);
    });
}

#[test]
fn a_table_from_before_a_restart_serves_until_all_is_declared() {
    in_world(|world| {
        let dhow = Instance::new("aaaaaa");
        dhow.bridge.create_network(&network(1)).unwrap();
        let kept = Container::start(&dhow, 1, 2, &[tcp(8080)]);
        let lost = Container::start(&dhow, 1, 3, &[tcp(8081)]);
        kept.serve("kept");
        lost.serve("lost");
        drop(dhow);
        let dhow = Instance::new("aaaaaa");
        let (kept_port, lost_port) = (format!("{HOST}:8080"), format!("{HOST}:8081"));
        dhow.bridge.create_network(&network(1)).unwrap();
        assert!(
            ask_tcp(world.outside.as_fd(), &kept_port).is_some(),
            "while adopting"
        );
        dhow.bridge.join(&kept.plan, &kept.sandbox).unwrap();
        dhow.firewall.settle().unwrap();
        assert_eq!(
            dhow.bridge
                .sweep(std::slice::from_ref(&kept.plan.id), &[])
                .unwrap()
                .len(),
            1
        );
        assert!(ask_tcp(world.outside.as_fd(), &kept_port).is_some());
        assert!(is_silent_tcp(world.outside.as_fd(), &lost_port));
    });
}
