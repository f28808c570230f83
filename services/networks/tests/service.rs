//! The service in network namespaces of its own: what its users rely on.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use events::Events;
use fault::{Fault, Kind};
use networks::{
    Allocated, Config, EndpointRequest, Error, Filters, Ipam, IpamPool, NetworkSpec, Networks, PortRequest,
    Protocol,
};

/// What happens, happens within this time, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Run `test` in a «host» namespace of its own, with a folder for the daemon's state; says so when not possible.
fn in_own_netns<F: Future<Output = ()>>(test: impl FnOnce(tempfile::TempDir) -> F + Send + 'static) {
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test(tempfile::tempdir().unwrap()));
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

fn config(tag: &str) -> Config {
    let mut config = Config::new(tag);
    config.bridge.as_mut().unwrap().name = format!("dhow{tag}");
    config
}

async fn open(folder: &Path, config: Config) -> Arc<Networks> {
    let store = durable::Store::open(&folder.join("state.redb")).unwrap();
    let events = Arc::new(Events::open(&folder.join("events")).unwrap());
    Networks::open(config, store.scope("networks"), events)
        .await
        .unwrap()
}

fn request(name: &str) -> EndpointRequest {
    EndpointRequest {
        container_name: name.to_owned(),
        ..EndpointRequest::default()
    }
}

fn published(name: &str, host_ip: Option<&str>, host_port: Option<u16>) -> EndpointRequest {
    let port = PortRequest {
        container_port: 80,
        protocol: Protocol::Tcp,
        host_ip: host_ip.map(|a| a.parse().unwrap()),
        host_ports: host_port.map(|p| p..=p),
    };
    EndpointRequest {
        ports: vec![port],
        ..request(name)
    }
}

fn custom(name: &str, subnet: Option<&str>) -> NetworkSpec {
    let pool = |s: &str| IpamPool {
        subnet: Some(s.parse().unwrap()),
        range: None,
        gateway: None,
        auxiliary: Default::default(),
    };
    let ipam = Ipam {
        pools: subnet.into_iter().map(pool).collect(),
        ..Ipam::default()
    };
    NetworkSpec {
        name: name.to_owned(),
        ipam,
        ..NetworkSpec::default()
    }
}

/// Run `f` in a namespace, on a thread of its own.
fn inside<T: Send>(netns: BorrowedFd<'_>, f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|s| {
        let run = || {
            let network = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(netns, network).unwrap();
            f()
        };
        s.spawn(run)
            .join()
            .unwrap_or_else(|p| std::panic::resume_unwind(p))
    })
}

/// Serve `text` on port 80 of all addresses in the namespace.
fn serve(netns: BorrowedFd<'_>, text: &'static str) {
    let listener = inside(netns, || TcpListener::bind("[::]:80").unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = std::io::Write::write_all(&mut stream.unwrap(), text.as_bytes());
        }
    });
}

fn ask(to: impl Into<IpAddr>) -> Option<String> {
    ask_at(SocketAddr::new(to.into(), 80))
}

fn ask_at(to: SocketAddr) -> Option<String> {
    try_at(to, PATIENCE)
}

/// Whether nobody answers at an address.
fn is_silent(to: impl Into<IpAddr>) -> bool {
    try_at(SocketAddr::new(to.into(), 80), Duration::from_millis(500)).is_none()
}

fn try_at(to: SocketAddr, patience: Duration) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&to, patience).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn links() -> Vec<String> {
    let links = netlink::Route::open().unwrap().links().unwrap();
    let mut names: Vec<String> = links.into_iter().map(|l| l.name).collect();
    names.sort();
    names
}

