//! A small world for tests: a «host» namespace with an «outside» behind a cable, and containers.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net};
use netlink::{LinkChange, Route, RouteEntry, RouteScope, Veth};
use network_drivers::bridge::Bridge;
use network_drivers::firewall::Firewall;
use network_drivers::{Driver, EndpointPlan, NetworkPlan, PortBinding, Protocol, Sandbox, Subnet};

/// The host's address on the cable.
pub(crate) const HOST: &str = "10.77.0.1";
/// The outside's address.
pub(crate) const OUTSIDE: &str = "10.77.0.2";
/// An answer takes at most so long, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where nobody answers within this time, nobody answers.
const SILENCE: Duration = Duration::from_millis(500);

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Run `test` in a «host» namespace of its own; says so when that is not possible.
pub(crate) fn in_world(test: impl FnOnce(&World) + Send + 'static) {
    let run = move || {
        let host = match new_netns_here() {
            Ok(host) => host,
            Err(e) => {
                #[allow(clippy::print_stderr, reason = "a skipped test must say so")]
                {
                    eprintln!("skipped: needs root ({e})");
                }
                return;
            }
        };
        let world = World::new(host);
        test(&world);
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

fn new_netns_here() -> std::io::Result<OwnedFd> {
    #[allow(
        deprecated,
        reason = "the thread is alone with its namespace and dies with it"
    )]
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET)?;
    Ok(std::fs::File::open("/proc/thread-self/ns/net")?.into())
}

/// Run `f` in a namespace, on a thread of its own.
pub(crate) fn inside<T: Send>(netns: BorrowedFd<'_>, f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|s| {
        let run = || {
            rustix::thread::move_into_link_name_space(
                netns,
                Some(rustix::thread::LinkNameSpaceType::Network),
            )
            .unwrap();
            f()
        };
        s.spawn(run)
            .join()
            .unwrap_or_else(|p| std::panic::resume_unwind(p))
    })
}

pub(crate) struct World {
    pub(crate) host: OwnedFd,
    pub(crate) outside: OwnedFd,
}

impl World {
    fn new(host: OwnedFd) -> World {
        let outside = std::thread::spawn(|| new_netns_here().unwrap()).join().unwrap();
        let mut route = Route::open().unwrap();
        let up = LinkChange {
            up: Some(true),
            ..LinkChange::default()
        };
        route.set_link(1, &up).unwrap();
        let cable = Veth {
            name: "cable0",
            master: None,
            peer_name: "cable1",
            peer_netns: Some(outside.as_fd()),
            peer_mac: None,
            mtu: 0,
        };
        route.add_veth(&cable).unwrap();
        let near = route.index("cable0").unwrap();
        route
            .add_address(near, format!("{HOST}/24").parse().unwrap())
            .unwrap();
        inside(outside.as_fd(), || {
            let mut route = Route::open().unwrap();
            let far = route.index("cable1").unwrap();
            route.set_link(1, &up).unwrap();
            route.set_link(far, &up).unwrap();
            route
                .add_address(far, format!("{OUTSIDE}/24").parse().unwrap())
                .unwrap();
        });
        World { host, outside }
    }

    /// Let the outside route straight to the containers, as a hostile neighbour would.
    pub(crate) fn outside_routes_to(&self, net: IpNet) {
        inside(self.outside.as_fd(), || {
            let mut route = Route::open().unwrap();
            let link = route.index("cable1").unwrap();
            let entry = RouteEntry {
                destination: Some(net),
                gateway: Some(ip(HOST)),
                link,
                scope: RouteScope::Universe,
            };
            route.add_route(&entry).unwrap();
        });
    }
}

/// One instance: a firewall and a bridge driver.
pub(crate) struct Instance {
    pub(crate) firewall: Arc<Firewall>,
    pub(crate) bridge: Bridge,
}

impl Instance {
    pub(crate) fn new(tag: &str) -> Instance {
        let firewall = Arc::new(Firewall::open(tag).unwrap());
        let bridge = Bridge::open(tag, Some(Arc::clone(&firewall)), true).unwrap();
        Instance { firewall, bridge }
    }
}

/// The plan of a network `10.<n>.0.0/16` on the bridge `br<n>`.
pub(crate) fn network(n: u8) -> NetworkPlan {
    let net = Ipv4Net::new(Ipv4Addr::new(10, n, 0, 0), 16).unwrap();
    NetworkPlan {
        id: format!("{n:064x}"),
        link: format!("br{n}"),
        subnets: vec![Subnet {
            net: IpNet::V4(net),
            gateway: IpAddr::V4(Ipv4Addr::new(10, n, 0, 1)),
        }],
        mtu: 1500,
        internal: false,
        icc: true,
        masquerade: true,
    }
}

