//! Which networks go together, and what is remembered of them.

use std::collections::BTreeMap;

use api_types::network::EndpointSettings;
use networks::{Network, NetworkSpec};

use super::{HOST, NONE, SHARED, check_join, joined, left, names};
use crate::record::Record;
use crate::spec::tests::record;

fn network(name: &str, driver: &str) -> Network {
    Network {
        id: format!("{name:f<64}"),
        created: String::new(),
        spec: NetworkSpec {
            name: name.into(),
            driver: driver.into(),
            ..NetworkSpec::default()
        },
        bridge: String::new(),
        containers: BTreeMap::new(),
        subnets: Vec::new(),
    }
}

fn in_mode(mode: &str) -> Record {
    let mut record = record();
    record.host_config.network_mode = mode.into();
    record
}

fn refusal(record: &Record, network: &Network) -> Option<String> {
    check_join(record, network).err().map(|error| error.to_string())
}

#[test]
fn networks_that_do_not_go_together_are_refused_in_dockers_words() {
    let (web, host, none) = (
        network("web", "bridge"),
        network("host", "host"),
        network("none", "null"),
    );
    assert_eq!(refusal(&in_mode("bridge"), &web), None);
    assert_eq!(refusal(&in_mode("host"), &web).as_deref(), Some(SHARED));
    assert_eq!(refusal(&in_mode("container:x"), &web).as_deref(), Some(SHARED));
    assert_eq!(refusal(&in_mode("bridge"), &host).as_deref(), Some(HOST));
    assert_eq!(refusal(&in_mode("bridge"), &none).as_deref(), Some(NONE));
    let mut isolated = in_mode("none");
    assert_eq!(refusal(&isolated, &web).as_deref(), Some(NONE));
    assert!(left(&mut isolated, &none.id, "none"));
    assert_eq!(refusal(&isolated, &web), None);
}

#[test]
fn the_first_network_can_be_left_and_joined_again() {
    let mut record = in_mode("bridge");
    let (bridge, web) = (network("bridge", "bridge"), network("web", "bridge"));
    joined(&mut record, &web, EndpointSettings::default());
    assert_eq!(names(&record), ["web", "bridge"]);
    assert!(left(&mut record, &bridge.id, "bridge"));
    assert_eq!(names(&record), ["web"]);
    assert!(!left(&mut record, &bridge.id, "bridge"), "it was left before");
    joined(&mut record, &bridge, EndpointSettings::default());
    assert!(!record.left_first && names(&record).contains(&"bridge"));
}

#[test]
fn a_network_named_by_its_id_is_the_same_network() {
    let web = network("web", "bridge");
    let mut record = in_mode("bridge");
    record
        .networks
        .insert(web.id.clone(), EndpointSettings::default());
    joined(&mut record, &web, EndpointSettings::default());
    assert_eq!(record.networks.keys().collect::<Vec<_>>(), ["web"]);
    let mut first = in_mode(&web.id);
    assert!(left(&mut first, &web.id, "web") && first.left_first);
}