/// Wait until `what` is true: the kernel and the watch work on their own.
async fn eventually(what: &str, test: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !test() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

struct Container {
    netns: OwnedFd,
    endpoint: networks::Endpoint,
    sockets: Vec<networks::BoundPort>,
}

async fn start(
    networks: &Networks,
    id: &str,
    network: &str,
    request: EndpointRequest,
) -> Result<Container, Error> {
    let netns = networks.sandbox(id).await?;
    let Allocated { endpoint, sockets } = networks.allocate(id, network, request).await?;
    networks.attach(&endpoint, netns.as_fd()).await?;
    Ok(Container {
        netns,
        endpoint,
        sockets,
    })
}

#[test]
fn predefined_networks_exist_and_stay() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00001")).await;
        let names: Vec<String> = networks
            .list(&Filters::default())
            .unwrap()
            .into_iter()
            .map(|n| n.spec.name)
            .collect();
        assert_eq!(names, ["bridge", "host", "none"]);
        for name in names {
            let error = networks.remove(&name).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{name} is a pre-defined network and cannot be removed")
            );
            assert_eq!(error.kind(), Kind::Forbidden);
            let error = networks.create(custom(&name, None)).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("operation is not permitted on predefined {name} network")
            );
        }
        let bridge = networks.resolve("bridge").unwrap();
        assert_eq!(networks.resolve(&bridge.id[..12]).unwrap(), bridge);
        assert_eq!(
            networks.resolve("nope").unwrap_err().to_string(),
            "network nope not found"
        );
        assert_eq!(
            networks.prune(&Filters::default()).await.unwrap().removed,
            Vec::<String>::new()
        );
        assert!(networks.host_gateway().is_some());
    });
}

#[test]
fn a_custom_network_is_made_used_and_removed() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00002")).await;
        let before = links();
        let made = networks
            .create(custom("shop", Some("10.99.0.0/24")))
            .await
            .unwrap();
        assert_eq!(made.spec.ipam.pools[0].gateway.unwrap().to_string(), "10.99.0.1");
        let twice = networks.create(custom("shop", None)).await.unwrap_err();
        assert_eq!(twice.to_string(), "network with name shop already exists");
        let overlap = networks
            .create(custom("other", Some("10.99.0.128/25")))
            .await
            .unwrap_err();
        assert_eq!(overlap.kind(), Kind::Forbidden);

        let fixed = EndpointRequest {
            ip: Some("10.99.0.77".parse().unwrap()),
            ..request("web")
        };
        let web = start(&networks, "c1", "shop", fixed.clone()).await.unwrap();
        serve(web.netns.as_fd(), "web");
        assert_eq!(ask([10, 99, 0, 77]).as_deref(), Some("web"));
        let taken = networks.allocate("c2", "shop", fixed).await.unwrap_err();
        assert_eq!(taken.to_string(), "Address already in use");
        let again = networks.allocate("c1", "shop", request("web")).await.unwrap_err();
        assert_eq!(again.kind(), Kind::Forbidden);

        let shown = networks.resolve("shop").unwrap();
        let connected = &shown.containers["c1"];
        assert_eq!(
            (connected.name.as_str(), connected.ipv4.as_str()),
            ("web", "10.99.0.77/24")
        );
        networks.renamed("c1", "shopfront");
        let busy = networks.remove("shop").await.unwrap_err();
        let id = &web.endpoint.id[..12];
        let text = format!(
            "error while removing network: network shop has active endpoints (name:\"shopfront\" id:\"{id}\")"
        );
        assert_eq!(busy.to_string(), text);
        networks.detach(&web.endpoint).await.unwrap();
        networks.detach(&web.endpoint).await.unwrap();
        networks.close_sandbox("c1");

        let hold = networks.hold("shop", "container c9").unwrap();
        assert_eq!(networks.remove("shop").await.unwrap_err().kind(), Kind::Conflict);
        drop(hold);
        networks.remove("shop").await.unwrap();
        assert_eq!(networks.resolve("shop").unwrap_err().kind(), Kind::NotFound);
        eventually("no link is left", || links() == before).await;
    });
}

#[test]
fn prune_takes_what_nobody_uses() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00003")).await;
        networks.create(custom("used", None)).await.unwrap();
        networks.create(custom("unused", None)).await.unwrap();
        let c = start(&networks, "c1", "used", request("c")).await.unwrap();
        let old = Filters {
            until: Some(1),
            ..Filters::default()
        };
        assert_eq!(networks.prune(&old).await.unwrap().removed, Vec::<String>::new());
        assert_eq!(
            networks.prune(&Filters::default()).await.unwrap().removed,
            ["unused"]
        );
        networks.detach(&c.endpoint).await.unwrap();
    });
}

