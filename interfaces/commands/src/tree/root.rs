//! The tree itself.

use super::missing;
use super::{Command, Entry, Node};
use crate::{
    builder, completion, container, context, image, login, logout, manifest, network, search, system, trust,
    volume,
};

const fn command(names: &'static [&'static str], command: &'static Command) -> Entry {
    Entry {
        names,
        node: Node::Command(command),
    }
}

const fn group(name: &'static [&'static str], about: &'static str, entries: &'static [Entry]) -> Entry {
    Entry {
        names: name,
        node: Node::Group(about, entries),
    }
}

const fn absent_group(name: &'static [&'static str], about: &'static str, inner: missing::Names) -> Entry {
    Entry {
        names: name,
        node: Node::MissingGroup(about, inner),
    }
}

static CONTAINER: &[Entry] = &[
    command(&["attach"], &container::attach::COMMAND),
    command(&["commit"], &container::commit::COMMAND),
    command(&["cp"], &container::cp::COMMAND),
    command(&["create"], &container::create::COMMAND),
    command(&["diff"], &container::diff::COMMAND),
    command(&["exec"], &container::exec::COMMAND),
    command(&["export"], &container::export::COMMAND),
    command(&["inspect"], &container::inspect::COMMAND),
    command(&["kill"], &container::kill::COMMAND),
    command(&["logs"], &container::logs::COMMAND),
    command(&["ls", "list", "ps"], &container::ls::COMMAND),
    command(&["pause"], &container::pause::COMMAND),
    command(&["port"], &container::port::COMMAND),
    command(&["prune"], &container::prune::COMMAND),
    command(&["rename"], &container::rename::COMMAND),
    command(&["restart"], &container::restart::COMMAND),
    command(&["rm", "remove"], &container::rm::COMMAND),
    command(&["run"], &container::run::COMMAND),
    command(&["start"], &container::start::COMMAND),
    command(&["stats"], &container::stats::COMMAND),
    command(&["stop"], &container::stop::COMMAND),
    command(&["top"], &container::top::COMMAND),
    command(&["unpause"], &container::unpause::COMMAND),
    command(&["update"], &container::update::COMMAND),
    command(&["wait"], &container::wait::COMMAND),
];

static BUILDER: &[Entry] = &[
    command(&["build"], &image::build::COMMAND),
    command(&["prune"], &builder::prune::COMMAND),
];

static IMAGE: &[Entry] = &[
    command(&["build"], &image::build::COMMAND),
    command(&["copy"], &image::copy::COMMAND),
    command(&["diff"], &image::diff::COMMAND),
    command(&["history"], &image::history::COMMAND),
    command(&["import"], &image::import::COMMAND),
    command(&["inspect"], &image::inspect::COMMAND),
    command(&["load"], &image::load::COMMAND),
    command(&["ls", "list"], &image::ls::COMMAND),
    command(&["prune"], &image::prune::COMMAND),
    command(&["rm", "remove"], &image::rm::COMMAND),
    command(&["save"], &image::save::COMMAND),
    command(&["squash"], &image::squash::COMMAND),
    command(&["tag"], &image::tag::COMMAND),
    command(&["tree"], &image::tree::COMMAND),
    command(&["pull"], &image::pull::COMMAND),
    command(&["push"], &image::push::COMMAND),
];

static MANIFEST: &[Entry] = &[
    command(&["annotate"], &manifest::annotate::COMMAND),
    command(&["create"], &manifest::create::COMMAND),
    command(&["inspect"], &manifest::inspect::COMMAND),
    command(&["push"], &manifest::push::COMMAND),
    command(&["rm"], &manifest::rm::COMMAND),
];

static TRUST: &[Entry] = &[
    group(&["key"], "Manage keys for signing Docker images", TRUST_KEY),
    group(
        &["signer"],
        "Manage entities who can sign Docker images",
        TRUST_SIGNER,
    ),
    command(&["inspect"], &trust::inspect::COMMAND),
    command(&["revoke"], &trust::revoke::COMMAND),
    command(&["sign"], &trust::sign::COMMAND),
];

static TRUST_KEY: &[Entry] = &[
    command(&["generate"], &trust::key::generate::COMMAND),
    command(&["load"], &trust::key::load::COMMAND),
];

static TRUST_SIGNER: &[Entry] = &[
    command(&["add"], &trust::signer::add::COMMAND),
    command(&["remove"], &trust::signer::remove::COMMAND),
];

static NETWORK: &[Entry] = &[
    command(&["connect"], &network::connect::COMMAND),
    command(&["create"], &network::create::COMMAND),
    command(&["disconnect"], &network::disconnect::COMMAND),
    command(&["inspect"], &network::inspect::COMMAND),
    command(&["ls", "list"], &network::ls::COMMAND),
    command(&["prune"], &network::prune::COMMAND),
    command(&["rm", "remove"], &network::rm::COMMAND),
];

