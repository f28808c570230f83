//! How long things take: figures for the reader, and no bounds, because a busy machine has none.
//! `cargo test -p networks --test figures -- --nocapture`
#![allow(clippy::print_stdout, reason = "the figures are the point")]

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use networks::{Config, EndpointRequest, Networks, PortRequest, Protocol};

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A start after a pause takes a spare namespace.
async fn take_a_spare(networks: &Networks) {
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    let netns = networks.sandbox("spare").await.unwrap();
    println!("sandbox from the spare ones: {:?}", start.elapsed());
    networks.close_sandbox("spare");
    drop(netns);
}

/// `run --rm` in a loop: each start meets the end of the one before it.
async fn one_after_another(networks: &Networks) {
    let (mut sandboxes, mut attaches, mut ends) = (vec![], vec![], vec![]);
    for n in 0..60 {
        let id = format!("loop{n}");
        let start = Instant::now();
        let netns = networks.sandbox(&id).await.unwrap();
        sandboxes.push(start.elapsed());
        let allocated = networks
            .allocate(&id, "bridge", EndpointRequest::default())
            .await
            .unwrap();
        let start = Instant::now();
        networks.attach(&allocated.endpoint, netns.as_fd()).await.unwrap();
        attaches.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(3)).await;
        let start = Instant::now();
        networks.detach(&allocated.endpoint).await.unwrap();
        drop(netns);
        networks.close_sandbox(&id);
        ends.push(start.elapsed());
    }
    for (what, mut times) in [("sandbox", sandboxes), ("attach", attaches), ("detach", ends)] {
        times.sort();
        println!("in a loop: {what} median {:?}, p90 {:?}", times[30], times[54]);
    }
}

async fn measure(folder: tempfile::TempDir) {
    let store = durable::Store::open(&folder.path().join("state.redb")).unwrap();
    let events = Arc::new(events::Events::open(&folder.path().join("events")).unwrap());
    let mut config = Config::new("f1gure");
    config.bridge.as_mut().unwrap().name = "dhowfig".to_owned();
    let networks = Networks::open(config, store.scope("networks"), events)
        .await
        .unwrap();
    networks.sweep().await.unwrap();
    let (mut sandboxes, mut allocations, mut attaches, mut detaches) = (vec![], vec![], vec![], vec![]);
    let mut alive = Vec::new();
    take_a_spare(&networks).await;
    let all = Instant::now();
    for n in 0..100u16 {
        let id = format!("c{n}");
        let port = PortRequest {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_ip: None,
            host_ports: Some(20000 + n..=20000 + n),
        };
        let start = Instant::now();
        let netns = networks.sandbox(&id).await.unwrap();
        sandboxes.push(start.elapsed());
        let start = Instant::now();
        let request = EndpointRequest {
            ports: vec![port],
            ..EndpointRequest::default()
        };
        let allocated = networks.allocate(&id, "bridge", request).await.unwrap();
        allocations.push(start.elapsed());
        let start = Instant::now();
        networks.attach(&allocated.endpoint, netns.as_fd()).await.unwrap();
        attaches.push(start.elapsed());
        alive.push((netns, allocated));
    }
    println!("100 endpoints with a port each: {:?}", all.elapsed());
    let all = Instant::now();
    for (netns, allocated) in alive {
        let start = Instant::now();
        networks.detach(&allocated.endpoint).await.unwrap();
        networks.close_sandbox(&allocated.endpoint.container_id);
        detaches.push(start.elapsed());
        drop((netns, allocated));
    }
    println!("detach of all: {:?}", all.elapsed());
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut route = netlink::Route::open().unwrap();
    while route
        .links()
        .unwrap()
        .iter()
        .any(|l| l.name.starts_with("vf1gure"))
    {
        assert!(Instant::now() < deadline, "links are left");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("… until the last link is gone: {:?}", all.elapsed());
    one_after_another(&networks).await;
    let attach = median(attaches);
    println!(
        "median: sandbox {:?}, allocate {:?}, attach {attach:?}, detach {:?}",
        median(sandboxes),
        median(allocations),
        median(detaches)
    );
}

#[test]
fn endpoints_come_in_numbers_and_leave_no_link() {
    let run = || {
        #[allow(
            deprecated,
            reason = "the thread is alone with its namespace and dies with it"
        )]
        if let Err(e) = rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET) {
            println!("skipped: needs root ({e})");
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(measure(tempfile::tempdir().unwrap()));
    };
    std::thread::spawn(run).join().unwrap();
}