#[test]
fn a_taken_port_is_refused_in_dockers_words_and_costs_nothing() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00004")).await;
        let web = start(&networks, "c1", "bridge", published("web", None, Some(8080)))
            .await
            .unwrap();
        assert_eq!(web.sockets.len(), web.endpoint.ports.len());
        let hosts: Vec<String> = web.endpoint.ports.iter().map(|p| p.host_ip.to_string()).collect();
        assert_eq!(hosts, ["0.0.0.0", "::"]);
        let refused = networks
            .allocate("c2", "bridge", published("two", None, Some(8080)))
            .await
            .unwrap_err();
        let text = refused.to_string();
        let prefix = "driver failed programming external connectivity on endpoint two (";
        assert!(text.starts_with(prefix), "{text}");
        assert!(
            text.ends_with("): Bind for 0.0.0.0:8080 failed: port is already allocated"),
            "{text}"
        );

        let stranger = TcpListener::bind("0.0.0.0:8081").unwrap();
        let refused = networks
            .allocate("c2", "bridge", published("two", None, Some(8081)))
            .await
            .unwrap_err();
        let text = refused.to_string();
        assert!(
            text.ends_with("listen tcp4 0.0.0.0:8081: bind: address already in use"),
            "{text}"
        );
        drop(stranger);
        let two = networks
            .allocate("c2", "bridge", published("two", None, Some(8081)))
            .await
            .unwrap();
        let next = u32::from(web.endpoint.ipv4.unwrap().addr()) + 1;
        assert_eq!(
            u32::from(two.endpoint.ipv4.unwrap().addr()),
            next,
            "failures keep no address"
        );
        let free = networks
            .allocate("c3", "bridge", published("three", None, None))
            .await
            .unwrap();
        assert!(free.endpoint.ports[0].host_port >= 1024);
        assert_eq!(free.endpoint.ports[0].host_port, free.endpoint.ports[1].host_port);
    });
}

#[test]
fn a_port_is_given_again_when_the_process_that_held_it_ends_a_moment_later() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00012")).await;
        let first = start(&networks, "c1", "bridge", published("one", None, Some(8080)))
            .await
            .unwrap();
        networks.detach(&first.endpoint).await.unwrap();
        let sockets = first.sockets;
        let end = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(sockets);
        });
        networks
            .allocate("c2", "bridge", published("two", None, Some(8080)))
            .await
            .unwrap();
        end.await.unwrap();
    });
}

#[test]
fn an_address_is_given_again_once_the_kernel_answers_for_it_no_more() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00005")).await;
        // A subnet with one free address: the second container must wait for the first one's end.
        networks
            .create(custom("tiny", Some("10.98.0.0/30")))
            .await
            .unwrap();
        for round in 0..3 {
            let c = start(&networks, &format!("c{round}"), "tiny", request("c"))
                .await
                .unwrap();
            assert_eq!(c.endpoint.ipv4.unwrap().to_string(), "10.98.0.2/30");
            serve(c.netns.as_fd(), "tiny");
            assert_eq!(ask([10, 98, 0, 2]).as_deref(), Some("tiny"));
            networks.detach(&c.endpoint).await.unwrap();
        }
        let _last = start(&networks, "c9", "tiny", request("c")).await.unwrap();
        let full = networks.allocate("c10", "tiny", request("d")).await.unwrap_err();
        assert!(
            full.to_string()
                .starts_with("no available IPv4 addresses on this network's address pools: tiny (")
        );
    });
}

#[test]
fn the_default_route_moves_to_the_network_that_stays() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00006")).await;
        networks
            .create(custom("one", Some("10.97.0.0/24")))
            .await
            .unwrap();
        networks
            .create(custom("two", Some("10.96.0.0/24")))
            .await
            .unwrap();
        let c = start(&networks, "c1", "one", request("c")).await.unwrap();
        let second = networks
            .allocate("c1", "two", request("c"))
            .await
            .unwrap()
            .endpoint;
        networks.attach(&second, c.netns.as_fd()).await.unwrap();
        assert_eq!(
            (c.endpoint.interface.as_str(), second.interface.as_str()),
            ("eth0", "eth1")
        );
        let gateway = || {
            inside(c.netns.as_fd(), || {
                let routes = netlink::Route::open().unwrap().routes().unwrap();
                routes
                    .into_iter()
                    .find(|r| r.destination.is_none())
                    .and_then(|r| r.gateway)
                    .map(|g| g.to_string())
            })
        };
        assert_eq!(gateway().as_deref(), Some("10.97.0.1"));
        networks.detach(&c.endpoint).await.unwrap();
        eventually("the other gateway", || gateway().as_deref() == Some("10.96.0.1")).await;
    });
}

