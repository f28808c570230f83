//! The whole table as `nft` prints it: a reader sees what dhow does to the firewall.

mod world;

use network_drivers::{Driver, Protocol};
use world::{Container, Instance, binding, in_world, ip, network, output, tcp};

#[test]
fn the_table_is_as_documented() {
    in_world(|_| {
        let dhow = Instance::new("aaaaaa");
        let mut second = network(2);
        (second.internal, second.icc) = (true, false);
        second.subnets.push(network_drivers::Subnet {
            net: "fd00:2::/64".parse().unwrap(),
            gateway: ip("fd00:2::1"),
        });
        dhow.bridge.create_network(&network(1)).unwrap();
        dhow.bridge.create_network(&second).unwrap();
        // The one on a loopback address must not appear: it is the proxy's alone.
        let ports = [
            binding("127.0.0.1", 7070, Protocol::Tcp),
            tcp(8080),
            binding("0.0.0.0", 53, Protocol::Udp),
            binding("10.77.0.1", 9090, Protocol::Tcp),
        ];
        let _web = Container::start(&dhow, 1, 2, &ports);
        let found = output("nft", &["-s", "list", "table", "inet", "dhow-aaaaaa"]);
        if std::env::var_os("DHOW_UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/table.nft"), &found).unwrap();
        }
        // Elements come in the order of the kernel's hash.
        let sorted = |text: &str| {
            let mut words: Vec<String> = text
                .split([' ', '\n', '\t', ','])
                .filter(|w| !w.is_empty())
                .map(str::to_owned)
                .collect();
            words.sort();
            words
        };
        assert_eq!(sorted(&found), sorted(include_str!("table.nft")), "{found}");
    });
}
