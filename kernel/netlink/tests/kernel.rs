//! The encoders against the kernel, with `ip` and `nft` as witnesses. Each test lives in its own network namespace.

use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

use netlink::conntrack::{Conntrack, Filter};
use netlink::nft::{
    Batch, ChainHook, ChainKind, Cmp, CtKey, DataType, Element, Expr, Family, MapValue, MetaKey, Nft,
    PayloadBase, Reg, SetSpec, Verdict, Watcher,
};
use netlink::{Link, LinkChange, Neighbour, Route, RouteEntry, RouteScope, Veth};

/// Run `test` on a thread in a network namespace of its own; says so when that is not possible.
fn in_own_netns(test: fn()) {
    let run = move || {
        #[allow(
            deprecated,
            reason = "the thread is alone with its namespace and dies with it"
        )]
        if let Err(e) = rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET) {
            #[allow(clippy::print_stderr, reason = "a skipped test must say so")]
            {
                eprintln!("skipped: needs root ({e})");
            }
            return;
        }
        test();
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

fn other_netns() -> OwnedFd {
    let make = || {
        #[allow(
            deprecated,
            reason = "the thread is alone with its namespace and dies with it"
        )]
        rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET).unwrap();
        OwnedFd::from(std::fs::File::open("/proc/thread-self/ns/net").unwrap())
    };
    std::thread::spawn(make).join().unwrap()
}

fn routes_in(netns: &OwnedFd) -> Route {
    std::thread::scope(|s| {
        let open = || {
            rustix::thread::move_into_link_name_space(
                netns.as_fd(),
                Some(rustix::thread::LinkNameSpaceType::Network),
            )
            .unwrap();
            Route::open().unwrap()
        };
        s.spawn(open).join().unwrap()
    })
}