#[test]
fn the_default_route_is_by_the_highest_priority_and_then_by_name() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00021")).await;
        for (name, subnet) in [
            ("m", "10.97.0.0/24"),
            ("a", "10.96.0.0/24"),
            ("z", "10.95.0.0/24"),
        ] {
            networks.create(custom(name, Some(subnet))).await.unwrap();
        }
        let c = start(&networks, "c1", "m", request("c")).await.unwrap();
        let join = async |network: &str, gateway_priority: i64| {
            let request = EndpointRequest {
                gateway_priority,
                ..request("c")
            };
            let endpoint = networks.allocate("c1", network, request).await.unwrap().endpoint;
            networks.attach(&endpoint, c.netns.as_fd()).await.unwrap();
            endpoint
        };
        let gateway = || {
            inside(c.netns.as_fd(), || {
                let routes = netlink::Route::open().unwrap().routes().unwrap();
                let default = routes.into_iter().find(|r| r.destination.is_none());
                default.and_then(|r| r.gateway).map(|g| g.to_string())
            })
        };
        let is = |wanted: &str| gateway().as_deref() == Some(wanted);
        assert!(is("10.97.0.1"));
        let first_by_name = join("a", 0).await;
        assert!(is("10.96.0.1"), "{:?}", gateway());
        let highest = join("z", 1).await;
        assert!(is("10.95.0.1"), "{:?}", gateway());
        networks.detach(&highest).await.unwrap();
        eventually("the next one", || is("10.96.0.1")).await;
        networks.detach(&first_by_name).await.unwrap();
        eventually("the last one", || is("10.97.0.1")).await;
    });
}

#[test]
fn everything_that_is_wrong_with_an_endpoint_is_told_before_there_is_one() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00022")).await;
        networks
            .create(custom("own", Some("10.97.0.0/24")))
            .await
            .unwrap();
        let option =
            |name: &str, value: &str| (format!("com.docker.network.endpoint.{name}"), value.to_owned());
        let wrong = EndpointRequest {
            ip: Some("10.98.0.5".parse().unwrap()),
            ip6: Some("fd00::5".parse().unwrap()),
            driver_opts: [option("ifname", "lo"), option("sysctls", "kernel.x=1")].into(),
            ..request("c")
        };
        let problems = networks.problems("own", &wrong).unwrap();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert_eq!(problems[0], "no configured subnet contains IP address 10.98.0.5");
        assert_eq!(
            networks.problems("own", &request("c")).unwrap(),
            Vec::<String>::new()
        );
        assert_eq!(networks.problems("host", &wrong).unwrap(), Vec::<String>::new());
        let bridge = networks.problems("default", &wrong).unwrap();
        assert!(bridge[0].contains("user defined networks only"), "{bridge:?}");
    });
}

#[test]
fn ipv6_works_where_it_is_asked_for() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00007")).await;
        let spec = NetworkSpec {
            enable_ipv6: Some(true),
            ..custom("six", None)
        };
        networks.create(spec).await.unwrap();
        let c = start(&networks, "c1", "six", published("c", None, Some(8080)))
            .await
            .unwrap();
        serve(c.netns.as_fd(), "six");
        let v6 = c.endpoint.ipv6.unwrap().addr();
        // The kernel joins the multicast group of a new address by a work of its own; a question asked before that is
        // lost and asked again a second later.
        eventually("the address is known", || ask(v6).as_deref() == Some("six")).await;
        let gateway = c.endpoint.gateway6.unwrap();
        assert_eq!(
            ask_at(SocketAddr::new(gateway.into(), 8080)).as_deref(),
            Some("six"),
            "published on [::]"
        );
        let plain = start(&networks, "c2", "bridge", request("d")).await.unwrap();
        assert_eq!(plain.endpoint.ipv6, None);
    });
}

#[test]
fn a_restarted_daemon_finds_its_networks_and_sweeps_what_nobody_owns() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00008")).await;
        networks.create(custom("kept", None)).await.unwrap();
        let kept = start(&networks, "c1", "kept", published("kept", None, Some(8080)))
            .await
            .unwrap();
        let lost = start(&networks, "c2", "bridge", published("lost", None, Some(8081)))
            .await
            .unwrap();
        serve(kept.netns.as_fd(), "kept");
        serve(lost.netns.as_fd(), "lost");
        let gateway = kept.endpoint.gateway.unwrap();
        let old = networks.list(&Filters::default()).unwrap();
        drop(networks);

        let networks = open(folder.path(), config("t00008")).await;
        let new = networks.list(&Filters::default()).unwrap();
        let ids = |all: &[networks::Network]| {
            all.iter()
                .map(|n| (n.id.clone(), n.spec.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&old), ids(&new), "same ids, same subnets");
        assert_eq!(
            ask_at(SocketAddr::new(gateway.into(), 8080)).as_deref(),
            Some("kept"),
            "before anybody declared"
        );
        networks
            .restore(&kept.endpoint, Some(kept.netns.as_fd()))
            .await
            .unwrap();
        networks.sweep().await.unwrap();
        assert_eq!(
            ask_at(SocketAddr::new(gateway.into(), 8080)).as_deref(),
            Some("kept")
        );
        assert!(is_silent(lost.endpoint.ipv4.unwrap().addr()));
        let veths = links().into_iter().filter(|l| l.starts_with("vt00008")).count();
        assert_eq!(veths, 1);
        let clash = networks
            .allocate("c3", "bridge", published("x", None, Some(8080)))
            .await
            .unwrap_err();
        assert!(
            clash.to_string().ends_with("port is already allocated"),
            "{clash}"
        );
        networks.detach(&kept.endpoint).await.unwrap();
        networks.remove("kept").await.unwrap();
    });
}

