//! The port proxy, as the monitor starts it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use monitor::plan::{Fd, Port, Protocol};
use monitor::protocol::{PortTarget, Request};

use crate::Test;
use crate::support::{Container, shell};

pub(crate) const TESTS: &[Test] = &[
    ("tcp_and_udp_pass_through_the_proxy", both),
    ("the_proxy_ends_with_its_container_and_frees_the_port", ends),
];

const SOON: Option<Duration> = Some(Duration::from_secs(120));

/// A running container whose ports lead to these servers on the host.
fn publish(tcp: &TcpListener, udp: &UdpSocket) -> (Container, TcpListener, UdpSocket) {
    let outer_tcp = TcpListener::bind("[::1]:0").expect("bind");
    let outer_udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let mut container = Container::new(shell("while :; do sleep 0.05; done"));
    container.plan.ports = vec![
        Port {
            protocol: Protocol::Tcp,
            socket: Fd(0),
            target: tcp.local_addr().expect("address"),
        },
        Port {
            protocol: Protocol::Udp,
            socket: Fd(1),
            target: udp.local_addr().expect("address"),
        },
    ];
    container.spawn(&[outer_tcp.as_fd(), outer_udp.as_fd()]).started();
    (container, outer_tcp, outer_udp)
}

fn both() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bind");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let (mut container, outer_tcp, outer_udp) = publish(&tcp, &udp);
    let address = outer_tcp.local_addr().expect("address");
    drop(outer_tcp);

    let mut client = TcpStream::connect(address).expect("connect");
    client.set_read_timeout(SOON).expect("timeout");
    let (mut server, _) = tcp.accept().expect("accept");
    server.set_read_timeout(SOON).expect("timeout");
    // More than all buffers hold, both ways at once, and each side ends on its own.
    let data: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_le_bytes).collect();
    let copy = data.clone();
    let mut sender = client.try_clone().expect("clone");
    let sending = std::thread::spawn(move || {
        sender.write_all(&copy).expect("write");
        sender.shutdown(std::net::Shutdown::Write).expect("shutdown");
    });
    let mut got = Vec::new();
    server.read_to_end(&mut got).expect("read");
    sending.join().expect("join");
    assert!(got == data);
    server.write_all(b"answer after the end").expect("write");
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("read");
    assert_eq!(answer, "answer after the end");

    udp.set_read_timeout(SOON).expect("timeout");
    let clients = [
        UdpSocket::bind("127.0.0.1:0").expect("bind"),
        UdpSocket::bind("127.0.0.1:0").expect("bind"),
    ];
    let target = outer_udp.local_addr().expect("address");
    drop(outer_udp);
    for (number, client) in clients.iter().enumerate() {
        client.set_read_timeout(SOON).expect("timeout");
        client.send_to(&[number as u8], target).expect("send");
    }
    for _ in 0..2 {
        let mut buffer = [0u8; 8];
        let (_, from) = udp.recv_from(&mut buffer).expect("receive");
        udp.send_to(&[buffer[0] + 10], from).expect("send");
    }
    for (number, client) in clients.iter().enumerate() {
        let mut buffer = [0u8; 8];
        let (length, from) = client.recv_from(&mut buffer).expect("receive");
        assert_eq!((length, buffer[0], from), (1, number as u8 + 10, target));
    }
    container.daemon().send(&Request::Shutdown);
    container.daemon().exited();
}

fn ends() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bind");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let (mut container, outer_tcp, outer_udp) = publish(&tcp, &udp);
    // Other ports while it runs, as after a new address in a network.
    let second = TcpListener::bind("127.0.0.1:0").expect("bind");
    let ports = vec![PortTarget {
        protocol: Protocol::Tcp,
        target: tcp.local_addr().expect("address"),
    }];
    container
        .daemon()
        .send_with(&Request::Ports { ports }, second.as_fd());
    let addresses = [
        outer_tcp.local_addr().expect("address"),
        second.local_addr().expect("address"),
    ];
    drop((outer_tcp, outer_udp, second));
    let mut client = TcpStream::connect(addresses[1]).expect("connect");
    client.set_read_timeout(SOON).expect("timeout");
    let (mut server, _) = tcp.accept().expect("accept");
    server.write_all(b"x").expect("write");
    let mut byte = [0u8; 1];
    client.read_exact(&mut byte).expect("read");
    container.daemon().send(&Request::Signal { signal: 9 });
    container.daemon().exited();
    for address in addresses {
        TcpListener::bind(address).expect("the port is free when the end is told");
    }
}