fn output(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(
        out.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_veth_pair_is_born_in_two_namespaces_with_addresses_and_routes() {
    in_own_netns(|| {
        let mut host = Route::open().unwrap();
        host.add_bridge("br0", Some([2, 0, 0, 0, 0, 1]), 1400).unwrap();
        let again = host.add_bridge("br0", None, 0).unwrap_err();
        assert!(again.is(rustix::io::Errno::EXIST), "{again}");
        let bridge = host.index("br0").unwrap();
        let absurd = host
            .set_link(
                bridge,
                &LinkChange {
                    mtu: Some(1),
                    ..LinkChange::default()
                },
            )
            .unwrap_err();
        assert!(
            absurd.to_string().contains("mtu less than device minimum"),
            "the kernel explains: {absurd}"
        );
        host.add_address(bridge, "10.9.0.1/24".parse().unwrap()).unwrap();
        host.add_address(bridge, "10.9.0.1/24".parse().unwrap()).unwrap();

        let netns = other_netns();
        let mac = [2, 0x42, 10, 9, 0, 2];
        host.add_veth(&Veth {
            name: "vdead",
            master: Some(bridge),
            peer_name: "eth0",
            peer_netns: Some(netns.as_fd()),
            peer_mac: Some(mac),
            mtu: 1400,
        })
        .unwrap();
        let near = host.link("vdead").unwrap().unwrap();
        assert_eq!(
            (near.master, near.up, near.mtu, near.kind.as_str()),
            (Some(bridge), true, 1400, "veth")
        );
        host.set_link(
            near.index,
            &LinkChange {
                hairpin: Some(true),
                ..LinkChange::default()
            },
        )
        .unwrap();
        assert!(output("ip", &["-d", "link", "show", "vdead"]).contains("hairpin on"));

        let mut inside = routes_in(&netns);
        let Link {
            index,
            up,
            mac: found,
            ..
        } = inside.link("eth0").unwrap().unwrap();
        assert!(!up);
        assert_eq!(found, mac);
        inside
            .set_link(
                index,
                &LinkChange {
                    up: Some(true),
                    ..LinkChange::default()
                },
            )
            .unwrap();
        inside.add_address(index, "10.9.0.2/24".parse().unwrap()).unwrap();
        inside.add_address(index, "fd00::2/64".parse().unwrap()).unwrap();
        let default = RouteEntry {
            destination: None,
            gateway: Some("10.9.0.1".parse().unwrap()),
            link: index,
            scope: RouteScope::Universe,
        };
        inside.add_route(&default).unwrap();
        inside.add_route(&default).unwrap();
        assert!(inside.routes().unwrap().contains(&default));
        inside.delete_route(&default).unwrap();
        inside.delete_route(&default).unwrap();
        assert!(!inside.routes().unwrap().contains(&default));
        let given = inside
            .addresses()
            .unwrap()
            .into_iter()
            .filter(|a| a.link == index);
        let given: Vec<String> = given
            .map(|a| a.net.to_string())
            .filter(|a| !a.starts_with("fe80"))
            .collect();
        assert_eq!(given, ["10.9.0.2/24", "fd00::2/64"]);

        let entry = Neighbour {
            link: bridge,
            address: "10.9.0.2".parse().unwrap(),
            mac,
        };
        host.set_neighbour(&entry).unwrap();
        assert!(host.neighbours().unwrap().contains(&entry));
        host.delete_neighbour(bridge, entry.address).unwrap();
        assert!(!host.neighbours().unwrap().contains(&entry));

        host.delete_link("vdead").unwrap();
        host.delete_link("vdead").unwrap();
        assert_eq!(inside.link("eth0").unwrap(), None);
    });
}

fn sample(table: &str) -> Batch {
    let mut b = Batch::new();
    let f = Family::Inet;
    b.add_table(f, table);
    let key = [DataType::InetProto, DataType::InetService];
    let value = [DataType::Ipv4Addr, DataType::InetService];
    b.add_set(
        f,
        table,
        &SetSpec {
            name: "publish",
            key: &key,
            value: Some(MapValue::Data(&value)),
        },
    );
    b.add_set(
        f,
        table,
        &SetSpec {
            name: "links",
            key: &[DataType::IfName],
            value: None,
        },
    );
    b.add_chain(f, table, "dnat", None);
    b.add_chain(
        f,
        table,
        "pre",
        Some((ChainKind::Nat, ChainHook::Prerouting, -100)),
    );
    b.add_chain(f, table, "fwd", Some((ChainKind::Filter, ChainHook::Forward, 0)));
    b.add_rule(
        f,
        table,
        "pre",
        &[
            Expr::FibDaddrType(Reg(0)),
            Expr::Cmp(Cmp::Eq, Reg(0), 2u32.to_ne_bytes().to_vec()),
            Expr::Verdict(Verdict::Jump("dnat".into())),
        ],
        None,
    );
    b.add_rule(
        f,
        table,
        "dnat",
        &[
            Expr::Meta(MetaKey::NfProto, Reg(0)),
            Expr::Cmp(Cmp::Eq, Reg(0), vec![2]),
            Expr::Meta(MetaKey::L4Proto, Reg(0)),
            Expr::Payload(PayloadBase::Transport, 2, 2, Reg(1)),
            Expr::Map {
                map: "publish".into(),
                key: Reg(0),
                value: Reg(0),
            },
            Expr::Dnat {
                family: 2,
                address: Reg(0),
                port: Reg(1),
            },
        ],
        None,
    );
    b.add_rule(
        f,
        table,
        "fwd",
        &[
            Expr::Meta(MetaKey::OifName, Reg(0)),
            Expr::Lookup {
                set: "links".into(),
                key: Reg(0),
                invert: true,
            },
            Expr::Ct(CtKey::Status, Reg(0)),
            Expr::And(Reg(0), CtKey::DNAT.to_ne_bytes().to_vec()),
            Expr::Cmp(Cmp::Ne, Reg(0), vec![0; 4]),
            Expr::Counter,
            Expr::Verdict(Verdict::Accept),
        ],
        Some("let them in"),
    );
    b
}

fn port(n: u16) -> Element {
    Element {
        key: Element::concat(&[&[6], &n.to_be_bytes()]),
        value: Element::concat(&[&[10, 0, 0, 2], &80u16.to_be_bytes()]),
    }
}

#[test]
fn nft_prints_what_was_encoded() {
    in_own_netns(|| {
        let mut nft = Nft::open().unwrap();
        let mut batch = sample("t1");
        batch.add_elements(Family::Inet, "t1", "publish", &[port(8080)], true);
        let link = Element {
            key: Element::link("dhow0"),
            value: vec![],
        };
        batch.add_elements(Family::Inet, "t1", "links", &[link], true);
        nft.commit(&batch, "set up").unwrap();
        let text = output("nft", &["list", "ruleset"]);
        for line in [
            "type inet_proto . inet_service : ipv4_addr . inet_service",
            "elements = { tcp . 8080 : 10.0.0.2 . 80 }",
            "elements = { \"dhow0\" }",
            "type nat hook prerouting priority dstnat; policy accept;",
            "fib daddr type local jump dnat",
            "meta nfproto ipv4 dnat ip to meta l4proto . th dport map @publish",
            "oifname != @links ct status dnat counter packets 0 bytes 0 accept comment \"let them in\"",
        ] {
            let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let wanted = line.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(squeezed.contains(&wanted), "missing {line:?} in\n{text}");
        }
        let chains = nft.chains().unwrap();
        let forward = chains.iter().find(|c| c.name == "fwd").unwrap();
        assert_eq!((forward.hook, forward.drops), (Some((2, 0)), false));
        let rules = nft.rules(Family::Inet, "t1", Some("fwd")).unwrap();
        assert_eq!(rules[0].comment.as_deref(), Some("let them in"));
    });
}

#[test]
fn a_batch_is_applied_whole_or_not_at_all() {
    in_own_netns(|| {
        let mut nft = Nft::open().unwrap();
        nft.commit(&sample("t1"), "set up").unwrap();
        let before = nft.generation().unwrap();
        let mut bad = Batch::new();
        bad.add_elements(Family::Inet, "t1", "publish", &[port(1)], true);
        bad.delete_elements(Family::Inet, "t1", "publish", &[port(2)]);
        let error = nft.commit(&bad, "change ports").unwrap_err();
        assert!(error.is(rustix::io::Errno::NOENT), "{error}");
        assert_eq!(
            nft.elements(Family::Inet, "t1", "publish").unwrap(),
            Vec::<Vec<u8>>::new()
        );
        assert_eq!(nft.generation().unwrap(), before);
        let mut good = Batch::new();
        let many: Vec<Element> = (1..3000).map(port).collect();
        good.add_elements(Family::Inet, "t1", "publish", &many, true);
        nft.commit(&good, "many ports").unwrap();
        assert_eq!(nft.generation().unwrap(), before + 1);
        assert_eq!(nft.elements(Family::Inet, "t1", "publish").unwrap().len(), 2999);
        let twice = nft.commit(&good, "the same ports").unwrap_err();
        assert!(twice.is(rustix::io::Errno::EXIST), "{twice}");
    });
}

#[test]
fn the_watcher_hears_a_flush() {
    in_own_netns(|| {
        let mut nft = Nft::open().unwrap();
        nft.commit(&sample("t1"), "set up").unwrap();
        let mut watcher = Watcher::open().unwrap();
        assert!(!watcher.drain().unwrap());
        output("nft", &["flush", "ruleset"]);
        assert!(watcher.drain().unwrap());
        assert!(!nft.has_table(Family::Inet, "t1").unwrap());
    });
}

#[test]
fn a_sysctl_is_that_of_the_namespace() {
    in_own_netns(|| {
        netlink::sysctl::set("net/ipv4/ip_forward", "1").unwrap();
        assert_eq!(netlink::sysctl::get("net/ipv4/ip_forward").unwrap(), "1");
        assert!(!netlink::sysctl::exists("net/ipv4/no_such_thing"));
    });
}

#[test]
fn a_tracked_connection_is_forgotten() {
    in_own_netns(|| {
        let mut nft = Nft::open().unwrap();
        // Connections are tracked only where some rule asks for it.
        nft.commit(&sample("t1"), "set up").unwrap();
        let mut route = Route::open().unwrap();
        route
            .set_link(
                1,
                &LinkChange {
                    up: Some(true),
                    ..LinkChange::default()
                },
            )
            .unwrap();
        let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"x", server.local_addr().unwrap()).unwrap();
        let mut conntrack = Conntrack::open().unwrap();
        let (mine, other) = (
            |protocol| Filter::OriginalPort {
                family: 2,
                protocol,
                port,
            },
            "10.0.0.1".parse().unwrap(),
        );
        assert_eq!(conntrack.count(mine(17)).unwrap(), 1);
        conntrack
            .forget(&[mine(6), Filter::ReplySource(other), Filter::OriginalSource(other)])
            .unwrap();
        assert_eq!(conntrack.count(mine(17)).unwrap(), 1, "others are left alone");
        let local = "127.0.0.1".parse().unwrap();
        for filter in [
            mine(17),
            Filter::ReplySource(local),
            Filter::OriginalSource(local),
        ] {
            client.send_to(b"x", server.local_addr().unwrap()).unwrap();
            assert_eq!(conntrack.count(filter).unwrap(), 1);
            conntrack.forget(&[filter]).unwrap();
            assert_eq!(conntrack.count(filter).unwrap(), 0, "{filter:?}");
        }
    });
}