#[test]
fn the_watch_restores_what_somebody_flushes() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00009")).await;
        networks.sweep().await.unwrap();
        let web = start(&networks, "c1", "bridge", published("web", None, Some(8080)))
            .await
            .unwrap();
        serve(web.netns.as_fd(), "web");
        let at = SocketAddr::new(web.endpoint.gateway.unwrap().into(), 8080);
        assert_eq!(ask_at(at).as_deref(), Some("web"));
        for _ in 0..2 {
            assert!(
                Command::new("nft")
                    .args(["flush", "ruleset"])
                    .status()
                    .unwrap()
                    .success()
            );
            eventually("the port answers again", || {
                let listed = Command::new("nft")
                    .args(["list", "table", "inet", "dhow-t00009"])
                    .output()
                    .unwrap();
                String::from_utf8_lossy(&listed.stdout).contains("8080")
            })
            .await;
            assert_eq!(ask_at(at).as_deref(), Some("web"));
        }
        networks.shutdown().await;
    });
}

#[test]
fn an_interface_gets_the_name_and_the_kernel_parameters_that_were_asked_for() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00013")).await;
        let options = [
            ("com.docker.network.endpoint.ifname".to_owned(), "lan0".to_owned()),
            (
                "com.docker.network.endpoint.sysctls".to_owned(),
                "net.ipv4.conf.IFNAME.log_martians=1".to_owned(),
            ),
        ];
        let asked = EndpointRequest {
            driver_opts: options.into(),
            ..request("c")
        };
        let c = start(&networks, "c1", "bridge", asked).await.unwrap();
        let found = inside(c.netns.as_fd(), || {
            netlink::sysctl::get("net/ipv4/conf/lan0/log_martians")
        });
        assert_eq!(found.unwrap(), "1");
        let hostile = (
            "com.docker.network.endpoint.sysctls".to_owned(),
            "net.ipv4.ip_forward=0".to_owned(),
        );
        let asked = EndpointRequest {
            driver_opts: [hostile].into(),
            ..request("d")
        };
        let refused = networks.allocate("c2", "bridge", asked).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::InvalidParameter);
    });
}

#[test]
fn host_and_none_need_no_link() {
    in_own_netns(|folder| async move {
        let networks = open(folder.path(), config("t00010")).await;
        let before = links();
        for (id, network) in [("c1", "host"), ("c2", "none")] {
            let c = start(&networks, id, network, published("c", None, Some(8080)))
                .await
                .unwrap();
            assert_eq!(
                (c.endpoint.ipv4, c.endpoint.ports.len(), c.sockets.len()),
                (None, 0, 0)
            );
            assert!(networks.resolve(network).unwrap().containers.contains_key(id));
            networks.detach(&c.endpoint).await.unwrap();
        }
        assert_eq!(links(), before);
    });
}

#[test]
fn two_daemons_without_settings_do_not_share_a_bridge() {
    in_own_netns(|folder| async move {
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::fs::create_dir_all(&one).unwrap();
        std::fs::create_dir_all(&two).unwrap();
        let first = open(&one, Config::new("t00014")).await;
        let second = open(&two, Config::new("t00015")).await;
        let of = |n: &Networks| {
            let bridge = n.resolve("bridge").unwrap();
            (bridge.bridge, bridge.spec.ipam.pools[0].subnet.unwrap())
        };
        assert_eq!(
            (of(&first).0.as_str(), of(&second).0.as_str()),
            ("dhow0", "dhow1")
        );
        assert_ne!(of(&first).1, of(&second).1);
        let a = start(&first, "c1", "bridge", request("a")).await.unwrap();
        let b = start(&second, "c1", "bridge", request("b")).await.unwrap();
        serve(a.netns.as_fd(), "a");
        serve(b.netns.as_fd(), "b");
        assert_eq!(ask(a.endpoint.ipv4.unwrap().addr()).as_deref(), Some("a"));
        assert_eq!(ask(b.endpoint.ipv4.unwrap().addr()).as_deref(), Some("b"));
        let before = of(&second);
        drop((first, second));
        let second = open(&two, Config::new("t00015")).await;
        assert_eq!(of(&second), before, "a restart finds its own again");
    });
}