static VOLUME: &[Entry] = &[
    command(&["create"], &volume::create::COMMAND),
    command(&["inspect"], &volume::inspect::COMMAND),
    command(&["ls", "list"], &volume::ls::COMMAND),
    command(&["prune"], &volume::prune::COMMAND),
    command(&["rm", "remove"], &volume::rm::COMMAND),
    command(&["update"], &volume::update::COMMAND),
];

static SYSTEM: &[Entry] = &[
    command(&["df"], &system::df::COMMAND),
    command(&["dial-stdio"], &system::dial_stdio::COMMAND),
    command(&["events"], &system::events::COMMAND),
    command(&["info"], &system::info::COMMAND),
    command(&["prune"], &system::prune::COMMAND),
];

static CONTEXT: &[Entry] = &[
    command(&["create"], &context::create::COMMAND),
    command(&["export"], &context::export::COMMAND),
    command(&["import"], &context::import::COMMAND),
    command(&["inspect"], &context::inspect::COMMAND),
    command(&["ls", "list"], &context::ls::COMMAND),
    command(&["rm", "remove"], &context::rm::COMMAND),
    command(&["show"], &context::show::COMMAND),
    command(&["update"], &context::update::COMMAND),
    command(&["use"], &context::use_::COMMAND),
];

/// Everything behind the name `dhow`.
pub(crate) static ROOT: &[Entry] = &[
    command(&["attach"], &container::attach::COMMAND),
    command(&["commit"], &container::commit::COMMAND),
    command(&["cp"], &container::cp::COMMAND),
    command(&["create"], &container::create::COMMAND),
    command(&["diff"], &container::diff::COMMAND),
    command(&["exec"], &container::exec::COMMAND),
    command(&["export"], &container::export::COMMAND),
    command(&["kill"], &container::kill::COMMAND),
    command(&["logs"], &container::logs::COMMAND),
    command(&["pause"], &container::pause::COMMAND),
    command(&["port"], &container::port::COMMAND),
    command(&["rename"], &container::rename::COMMAND),
    command(&["restart"], &container::restart::COMMAND),
    command(&["rm"], &container::rm::COMMAND),
    command(&["run"], &container::run::COMMAND),
    command(&["start"], &container::start::COMMAND),
    command(&["stats"], &container::stats::COMMAND),
    command(&["stop"], &container::stop::COMMAND),
    command(&["top"], &container::top::COMMAND),
    command(&["unpause"], &container::unpause::COMMAND),
    command(&["update"], &container::update::COMMAND),
    command(&["wait"], &container::wait::COMMAND),
    command(&["ps"], &container::ls::COMMAND),
    command(&["history"], &image::history::COMMAND),
    command(&["import"], &image::import::COMMAND),
    command(&["load"], &image::load::COMMAND),
    command(&["save"], &image::save::COMMAND),
    command(&["tag"], &image::tag::COMMAND),
    command(&["images"], &image::ls::COMMAND),
    command(&["rmi"], &image::rm::COMMAND),
    command(&["events"], &system::events::COMMAND),
    command(&["info"], &system::info::COMMAND),
    command(&["inspect"], &system::inspect::COMMAND),
    command(&["version"], &system::version::COMMAND),
    command(&["completion"], &completion::COMMAND),
    command(&["build"], &image::build::COMMAND),
    command(&["pull"], &image::pull::COMMAND),
    command(&["push"], &image::push::COMMAND),
    command(&["login"], &login::COMMAND),
    command(&["logout"], &logout::COMMAND),
    command(&["search"], &search::COMMAND),
    group(&["container"], "Manage containers", CONTAINER),
    group(&["context"], "Manage contexts", CONTEXT),
    group(&["image"], "Manage images", IMAGE),
    group(&["network"], "Manage networks", NETWORK),
    group(&["system"], "Manage dhow", SYSTEM),
    group(&["volume"], "Manage volumes", VOLUME),
    group(&["builder"], "Manage builds", BUILDER),
    absent_group(&["checkpoint"], "Manage checkpoints", missing::CHECKPOINT),
    group(
        &["manifest"],
        "Manage Docker image manifests and manifest lists",
        MANIFEST,
    ),
    absent_group(&["plugin"], "Manage plugins", missing::PLUGIN),
    group(&["trust"], "Manage trust on Docker images", TRUST),
    absent_group(&["config"], "Manage Swarm configs", missing::CONFIG),
    absent_group(&["node"], "Manage Swarm nodes", missing::NODE),
    absent_group(&["secret"], "Manage Swarm secrets", missing::SECRET),
    absent_group(&["service"], "Manage Swarm services", missing::SERVICE),
    absent_group(&["stack"], "Manage Swarm stacks", missing::STACK),
    absent_group(&["swarm"], "Manage Swarm", missing::SWARM),
];
