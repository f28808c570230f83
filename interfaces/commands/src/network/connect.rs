//! `dhow network connect`.

use api_types::network::ConnectRequest;
use client::Body;

use crate::app::App;
use crate::container::endpoint;
use crate::failure::Outcome;
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] NETWORK CONTAINER",
    about: "Connect a container to a network",
    aliases: "",
    count: Count::Exactly(2),
    stop_early: false,
    flags: &[
        flag(
            "alias",
            '\0',
            Kind::Strings,
            "strings",
            "",
            "Add network-scoped alias for the container",
        ),
        flag(
            "driver-opt",
            '\0',
            Kind::Strings,
            "strings",
            "",
            "driver options for the network",
        ),
        flag(
            "gw-priority",
            '\0',
            Kind::Int,
            "int",
            "",
            "Highest gw-priority provides the default gateway. Accepts positive and negative values.",
        ),
        flag(
            "ip",
            '\0',
            Kind::Text,
            "string",
            "",
            "IPv4 address (e.g., \"172.30.100.104\")",
        ),
        flag(
            "ip6",
            '\0',
            Kind::Text,
            "string",
            "",
            "IPv6 address (e.g., \"2001:db8::33\")",
        ),
        flag(
            "link",
            '\0',
            Kind::List,
            "list",
            "",
            "Add link to another container",
        ),
        flag(
            "link-local-ip",
            '\0',
            Kind::Strings,
            "strings",
            "",
            "Add a link-local address for the container",
        ),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let request = ConnectRequest {
        container: args.arg(1).to_owned(),
        endpoint_config: Some(endpoint(args)),
    };
    Ok(app
        .client()?
        .network_member(args.arg(0), "connect", Body::json(&request)?)
        .await?)
}