#[test]
fn bip_and_fixed_cidr_are_obeyed_and_the_hosts_subnets_avoided() {
    in_own_netns(|folder| async move {
        let mut route = netlink::Route::open().unwrap();
        route.add_bridge("lan", None, 0).unwrap();
        let lan = route.index("lan").unwrap();
        route.add_address(lan, "172.17.3.4/16".parse().unwrap()).unwrap();
        let networks = open(folder.path(), config("t00011")).await;
        let chosen = networks.resolve("bridge").unwrap().spec.ipam.pools[0]
            .subnet
            .unwrap();
        assert_eq!(chosen.to_string(), "172.18.0.0/16");
        drop(networks);
        let mut changed = config("t00011");
        let bridge = changed.bridge.as_mut().unwrap();
        bridge.bip = Some("10.95.0.9/16".parse().unwrap());
        bridge.fixed_cidr = Some("10.95.7.0/24".parse().unwrap());
        bridge.mtu = 1400;
        let networks = open(folder.path(), changed).await;
        let c = start(&networks, "c1", "bridge", request("c")).await.unwrap();
        assert_eq!(c.endpoint.ipv4.unwrap().to_string(), "10.95.7.0/16");
        assert_eq!(
            (c.endpoint.gateway.unwrap().to_string().as_str(), c.endpoint.mtu),
            ("10.95.0.9", 1400)
        );
        serve(c.netns.as_fd(), "c");
        assert_eq!(ask([10, 95, 7, 0]).as_deref(), Some("c"));
    });
}

#[test]
fn a_service_that_ends_without_containers_leaves_nothing_and_comes_back_the_same() {
    in_own_netns(|folder| async move {
        let subnet = |networks: &Networks| networks.resolve("bridge").unwrap().spec.ipam.pools[0].subnet;
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let networks = open(folder.path(), config("t00014")).await;
        let before = subnet(&networks);
        let bridges = || said("ip", &["-brief", "link", "show", "type", "bridge"]);
        assert_eq!(bridges().lines().count(), 1);
        networks.shutdown().await;
        drop(networks);
        assert_eq!(bridges(), "");
        assert!(!said("nft", &["list", "tables"]).contains("t00014"));
        let networks = open(folder.path(), config("t00014")).await;
        assert_eq!(subnet(&networks), before);
        networks.shutdown().await;
    });
}

#[test]
fn daemons_that_choose_at_the_same_moment_choose_different_subnets() {
    const DAEMONS: usize = 6;
    in_own_netns(|folder| async move {
        let here = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let together = std::sync::Barrier::new(DAEMONS);
        let daemon = |number: usize| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let own = folder.path().join(number.to_string());
            std::fs::create_dir(&own).unwrap();
            let mut config = Config::new(&format!("a{number}"));
            config.turn_file = folder.path().join("turn");
            together.wait();
            runtime.block_on(async {
                let networks = open(&own, config).await;
                let second = networks.create(custom("second", None)).await.unwrap();
                let bridge = networks.resolve("bridge").unwrap();
                [bridge, second].map(|n| (n.bridge, n.spec.ipam.pools[0].subnet.unwrap()))
            })
        };
        let chosen: Vec<_> = std::thread::scope(|scope| {
            let (daemon, here) = (&daemon, here.as_fd());
            let all: Vec<_> = (0..DAEMONS)
                .map(|number| scope.spawn(move || inside(here, || daemon(number))))
                .collect();
            all.into_iter().flat_map(|d| d.join().unwrap()).collect()
        });
        for (index, (link, subnet)) in chosen.iter().enumerate() {
            for (other_link, other) in &chosen[index + 1..] {
                assert!(
                    link != other_link && !subnet.contains(other) && !other.contains(subnet),
                    "{chosen:?}"
                );
            }
        }
    });
}