pub(crate) struct Container {
    pub(crate) sandbox: Sandbox,
    pub(crate) plan: EndpointPlan,
}

impl Container {
    pub(crate) fn start(instance: &Instance, net: u8, host: u8, ports: &[PortBinding]) -> Container {
        let address = Ipv4Addr::new(10, net, 0, host);
        let plan = EndpointPlan {
            id: format!("{net:02x}{host:02x}{:060x}", 0),
            bridge: format!("br{net}"),
            interface: "eth0".into(),
            mac: [2, 0x42, 10, net, 0, host],
            mtu: 1500,
            ipv4: Some(Ipv4Net::new(address, 16).unwrap()),
            ipv6: None,
            gateways: vec![IpAddr::V4(Ipv4Addr::new(10, net, 0, 1))],
            ports: ports.to_vec(),
        };
        let sandbox = Sandbox::create().unwrap();
        instance.bridge.join(&plan, &sandbox).unwrap();
        Container { sandbox, plan }
    }

    pub(crate) fn address(&self) -> IpAddr {
        IpAddr::V4(self.plan.ipv4.unwrap().addr())
    }

    /// Serve `name` and the caller's address to everybody on TCP and UDP port 80, until the process ends.
    pub(crate) fn serve(&self, name: &'static str) {
        serve(self.sandbox.fd(), SocketAddr::new(ip("0.0.0.0"), 80), name);
    }

    pub(crate) fn stop(&self, instance: &Instance) {
        let (tell, told) = std::sync::mpsc::channel();
        instance
            .bridge
            .leave(&self.plan, Box::new(move || tell.send(()).unwrap()))
            .unwrap();
        told.recv_timeout(PATIENCE).unwrap();
    }
}

pub(crate) fn binding(host_ip: &str, host_port: u16, protocol: Protocol) -> PortBinding {
    PortBinding {
        host_ip: ip(host_ip),
        host_port,
        container_port: 80,
        protocol,
    }
}

pub(crate) fn serve(netns: BorrowedFd<'_>, at: SocketAddr, name: &'static str) {
    let (tcp, udp) = inside(netns, || {
        (TcpListener::bind(at).unwrap(), UdpSocket::bind(at).unwrap())
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip();
            let _ = write!(stream, "{name} {peer}");
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
        }
    });
}

/// The answer of the server at an address; `None` when it refuses, or nobody answers however often it is asked.
pub(crate) fn ask_tcp(netns: BorrowedFd<'_>, to: &str) -> Option<String> {
    try_tcp(netns, to, PATIENCE)
}

/// Whether nobody answers at an address.
pub(crate) fn is_silent_tcp(netns: BorrowedFd<'_>, to: &str) -> bool {
    try_tcp(netns, to, SILENCE).is_none()
}

/// As [`ask_tcp`], by UDP.
pub(crate) fn ask_udp(netns: BorrowedFd<'_>, to: &str) -> Option<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = try_udp(netns, to, SILENCE);
        if answer.is_some() || Instant::now() > end {
            return answer;
        }
    }
}

/// As [`is_silent_tcp`], by UDP.
pub(crate) fn is_silent_udp(netns: BorrowedFd<'_>, to: &str) -> bool {
    try_udp(netns, to, SILENCE).is_none()
}

fn try_tcp(netns: BorrowedFd<'_>, to: &str, patience: Duration) -> Option<String> {
    let to: SocketAddr = to.parse().unwrap();
    inside(netns, || {
        let mut stream = TcpStream::connect_timeout(&to, patience).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    })
}

fn try_udp(netns: BorrowedFd<'_>, to: &str, patience: Duration) -> Option<String> {
    let to: SocketAddr = to.parse().unwrap();
    inside(netns, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        socket.connect(to).ok()?;
        socket.send(b"?").ok()?;
        let mut buffer = [0; 100];
        let len = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..len]).into_owned())
    })
}

pub(crate) fn output(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(
        out.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

/// Feed rules to `nft -f -`.
pub(crate) fn nft(rules: &str) {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "nft refused:\n{rules}");
}

pub(crate) fn tcp(host_port: u16) -> PortBinding {
    binding("0.0.0.0", host_port, Protocol::Tcp)
}
